"""The contract as files, and whether what is told now keeps what was promised with the last release."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from customerflow_contract import asyncapi, schemas
from customerflow_contract.compatibility import breaks
from customerflow_contract.examples import messages

Files: TypeAlias = Mapping[str, Any]
"""JSON documents by their paths within a folder."""

ADVICE = """\
Whoever reads by the released contract could not read this any more. Leave the released version as it is, and tell what
is new beside it: a struct and a routing key of its own that ends in `.v2`, published together with `.v1`."""


def generated() -> Files:
    return {
        "asyncapi.json": asyncapi.document(),
        **{f"schemas/{name}.json": schema for name, schema in schemas.documents().items()},
        **{f"examples/{name}.json": msgspec.to_builtins(event) for name, event in messages()},
    }


def promised(files: Files) -> Files:
    """What a release holds: an example promises nothing."""
    return {path: document for path, document in files.items() if not path.startswith("examples/")}


def broken(released: Files, current: Files) -> Iterator[str]:
    """Each promise of the release that is not kept, with its file and the path in it or in the message."""
    for path, document in released.items():
        if path not in current:
            yield f"{path}: is gone"
        elif path == "asyncapi.json":
            yield from (f"{path}: {reason}" for reason in _ways(document, current[path]))
        else:
            yield from (f"{path}: {each}" for each in breaks(document, current[path]))


def _ways(released: Any, current: Any) -> Iterator[str]:
    """By which way the messages come, and in which form."""
    for name, channel in released["channels"].items():
        if (now := current["channels"].get(name)) is None:
            yield f"$.channels['{name}']: is gone"
            continue
        for key in ("address", "bindings"):
            if now.get(key) != channel.get(key):
                yield f"$.channels['{name}'].{key}: was {channel.get(key)}, and is {now.get(key, 'gone')}"
        for told in channel["messages"].keys() - now["messages"].keys():
            yield f"$.channels['{name}'].messages['{told}']: is gone"
    now = current["components"]["messages"]
    for name, message in released["components"]["messages"].items():
        if name not in now:
            yield f"$.components.messages['{name}']: is gone"
            continue
        for key in ("contentType", "name"):
            if now[name].get(key) != message.get(key):
                yield f"$.components.messages['{name}'].{key}: was {message.get(key)}, and is {now[name].get(key)}"
        for each in breaks(message["headers"], now[name]["headers"]):
            yield f"$.components.messages['{name}'].headers: {each}"


def load(folder: Path) -> Files:
    """Raises ValueError with the name of a file that is not JSON."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found[path.relative_to(folder).as_posix()] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return found


def write(folder: Path, files: Files) -> None:
    """What else was there in JSON is removed."""
    for path in folder.rglob("*.json"):
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, document in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(document), encoding="utf-8")


def stale(folder: Path, files: Files) -> list[str]:
    """The files in the folder that are not byte for byte what they should be, missing and superfluous ones included."""
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}
    wanted = {name: text(document).encode() for name, document in files.items()}
    return sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))


def text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
