"""From events to pending messages, however they are delivered."""

from pathlib import Path
from uuid import UUID

from customerflow_consumer import SqliteInbox
from customerflow_consumer.testing import prove, told
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
