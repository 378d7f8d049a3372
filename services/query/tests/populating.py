"""A generation as the projector writes it, made of documents alone; and people to fill it with."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from customerflow_shared import indexing, views
from customerflow_shared.values import Address, ExternalId, Issue
from customerflow_shared.views import ConsentView, CustomerView, ErasedView, View, timestamp
from redis.asyncio import Redis

from .builders import GENERATION, publish

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIMES = [NOW - timedelta(days=days, milliseconds=days) for days in range(12)]
STATUSES: tuple[Literal["active", "suspended", "archived"], ...] = ("active", "suspended", "archived")
TAGS = ["vip", "late", "new", "b2b", "rare"]
COUNTRIES = [("BR", "SP"), ("BR", "RJ"), ("US", "CA"), ("PT", None)]
GIVEN = ["Ana", "Maria", "Mar\u00eda", "Mariana", "Marcos", "Jos\u00e9", "\u00c9lan", "\u0141ukasz", "\u738b"]
FAMILY = ["Silva", "Simas", "S\u00f8rensen", "da Costa", "Souza", "Maria", "\u5c0f\u660e", "O'Neil"]


async def populate(redis: Redis, people: Iterable[View], generation: str = GENERATION) -> None:
    """Let them be all customers of the live generation, with documents and indexes."""
    async with redis.pipeline(transaction=False) as pipeline:
        for view in (everybody := [*people]):
            one, created = view.id.bytes, indexing.created_score(view)
            names = "" if isinstance(view, ErasedView) else indexing.names(view)
            scored = {f"facet:{facet}": {one: created} for facet in indexing.facets(view)}
            scored |= {"order:created": {one: created}, "order:updated": {one: indexing.updated_score(view)}}
            scored["order:name"] = {indexing.name_member(names, view.id): 0}
            if words := {indexing.word_member(word, view.id): 0 for word in indexing.words(names)}:
                scored["words"] = words
            for name, members in scored.items():
                pipeline.zadd(views.key(generation, name), members)
            if names:
                pipeline.hset(views.key(generation, "names"), one, names)
        await pipeline.execute()
    await publish(redis, *everybody, generation=generation)


def people(chance: random.Random, number: int) -> list[View]:
    """Who share names and times, live in several places, are archived and erased."""
    return [somebody(chance) for _ in range(number)]


def somebody(chance: random.Random) -> View:
    created, updated = sorted((chance.choice(TIMES), chance.choice(TIMES)))
    one = UUID(int=(round(created.timestamp() * 1000) << 80) + chance.getrandbits(80))
    if chance.random() < 0.05:
        return ErasedView(id=one, version=chance.randint(2, 9), erased_at=timestamp(updated))
    company = chance.random() < 0.3
    name = f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}"
    return CustomerView(
        id=one,
        version=chance.randint(1, 9),
        type="company" if company else "person",
        name=name.upper() if chance.random() < 0.1 else name,
        status=chance.choices(STATUSES, [8, 1, 1])[0],
        social_name=chance.choice(GIVEN) if chance.random() < 0.1 else None,
        legal_name=f"{chance.choice(FAMILY)} & {chance.choice(FAMILY)} Ltda" if company else None,
        trade_name=chance.choice(["Mar Azul", "Sim"]) if company and chance.random() < 0.5 else None,
        locale=chance.choice([None, "pt-BR", "en"]),
        lifecycle_stage=chance.choice([None, "lead", "client"]),
        tags=tuple(chance.sample(TAGS[:-1], chance.randint(0, 3))) + (("rare",) if chance.random() < 0.02 else ()),
        addresses=tuple(
            Address(id=UUID(int=number), country=country, region=region, line1="Rua 1")
            for number, (country, region) in enumerate(chance.choices(COUNTRIES, k=chance.randint(0, 2)))
        ),
        consents=tuple(
            ConsentView(
                purpose=purpose,
                channel="email",
                state=chance.choice(["granted", "withdrawn"]),
                captured_at=timestamp(TIMES[-1]),
                source="test",
                expires_at=chance.choice([None, timestamp(TIMES[3]), timestamp(NOW + timedelta(days=9))]),
            )
            for purpose in chance.sample(["marketing", "news:weekly"], chance.randint(0, 2))
        ),
        external_ids=(ExternalId(source="erp", value="1"),) if chance.random() < 0.3 else (),
        data_quality=(Issue(path="name", code="name-unusual"),) if chance.random() < 0.2 else (),
        created_at=timestamp(created),
        updated_at=timestamp(updated),
    )
