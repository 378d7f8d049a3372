"""The files are what the structs say; a contract that breaks the released one is held up, and told what to do."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from customerflow_contract import gate
from customerflow_contract.__main__ import main

HOME = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files in the repository."""
    for name in ("files", "released"):
        shutil.copytree(HOME / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_files_in_the_repository_are_what_the_structs_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0, capsys.readouterr().out


def test_what_is_written_passes_the_check(tmp_path: Path) -> None:
    assert main(["release", "--folder", str(tmp_path)]) == 0
    assert main(["check", "--folder", str(tmp_path)]) == 0
    assert len(list((tmp_path / "released").rglob("*.json"))) == 1 + 2 * 8


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("asyncapi.json", "customer.erased", "customer.deleted"),
        ("schemas/customer.erased.v1.json", "erasedAt", "deletedAt"),
        ("examples/customer.erased.v1.json", "erasedAt", "deletedAt"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, old: str, new: str
) -> None:
    edit(folder / "files" / name, old, new)
    assert main(["check", "--folder", str(folder)]) == 1
    told = capsys.readouterr().out
    assert name in told
    assert "make contract" in told
    main(["write", "--folder", str(folder)])
    assert main(["check", "--folder", str(folder)]) == 0


def test_a_file_that_is_missing_or_superfluous_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schemas = folder / "files" / "schemas"
    (schemas / "customer.erased.v1.json").rename(schemas / "customer.deleted.v1.json")
    assert main(["check", "--folder", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "customer.erased.v1.json" in told
    assert "customer.deleted.v1.json" in told
    main(["write", "--folder", str(folder)])
    assert main(["check", "--folder", str(folder)]) == 0


def test_a_broken_promise_is_told_with_its_place_and_a_way_out_and_not_released(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the last release had promised what the structs do not say."""
    path = folder / "released" / "schemas" / "customer.status_changed.v1.json"
    released = json.loads(path.read_text())
    released["properties"]["reason"] = {"type": "string"}
    released["properties"]["to"]["enum"].remove("archived")
    path.write_text(json.dumps(released))
    for action in ("check", "release"):
        assert main([action, "--folder", str(folder)]) == 1
        told = capsys.readouterr().out
        assert "customer.status_changed.v1.json: $.reason: is not told any more" in told
        assert "customer.status_changed.v1.json: $.to: may be 'archived' now; it was 'active', 'suspended'" in told
        assert "`.v2`" in told
    assert json.loads(path.read_text()) == released


def test_nothing_released_is_no_release_that_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "released").rglob("*.json"):
        path.unlink()
    assert main(["check", "--folder", str(folder)]) == 1
    assert "nothing in" in capsys.readouterr().out
    shutil.rmtree(folder / "released")
    assert main(["check", "--folder", str(folder)]) == 1
    assert "nothing in" in capsys.readouterr().out


def test_a_file_that_is_not_json_is_named(folder: Path) -> None:
    path = folder / "released" / "asyncapi.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"asyncapi\.json"):
        main(["check", "--folder", str(folder)])


class Copy:
    """The package in a folder of its own, to be edited and run as a developer does."""

    def __init__(self, home: Path) -> None:
        shutil.copytree(HOME, home, ignore=shutil.ignore_patterns("__pycache__"))
        self._home = home

    def edit(self, old: str, new: str) -> None:
        edit(self._home / "src" / "customerflow_contract" / "events.py", old, new)

    def run(self, action: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "customerflow_contract", action],
            env={**os.environ, "PYTHONPATH": str(self._home / "src")},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout


def test_a_struct_that_gets_a_field_is_written_checked_and_released(tmp_path: Path) -> None:
    copy_of_it = Copy(tmp_path / "contract")
    copy_of_it.edit("    erased_at: Moment\n", "    erased_at: Moment\n    reason: str | UnsetType = UNSET\n")
    status, told = copy_of_it.run("check")
    assert (status, "make contract" in told, "broken" in told) == (1, True, False)
    assert copy_of_it.run("write")[0] == 0
    assert copy_of_it.run("check")[0] == 0
    assert copy_of_it.run("release")[0] == 0
    copy_of_it.edit("    reason: str | UnsetType = UNSET\n", "")
    copy_of_it.run("write")
    assert "schemas/customer.erased.v1.json: $.reason: is not told any more" in copy_of_it.run("check")[1]


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        (
            "due_at: Annotated[Moment,",
            "due_at: Annotated[int,",
            "schemas/customer.erasure_requested.v1.cloudevent.json: $.data.dueAt: may be of integer type now; "
            "it was string",
        ),
        (
            'Literal["active", "suspended", "archived"]',
            'Literal["active", "suspended", "archived", "deceased"]',
            "schemas/customer.registered.v1.json: $.status: may be 'deceased' now; "
            "it was 'active', 'archived', 'suspended'",
        ),
        (
            "erased_at: Moment\n",
            "erased_at: Moment | UnsetType = UNSET\n",
            "schemas/customer.erased.v1.json: $.erasedAt: was always there, and may be left out now",
        ),
        (
            'Meta(extra_json_schema={"format": "date-time"})',
            'Meta(extra_json_schema={"format": "date"})',
            "schemas/customer.erased.v1.json: $.erasedAt: format was date-time, and is date",
        ),
        (
            '"customer.erased.v1"',
            '"customer.erased.v2"',
            "schemas/customer.erased.v1.json: is gone",
        ),
        ("ge=1, ", "", "schemas/customer.erased.v1.json: $.version: minimum was 1, and is gone"),
    ],
)
def test_a_struct_that_breaks_its_readers_is_held_up(tmp_path: Path, old: str, new: str, broken: str) -> None:
    copy_of_it = Copy(tmp_path / "contract")
    copy_of_it.edit(old, new)
    copy_of_it.run("write")
    status, told = copy_of_it.run("check")
    assert (status, broken in told, "`.v2`" in told) == (1, True, True), told
    assert copy_of_it.run("release")[0] == 1


CURRENT = gate.generated()
RELEASED = gate.promised(CURRENT)


def with_asyncapi(change: Any) -> dict[str, Any]:
    document = copy.deepcopy(CURRENT["asyncapi.json"])
    change(document)
    return {**CURRENT, "asyncapi.json": document}


def test_an_event_that_is_gone_is_found_everywhere() -> None:
    def drop(document: Any) -> None:
        del document["channels"]["customer.erased.v1"]
        del document["components"]["messages"]["customer.erased.v1"]

    fewer = {path: each for path, each in with_asyncapi(drop).items() if "customer.erased" not in path}
    assert list(gate.broken(RELEASED, fewer)) == [
        "asyncapi.json: $.channels['customer.erased.v1']: is gone",
        "asyncapi.json: $.components.messages['customer.erased.v1']: is gone",
        "schemas/customer.erased.v1.json: is gone",
        "schemas/customer.erased.v1.cloudevent.json: is gone",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda document: document["channels"]["customer.erased.v1"].update(address="customer.erased"),
            "$.channels['customer.erased.v1'].address: was customer.erased.v1, and is customer.erased",
        ),
        (
            lambda document: document["channels"]["customer.erased.v1"]["bindings"]["amqp"]["exchange"].update(
                name="x"
            ),
            "$.channels['customer.erased.v1'].bindings: was ",
        ),
        (
            lambda document: document["channels"]["customerflow.integration.log"]["messages"].pop("customer.erased.v1"),
            "$.channels['customerflow.integration.log'].messages['customer.erased.v1']: is gone",
        ),
        (
            lambda document: document["components"]["messages"]["customer.erased.v1"].update(contentType="text/plain"),
            "$.components.messages['customer.erased.v1'].contentType: was application/cloudevents+json",
        ),
        (
            lambda document: document["components"]["messages"]["customer.erased.v1"]["headers"]["properties"].clear(),
            "$.components.messages['customer.erased.v1'].headers: $.traceparent: is not told any more",
        ),
    ],
)
def test_another_way_or_form_of_a_message_is_a_break(change: Any, told: str) -> None:
    (found,) = gate.broken(RELEASED, with_asyncapi(change))
    assert found.startswith(f"asyncapi.json: {told}")


def test_a_new_event_breaks_nothing() -> None:
    def add(document: Any) -> None:
        channels, messages = document["channels"], document["components"]["messages"]
        channels["customer.merged.v1"] = {**channels["customer.erased.v1"], "address": "customer.merged.v1"}
        messages["customer.merged.v1"] = messages["customer.erased.v1"]

    more = with_asyncapi(add) | {"schemas/customer.merged.v1.json": CURRENT["schemas/customer.erased.v1.json"]}
    assert list(gate.broken(RELEASED, more)) == []
