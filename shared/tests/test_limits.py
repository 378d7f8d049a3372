"""What a program does when it is asked for more than it can do, and how long a request may last."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from customerflow_shared import limits
from customerflow_shared.limits import Limited, Quota, clients, told_by_proxy, trusted

Headers = list[tuple[bytes, bytes]]


def scope_of(path: str = "/v1/customers", *, peer: str = "192.0.2.1", headers: Headers | None = None) -> Any:
    return {"type": "http", "method": "GET", "path": path, "client": (peer, 1234), "headers": headers or []}


class Answers:
    """What a client is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def problem(self) -> Any:
        assert self.headers["content-length"] == str(len(self.messages[1]["body"]))
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.messages[1]["body"])


async def answered(_: Any, __: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b'"1"')]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def ask(limited: Limited, scope: Any = None) -> Answers:
    answers = Answers()
    await limited(scope or scope_of(), None, answers.send)  # type: ignore[arg-type]  # nothing is received
    return answers


class Busy:
    """Answers when it is told to; `begins` sends the head of a stream at once."""

    def __init__(self, *, begins: bool = False) -> None:
        self.go_on = asyncio.Event()
        self._begins = begins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await self.go_on.wait()
            await send({"type": "http.response.body", "body": b"all", "more_body": False})
        else:
            await self.go_on.wait()
            await answered(scope, receive, send)


async def started(limited: Limited, count: int, path: str = "/v1/customers") -> list[asyncio.Task[Answers]]:
    tasks = [asyncio.create_task(ask(limited, scope_of(path))) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def after(limited: Limited) -> Limited:
    """Looking for what is late."""
    limited.watch()
    return limited


@pytest.fixture
def counted() -> Callable[[str], float]:
    before = {reason: limits._refused.value(reason) for reason in ("busy", "quota", "slow", "deadline")}
    return lambda reason: limits._refused.value(reason) - before[reason]


async def test_whoever_comes_beyond_the_limit_is_told_at_once_to_come_again(counted: Callable[[str], float]) -> None:
    busy = Busy()
    limited = Limited(busy, most=3, deadline=8)
    under_way = await started(limited, 3)
    refused = await ask(limited)
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.problem["code"] == "busy"
    assert counted("busy") == 1
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way)] == [200] * 3
    assert (await ask(limited)).status == 200


async def test_health_and_metrics_are_answered_whatever_is_under_way() -> None:
    busy = Busy()
    limited = Limited(busy, most=1, deadline=8)
    under_way = await started(limited, 1)
    asked = [*await started(limited, 1, "/health/ready"), *await started(limited, 1, "/metrics")]
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way, *asked)] == [200] * 3


async def test_other_programs_have_a_little_room_of_their_own() -> None:
    busy = Busy()
    limited = Limited(busy, most=1, deadline=8)
    tasks = await started(limited, 1)
    tasks += await started(limited, limits.RESERVED, "/internal/events")
    assert (await ask(limited, scope_of("/internal/events"))).status == 503
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*tasks)] == [200] * (1 + limits.RESERVED)


async def held_up() -> None:
    """Something keeps the event loop from its work."""
    time.sleep(0.4)  # noqa: ASYNC251
    await asyncio.sleep(0.01)


async def test_fewer_may_be_under_way_while_the_event_loop_is_late() -> None:
    busy = Busy()
    limited = after(Limited(busy, most=300, deadline=8))
    under_way = await started(limited, 200)
    await held_up()
    assert limited._room >= 299  # once is nothing
    await held_up()
    assert (await ask(limited)).status == 503
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way)] == [200] * 200
    busy.go_on.clear()
    async with asyncio.timeout(60):
        while limited._room < 201:  # all will be well again
            await asyncio.sleep(limits.LOOK_EVERY)
    under_way = await started(limited, 201)
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way)] == [200] * 201
    limited.close()


async def test_fewer_may_be_under_way_while_it_is_crowded_where_they_wait() -> None:
    busy = Busy()
    limited = after(Limited(busy, most=300, deadline=8, is_crowded=lambda: True))
    under_way = await started(limited, 200)
    await asyncio.sleep(4 * limits.LOOK_EVERY)
    assert (await ask(limited)).status == 503
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way)] == [200] * 200
    limited.close()


async def test_some_may_be_under_way_however_late_the_event_loop_is() -> None:
    busy = Busy()
    limited = after(Limited(busy, most=150, deadline=8))
    under_way = await started(limited, limits.LEAST - 1)
    for _ in range(4):
        await held_up()
    under_way += await started(limited, 1)
    assert (await ask(limited)).status == 503
    busy.go_on.set()
    assert [one.status for one in await asyncio.gather(*under_way)] == [200] * limits.LEAST
    limited.close()


async def test_a_stream_that_has_begun_takes_no_room_and_has_no_deadline() -> None:
    stream = Busy(begins=True)
    limited = after(Limited(stream, most=1, deadline=0.05))
    open_streams = await started(limited, 1) + await started(limited, 1)
    await asyncio.sleep(3 * limits.LOOK_EVERY)
    stream.go_on.set()
    assert [one.messages[-1]["body"] for one in await asyncio.gather(*open_streams)] == [b"all", b"all"]
    limited.close()


async def test_a_request_that_lasts_too_long_is_given_up_and_told_so(counted: Callable[[str], float]) -> None:
    limited = after(Limited(Busy(), most=1, deadline=0.1))
    begun = time.monotonic()
    late = await ask(limited)
    assert 0.1 <= time.monotonic() - begun < 0.1 + 3 * limits.LOOK_EVERY
    assert late.status == 503
    assert late.headers["retry-after"] == "1"
    assert late.problem["code"] == "unavailable"
    assert counted("deadline") == 1
    limited.close()


@pytest.mark.parametrize(("incomplete", "status", "reason"), [(True, 408, "slow"), (False, 503, "deadline")])
async def test_a_request_that_has_not_come_in_time_is_its_clients_affair(
    counted: Callable[[str], float], incomplete: bool, status: int, reason: str
) -> None:
    limited = after(Limited(Busy(), most=1, deadline=0.1))
    late = await ask(limited, scope_of() | {"extensions": {limits.INCOMPLETE: lambda: incomplete}})
    assert late.status == status
    assert (counted("slow"), counted("deadline")) == (reason == "slow", reason == "deadline")
    limited.close()


async def test_what_swallows_its_cancellation_keeps_its_room_and_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "AGAIN_AFTER", 0.2)
    times = 0

    async def stubborn(*_: Any) -> None:
        nonlocal times
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                times += 1
                if times == 2:
                    raise

    limited = after(Limited(stubborn, most=1, deadline=0.05))
    (late,) = await started(limited, 1)
    while not times:
        await asyncio.sleep(0.01)
    assert (await ask(limited)).status == 503
    assert (await late).problem["code"] == "unavailable"
    assert times == 2
    limited.close()


async def test_a_request_that_is_cancelled_for_another_reason_is_not_answered() -> None:
    limited = after(Limited(Busy(), most=1, deadline=8))
    (task,) = await started(limited, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (task,) = await started(limited, 1)  # and its room is free again
    assert not task.done()
    task.cancel()
    limited.close()


async def test_a_timeout_within_a_request_is_its_own_affair() -> None:
    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.Event().wait()
        except TimeoutError:
            await answered(scope, receive, send)

    limited = after(Limited(impatient, most=1, deadline=0.5))
    assert (await ask(limited)).status == 200
    limited.close()


async def test_while_it_leaves_clients_are_told_to_connect_elsewhere() -> None:
    busy = Busy()
    limited = Limited(busy, most=1, deadline=8)
    (under_way,) = await started(limited, 1)
    limited.leaving = True
    assert (await ask(limited)).headers["connection"] == "close"
    busy.go_on.set()
    assert (await under_way).headers == {"etag": '"1"', "connection": "close"}


def quota_of(size: int, window: float, *, most: int = 100) -> tuple[Quota, Callable[[float], None]]:
    now = 1000.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    return Quota(size, window, most=most, clock=lambda: now), wait


def test_a_quota_is_used_up_at_once_or_evenly() -> None:
    quota, wait = quota_of(10, 5)
    assert [quota.take("a")[0] for _ in range(12)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
    assert quota.take("a")[1] == pytest.approx(0.5)
    wait(0.5)
    assert [quota.take("a")[0] for _ in range(2)] == [0, -1]
    for _ in range(40):
        wait(0.5)
        assert quota.take("a")[0] == 0
    wait(100)
    assert quota.take("a")[0] == 9


def test_each_client_has_a_quota_of_its_own() -> None:
    quota, _ = quota_of(1, 10)
    assert [quota.take(client)[0] for client in ("a", "b", "a", "b")] == [0, 0, -1, -1]


def test_no_client_begins_anew_before_its_quota_is_whole() -> None:
    quota, wait = quota_of(6, 6)
    admitted = 0
    for _ in range(6000):
        admitted += quota.take("greedy")[0] >= 0
        wait(0.01)
    assert admitted <= 6 + 60


def test_what_is_kept_of_clients_is_bounded() -> None:
    quota, _ = quota_of(1, 3600, most=50)
    for number in range(10_000):
        quota.take(f"client {number}")
    assert len(quota._whole_at) + len(quota._before) <= 100
    assert quota.take("client 9999")[0] == -1


@pytest.mark.parametrize(("text", "policy"), [("600/60", b'"client";q=600;w=60'), ("5/1", b'"client";q=5;w=1')])
def test_a_quota_is_written_as_requests_and_seconds(text: str, policy: bytes) -> None:
    made = limits.quota(text)
    assert made is not None
    assert made.policy == policy
    assert limits.quota("") is None


async def test_a_client_is_told_what_is_left_and_beyond_it_when_to_come_again(counted: Callable[[str], float]) -> None:
    limited = Limited(answered, most=9, deadline=8, quota=Quota(2, 60))
    told = [await ask(limited) for _ in range(3)]
    assert [one.status for one in told] == [200, 200, 429]
    assert {one.headers["ratelimit-policy"] for one in told} == {'"client";q=2;w=60'}
    assert [one.headers["ratelimit"] for one in told] == ['"client";r=1;t=30', '"client";r=0;t=60', '"client";r=0;t=30']
    assert told[0].headers["etag"] == '"1"'
    assert told[2].headers["retry-after"] == "30"
    assert told[2].problem["code"] == "quota-exceeded"
    assert told[2].problem["violated-policies"] == ["client"]
    assert counted("quota") == 1
    assert (await ask(limited, scope_of(peer="192.0.2.2"))).status == 200


async def test_health_and_other_programs_have_no_quota() -> None:
    limited = Limited(answered, most=9, deadline=8, quota=Quota(1, 60))
    for path in ("/health/live", "/internal/events", "/metrics"):
        told = [await ask(limited, scope_of(path)) for _ in range(3)]
        assert [one.status for one in told] == [200] * 3
        assert "ratelimit" not in told[0].headers


def forwarded(*values: str) -> Headers:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("proxies", "peer", "headers", "client"),
    [
        ("", "192.0.2.1", [], "192.0.2.1"),
        ("", "10.0.0.1", forwarded("203.0.113.9"), "10.0.0.1"),
        ("10.0.0.0/8", "192.0.2.1", forwarded("203.0.113.9"), "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("203.0.113.9"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("1.2.3.4, 203.0.113.9"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("1.2.3.4", "203.0.113.9 , 10.9.9.9"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("10.1.1.1, 10.2.2.2"), "10.1.1.1"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("203.0.113.9, rubbish, 10.2.2.2"), "10.2.2.2"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("\xff\x00"), "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("203.0.113.9:4711"), "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", forwarded("fe80::1%" + 60 * "a"), "10.0.0.1"),
        ("10.0.0.0/8, ::1", "::1", forwarded("[2001:db8:1:2:3:4:5:6]:80"), "2001:db8:1:2::/64"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", forwarded("203.0.113.9"), "203.0.113.9"),
        ("", "2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
    ],
)
def test_a_client_is_where_the_request_comes_from_as_far_as_that_can_be_believed(
    proxies: str, peer: str, headers: Headers, client: str
) -> None:
    assert clients(trusted(proxies))(scope_of(peer=peer, headers=headers)) == client


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
def test_whose_address_is_not_known_is_a_client_all_the_same(proxies: str) -> None:
    assert clients(trusted(proxies))(scope_of() | {"client": None}) == ""
    assert limits.by_peer(scope_of() | {"client": None}) == ""


@pytest.mark.parametrize("proxies", ["nobody", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1 10.0.0.2"])
def test_what_is_no_network_is_not_trusted_by_mistake(proxies: str) -> None:
    with pytest.raises(limits.UnfitProxies):
        trusted(proxies)


@pytest.mark.parametrize(
    ("line", "client"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 8080", ("203.0.113.9", 4711)),
        (b"PROXY TCP6 2001:db8::9 ::1 4711 8080", ("2001:db8::9", 4711)),
        (b"PROXY UNKNOWN", None),
        (b"PROXY TCP4 rubbish 10.0.0.1 4711 8080", None),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 port 8080", None),
        (b"PROXY TCP4 203.0.113.9", None),
        (b"PROXY \xff\xfe", None),
    ],
)
def test_a_proxy_tells_whose_bytes_it_passes_on(line: bytes, client: tuple[str, int] | None) -> None:
    assert told_by_proxy(line) == client
