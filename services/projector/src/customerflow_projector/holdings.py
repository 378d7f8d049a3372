"""What a generation holds, read for comparison, and put right: each customer at one moment."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple, cast
from uuid import UUID

from customerflow_shared import indexing, views
from customerflow_shared.indexing import Lookups

from customerflow_projector.apply import readable
from customerflow_projector.compare import ask_sizes, told_sizes
from customerflow_projector.expected import Expected, Held
from customerflow_projector.generations import SCAN_PAGE, scan
from customerflow_projector.indexes import Command, Indexed, difference, indexed
from customerflow_projector.read_model import CARRY_OUT, ReadModel, version_of

HEAD = 31  # bytes of a document that tell its version

# KEYS: a customer's document. ARGV: the document as it was seen (empty: none), then commands, carried out if it is
# still that one; answers whether it is.
_IF_UNCHANGED = (
    """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
"""
    + CARRY_OUT
    + "return 1"
)

# KEYS: a hash of totals. ARGV: a total, by how much it is to be changed.
_CORRECT = "if redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2]) == 0 then redis.call('HDEL', KEYS[1], ARGV[1]) end"


class Moment(NamedTuple):
    """Sizes and totals, how far all is applied, and the versions of some documents, all at one moment."""

    sizes: Mapping[tuple[str, str], int]
    applied: int
    versions: Mapping[UUID, int]


class Holdings:
    def __init__(self, model: ReadModel, generation: str, lookups: Lookups) -> None:
        self._model = model
        self._redis = model.redis
        self._generation = generation
        self._lookups = lookups

    async def held(self, customers: Mapping[UUID, Expected]) -> dict[UUID, Held]:
        """All at one moment, so that a document and what follows from it are never seen apart."""
        members: defaultdict[str, list[bytes]] = defaultdict(list)
        fields: defaultdict[str, list[bytes]] = defaultdict(list)
        for right in customers.values():
            for place, member in right.indexed.members:
                members[place].append(member)
            for place, field in right.indexed.fields:
                fields[place].append(field)
        async with self._redis.pipeline(transaction=True) as pipeline:
            for one in customers:
                pipeline.get(views.customer_key(self._generation, one))
                pipeline.lrange(views.blocks_key(self._generation, one), 0, -1)
                pipeline.lrange(views.timeline_key(self._generation, one), 0, -1)
            for place, asked in members.items():
                pipeline.zmscore(self._key(place), cast(list[str], asked))  # or bytes
            for place, asked in fields.items():
                pipeline.hmget(self._key(place), asked)
            answers = iter(await pipeline.execute())
        stored = {one: (next(answers), next(answers), next(answers)) for one in customers}
        scores = {
            (place, member): score
            for place, asked in members.items()
            for member, score in zip(asked, next(answers), strict=True)
        }
        values = {
            (place, field): value
            for place, asked in fields.items()
            for field, value in zip(asked, next(answers), strict=True)
        }
        return {one: Held(*stored[one], scores, values) for one in customers}

    async def replace(self, customer_id: UUID, seen: bytes | None, right: Expected) -> bool:
        """Write all about the customer anew; False if the document is not the one that was seen.

        The totals move if it is the document of another version; in which ones a damaged or missing one counts, nobody
        can tell by it.
        """
        customer, blocks, entries = (f"{kind}:{customer_id}" for kind in ("customer", "blocks", "timeline"))
        document = right.document
        commands: list[Command] = [("DEL", customer), ("DEL", blocks), ("DEL", entries)]
        if document is not None:
            commands.append(("SET", customer, document))
        if right.blocks:
            commands.append(("RPUSH", blocks, *right.blocks))
        if right.entries:
            commands.append(("RPUSH", entries, *right.entries))
        view = readable(seen)
        before = indexed(view, self._lookups)
        unsure = Indexed(
            {place: score for place, score in before.members.items() if place not in right.indexed.members},
            {place: value for place, value in before.fields.items() if place not in right.indexed.fields},
            before.totals if view and view.version != right.version else right.indexed.totals,
        )
        return await self.if_unchanged(customer_id, seen, [*commands, *difference(unsure, right.indexed)])

    async def if_unchanged(self, customer_id: UUID, seen: bytes | None, commands: Iterable[Command]) -> bool:
        words: list[str | bytes | float] = []
        for name, place, *rest in commands:
            words += (2 + len(rest), name, self._key(str(place)), *rest)
        key = views.customer_key(self._generation, customer_id)
        return bool(await self._redis.eval(_IF_UNCHANGED, 1, key, seen or b"", *words))

    async def correct(self, name: str, total: str, *, by: int) -> None:
        await self._redis.eval(_CORRECT, 1, self._key(name), total, by)

    async def are_live(self) -> bool:
        return (await self._model.generations()).live == self._generation

    async def customers(self) -> int:
        return int(await self._redis.zcard(self._key("order:created")))

    async def names(self) -> AsyncIterator[tuple[list[UUID], set[str]]]:
        """Page by page: whose keys there are, and which indexes."""
        prefix = self._key("")
        async for keys in scan(self._redis, prefix + "*"):
            owners, indexes = list[UUID](), set[str]()
            for name in (key.removeprefix(prefix) for key in keys):
                kind, _, rest = name.partition(":")
                if kind in ("customer", "timeline", "blocks"):
                    owners.append(UUID(rest))
                elif kind in ("order", "facet", "words", "lookup", "names"):
                    indexes.add(name)
            yield owners, indexes

    async def moment(self, indexes: set[str], customers: Sequence[UUID]) -> Moment:
        """Sizes and totals, and which versions the customers have."""
        names = sorted(indexes)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.get(self._key("applied"))
            for one in customers:
                pipeline.getrange(views.customer_key(self._generation, one), 0, HEAD)
            ask_sizes(pipeline, self._generation, names)
            applied, *answers = await pipeline.execute()
        versions = dict(zip(customers, map(version_of, answers), strict=False))
        return Moment(told_sizes(names, answers[len(customers) :]), int((applied or b"0").split()[0]), versions)

    async def members(self, place: str, customer_id: UUID | None = None) -> AsyncIterator[list[bytes]]:
        """Of an index (its fields, if it is a hash), page by page: all, or a customer's."""
        pattern = None if customer_id is None else b"*" + b"".join(b"\\%c" % one for one in customer_id.bytes)
        cursor, key = 0, self._key(place)
        while True:
            if place == "names":
                cursor, fields = await self._redis.hscan(key, cursor, match=pattern, count=SCAN_PAGE)
                yield cast(list[bytes], list(fields))
            else:
                cursor, scored = await self._redis.zscan(key, cursor, match=pattern, count=SCAN_PAGE)
                yield [member for member, _ in cast(list[tuple[bytes, float]], scored)]
            if cursor == 0:
                return

    async def strange(self, place: str, members: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """The members that are there and do not follow from their customers' documents, with those."""
        if not members:
            return {}
        owners = [indexing.customer_of(member) for member in members]
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.mget([views.customer_key(self._generation, one) for one in owners])
            if place == "names":
                pipeline.hmget(self._key(place), members)
            else:
                pipeline.zmscore(self._key(place), cast(list[str], members))  # or bytes
            documents, there = await pipeline.execute()
        found: dict[bytes, bytes | None] = {}
        for member, document, standing in zip(members, documents, there, strict=True):
            implied = indexed(readable(document), self._lookups)
            is_implied = (place, member) in implied.members or (place, member) in implied.fields
            if standing is not None and not is_implied:
                found[member] = document
        return found

    async def remove(self, place: str, member: bytes, seen: bytes | None) -> bool:
        """False if the document by which it was judged has changed."""
        command = "HDEL" if place == "names" else "ZREM"
        return await self.if_unchanged(indexing.customer_of(member), seen, [(command, place, member)])

    def _key(self, name: str) -> str:
        return views.key(self._generation, name)
