"""The table of codes: whatever a program says is in it, whatever is in it is said, and each code can be looked up."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from customerflow_shared import service
from customerflow_shared.problems import codes, example, responses
from litestar import Litestar
from litestar.testing import TestClient

ROOT = Path(__file__).parents[2]
TABLE = {*codes.PROBLEMS, *codes.FAULTS, *codes.ISSUES}
CODE = re.compile("[a-z]+(-[a-z]+)*")
DOCUMENTATION = {"command", "responses"}  # calls that only list codes


def sources() -> Iterator[ast.Module]:
    for path in [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("shared/src/**/*.py")]:
        if path.name != "codes.py":
            yield ast.parse(path.read_text())


def calls() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, texts and named texts of every call."""
    for node in (node for module in sources() for node in ast.walk(module) if isinstance(node, ast.Call)):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        named = {word.arg: text for word in node.keywords for text in texts_of(word.value) if word.arg}
        yield name, [text for argument in node.args for text in texts_of(argument)], named


def texts_of(node: ast.expr) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_code_that_is_said_is_in_the_table() -> None:
    raised = {text for name, texts, _ in calls() if name in ("Problem", "Unfit", "_as") for text in texts[:1]}
    said = set(filter(CODE.fullmatch, raised))
    said |= {named["code"] for _, _, named in calls() if "code" in named}
    assert said - TABLE == set()
    assert len(said) > 50


def test_every_code_of_the_table_is_said_somewhere() -> None:
    given = {text for name, texts, named in calls() if name not in DOCUMENTATION for text in (*texts, *named.values())}
    given |= {
        text
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef)
        for default in node.args.defaults
        for text in texts_of(default)
    }
    assert TABLE - given == set()


def test_no_code_means_two_things() -> None:
    assert len(TABLE) == len(codes.PROBLEMS) + len(codes.FAULTS) + len(codes.ISSUES) - len(codes.ASKED)


def test_what_is_asked_for_is_a_whole_answer_or_a_fault_and_says_so(client: TestClient[Litestar]) -> None:
    assert client.get("/problems/limit-range").json() | {"advice": ""} == {
        "code": "limit-range",
        "title": codes.ASKED["limit-range"].title,
        "advice": "",
        "status": 400,
        "within": "errors",
    }
    page = client.get("/problems/limit-range", headers={"Accept": "text/html"}).text
    assert "status 400 \u00b7 within <code>errors</code>" in page


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(service.create("Test", "Test.", handlers=[], health=service.Health({}))) as client:
        yield client


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_code_can_be_looked_up_by_programs_and_by_people(client: TestClient[Litestar], code: str) -> None:
    entry = client.get(f"/problems/{code}").json()
    page = client.get(f"/problems/{code}", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert entry["code"] == code
    assert entry["title"]
    assert entry["advice"].endswith(".")
    assert page.headers["content-type"].startswith("text/html")
    assert code in page.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/png", "nonsense", "", "text/html;q=0.1, */*"])
def test_who_does_not_prefer_a_page_gets_json(client: TestClient[Litestar], accept: str) -> None:
    answer = client.get("/problems/busy", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"


def test_an_unknown_code_is_not_found(client: TestClient[Litestar]) -> None:
    assert client.get("/problems/nonsense").status_code == 404


def test_the_problems_of_a_route_are_shown_by_status_with_an_example_of_each() -> None:
    shown = responses("malformed-json", "invalid-id", "version-mismatch")
    assert list(shown) == [400, 412]
    assert [one.id for one in shown[400].examples or []] == ["malformed-json", "invalid-id"]
    assert example("version-mismatch")["currentVersion"] == 7
