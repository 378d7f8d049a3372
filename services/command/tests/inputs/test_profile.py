"""Languages and time zones."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from customerflow_command.inputs import profile
from customerflow_shared.inputs.fields import Unfit
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


def code(read: Callable[[], object]) -> str:
    with pytest.raises(Unfit) as caught:
        read()
    return caught.value.code


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("pt_br", "pt-BR"),
        ("PT", "pt"),
        ("sr_latn_rs", "sr-Latn-RS"),
        ("es-419", "es-419"),
        ("ca-es-VALENCIA", "ca-ES-valencia"),
        ("de-CH-1901", "de-CH-1901"),
        ("iw", "he"),
        ("mol", "ro"),
        ("en-UK", "en-GB"),
        ("sh-Cyrl", "sh-Cyrl"),
    ],
)
def test_a_language_has_one_spelling(written: str, normal: str) -> None:
    assert profile.locale(written) == normal
    assert profile.locale(normal) == normal


@pytest.mark.parametrize(
    "written",
    ["english", "xx-ZZ", "jp", "en-000", "x-foo", "en-x-foo", "en-u-ca-gregory", "C", "", "pt" + "-1901" * 8],
)
def test_what_is_no_language_is_refused(written: str) -> None:
    assert code(lambda: profile.locale(written)) == "locale-invalid"


@given(st.text("abcdefghijklmnopqrstuvwxyzABCLT0123456789-_", max_size=12))
def test_the_normal_form_of_any_language_is_its_own(written: str) -> None:
    try:
        normal = profile.locale(written)
    except Unfit:
        return
    assert profile.locale(normal) == normal


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "UTC", "Europe/Lisbon", "Etc/GMT+3"])
def test_a_time_zone_of_iana_is_taken(zone: str) -> None:
    assert profile.timezone(zone) == zone
    assert ZoneInfo(zone)


@pytest.mark.parametrize("zone", ["GMT-3", "BRT", "america/sao_paulo", "localtime", "posixrules", "../etc/passwd", ""])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    assert code(lambda: profile.timezone(zone)) == "timezone-unknown"
