"""Customers with a past, made at random, and stored as the projector stores them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from customerflow_shared import timeline, views
from customerflow_shared.timeline import BLOCK, Entry, Who
from customerflow_shared.values import Address, ExternalId, Issue, TaxId
from customerflow_shared.views import ConsentView, CustomerView, ErasedView, LegalHold, View, timestamp
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, GENERATION, publish

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ["CustomerProfileChanged", "CustomerTagged", "CustomerAddressAdded", "CustomerEmailChanged"]


class Life(NamedTuple):
    """Documents and entries by version, the first ones at version 1."""

    documents: Sequence[View]
    entries: Sequence[Entry]

    @property
    def id(self) -> UUID:
        return self.documents[0].id

    @property
    def version(self) -> int:
        return len(self.documents)

    def at(self, version: int) -> bytes:
        return views.split(views.pack(self.documents[version - 1])).document

    def until(self, version: int) -> "Life":
        return Life(self.documents[:version], self.entries[:version])


def life(versions: int, *, seed: int = 0, customer_id: UUID = ANA) -> Life:
    chance = Random(f"{seed} {versions}")
    documents: list[CustomerView] = []
    entries: list[Entry] = []
    for version in range(1, versions + 1):
        before = documents[-1] if documents else None
        # now and then two events are of the same millisecond
        moment = BEGIN + timedelta(milliseconds=version * 1000 + chance.choice([0, 0, 1000, 500]))
        recorded_at = max(timestamp(moment), entries[-1].recorded_at if entries else "")
        after = _changed(chance, before) if before else _registered(customer_id, recorded_at)
        after = replace(after, version=version, updated_at=recorded_at)
        documents.append(after)
        entries.append(
            Entry(
                version=version,
                type=chance.choice(TYPES) if before else "CustomerRegistered",
                occurred_at=timestamp(moment - timedelta(days=chance.randrange(3))),
                recorded_at=recorded_at,
                actor=Who(type="user", id="42"),
                source="api",
                correlation_id=str(UUID(int=version)),
                changes=timeline.changes(timeline.flat(before), timeline.flat(after)),
            )
        )
    return Life(documents, entries)


def ended(lived: Life) -> Life:
    """The customer is erased: one more version, and nothing of what was."""
    at = timestamp(BEGIN + timedelta(days=300))
    end = Entry(
        version=lived.version + 1,
        type="CustomerErased",
        occurred_at=at,
        recorded_at=at,
        actor=Who(type="system"),
        source="upkeep",
        correlation_id=str(UUID(int=0)),
    )
    document = ErasedView(id=lived.id, version=end.version, erased_at=at)
    return Life([*lived.documents, document], [timeline.redacted(one) for one in (*lived.entries, end)])


async def store(redis: Redis, *lives: Life, generation: str = GENERATION) -> None:
    """As the projector leaves them, live and vouched for."""
    for lived in lives:
        encoded = [timeline.encode(entry) for entry in lived.entries]
        full = lived.version // BLOCK
        erased = isinstance(lived.documents[-1], ErasedView)
        blocks = [
            timeline.pack(encoded[first : first + BLOCK], None if erased else lived.at(first + BLOCK))
            for first in range(0, full * BLOCK, BLOCK)
        ]
        async with redis.pipeline(transaction=True) as pipeline:
            for key, items in (
                (views.blocks_key(generation, lived.id), blocks),
                (views.timeline_key(generation, lived.id), encoded[full * BLOCK :]),
            ):
                pipeline.delete(key)
                if items:
                    pipeline.rpush(key, *items)
            pipeline.set(views.customer_key(generation, lived.id), views.pack(lived.documents[-1]))
            await pipeline.execute()
    await publish(redis, *(lived.documents[-1] for lived in lives), generation=generation)


def _registered(customer_id: UUID, recorded_at: str) -> CustomerView:
    return CustomerView(
        id=customer_id,
        version=1,
        type="person",
        name="Ana Souza",
        status="active",
        created_at=recorded_at,
        updated_at=recorded_at,
    )


def _changed(chance: Random, view: CustomerView) -> CustomerView:
    """One thing is another, or sometimes nothing is."""
    number = chance.randrange(6)
    identifier = UUID(int=number)
    match chance.randrange(12):
        case 0:
            return replace(view, name=chance.choice(["Ana", "Bela", "C\u00e9lia/~1 \u2028"]))
        case 1:
            return replace(view, email=chance.choice([None, "ana@example.com", "a@example.org"]), data_quality=())
        case 2:
            tag = f"tag:{number}"
            kept = tuple(one for one in view.tags if one != tag)
            return replace(view, tags=kept if tag in view.tags else (*view.tags, tag))
        case 3:
            return replace(view, addresses=_with(view.addresses, Address(id=identifier, **_place(chance))))
        case 4:
            return replace(view, addresses=tuple(one for one in view.addresses if one.id != identifier))
        case 5:
            key = chance.choice(["shoe", "a/b", "c~d"])
            value: Any = chance.choice([1, 1.0, True, "1", 0, False, "", -7.25])
            return replace(view, attributes=view.attributes | {key: value})
        case 6:
            key = chance.choice(["shoe", "a/b", "c~d"])
            return replace(view, attributes={name: one for name, one in view.attributes.items() if name != key})
        case 7:
            record = ConsentView(
                purpose=f"p{number % 2}",
                channel=f"c{number}",
                state=chance.choice(["granted", "withdrawn"]),
                captured_at=timestamp(BEGIN),
                source="api",
            )
            others = [one for one in view.consents if (one.purpose, one.channel) == (record.purpose, record.channel)]
            return replace(
                view,
                consents=tuple(record if one in others else one for one in view.consents)
                if others
                else (*view.consents, record),
            )
        case 8:
            one = ExternalId(source=f"s/{number}", value=str(number))
            ids = view.external_ids
            return replace(view, external_ids=tuple(i for i in ids if i != one) if one in ids else (*ids, one))
        case 9:
            tax_id = TaxId(id=identifier, type=f"t{number}", value="1")
            held = view.tax_ids
            return replace(view, tax_ids=tuple(i for i in held if i != tax_id) if tax_id in held else (*held, tax_id))
        case 10:
            return replace(
                view,
                status=chance.choice(["active", "suspended", "archived"]),
                legal_hold=chance.choice([None, LegalHold(until=timestamp(BEGIN)), LegalHold()]),
                default_addresses=chance.choice([{}, {"billing": identifier}, {"shipping": identifier}]),
                birth_date=chance.choice([None, date(1990, 2, 28)]),
                data_quality=chance.choice([(), (Issue(path="name", code="name-unusual"),)]),
            )
        case _:
            return view


def _with(addresses: tuple[Address, ...], new: Address) -> tuple[Address, ...]:
    """In place of the one with its id, or after all."""
    if any(one.id == new.id for one in addresses):
        return tuple(new if one.id == new.id else one for one in addresses)
    return (*addresses, new)


def _place(chance: Random) -> dict[str, Any]:
    return {"country": chance.choice(["BR", "GB"]), "line1": chance.choice(["Av. Paulista", "High Street"])}
