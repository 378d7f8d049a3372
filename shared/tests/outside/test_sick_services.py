"""A client and a real server that hangs, resets, lies, floods: always one of our errors, in time, and the circuit
opens, probes once and closes.
"""

import asyncio
import gc
import resource
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from customerflow_local.provider import Mood, Provider, refusing
from customerflow_shared.outside import (
    Answer,
    BadAnswer,
    CircuitOpen,
    Client,
    OutsideError,
    Policy,
    TimedOut,
    Unreachable,
    Unwilling,
    json_as,
)
from customerflow_shared.outside.breaker import State

POLICY = Policy(deadline=0.3, per_try=0.3, failures=5, window=10, open_for=0.2, largest_body=10_000)
CEP = "/ws/01001000/json/"


class Place(msgspec.Struct):
    cep: str


def read(answer: Answer) -> str:
    if answer.status != 200 or (place := json_as(answer, Place)).cep != "01001-000":
        raise BadAnswer("not what was asked for")
    return place.cep


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[Client]:
    made = Client("provider", provider.url, POLICY)
    yield made
    await made.close()


SICK = {
    Mood.LATE: TimedOut,
    Mood.HANG: TimedOut,
    Mood.DRIP: TimedOut,
    Mood.RESET: Unreachable,
    Mood.RUBBISH: Unreachable,
    Mood.CUT: Unreachable,
    Mood.PAGE: BadAnswer,
    Mood.LIE: BadAnswer,
    Mood.FLOOD: BadAnswer,
    Mood.REDIRECT: BadAnswer,
    Mood.PACKED: BadAnswer,
    Mood.FAIL: Unwilling,
    Mood.BUSY: Unwilling,
}


@pytest.mark.parametrize(("mood", "error"), SICK.items())
async def test_the_circuit_of_a_sick_service_opens_probes_once_and_closes(
    provider: Provider, client: Client, mood: Mood, error: type[OutsideError]
) -> None:
    assert await client.call("look", CEP, read) == "01001-000"
    provider.mood = mood
    began = time.monotonic()
    answers = await asyncio.gather(*(client.call("look", CEP, read) for _ in range(6)), return_exceptions=True)
    assert {type(answer) for answer in answers} <= {error, CircuitOpen}
    assert time.monotonic() - began < 1.5
    assert client.state is State.OPEN

    async def look() -> object:
        try:
            return await client.call("look", CEP, read)
        except OutsideError as failure:
            return type(failure)

    known = len(provider.asked)
    assert [await look() for _ in range(50)] == [CircuitOpen] * 50
    assert len(provider.asked) == known
    await asyncio.sleep(0.21)
    found = await asyncio.gather(*(look() for _ in range(8)))
    assert sorted(map(str, found)) == sorted(map(str, [error, *[CircuitOpen] * 7]))
    assert len(provider.asked) == known + 1
    provider.mood = Mood.WELL
    await asyncio.sleep(0.41)
    assert await look() == "01001-000"
    assert await asyncio.gather(*(look() for _ in range(8))) == ["01001-000"] * 8
    assert len(provider.asked) == known + 2 + 8
    assert client.state.value == State.CLOSED.value


async def test_a_service_that_fails_every_second_time_is_retried_then_left_alone(provider: Provider) -> None:
    policy = msgspec.structs.replace(POLICY, tries=2, first_pause=0.001, longest_pause=0.002, open_for=60)
    client = Client("provider", provider.url, policy)
    provider.mood = Mood.HALF
    answers = []
    for _ in range(200):
        try:
            answers.append(await client.call("look", CEP, read))
        except OutsideError as error:
            answers.append(type(error).__name__)
    await client.close()
    assert client.state is State.OPEN
    assert "01001-000" in answers
    assert len(provider.asked) < 30


async def test_nobody_listens(client: Client) -> None:
    async with refusing() as url:
        nowhere = Client("nowhere", url, POLICY)
        with pytest.raises(Unreachable):
            await nowhere.call("look", CEP, read)
        await nowhere.close()


async def test_a_body_without_end_costs_no_memory(provider: Provider) -> None:
    client = Client("provider", provider.url, msgspec.structs.replace(POLICY, failures=50, window=50))
    provider.mood = Mood.FLOOD
    for _ in range(3):
        with pytest.raises(BadAnswer):
            await client.call("look", CEP, read)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(30):
        with pytest.raises(BadAnswer):
            await client.call("look", CEP, read)
    await client.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


async def test_a_sick_service_leaves_no_connection_and_no_task(provider: Provider) -> None:
    client = Client("provider", provider.url, msgspec.structs.replace(POLICY, failures=50, window=50))
    for provider.mood in (Mood.HANG, Mood.DRIP, Mood.FLOOD, Mood.CUT):
        with pytest.raises(OutsideError):
            await client.call("look", CEP, read)
    for provider.mood in (Mood.HANG, Mood.DRIP):
        calls = [asyncio.create_task(client.call("look", CEP, read)) for _ in range(8)]
        await asyncio.sleep(0.02)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    provider.mood = Mood.WELL
    assert await asyncio.gather(*(client.call("look", CEP, read) for _ in range(16))) == ["01001-000"] * 16
    await client.close()
    gc.collect()  # what was left open would warn, and so fail
    async with asyncio.timeout(5):
        while provider._tasks:
            await asyncio.sleep(0.05)


async def test_cookies_are_not_sent_back(provider: Provider, client: Client) -> None:
    for _ in range(2):
        await client.call("look", CEP, read)
    assert not {name for asked in provider.asked for name in asked.headers} & {"cookie", "traceparent"}


async def test_the_environment_gives_no_proxy(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    async with refusing() as url:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, url)
        client = Client("provider", provider.url, POLICY)
        assert await client.call("look", CEP, read) == "01001-000"
        await client.close()
