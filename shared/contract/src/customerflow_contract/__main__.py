"""python -m customerflow_contract write | check | release, in a working copy of the repository.

`write` makes the files of the contract from the structs. `check` fails if they are not what the structs say, or if
what is told now breaks the last release. `release` promises what is told now.
"""

import argparse
import sys
from pathlib import Path

from customerflow_contract import gate

HOME = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m customerflow_contract", description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("action", choices=["write", "check", "release"])
    parser.add_argument("--folder", type=Path, default=HOME, help="where files/ and released/ are")
    given = parser.parse_args(arguments)
    files, released = given.folder / "files", given.folder / "released"
    if given.folder == HOME and not (HOME / "pyproject.toml").exists():
        parser.error("this is an installed package, without the files of the repository: name a --folder")
    match given.action:
        case "write":
            gate.write(files, gate.generated())
            return 0
        case "check":
            return _check(files, released)
        case _:
            return _release(files, released)


def _check(files: Path, released: Path) -> int:
    current = gate.generated()
    failures: list[str] = []
    if names := gate.stale(files, current):
        failures += [
            "Not what the structs say; `make contract` writes them anew:",
            *(f"  {files / name}" for name in names),
        ]
    failures += _broken(released, current)
    if not gate.load(released):
        failures.append(f"There is nothing in {released} to hold the contract against.")
    print("\n".join(failures or ["The contract is what the structs say, and keeps what was released."]))
    return 1 if failures else 0


def _release(files: Path, released: Path) -> int:
    current = gate.generated()
    if failures := _broken(released, current):
        print("\n".join(failures))
        return 1
    gate.write(files, current)
    gate.write(released, gate.promised(current))
    return 0


def _broken(released: Path, current: gate.Files) -> list[str]:
    found = list(gate.broken(gate.load(released), current))
    return ["The released contract is broken:", *(f"  {each}" for each in found), gate.ADVICE] if found else []


if __name__ == "__main__":
    sys.exit(main())
