"""Postal codes of Brazil, asked of a real server in the three forms, which may lie, hang, fail or be away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import msgspec
import pytest
from customerflow_command.api import postal_codes as routes
from customerflow_command.postal_codes import FORMS, KEEPING, POLICY, Place, PostalCodes, parse_providers
from customerflow_local.provider import STREETLESS, UNKNOWN, Mood, Provider, refusing
from customerflow_shared import service
from customerflow_shared.outside import Answer, BadAnswer, NoAnswer
from customerflow_shared.outside.breaker import State

SE = Place("SP", "São Paulo", "Sé", "Rua 01001000")
QUICK = msgspec.structs.replace(POLICY, deadline=0.2, per_try=0.2, first_pause=0.001, longest_pause=0.002)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@asynccontextmanager
async def asking(*addresses: tuple[str, str], clock: Callable[[], float] | None = None) -> AsyncIterator[PostalCodes]:
    postal_codes = PostalCodes(addresses, policy=QUICK)
    if clock:
        postal_codes._cache._clock = clock
    yield postal_codes
    await postal_codes.close()


@asynccontextmanager
async def served(postal_codes: PostalCodes) -> AsyncIterator[httpx.AsyncClient]:
    app = service.create(
        "Test",
        "Test.",
        handlers=routes.ROUTES,
        health=service.Health({}),
        dependencies={"postal_codes": postal_codes},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("form", FORMS)
async def test_each_form_is_understood(provider: Provider, form: str) -> None:
    async with asking((form, provider.url)) as postal_codes:
        assert await postal_codes.find("01001000") == (SE, 0, False)
        assert (await postal_codes.find(STREETLESS)).value == Place("SP", "Óleo", None, None)
        assert (await postal_codes.find(UNKNOWN)).value is None
        assert len(provider.asked) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mood", [mood for mood in Mood if mood not in (Mood.WELL, Mood.HALF)])
async def test_whatever_is_wrong_with_one_the_next_is_asked(provider: Provider, form: str, mood: Mood) -> None:
    provider.mood = mood
    async with (
        Provider() as other,
        asking((form, provider.url), ("opencep" if form != "opencep" else "viacep", other.url)) as it,
    ):
        assert (await it.find("01001000")).value == SE


async def test_nobody_listens(provider: Provider) -> None:
    async with refusing() as nowhere, asking(("viacep", nowhere), ("brasilapi", provider.url)) as postal_codes:
        assert (await postal_codes.find("01001000")).value == SE
    async with refusing() as nowhere, asking(("viacep", nowhere)) as postal_codes:
        with pytest.raises(NoAnswer):
            await postal_codes.find("01001000")


async def test_a_code_that_lies_in_no_region_is_not_asked_for(provider: Provider) -> None:
    async with asking(("viacep", provider.url)) as postal_codes:
        assert (await postal_codes.find("00000000")).value is None
    assert provider.asked == []


async def test_who_is_left_alone_costs_no_time(provider: Provider) -> None:
    provider.mood = Mood.HANG
    async with Provider() as other, asking(("viacep", provider.url), ("opencep", other.url)) as postal_codes:
        for number in range(QUICK.failures):
            await postal_codes.find(f"0100{number}000")
        assert postal_codes.clients["viacep"].state is State.OPEN
        known = len(provider.asked)
        async with asyncio.timeout(0.15):  # less than one try
            assert (await postal_codes.find("01010000")).value is not None
        assert len(provider.asked) == known


VIACEP = {"cep": "01001-000", "logradouro": "Praça da Sé", "bairro": "Sé", "localidade": "São Paulo", "uf": "SP"}
BRASILAPI = {"cep": "01001000", "street": "Praça da Sé", "neighborhood": "Sé", "city": "São Paulo", "state": "SP"}


@pytest.mark.parametrize(
    ("form", "sound", "change"),
    [
        (form, sound, change)
        for form, sound, names in (
            ("viacep", VIACEP, ("uf", "localidade", "bairro", "logradouro")),
            ("opencep", VIACEP, ("uf", "localidade", "bairro", "logradouro")),
            ("brasilapi", BRASILAPI, ("state", "city", "neighborhood", "street")),
        )
        for change in [
            {"cep": "01001-001"},
            {"cep": "0-1001-000"},
            {"cep": ""},
            {"cep": 1001000},
            {"cep": None},
            {names[0]: "RJ"},
            {names[0]: "sp"},
            {names[0]: "XX"},
            {names[0]: ""},
            {names[1]: ""},
            {names[1]: " "},
            {names[1]: None},
            {names[1]: "São\x00Paulo"},
            {names[1]: "São\u202ePaulo"},
            {names[1]: "S" * 101},
            {names[2]: ["Sé"]},
            {names[2]: "x" * 101},
            {names[3]: "x" * 201},
            {names[3]: "Rua\nOutra"},
        ]
    ],
)
def test_an_answer_that_cannot_be_right_is_not_believed(
    form: str, sound: dict[str, Any], change: dict[str, Any]
) -> None:
    read = FORMS[form].read
    assert read("01001000", Answer(200, json.dumps(sound).encode())) == Place("SP", "São Paulo", "Sé", "Praça da Sé")
    with pytest.raises(BadAnswer):
        read("01001000", Answer(200, json.dumps(sound | change).encode()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b""),
        Answer(200, b"null"),
        Answer(200, b"[]"),
        Answer(200, b"<html>"),
        Answer(200, b'{"cep": "\xff"}'),
        Answer(200, b'{"a":' * 100_000),
        Answer(200, b"{}"),
        Answer(200, b'{"erro": false}'),
        Answer(204, b""),
        Answer(302, b""),
        Answer(400, b"{}"),
        Answer(401, b"{}"),
        Answer(403, json.dumps(VIACEP).encode()),
    ],
)
def test_rubbish_is_not_believed(form: str, answer: Answer) -> None:
    with pytest.raises(BadAnswer):
        FORMS[form].read("01001000", answer)


def test_viacep_says_in_two_ways_that_there_is_no_such_code() -> None:
    for body in (b'{"erro": true}', b'{"erro": "true"}'):
        assert FORMS["viacep"].read("01001000", Answer(200, body)) is None
    with pytest.raises(BadAnswer):
        FORMS["viacep"].read("01001000", Answer(404, b'{"erro": true}'))


@pytest.mark.parametrize(
    "refusal",
    [
        {"type": "service_error", "errors": [{"message": "Erro ao se conectar com o serviço ViaCEP."}]},
        {"type": "service_error", "errors": []},
        {"type": "bad_request", "errors": [{"message": "CEP não encontrado"}]},
        {"message": "Not Found"},
    ],
)
def test_brasilapi_has_to_say_that_it_has_not_found_the_code(refusal: dict[str, Any]) -> None:
    """404 is also what it answers if it could ask nobody, or if it is not there."""
    with pytest.raises(BadAnswer):
        FORMS["brasilapi"].read("01001000", Answer(404, json.dumps(refusal).encode()))


def test_providers_are_read_from_one_setting() -> None:
    assert parse_providers("viacep=https://a.test;brasilapi=http://b.test:81/sub/ ; ") == (
        ("viacep", "https://a.test"),
        ("brasilapi", "http://b.test:81/sub"),
    )
    assert parse_providers("") == ()


@pytest.mark.parametrize(
    "setting",
    [
        "https://a.test",
        "viacep",
        "viacep=",
        "viacep=a.test",
        "viacep=ftp://a.test",
        "viacep=https://user:word@a.test",
        "viacep=https://a.test?x=1",
        "nobody=https://a.test",
        "viacep=https://a.test;viacep=https://b.test",
        "viacep=https://a.test,opencep=https://b.test;;x",
    ],
)
def test_a_setting_that_is_none_is_refused_with_what_is_expected(setting: str) -> None:
    with pytest.raises(ValueError, match="Expected <form>=<url>"):
        parse_providers(setting)


@pytest.mark.parametrize("written", ["01001-000", "01001000"])
async def test_what_a_code_says_is_answered(provider: Provider, written: str) -> None:
    async with asking(("viacep", provider.url)) as postal_codes, served(postal_codes) as client:
        answer = await client.get(f"/v1/postal-codes/BR/{written}")
    assert answer.status_code == 200
    assert answer.json() == {
        "country": "BR",
        "postalCode": "01001-000",
        "region": "SP",
        "city": "São Paulo",
        "district": "Sé",
        "street": "Rua 01001000",
    }
    assert answer.headers["age"] == "0"
    assert answer.headers["cache-control"] == "public, max-age=604800"


@pytest.mark.parametrize(
    ("path", "status", "code", "detail"),
    [
        ("BR/0100-1000", 400, "postal-code-invalid", "hyphen"),
        ("BR/01001--000", 400, "postal-code-invalid", "hyphen"),
        ("BR/01001-000-", 400, "postal-code-invalid", "hyphen"),
        ("BR/0100100", 400, "postal-code-invalid", "eight digits"),
        ("BR/010010000", 400, "postal-code-invalid", "eight digits"),
        ("BR/0100100a", 400, "postal-code-invalid", "other characters"),
        ("BR/01001%20000", 400, "postal-code-invalid", "other characters"),
        ("BR/%D9%A0%D9%A1%D9%A0%D9%A0%D9%A1%D9%A0%D9%A0%D9%A0", 400, "postal-code-invalid", "other characters"),
        ("BR/01001000%00", 400, "postal-code-invalid", "other characters"),
        ("BR/01001000%0A", 400, "postal-code-invalid", "other characters"),
        ("BR/-", 400, "postal-code-invalid", "other characters"),
        ("BR/01001000?x=1", 400, "unknown-parameter", ""),
        (f"BR/{UNKNOWN}", 404, "postal-code-unknown", ""),
        ("BR/00000-000", 404, "postal-code-unknown", ""),
        ("US/01001000", 404, "route-not-found", ""),
        ("br/01001000", 404, "route-not-found", ""),
        ("BR/", 404, "route-not-found", ""),
        ("BR/..%2F..%2Fmood", 404, "route-not-found", ""),
    ],
)
async def test_bad_input_is_told_what_is_wrong_with_it(
    provider: Provider, path: str, status: int, code: str, detail: str
) -> None:
    async with asking(("viacep", provider.url)) as postal_codes, served(postal_codes) as client:
        answer = await client.get(f"/v1/postal-codes/{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert detail in answer.json()["detail"]
    assert [asked.path for asked in provider.asked] == ([f"/ws/{UNKNOWN}/json/"] if UNKNOWN in path else [])


async def test_if_nobody_answers_it_is_told_when_to_ask_again(provider: Provider) -> None:
    provider.mood = Mood.BUSY
    async with asking(("viacep", provider.url)) as postal_codes, served(postal_codes) as client:
        answers = [await client.get(f"/v1/postal-codes/BR/0100{number}000") for number in range(6)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "unavailable")] * 6
    waits = [answer.headers["retry-after"] for answer in answers]
    assert waits == ["7"] * 4 + ["2"] * 2  # the provider's, the circuit's


async def test_if_nobody_answers_what_was_known_is_told_and_how_old_it_is(provider: Provider) -> None:
    now = 0.0
    async with asking(("viacep", provider.url), clock=lambda: now) as postal_codes, served(postal_codes) as client:
        await client.get("/v1/postal-codes/BR/01001000")
        now = 60.0
        kept = await client.get("/v1/postal-codes/BR/01001000")
        provider.mood, now = Mood.RESET, KEEPING.fresh_for + 100
        old = await client.get("/v1/postal-codes/BR/01001000")
        now = KEEPING.fresh_for + KEEPING.stale_for
        gone = await client.get("/v1/postal-codes/BR/01001000")
    assert (kept.headers["age"], kept.headers["cache-control"]) == ("60", f"public, max-age={7 * 86400 - 60}")
    assert old.json() == kept.json()
    assert (old.headers["age"], old.headers["cache-control"]) == (str(7 * 86400 + 100), "no-store")
    assert gone.status_code == 503
