"""From events to pending messages, however they are delivered."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import msgspec
from customerflow_consumer import SqliteInbox
from customerflow_consumer.deliveries import Deliveries, Retries
from customerflow_consumer.testing import prove, told
from customerflow_contract.cloud_event import encode
from customerflow_contract.events import CustomerEmailVerificationRequestedV1, DeliveryLinksV1
from customerflow_notifications.listening import handlers
from customerflow_notifications.pending import TABLE, Pending

NOW = 1_800_000_000.0


def requested(customer: int, version: int) -> CustomerEmailVerificationRequestedV1:
    return CustomerEmailVerificationRequestedV1(
        customer_id=UUID(int=customer),
        version=version,
        verification_id=UUID(int=100 * customer + version),
        expires_at="2027-01-15T08:15:00.000Z",
        links=DeliveryLinksV1(delivery="https://elsewhere.test/take-the-token"),
    )


EVENTS = [told(requested(customer, version)) for customer in range(1, 4) for version in (2, 4, 9)]


class Opened(SqliteInbox):
    def __init__(self) -> None:
        super().__init__(":memory:")
        self.connection.executescript(TABLE)


def kept(inbox: SqliteInbox) -> object:
    return inbox.connection.execute("SELECT * FROM pending ORDER BY verification").fetchall()


async def test_each_event_has_one_message_however_it_is_delivered() -> None:
    pending = Pending(Opened())
    await prove(handlers(pending, lambda: NOW), EVENTS, inbox=Opened, state=kept, overtaking=True)


async def test_a_message_holds_ids_and_times(tmp_path: Path) -> None:
    with SqliteInbox(tmp_path / "it.db") as inbox:
        pending = Pending(inbox)
        registered = handlers(pending, lambda: NOW).of(CustomerEmailVerificationRequestedV1)
        assert registered is not None
        async with inbox.transaction(UUID(int=1)) as transaction:
            await registered.handle(EVENTS[0].data, EVENTS[0], transaction)
        (message,) = await pending.due(NOW, 10)
    assert (message.event, message.customer, message.verification) == (EVENTS[0].id, UUID(int=1), UUID(int=102))
    assert (message.noted_at, message.due_at, message.expires_at) == (NOW, NOW, NOW + 900)


def command(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CF_NOTIFICATIONS_DB": str(path)}
    program = [sys.executable, "-m", "customerflow_notifications", *arguments]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)


def test_an_event_that_cannot_be_handled_is_listed_and_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "it.db"
    odd = told(msgspec.structs.replace(requested(1, 2), expires_at="soon"))

    async def receive() -> None:
        with SqliteInbox(path) as inbox:
            retries = Retries(attempts=1, first_pause=0)
            deliveries = Deliveries(handlers(Pending(inbox), lambda: NOW), inbox, retries)
            for event in (odd, told(requested(1, 4))):
                await deliveries.deliver(event, encode(event))

    asyncio.run(receive())
    customer = str(UUID(int=1))
    listed = command(path, "parked").stdout
    assert listed.startswith(f"{customer}: ValueError in requested")
    assert listed.endswith("2 waiting\n")
    assert command(path, "retry").returncode == 1
    assert command(path, "discard", str(UUID(int=2)), "odd").returncode == 1
    assert command(path, "discard", customer, "odd").returncode == 0
    assert command(path, "parked").stdout == ""
    with SqliteInbox(path) as inbox:
        assert Pending(inbox).count() == 1
