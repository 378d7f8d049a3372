"""What is JSON enough to be read."""

import pytest
from customerflow_command import inputs
from customerflow_shared.problems import Problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b'{"name": "a", "name": "b"}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"name": NaN}',
        b'{"name": -Infinity}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{} {}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_one_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        inputs.json_object(body)
    assert caught.value.code == "malformed-json"


def test_an_object_is_read() -> None:
    assert inputs.json_object('{"name": "José", "tags": ["a"], "n": 1.5}'.encode()) == {
        "name": "José",
        "tags": ["a"],
        "n": 1.5,
    }
