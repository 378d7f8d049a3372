"""What the command service and the provider say is understood as they mean it."""

import msgspec
import pytest
from customerflow_command import delivery
from customerflow_notifications import services
from customerflow_shared.outside import Answer, BadAnswer
from customerflow_shared.problems.codes import PROBLEMS


@pytest.mark.parametrize("locale", ["pt-BR", None])
def test_the_command_services_own_answer_is_understood(locale: str | None) -> None:
    told = delivery.Delivery(
        email="ana@example.com", name="Ana", locale=locale, code="428571", expires_at="2026-11-22T15:04:05.123Z"
    )
    read = services._delivery(Answer(200, msgspec.json.encode(told)))
    assert read is not None
    assert msgspec.structs.asdict(read) == msgspec.structs.asdict(told)


def test_what_is_gone_is_said_in_codes_that_there_are() -> None:
    assert {PROBLEMS[code].status for code in services._GONE} == {404, 410}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"email": 1}'])
def test_rubbish_is_no_delivery(body: bytes) -> None:
    for status in (200, 404, 410):
        with pytest.raises(BadAnswer):
            services._delivery(Answer(status, body))


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_is_the_providers_word_for_it(status: int) -> None:
    assert services._refusal(Answer(status, b"")) is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_wrong_with_the_message_is_a_refusal(status: int) -> None:
    assert services._refusal(Answer(status, b"")) == status


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 405, 409])
def test_what_is_wrong_with_us_or_the_address_is_none(status: int) -> None:
    with pytest.raises(BadAnswer):
        services._refusal(Answer(status, b""))
