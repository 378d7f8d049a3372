"""The one way out to an HTTP service."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple, TypeAlias, TypeVar

import httpx
import msgspec
from opentelemetry import trace

from customerflow_shared import telemetry
from customerflow_shared.outside import meters
from customerflow_shared.outside.breaker import Breaker, State
from customerflow_shared.outside.bulkhead import Bulkhead
from customerflow_shared.outside.failures import BadAnswer, Failed, OutsideError, TimedOut, Unreachable, Unwilling
from customerflow_shared.outside.policy import Policy
from customerflow_shared.outside.retrying import Budget, is_passing, pause

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
UNWILLING = frozenset({408, 425, 429})  # and any 5xx
LONGEST_RETRY_AFTER = 3600.0
FULL_TRY = 0.9
"""A try that the deadline of its call leaves less than this part of its time says nothing of the service."""

tracer = trace.get_tracer("customerflow.outside")


Build: TypeAlias = Callable[[], httpx.Request]


class Answer(NamedTuple):
    status: int
    body: bytes


class Client:
    """To one service; `close` it in the end.

    It sends neither cookies nor the trace, follows no redirect, takes nothing from the environment (proxies, netrc) and
    no compressed answer, whose size would be known too late. `service` names it in metrics and logs.
    """

    def __init__(
        self,
        service: str,
        base_url: str,
        policy: Policy,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.service = service
        self._policy = policy
        self._sleep = sleep
        self._chance = chance
        self._budget = Budget(policy)
        self._bulkhead = Bulkhead(policy.concurrent, policy.queued)
        self._breaker = Breaker(service, policy, clock)
        meters.CALLS_INSIDE.read(lambda: self._bulkhead.inside, service)
        for outcome in ("made", "unaffordable"):
            meters.RETRIES.begin(service, outcome)
        self._url = base_url.rstrip("/")
        self._http = httpx.AsyncClient(
            headers={"User-Agent": "CustomerFlow", "Accept": "application/json", "Accept-Encoding": "identity"}
            | dict(headers or {}),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each try has one, for all of it
            limits=httpx.Limits(
                max_connections=policy.concurrent, max_keepalive_connections=policy.concurrent, keepalive_expiry=30
            ),
            transport=transport,
        )

    @property
    def state(self) -> State:
        """Of the circuit."""
        return self._breaker.state

    async def close(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        operation: str,
        path: str,
        read: Callable[[Answer], T],
        *,
        method: str = "GET",
        body: Any = None,
        idempotency_key: str | None = None,
    ) -> T:
        """What `read` makes of the answer; it raises BadAnswer for one that cannot be right. `body` becomes JSON.
        `operation` names the call in metrics and spans.

        Raises OutsideError.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        build = partial(self._http.build_request, method, self._url + path, headers=headers, content=content)
        tries = self._policy.tries if method in IDEMPOTENT or idempotency_key is not None else 1
        started, outcome = time.monotonic(), "cancelled"
        with telemetry.span(tracer, f"{self.service} {operation}", kind=trace.SpanKind.CLIENT):
            try:
                result = await self._in_its_place(build, read, tries)
                outcome = "answered"
                return result
            except OutsideError as error:
                outcome = type(error).__name__
                raise
            finally:
                meters.CALLS.record(time.monotonic() - started, self.service, operation, outcome)

    async def _in_its_place(self, build: Build, read: Callable[[Answer], T], tries: int) -> T:
        until = asyncio.get_running_loop().time() + self._policy.deadline
        try:
            async with asyncio.timeout_at(until):
                await self._bulkhead.enter()
        except TimeoutError:
            raise TimedOut("no place was free in time") from None
        self._budget.earn()
        try:
            return await self._retried(build, read, tries, until)
        finally:
            self._bulkhead.leave()

    async def _retried(self, build: Build, read: Callable[[Answer], T], tries: int, until: float) -> T:
        now = asyncio.get_running_loop().time
        for number in range(1, tries + 1):
            try:
                return await self._try(build, read, until - now())
            except Failed as error:
                if number == tries or not is_passing(error) or self.state is not State.CLOSED:
                    raise
                seconds = pause(self._policy, number, error, self._chance)
                if now() + seconds >= until:
                    raise
                if not self._budget.spend():
                    meters.RETRIES.add(1, self.service, "unaffordable")
                    raise
            meters.RETRIES.add(1, self.service, "made")
            await self._sleep(seconds)
        raise AssertionError  # the last try returns or raises

    async def _try(self, build: Build, read: Callable[[Answer], T], left: float) -> T:
        if left <= 0:
            raise TimedOut("no time was left")
        permit = self._breaker.admit()
        limit = min(self._policy.per_try, left)
        try:
            try:
                async with asyncio.timeout(limit):
                    answer = await self._exchange(build())
            except TimeoutError:
                if limit < self._policy.per_try * FULL_TRY:
                    permit.drop()
                raise TimedOut("no complete answer in time") from None
            result = read(answer)
        except Failed:
            permit.fail()
            raise
        except BaseException:  # cancelled, or an error of ours
            permit.drop()
            raise
        permit.succeed()
        return result

    async def _exchange(self, request: httpx.Request) -> Answer:
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code >= 500 or response.status_code in UNWILLING:
                    raise Unwilling(response.status_code, _seconds(response.headers.get("retry-after", "")))
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise BadAnswer("it is encoded, which was not asked for")
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > self._policy.largest_body:
                        raise BadAnswer("it is too large")
                return Answer(response.status_code, bytes(body))
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            raise Unreachable(type(error).__name__) from None


def json_as(answer: Answer, kind: type[S]) -> S:
    """The body; fields that `kind` does not have are ignored. Raises BadAnswer."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadAnswer("its body is not of the form agreed upon") from None


def _seconds(retry_after: str) -> float | None:
    """None if there is none, or a date, which would have to be by the same clock as ours."""
    if not (retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10):
        return None
    return min(float(retry_after), LONGEST_RETRY_AFTER)
