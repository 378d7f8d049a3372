"""A client's policy, on a transport that does what the tests say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import msgspec
import pytest
from customerflow_shared.outside import (
    Answer,
    BadAnswer,
    BulkheadFull,
    CircuitOpen,
    Client,
    OutsideError,
    Policy,
    TimedOut,
    Unreachable,
    Unwilling,
    meters,
)
from customerflow_shared.outside.breaker import State

Behaviour = Callable[[httpx.Request], Awaitable[httpx.Response]]

PATIENT = Policy(deadline=5, per_try=5, tries=3, failures=100, window=100)


class Service:
    """Its transport, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.failing = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.clients: list[Client] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await self.gate.wait()
        if self.failing:
            self.failing -= 1
            return httpx.Response(500, headers=self.headers)
        return httpx.Response(self.status, headers=self.headers, stream=httpx.ByteStream(b"{}"))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def client(self, policy: Policy = PATIENT, chance: float = 0.5, name: str = "it") -> Client:
        made = Client(
            name,
            "http://it.test/base",
            policy,
            transport=httpx.MockTransport(self.answer),
            sleep=self.sleep,
            chance=lambda: chance,
        )
        self.clients.append(made)
        return made


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    yield made
    for client in made.clients:
        await client.close()


def status(answer: Answer) -> int:
    return answer.status


def state(client: Client) -> State:
    """Asked anew, which a type checker takes for needless."""
    return client.state


async def call(client: Client, **how: object) -> int:
    return await client.call("look", "/thing", status, **how)  # type: ignore[arg-type]  # as each test says


async def test_what_is_sent_is_what_is_asked_for_and_nothing_else(service: Service) -> None:
    service.headers = {"Set-Cookie": "follow=you; Path=/"}
    client = service.client()
    for _ in range(2):
        await call(client, method="POST", body={"a": 1}, idempotency_key="k1")
    request = service.asked[1]
    assert str(request.url) == "http://it.test/base/thing"
    assert request.content == b'{"a":1}'
    assert dict(request.headers) == {
        "host": "it.test",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "CustomerFlow",
        "content-type": "application/json",
        "content-length": "7",
        "idempotency-key": "k1",
    }


async def test_a_failure_that_may_pass_is_tried_again_after_growing_pauses(service: Service) -> None:
    service.failing = 2
    assert await call(service.client()) == 200
    assert service.pauses == [0.05 * 0.75, 0.1 * 0.75]


@pytest.mark.parametrize(("chance", "first"), [(0.0, 0.025), (0.999999, 0.05)])
async def test_pauses_are_drawn_from_the_upper_half_of_their_span(
    service: Service, chance: float, first: float
) -> None:
    service.failing = 1
    await call(service.client(chance=chance))
    assert service.pauses == [pytest.approx(first, abs=0.0001)]


async def test_after_the_last_try_the_failure_is_told(service: Service) -> None:
    service.failing = 9
    with pytest.raises(Unwilling, match="500"):
        await call(service.client())
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("how", "tries"),
    [
        ({"method": "POST"}, 1),
        ({"method": "PATCH"}, 1),
        ({"method": "POST", "idempotency_key": "k"}, 3),
        ({"method": "PUT"}, 3),
        ({"method": "DELETE"}, 3),
        ({"method": "GET"}, 3),
    ],
)
async def test_only_what_has_no_second_effect_is_tried_again(service: Service, how: dict[str, str], tries: int) -> None:
    service.failing = 9
    with pytest.raises(Unwilling):
        await call(service.client(), **how)
    assert len(service.asked) == tries


@pytest.mark.parametrize("refusal", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_who_says_that_it_cannot_serve_has_failed(service: Service, refusal: int) -> None:
    service.status = refusal
    with pytest.raises(Unwilling):
        await call(service.client())


@pytest.mark.parametrize("other", [200, 204, 301, 302, 400, 401, 403, 404, 409, 422])
async def test_all_other_answers_are_read_and_redirects_not_followed(service: Service, other: int) -> None:
    service.status, service.headers = other, {"Location": "http://elsewhere.test/"}
    assert await call(service.client()) == other
    assert len(service.asked) == 1


async def test_an_answer_that_is_not_as_agreed_is_not_asked_for_again(service: Service) -> None:
    class Wanted(msgspec.Struct):
        cep: str

    from customerflow_shared.outside import json_as

    client = service.client()
    with pytest.raises(BadAnswer):
        await client.call("look", "/", lambda answer: json_as(answer, Wanted))
    assert len(service.asked) == 1


async def test_a_retry_after_is_honoured_if_the_deadline_allows_it(service: Service) -> None:
    service.failing, service.headers = 1, {"Retry-After": "2"}
    assert await call(service.client()) == 200
    assert service.pauses == [2]


@pytest.mark.parametrize(("header", "told"), [("6", 6), ("999999", 3600), ("-1", None), ("\u0662", None), ("", None)])
async def test_who_is_to_wait_longer_than_the_deadline_is_told_so_at_once(
    service: Service, header: str, told: float | None
) -> None:
    service.failing, service.headers = 9, {"Retry-After": header} if header.isascii() else {}
    with pytest.raises(Unwilling) as error:
        await call(service.client())
    assert error.value.retry_after == told
    assert (len(service.asked), service.pauses == []) == ((1, True) if told else (3, False))


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun(service: Service) -> None:
    service.failing = 9
    policy = msgspec.structs.replace(PATIENT, deadline=0.5, per_try=0.5, first_pause=1.0, longest_pause=1.0)
    with pytest.raises(Unwilling):
        await call(service.client(policy))
    assert service.pauses == []


async def test_retries_are_bought_with_calls(service: Service) -> None:
    policy = msgspec.structs.replace(PATIENT, retries_per_call=0.25, retry_burst=2.0)
    client = service.client(policy)
    service.failing = 10_000
    for _ in range(40):
        with pytest.raises(Unwilling):
            await call(client)
    assert len(service.asked) == 40 + 2 + 9  # what was saved up, then one for each four calls
    service.failing = 0
    for _ in range(8):
        await call(client)
    service.failing, before = 3, len(service.asked)
    with pytest.raises(Unwilling):
        await call(client)
    assert len(service.asked) == before + 3


async def test_so_many_are_under_way_so_many_wait_and_the_others_are_refused_at_once(service: Service) -> None:
    client = service.client(msgspec.structs.replace(PATIENT, concurrent=2, queued=3))
    service.gate.clear()
    calls = [asyncio.create_task(call(client)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert len(service.asked) == 2
    async with asyncio.timeout(0):
        with pytest.raises(BulkheadFull):
            await call(client)
    calls[0].cancel()  # one under way, one that waits: each makes room for another
    calls[4].cancel()
    await asyncio.sleep(0.01)
    assert len(service.asked) == 3
    calls += [asyncio.create_task(call(client)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(BulkheadFull):
        await call(client)
    service.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == [
        "CancelledError", "int", "int", "int", "CancelledError", "int", "int",
    ]  # fmt: skip
    assert client._bulkhead.inside == 0


async def test_waiting_for_a_place_is_bounded_by_the_deadline(service: Service) -> None:
    client = service.client(msgspec.structs.replace(PATIENT, concurrent=1, deadline=0.5, per_try=0.5))
    service.gate.clear()
    async with asyncio.timeout(0.9):  # one after the other would take a second
        answers = await asyncio.gather(call(client), call(client), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimedOut, TimedOut]
    service.gate.set()
    assert await call(client) == 200


async def test_a_service_that_hangs_opens_the_circuit_and_one_probe_closes_it(service: Service) -> None:
    policy = Policy(deadline=0.5, per_try=0.5, failures=3, window=3, open_for=0.5, concurrent=5, queued=0)
    client = service.client(policy)
    service.gate.clear()
    answers = await asyncio.gather(*(call(client) for _ in range(5)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {TimedOut}
    assert state(client) is State.OPEN
    with pytest.raises(CircuitOpen):
        await call(client)
    await asyncio.sleep(0.51)
    asking = asyncio.gather(*(call(client) for _ in range(5)), return_exceptions=True)
    await asyncio.sleep(0.01)
    service.gate.set()
    answers = await asking
    assert [type(answer) for answer in answers] == [int, *[CircuitOpen] * 4]
    assert len(service.asked) == 5 + 1
    assert state(client) is State.CLOSED


async def test_a_caller_who_goes_is_no_failure_of_the_service(service: Service) -> None:
    client = service.client(msgspec.structs.replace(PATIENT, failures=1, window=1, concurrent=50))
    service.gate.clear()
    calls = [asyncio.create_task(call(client)) for _ in range(20)]
    async with asyncio.timeout(10):
        while len(service.asked) < 20:
            await asyncio.sleep(0.01)
    for one in calls:
        one.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert state(client) is State.CLOSED


async def test_a_try_that_the_deadline_cuts_short_is_no_failure_of_the_service(service: Service) -> None:
    policy = Policy(deadline=0.5, per_try=0.4, tries=2, failures=1, window=1, first_pause=0.001, longest_pause=0.001)
    client = service.client(msgspec.structs.replace(policy, failures=2, window=2))
    service.gate.clear()
    with pytest.raises(TimedOut):
        await call(client)
    assert len(service.asked) == 2
    assert state(client) is State.CLOSED  # the first try counts, the second does not
    with pytest.raises(TimedOut):
        await call(client)
    assert state(client) is State.OPEN


async def test_no_retry_is_made_at_a_service_whose_circuit_has_just_opened(service: Service) -> None:
    client = service.client(msgspec.structs.replace(PATIENT, failures=2, window=2))
    service.failing = 9
    with pytest.raises(Unwilling):
        await call(client)
    assert len(service.asked) == 2


async def test_an_error_of_ours_is_not_held_against_the_service(service: Service) -> None:
    client = service.client(msgspec.structs.replace(PATIENT, failures=1, window=1))

    def read(_: Answer) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.call("look", "/", read)
    assert state(client) is State.CLOSED
    assert client._bulkhead.inside == 0


async def test_errors_hold_no_address(service: Service) -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}", request=request)

    client = Client("it", "http://secret.test/", PATIENT, transport=httpx.MockTransport(refuse), sleep=service.sleep)
    service.clients.append(client)
    with pytest.raises(Unreachable) as error:
        await call(client)
    assert str(error.value) == "ConnectError"
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    "change",
    [
        {"per_try": 6},
        {"per_try": 0},
        {"tries": 0},
        {"first_pause": 2},
        {"retries_per_call": 1.5},
        {"retry_burst": 0.5},
        {"concurrent": 0},
        {"queued": -1},
        {"failures": 101},
        {"open_for": 61},
        {"memory": 0},
        {"largest_body": 0},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="contradict"):
        msgspec.structs.replace(PATIENT, **change).__post_init__()


async def test_calls_retries_and_the_circuit_are_metrics(service: Service) -> None:
    policy = msgspec.structs.replace(PATIENT, tries=2, failures=3, window=3, retry_burst=1.0, retries_per_call=0.0)
    client = service.client(policy, name="measured")
    assert meters.CIRCUIT.value("measured") == 0
    service.failing = 9
    service.gate.clear()
    calls = [asyncio.create_task(call(client)) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert meters.CALLS_INSIDE.value("measured") == 2
    calls.pop().cancel()
    service.gate.set()
    await asyncio.gather(*calls, return_exceptions=True)
    for _ in range(2):
        with pytest.raises(OutsideError):
            await call(client)
    assert meters.CIRCUIT.value("measured") == 2
    assert {
        labels["outcome"]: amount for amount, labels in meters.RETRIES.observe() if labels["service"] == "measured"
    } == {"made": 1, "unaffordable": 0}
    assert meters.TRANSITIONS.value("measured", "open") == 1
    outcomes = ("answered", "cancelled", "Unwilling", "CircuitOpen")
    assert [meters.CALLS.count("measured", "look", outcome) for outcome in outcomes] == [0, 1, 2, 1]
