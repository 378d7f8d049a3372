"""Histories of invented customers, and an event feed in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from customerflow_projector.feed import Feed, FeedBehind, FeedUnavailable
from customerflow_projector.projections import project
from customerflow_projector.read_model import Parked
from customerflow_shared import views
from customerflow_shared.events import (
    CustomerEmailChanged,
    CustomerEvent,
    CustomerProfileChanged,
    CustomerRegistered,
    Metadata,
    Place,
    Recorded,
)
from customerflow_shared.indexing import Lookups
from customerflow_shared.values import PersonalProfile

ANA, BRUNO, CECILIA = (UUID(int=number) for number in (0xA, 0xB, 0xC))
BEGINNING = datetime(2026, 11, 22, 12, 0, 0, 5_000, tzinfo=UTC)

LOOKUPS = Lookups(bytes(range(32)))

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ENTRY = Parked(position=1, version=1, error="UnknownEvent", attempts=1, since=LONG_AGO, attempted_at=LONG_AGO)

REGISTERED = CustomerRegistered(customer_type="person", name="Ana Souza", email="ana@example.com")
EMAIL_REMOVED = CustomerEmailChanged(email=None, previous_email="ana@example.com")


def renaming(name: str, previous_name: str) -> CustomerProfileChanged:
    return CustomerProfileChanged(
        changed=("name",),
        personal=PersonalProfile(name=name),
        previous_personal=PersonalProfile(name=previous_name),
    )


RENAMED = renaming("Ana Lima", "Ana Souza")


def recorded(event: CustomerEvent, version: int, *, customer_id: UUID = ANA, position: int | None = None) -> Recorded:
    """The event in its place; it happened as many seconds after the beginning as its version says."""
    return Recorded(
        position=version if position is None else position,
        customer_id=customer_id,
        version=version,
        event_id=UUID(int=version),
        recorded_at=BEGINNING + timedelta(seconds=version),
        metadata=Metadata(causation_id=UUID(int=1), correlation_id=UUID(int=2)),
        event=event,
    )


def renamings(customer_id: UUID, versions: int) -> list[Recorded]:
    """A registration, then new names: `Name 2`, `Name 3`, ..."""
    events: list[CustomerEvent] = [REGISTERED]
    events += [renaming(f"Name {n}", f"Name {n - 1}") for n in range(2, versions + 1)]
    return [recorded(event, version, customer_id=customer_id) for version, event in enumerate(events, start=1)]


def interleaved(*histories: Sequence[Recorded]) -> list[Recorded]:
    """The histories as one event store has them: by turns, their positions without gaps."""
    turns = max(map(len, histories))
    events = [history[turn] for turn in range(turns) for history in histories if turn < len(history)]
    return [msgspec.structs.replace(event, position=position) for position, event in enumerate(events, start=1)]


def of(customer_id: UUID, life: Iterable[Recorded]) -> list[Recorded]:
    """The same life, as another customer has it."""
    return [msgspec.structs.replace(event, customer_id=customer_id) for event in life]


def unknown(event: Recorded) -> Place:
    """The event as a program reads it that does not know its type."""
    return Place(position=event.position, customer_id=event.customer_id, version=event.version)


def folded(history: Iterable[Recorded]) -> dict[UUID, bytes]:
    """What the read model must hold after all of it."""
    customers: dict[UUID, views.View] = {}
    for event in history:
        customers[event.customer_id] = project(customers.get(event.customer_id), event)
    return {customer_id: views.pack(view) for customer_id, view in customers.items()}


class EventStore(Feed):
    """An event feed whose events are a list, and that can be away."""

    def __init__(self, events: Iterable[Recorded | Place] = (), *, page: int = 500) -> None:
        self.events = list(events)
        self.page = page
        self.away = False
        self.asked = 0

    async def after(self, position: int) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        self._ask()
        head = len(self.events)
        if head < position:
            raise FeedBehind
        for start in range(position, head, self.page):
            self._ask()
            yield head, self.events[start : min(start + self.page, head)]

    async def head(self) -> int:
        self._ask()
        return len(self.events)

    async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        self._ask()
        head = len(self.events)
        page: list[Recorded | Place] = []
        for one in sorted(self.events, key=lambda one: (one.customer_id, one.version)):
            if len(page) >= self.page and one.customer_id != page[-1].customer_id:
                self._ask()
                yield head, page
                page = []
            if one.customer_id > after:
                page.append(one)
        if page:
            yield head, page

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        self._ask()
        return [event for event in self.events if event.customer_id == customer_id and event.version > after]

    async def ping(self) -> None:
        self._ask()

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise FeedUnavailable("away")
