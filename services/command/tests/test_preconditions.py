import pytest
from customerflow_command.preconditions import Precondition, if_match
from customerflow_shared.problems import Problem


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"7"', {7}),
        (' "7" , "8" ', {7, 8}),
        ('"7",', {7}),
        (', "7" ,, "8"', {7, 8}),
        ('W/"7"', set()),
        ('W/"6", "7"', {7}),
        ('"abc"', set()),
        ('"a,b"', set()),
        ('"a,b", "7"', {7}),
        ('"7"\t,\t"8"', {7, 8}),
        ('""', set()),
        ('"07"', set()),
        ('"99999999999999"', set()),
    ],
)
def test_the_versions_that_match(header: str, versions: set[int]) -> None:
    assert if_match(header) == Precondition(given=True, versions=frozenset(versions))


def test_a_star_matches_any_version() -> None:
    assert if_match(" * ") == Precondition(given=True, versions=None)


def test_no_header_is_no_condition() -> None:
    assert not if_match(None).given


@pytest.mark.parametrize(
    "header", ["", "7", '"7', '"7" "8"', ",", "*, *", '*, "7"', '"7", 8', 'w/"7"', '"a b"', "\x00"]
)
def test_garbage_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        if_match(header)
    assert caught.value.code == "if-match-invalid"
