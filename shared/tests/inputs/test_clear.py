"""Who acts by hand, as a login or a header says."""

import getpass
from collections.abc import Callable
from typing import Any

import pytest
from customerflow_shared import requests
from customerflow_shared.inputs import clear
from customerflow_shared.problems import Problem
from litestar.testing import RequestFactory

HEADER = "CustomerFlow-Actor"


def _fails() -> str:
    raise KeyError("getpwuid(): uid not found: 10001")


@pytest.mark.parametrize(
    ("login", "actor"),
    [
        (lambda: "ana", "user:ana"),
        (lambda: "ana@example.com", "service:operator"),
        (lambda: "39053344705", "service:operator"),
        (_fails, "service:operator"),
    ],
)
def test_who_is_logged_in_is_named_unless_the_name_says_more_than_programs_need(
    monkeypatch: pytest.MonkeyPatch, login: Callable[[], str], actor: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", login)
    assert clear.logged_in("service:operator") == actor


@pytest.mark.parametrize(
    ("headers", "actor"),
    [({}, "service:operator"), ({HEADER: "user:42"}, "user:42"), ({HEADER.lower(): "service:erp"}, "service:erp")],
)
def test_an_operator_may_say_who_acts(headers: dict[str, str], actor: str) -> None:
    assert requests.operator(RequestFactory().get("/", headers=headers)) == actor


@pytest.mark.parametrize("values", [["Ana"], [""], ["user:39053344705"], ["user:1", "user:2"]])
def test_what_is_no_actor_is_a_problem_that_does_not_repeat_it(values: list[str]) -> None:
    request: Any = RequestFactory().get("/")
    request.scope["headers"] = [(HEADER.lower().encode(), value.encode()) for value in values]
    with pytest.raises(Problem) as refused:
        requests.operator(request)
    assert refused.value.code == "actor-invalid"
    assert not any(value and value in str(refused.value.detail) for value in values)
