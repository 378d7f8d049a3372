"""Through candidates to those that pass, as `script` finds them or as they are put in order here."""

from collections.abc import Awaitable, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import indexing, views
from redis.asyncio import Redis

from customerflow_query.listing import script
from customerflow_query.listing.asking import Question
from customerflow_query.listing.conditions import CREATED, NAMES, UPDATED, Check, Conditions
from customerflow_query.listing.sources import Place, Source
from customerflow_query.read_model import Reading, state_keys

CHUNK = 1_000
STEP = 100  # candidates at least, so that what is left of a budget is not spent in ever smaller chunks
FEWEST = 16  # members that are read of one set of several
EVERYBODY = 10**9

_encoder = msgspec.msgpack.Encoder()


class Asking(msgspec.Struct, kw_only=True):
    """What the script is asked. Numbers of keys, sources and words begin at 1, as Lua counts.

    If none is `chosen`, it chooses by the sizes of the sources that are `counted`: one that is `ordered` as wanted is
    walked, or the smallest is `gathered` if it has no more than that. `place` is the score of the one after which it
    begins; some are `given` that are to be tested only; `relevance`: a customer comes once for each word by which
    it is found, and only the first counts. `first` is how many candidates are looked at first, `alone` if they need no
    test; `extra` is what a candidate that passes costs beyond. It ends with `enough`, or what it may `look_at` or
    `ask`.
    """

    sources: Sequence[Source]
    counted: Sequence[int]
    checks: Sequence[Check]
    words: Sequence[str]
    ordered: Sequence[int] = ()
    gathered: int = 0
    placing: Literal["ZMSCORE", "HMGET"] = "ZMSCORE"
    placing_key: int = 0
    chosen: int | None = None
    sizes: Sequence[int] | None = None
    descending: bool = False
    relevance: bool = False
    counting: bool = False
    place: tuple[str] | None = None
    given: bool = False
    first: int
    alone: int
    chunk: int
    step: int
    fewest: int
    extra: int
    enough: int = EVERYBODY
    look_at: int = 0
    ask: int = 0
    generation: str = ""


class Step(NamedTuple):
    """What the script tells. `number` have passed and are the `members`, unless they are only counted; `placed` is
    where they stand, unless their members tell. In order if they were walked; to be put in order if they were gathered,
    and perhaps tested.
    """

    chosen: int
    way: bytes
    ended: int  # 0 or 1
    looked_at: int
    asked: int
    number: int
    last: bytes | None
    last_score: bytes | None
    members: Sequence[bytes]
    placed: Sequence[bytes | None]


class Batch(NamedTuple):
    """Some that passed, in order; how many they are, also if they were only counted; the last that was looked at."""

    places: Sequence[Place]
    number: int
    last: Place | None
    ended: bool


class Walk:
    """Through the candidates of a question in one attempt, from a place on, until nothing comes after them."""

    def __init__(
        self,
        redis: Redis,
        reading: Reading,
        conditions: Conditions,
        question: Question,
        start: Place | None,
        *,
        look_at: int,
        ask: int,
        extra: int = 0,
    ) -> None:
        """It may look at so many candidates, and look them up so often; one that passes costs `extra` beyond."""
        self.sizes: Sequence[int] = ()
        self.look_at, self.ask = look_at, ask
        self._redis = redis
        self._reading = reading
        self._conditions = conditions
        self._order = question.sort.removeprefix("-")
        self._start = self._after = start
        self._rest: list[Place] | None = None  # of those that were put in order here
        self._asking = Asking(
            sources=conditions.sources,
            counted=conditions.counted,
            checks=conditions.checks,
            words=conditions.filters.words,
            first=CHUNK,
            alone=CHUNK,
            chunk=CHUNK,
            step=STEP,
            fewest=FEWEST,
            extra=extra,
        )

    def in_order(self, question: Question, gathered: int) -> None:
        """As the question wants it, from what is cheapest; no more than `gathered` are put in order here."""
        by_time = {"createdAt": CREATED, "updatedAt": UPDATED}.get(self._order)
        asking = self._asking
        asking.ordered = self._conditions.ordered(question, self._start)
        asking.gathered = gathered
        asking.placing = "ZMSCORE" if by_time else "HMGET"
        asking.placing_key = self._conditions.key(by_time or NAMES)
        asking.descending = question.sort.startswith("-")
        asking.relevance = self._order == "relevance"
        asking.first = min(CHUNK, 2 * question.limit)
        asking.alone = question.limit + 1

    def counting(self, source: int, sizes: Sequence[int], *, only: bool) -> None:
        """Those of one source, each once; `only` their number is told."""
        asking = self._asking
        asking.chosen, asking.sizes, asking.counting = source, sizes, only
        asking.relevance = self._conditions.sources[source - 1].word is not None

    @property
    def is_spent(self) -> bool:
        return self.look_at <= 0 or self.ask <= 0

    async def more(self, enough: int, at_once: int) -> Batch:
        """Until they are enough, or so many candidates were looked at or looked up at once."""
        asking = self._asking
        asking.enough, asking.look_at, asking.ask = enough, min(self.look_at, at_once), min(self.ask, at_once)
        asking.place = None if self._after is None else (repr(self._after.score),)
        asking.given = self._rest is not None
        step = await self._step()
        self.look_at, self.ask = self.look_at - step.looked_at, self.ask - step.asked
        asking.chosen, asking.sizes = step.chosen, self.sizes
        asking.first = asking.alone = CHUNK
        if self._rest is not None:
            return self._of_given(step, self._rest)
        if step.way == b"walked":
            return self._walked(step)
        places = self._placed(step)
        if step.way == b"tested":
            return Batch(places, len(places), None, ended=True)
        asking.relevance = False
        self._rest = places
        return Batch((), 0, self._start, ended=not places)

    async def _step(self) -> Step:
        names = self._conditions.keys
        texts = [b"" if self._after is None else self._after.member, *(one.customer for one in self._rest or ())]

        def question(generation: str) -> Awaitable[list[Any]]:
            self._asking.generation = generation
            keys = [*state_keys(generation), *(views.key(generation, name) for name in names)]
            return script.run(self._redis, keys, _encoder.encode(self._asking), *texts)

        told, self.sizes, members, placed = await self._reading.ask(question)
        return Step._make((*told, members, placed))

    def _walked(self, step: Step) -> Batch:
        source = self._conditions.sources[step.chosen - 1]
        word = (source.word or 1) - 1

        def place(member: bytes, score: bytes | None) -> Place:
            return Place(float(score or 0), member, word)

        if step.last is not None:
            self._after = place(step.last, step.last_score)
        return Batch([*map(place, step.members, step.placed)], step.number, self._after, bool(step.ended))

    def _of_given(self, step: Step, rest: list[Place]) -> Batch:
        customers = [one.customer for one in rest]
        passed = frozenset(step.members)
        looked_at = customers.index(step.last) + 1 if step.last is not None else 0
        self._rest = rest[looked_at:]
        places = [one for one in rest[:looked_at] if one.customer in passed]
        return Batch(places, len(places), rest[looked_at - 1], bool(step.ended))

    def _placed(self, step: Step) -> list[Place]:
        """Those that come after the start; those that do not stand in the order are left out."""
        start, descending = self._start, self._asking.descending
        walked = min(self._asking.ordered, key=lambda number: self.sizes[number - 1])
        word = (self._conditions.sources[walked - 1].word or 1) - 1
        pairs = zip(step.members, step.placed, strict=True)
        places = [place for one, by in pairs if (place := self._place(one, by, word)) is not None]
        if start is not None:
            places = [one for one in places if (one < start if descending else one > start)]
        return sorted(places, reverse=descending)

    def _place(self, customer: bytes, by: bytes | None, word: int) -> Place | None:
        if self._asking.placing == "ZMSCORE":
            return None if by is None else Place(float(by), customer)
        names = "" if by is None else by.decode()
        if self._order == "name":
            return Place(0, indexing.name_member(names, UUID(bytes=customer)))
        member = first_member(customer, indexing.words(names), self._conditions.filters.words[word])
        return None if member is None else Place(0, member, word)


def first_member(customer: bytes, words: Sequence[str], asked: str) -> bytes | None:
    """By which a customer stands first in the order of a word that is asked for."""
    found = [word.encode() for word in words if word.startswith(asked)]
    return min(word + b"\0" + customer for word in found) if found else None
