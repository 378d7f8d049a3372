"""Whatever arrives at the projector's queues or at the relay's doorbell, the flow goes on."""

import json
import os
import socket
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import HeadersType
from blackbox.broker import DEAD, DOMAIN, SHARDS, drain, publish, shard_of
from blackbox.customers import Customers
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

GARBAGE = {
    "empty": b"",
    "no json": b"\x00\xff garbage",
    "invalid utf-8": b'{"position":"\xff"}',
    "deep": b"[" * 100_000,
    "null": b"null",
    "array": b"[]",
    "empty object": b"{}",
    "huge number": b'{"position":' + b"9" * 5000 + b"}",
    "too large": b'{"a":"' + b"x" * 1_000_000 + b'"}',
}

OF_TOMORROW = {
    "position": 1,
    "customerId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11",
    "version": 1,
    "eventId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12",
    "schemaVersion": 1,
    "recordedAt": "2026-11-22T15:04:05.123000Z",
    "metadata": {},
    "event": {"type": "CustomerTeleported"},
}


@pytest.fixture(autouse=True)
async def the_dead_are_taken_away(system: System) -> AsyncIterator[None]:
    yield
    await drain(system.amqp, DEAD, quiet=0)


async def the_flow_goes_on(customers: Customers) -> None:
    """On every shard: a customer of each is registered and read."""
    waiting = set(range(SHARDS))
    for _ in range(40 * SHARDS):
        customer = await customers.register()
        assert (await customers.read(customer, wait=10))["version"] == 1
        waiting.discard(shard_of(customer.id))
        if not waiting:
            return
    raise AssertionError(f"No customer fell on these shards: {waiting}")


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_on_a_shard_is_put_aside_and_stops_nothing(
    system: System, customers: Customers, body: bytes
) -> None:
    await publish(system.amqp, DOMAIN, "3", aio_pika.Message(body, content_type="application/json"))

    async def put_aside() -> None:
        dead = [message.body for message in await drain(system.amqp, DEAD, quiet=0)]
        assert body in dead

    await eventually(put_aside, within=15, every=0.1)
    assert (await customers.read(await customers.register(), wait=10))["version"] == 1


async def test_an_event_of_a_kind_that_is_not_known_yet_stops_nobody_else(system: System, customers: Customers) -> None:
    body = json.dumps(OF_TOMORROW).encode()
    for shard in range(SHARDS):
        await publish(system.amqp, DOMAIN, str(shard), aio_pika.Message(body, content_type="application/json"))
    await the_flow_goes_on(customers)


async def test_garbage_on_every_shard_stops_none(system: System, customers: Customers) -> None:
    for shard in range(SHARDS):
        for body in (b"", b"{}", b"\xff"):
            headers: HeadersType = {"traceparent": "nonsense", "x-death": "nonsense"}
            await publish(system.amqp, DOMAIN, str(shard), aio_pika.Message(body, headers=headers))
    await the_flow_goes_on(customers)


async def test_garbage_at_the_doorbell_is_no_reason_to_stop(own_stack: Stack, customers: Customers) -> None:
    pids = [own_stack.pid(name) for name in ("relay", "relay-2")]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for name in ("relay-doorbell", "relay-2-doorbell"):
            for size in (0, 1, 8, 1400, 60_000):
                for _ in range(50):
                    sender.sendto(os.urandom(size), ("127.0.0.1", own_stack.instance.ports[name]))
    await the_flow_goes_on(customers)
    assert [own_stack.pid(name) for name in ("relay", "relay-2")] == pids
