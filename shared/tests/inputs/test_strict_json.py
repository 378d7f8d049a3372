"""What is JSON enough to be read."""

import json
from contextlib import suppress

import pytest
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.problems import Problem
from hypothesis import given, settings
from hypothesis import strategies as st


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
        json_object(body)
    assert caught.value.code == "malformed-json"


def test_an_object_is_read() -> None:
    assert json_object('{"name": "José", "tags": ["a"], "n": 1.5}'.encode()) == {
        "name": "José",
        "tags": ["a"],
        "n": 1.5,
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_a_problem(body: bytes) -> None:
    with suppress(Problem):
        assert isinstance(json_object(body), dict)
