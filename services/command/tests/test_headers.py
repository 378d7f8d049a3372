"""What a client may say of its command in headers."""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from customerflow_command.api.headers import actor, correlation_id, idempotency_key
from customerflow_shared.events import Actor
from customerflow_shared.problems import Problem

ID = "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (f'"{ID}"', ID),
        (ID, ID),
        ("a", "a"),
        (' "a" ', "a"),
        ('"a b, c;d"', "a b, c;d"),
        (r'"a\"b\\c"', r'a"b\c'),
        ("c2Vjb25k+/=", "c2Vjb25k+/="),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
        ('"' + '\\"' * 255 + '"', '"' * 255),
    ],
)
def test_a_key_is_the_same_quoted_or_bare(header: str, key: str) -> None:
    assert idempotency_key([header]) == key


@pytest.mark.parametrize(
    "header",
    [
        *("", " ", '""', '"', '"a', 'a"', "a b", "a, b", "a;b", "a\\b", r'"a\b"', '"a";b', "é", '"é"', "a\x00", "\x7f"),
        *("x" * 256, f'"{"x" * 256}"', "x" * 100_000),
    ],
)
def test_what_is_no_key_is_refused(header: str) -> None:
    assert refusal(idempotency_key, [header]) == "idempotency-key-invalid"


def test_an_actor_is_a_user_or_a_service() -> None:
    assert actor(["user:42"]) == Actor(type="user", id="42")
    assert actor(["service:erp.sync_1-a"]) == Actor(type="service", id="erp.sync_1-a")
    assert actor([]) == Actor()


@pytest.mark.parametrize(
    "header",
    [
        *("", "user", "user:", "system:x", "anonymous", "User:42", "user:a b", "user:a@b", "user:é"),
        *(f"user:{'x' * 65}", "user:a:b", " user:42", "user:42\n"),
    ],
)
def test_what_is_no_actor_is_refused(header: str) -> None:
    assert refusal(actor, [header]) == "actor-invalid"


def test_a_correlation_id_is_a_uuid() -> None:
    assert correlation_id([ID]) == UUID(ID)
    assert correlation_id([]) is None


@pytest.mark.parametrize("header", ["", "1", ID.replace("-", ""), f"{{{ID}}}", f"{ID}, {ID}"])
def test_what_is_no_correlation_id_is_refused(header: str) -> None:
    assert refusal(correlation_id, [header]) == "correlation-id-invalid"


@pytest.mark.parametrize(
    ("read", "header", "code"),
    [
        (idempotency_key, "a", "idempotency-key-invalid"),
        (actor, "user:42", "actor-invalid"),
        (correlation_id, ID, "correlation-id-invalid"),
    ],
)
def test_each_of_them_may_be_given_once(read: Callable[[Sequence[str]], object], header: str, code: str) -> None:
    assert refusal(read, [header, header]) == code


def refusal(read: Callable[[Sequence[str]], object], values: Sequence[str]) -> str:
    with pytest.raises(Problem) as caught:
        read(values)
    assert caught.value.status == 400
    return caught.value.code
