"""Commands as clients send them: three in ten register somebody, the others change somebody who is there.

Each client knows the versions of those whom it has registered, and changes nobody else. Bodies are made before they are
needed: inventing somebody takes longer than sending him.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from customerflow_bench import http_wire, people

REGISTERED_SHARE = 0.3
JSON = {"Content-Type": "application/json"}
MERGE_PATCH = "application/merge-patch+json"

_STAGES = ("lead", "customer", "loyal", "former")


class Refused(Exception):
    """A command that should have succeeded."""


class Interface(NamedTuple):
    """Where a system takes commands, and in which form it takes a change."""

    port: int
    customers: str
    change_type: str


class Done(NamedTuple):
    customer: str
    version: int


class Registrations:
    """Requests that register somebody new each time: nobody below `first`, nobody twice."""

    def __init__(self, path: str, first: int, prepared: int) -> None:
        self._path = path
        self._numbers = iter(range(first, first + 10 * prepared + 1000))
        self._ready = [self._make() for _ in range(prepared)]
        self._ready.reverse()

    def next(self) -> bytes:
        return self._ready.pop() if self._ready else self._make()

    def _make(self) -> bytes:
        return http_wire.request("POST", self._path, JSON, registration(next(self._numbers)))


def registration(number: int) -> bytes:
    return json.dumps(people.body(people.eventful_life(number).registration), ensure_ascii=False).encode()


@cache
def _renamed() -> list[bytes]:
    names = [people.eventful_life(number).registration.name for number in range(200)]
    return [json.dumps({"name": name}, ensure_ascii=False).encode() for name in names]


def changes(seed: int) -> Iterator[bytes]:
    """Bodies, each of one event: every other one with what is encrypted. None is like the one before."""
    renamed, chance = _renamed(), random.Random(seed)
    while True:
        for stage in _STAGES:
            yield chance.choice(renamed)
            yield json.dumps({"lifecycleStage": stage}).encode()


class Client:
    """One after the other, on a connection of its own."""

    def __init__(
        self, connection: http_wire.Connection, interface: Interface, registrations: Registrations, seed: int
    ) -> None:
        self._connection = connection
        self._interface = interface
        self._registrations = registrations
        self._chance = random.Random(seed)
        self._changes = changes(seed)
        next(self._changes)  # the names are made before anything is measured
        self._known: list[list[Any]] = []  # id, version

    def close(self) -> None:
        self._connection.close()

    async def send(self) -> Done:
        """Raises Refused."""
        if not self._known or self._chance.random() < REGISTERED_SHARE:
            return await self.register()
        return await self.change()

    async def register(self) -> Done:
        """Raises Refused."""
        done = _done(await self._connection.ask(self._registrations.next()))
        self._known.append([*done])
        return done

    async def change(self) -> Done:
        """Somebody whom it has registered. Raises Refused."""
        known = self._chance.choice(self._known)
        headers = {"Content-Type": self._interface.change_type, "If-Match": f'"{known[1]}"'}
        path = f"{self._interface.customers}/{known[0]}"
        done = _done(await self._connection.ask(http_wire.request("PATCH", path, headers, next(self._changes))))
        known[1] = done.version
        return done


def _done(answer: http_wire.Answer) -> Done:
    if answer.status not in (200, 201):
        raise Refused(f"{answer.status}: {answer.body[:500].decode(errors='replace')}")
    told = json.loads(answer.body)
    return Done(str(told["id"]), int(told["version"]))


async def connect(interface: Interface, clients: int, first: int, prepared: int, seed: int) -> list[Client]:
    registrations = Registrations(interface.customers, first, prepared)
    return [
        Client(await http_wire.Connection.open(interface.port), interface, registrations, seed * clients + number)
        for number in range(clients)
    ]


def in_turn(clients: list[Client], then: Callable[[Done], None]) -> Callable[[], Awaitable[None]]:
    """Whoever of them is free sends; `then` is told what was done. If nobody is, it waits."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)

    async def send() -> None:
        client = await free.get()
        then(await client.send())
        free.put_nowait(client)

    return send
