import pytest
from customerflow_shared import requests
from customerflow_shared.problems import Problem

ID = "01a204ac-3f59-76f5-bcaa-9f66a4a4efbe"


def code_of(caught: pytest.ExceptionInfo[Problem]) -> str:
    return caught.value.code


def test_an_id_may_be_written_in_capitals() -> None:
    assert requests.identifier(ID) == requests.identifier(ID.upper())


@pytest.mark.parametrize(
    "text", ["", "1", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", ID + "0", ID[:-1] + "g", "\u0661" * 36]
)
def test_other_forms_of_an_id_are_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        requests.identifier(text)
    assert code_of(caught) == "invalid-id"


def test_parameters_are_read() -> None:
    given = requests.parameters(b"minVersion=7", ["minVersion"])
    assert requests.integer(given, "minVersion", default=0) == 7
    assert requests.integer({}, "minVersion", default=3) == 3


def test_a_parameter_may_be_repeated_where_the_route_says_so() -> None:
    given = requests.parameters(b"tag=vip&limit=5&tag=a%26b", ["limit"], repeatable=["tag", "country"])
    assert (given["tag"], given["limit"]) == ("vip", "5")
    assert (given.every("tag"), given.every("country")) == (["vip", "a&b"], ())
    with pytest.raises(Problem) as caught:
        requests.parameters(b"tag=vip&limit=5&limit=5", ["limit"], repeatable=["tag"])
    assert code_of(caught) == "invalid-parameter"
    with pytest.raises(Problem, match="parameters: limit, tag"):
        requests.parameters(b"tags=vip", ["limit"], repeatable=["tag"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"shoe=1", "unknown-parameter"),
        (b"minVersion=1&minVersion=2", "invalid-parameter"),
        (b"minVersion", "invalid-parameter"),
        (b"%ff=1", "invalid-parameter"),
        (b"\xff=1", "invalid-parameter"),
        (b"&" * 100, "invalid-parameter"),
    ],
)
def test_other_queries_are_refused(query: bytes, code: str) -> None:
    with pytest.raises(Problem) as caught:
        requests.parameters(query, ["minVersion"])
    assert code_of(caught) == code


@pytest.mark.parametrize("text", ["", "-1", "0", "1.5", "1e3", "abc", "9" * 19, "\u0663"])
def test_a_number_has_one_form(text: str) -> None:
    with pytest.raises(Problem) as caught:
        requests.integer({"n": text}, "n", default=1, minimum=1)
    assert code_of(caught) == "invalid-parameter"
