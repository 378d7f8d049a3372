"""AsyncAPI's own parser has nothing against the document. It needs node and npm; without them it says so."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from customerflow_contract.asyncapi import document
from customerflow_local.testing import node_folder

HERE = Path(__file__).parent / "parser"


@pytest.fixture(scope="module")
def parser() -> Path:
    folder = node_folder("asyncapi-parser", HERE / "package.json")
    shutil.copy(HERE / "parse.js", folder)
    return folder


def objections(parser: Path, told: Any) -> list[str]:
    done = subprocess.run(
        ["node", "parse.js"], cwd=parser, input=json.dumps(told), capture_output=True, text=True, timeout=60, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_it_accepts_the_document(parser: Path) -> None:
    assert objections(parser, document()) == []


def test_it_would_refuse_another(parser: Path) -> None:
    told = document()
    told["operations"]["readLog"]["action"] = "listen"
    assert any("readLog" in one for one in objections(parser, told))
