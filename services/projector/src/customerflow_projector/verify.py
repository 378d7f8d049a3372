"""Whether the read model is what the customers' events say, beside live traffic; and the way back if it is not.

First each customer: document, timeline, and what has to stand in the indexes. Then what else there is: documents that
the event store does not know, and the sizes of all indexes and all totals, so that nothing is there that should not be.

The sums are taken at one moment, with the versions that moving customers have then. They are right if no event can have
been applied of which is not known; else it is looked again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

from customerflow_shared import indexing
from customerflow_shared.events import Place as Position
from customerflow_shared.events import Recorded
from customerflow_shared.indexing import Lookups

from customerflow_projector.apply import by_customer
from customerflow_projector.expected import Difference, Expected, differences, expected
from customerflow_projector.feed import Feed, FeedBehind, FeedUnavailable
from customerflow_projector.holdings import Holdings
from customerflow_projector.progress import Told
from customerflow_projector.read_model import ReadModel, version_of
from customerflow_projector.sums import Place, Sums

LOOKS = 6  # at what differs
LOOK_AGAIN_AFTER = 0.3  # seconds
GLIMPSES = 20  # of a customer that never rests, until one is of a single version
SURE_AFTER = 3  # moments that show the same
QUIET_WITHIN = 30.0  # seconds
NEARLY = 100  # customers that move while one has caught up with those before
AT_ONCE = 50  # customers
SUSPECTS = 500  # customers that are looked at again together
PAGES = 50  # of the feed, after which the suspects are looked at again, however few
FEED_TRIES = 5
FIRST = UUID(int=0)

Event: TypeAlias = Recorded | Position
Events: TypeAlias = Sequence[Event]
Found = Callable[[Difference, bool], None]
"""Called with each difference, and whether it is repaired."""


class NoQuietMoment(Exception):
    """So much was happening that sizes and totals could not be compared; the customers have been."""


class LiveNoMore(Exception):
    """Another generation has become live meanwhile: what was compared is not what is read. Begin again."""


class NothingLive(Exception):
    """There is no read model of this release; the projector builds it."""


class Differing(NamedTuple):
    """A customer's differences, the document that was seen, and what should be."""

    differences: Sequence[Difference]
    document: bytes | None
    right: Expected


class Tail:
    """The end of the feed: who has moved since a position, and the histories of those who are still on their way."""

    def __init__(self, feed: Feed, position: int) -> None:
        self._feed = feed
        self._newest: dict[UUID, int] = {}
        self.position = position
        self.moved: set[UUID] = set()
        self.histories: dict[UUID, list[Event]] = {}

    async def follow(self) -> list[tuple[UUID, list[Event]]]:
        """Up to the head; whoever has moved, with all its events."""
        touched: dict[UUID, list[Event]] = {}
        async for _, page in self._feed.after(self.position):
            for one, events in by_customer(page).items():
                known = touched.get(one) or self.histories.get(one) or []
                if events[0].version != len(known) + 1:
                    known = await self._feed.of_customer(one, 0)
                touched[one] = known + [event for event in events if event.version > len(known)]
                self._newest[one] = events[-1].position
            self.position = page[-1].position
        self.moved |= touched.keys()
        self.histories |= touched
        return list(touched.items())

    def forget(self, applied: int) -> None:
        """Whoever has arrived by this position."""
        for one in [one for one, newest in self._newest.items() if newest <= applied]:
            del self._newest[one], self.histories[one]


async def verifier(model: ReadModel, feed: Feed, lookups: Lookups, found: Found, *, repair: bool = False) -> "Verifier":
    """Of what is live. Raises NothingLive; FeedBehind if a repair would take from it what the event store has lost."""
    live = (await model.generations()).live
    if live is None or not await model.is_ours(live):
        raise NothingLive
    known = await model.checkpoint(live)
    if (head := await feed.head()) < known:
        raise FeedBehind(f"the head of the event store is {head}, position {known} has been seen")
    return Verifier(feed, Holdings(model, live, lookups), lookups, found, repair)


class Verifier:
    def __init__(self, feed: Feed, holdings: Holdings, lookups: Lookups, found: Found, repair: bool) -> None:
        self._feed = feed
        self._holdings = holdings
        self._lookups = lookups
        self._found = found
        self._repair = repair
        self._sums = Sums()
        self._suspects: set[UUID] = set()
        self._left: set[UUID] = set()
        self.after = FIRST
        """All customers up to this one are done with: whoever is stopped can go on from here."""

    async def all(self, told: Told = lambda *_: None, *, after: UUID = FIRST) -> int:
        """How many customers there are. Only from the beginning on, sizes and totals are compared as well.

        Raises NoQuietMoment, LiveNoMore, FeedUnavailable, or what Redis raises.
        """
        self.after = after
        try:
            begun_at = await self._feed.head()
            total, done, waiting = await self._holdings.customers(), 0, 0
            async for page in self._pages(after):
                histories = by_customer(page)
                await self._look_at(histories)
                waiting = waiting + 1 if self._suspects else 0
                if len(self._suspects) >= SUSPECTS or waiting >= PAGES:
                    await self._look_again()
                if not self._suspects:
                    self.after = page[-1].customer_id
                done += len(histories)
                told(done, max(total, done))
            await self._look_again()
            if after == FIRST:
                await self._the_rest(begun_at)
            return done
        finally:
            self._sums.close()

    async def some(self, customers: Iterable[UUID]) -> None:
        """These customers, wherever they stand."""
        try:
            for one in customers:
                self._suspects.add(one)
                await self._look_again()
                async for _, indexes in self._holdings.names():
                    for place in sorted(indexes):
                        await self._extras(place, one)
        finally:
            self._sums.close()

    async def _pages(self, after: UUID) -> AsyncIterator[Events]:
        """Whole customers; a feed that is cut off is asked again from there."""
        tries = 0
        while True:
            try:
                async for _, page in self._feed.by_customer(after):
                    yield page
                    after, tries = page[-1].customer_id, 0
            except FeedUnavailable:
                tries += 1
                if tries == FEED_TRIES:
                    raise
                await asyncio.sleep(LOOK_AGAIN_AFTER)
            else:
                return

    # --- customers ----------------------------------------------------------------------------------------------------

    async def _look_at(self, histories: Mapping[UUID, Events]) -> list[Differing]:
        """Add the customers to the sums; those of which something differs are suspects from now on."""
        differing, ones = list[Differing](), list(histories)
        for start in range(0, len(ones), AT_ONCE):
            rights = {one: expected(histories[one], self._lookups) for one in ones[start : start + AT_ONCE]}
            held = await self._holdings.held(rights)
            for one, right in rights.items():
                self._put(one, right)
                if found := differences(one, right, held[one]):
                    self._suspects.add(one)
                    differing.append(Differing(found, held[one].document, right))
        return differing

    async def _look_again(self) -> None:
        """Until nothing of a suspect differs, or something has differed every time."""
        differing: list[Differing] = []
        for look in range(LOOKS):
            if not self._suspects:
                return
            await asyncio.sleep(LOOK_AGAIN_AFTER if look else 0)
            suspects = {one: await self._feed.of_customer(one, 0) for one in self._suspects}
            self._suspects = set()
            differing = await self._look_at(suspects)
        self._suspects = set()
        await self._sure_of_what_is_read()
        for found, document, right in differing:
            one, repaired = found[0].customer_id, False
            if one and await self._is_on_its_way(one, document):
                continue
            if self._repair and one and right.readable:
                repaired = await self._holdings.replace(one, document, right)
            if one and not repaired:
                self._left.add(one)
            for difference in found:
                self._found(difference, repaired)

    async def _is_on_its_way(self, customer_id: UUID, seen: bytes | None) -> bool:
        """Whether all is right at the version that the document has, and that is the newest or newer than was seen."""
        for _ in range(GLIMPSES):
            version = (await self._holdings.moment(set(), [customer_id])).versions[customer_id]
            events = await self._feed.of_customer(customer_id, 0)
            then = expected(events[:version], self._lookups)
            held = (await self._holdings.held({customer_id: then}))[customer_id]
            if version_of(held.document) == version:
                moves = held.document != seen or version == len(events)
                return moves and not differences(customer_id, then, held)
        return False

    async def _sure_of_what_is_read(self) -> None:
        """Raises LiveNoMore. Nothing keeps a generation right that was left, nor is one repaired that is removed."""
        if not await self._holdings.are_live():
            raise LiveNoMore

    def _put(self, customer_id: UUID, right: Expected) -> None:
        self._sums.put(customer_id, right.version, right.indexed if right.view else None)

    # --- what else there is -------------------------------------------------------------------------------------------

    async def _the_rest(self, position: int) -> None:
        """All sums, at a moment; `position` is where the head was before the first customer was read."""
        indexes = set[str]()
        async for owners, names in self._holdings.names():
            indexes |= names
            self._suspects |= {one for one in owners if not self._sums.version(one)}
            if len(self._suspects) >= SUSPECTS:
                await self._look_again()
        await self._look_again()

        tail = Tail(self._feed, position)
        wrong = await self._wrong_sums(tail, indexes)
        await self._sure_of_what_is_read()
        for (name, total), by in sorted(wrong.items()):
            if total:
                if self._repair:
                    await self._holdings.correct(name, total, by=-by)
                self._found(Difference(None, "total", f"{name}:{total}", by), self._repair)
            elif by > 0 and not await self._extras(name):
                self._found(Difference(None, "extra", name, by), False)
        if wrong and self._repair:
            for (name, total), by in sorted((await self._wrong_sums(tail, indexes)).items()):
                self._found(Difference(None, "total", f"{name}:{total}".rstrip(":"), by), False)

        while tail.moved:  # they were looked at before they moved
            self._suspects |= {tail.moved.pop() for _ in range(min(SUSPECTS, len(tail.moved)))}
            await self._look_again()

    async def _wrong_sums(self, tail: Tail, indexes: set[str]) -> dict[Place, int]:
        """By how much there is too much. What is on its way makes a difference that is another one each time."""
        loop, wrong, times = asyncio.get_running_loop(), dict[Place, int](), 0
        moved = len(await self._moved(tail))
        before = moved + 1
        while NEARLY < moved < before:  # after minutes of looking at customers there is much to catch up with
            before, moved = moved, len(await self._moved(tail))
        until = loop.time() + QUIET_WITHIN
        while loop.time() < until:
            await self._moved(tail)
            total = self._sums.total()
            names = indexes | {name for name, of in total if not of}
            moment = await self._holdings.moment(names, list(tail.histories))
            nothing_unknown = await self._feed.head() == tail.position
            for one, version in moment.versions.items():
                self._put(one, expected(tail.histories[one][:version], self._lookups))
            tail.forget(moment.applied)
            total = self._sums.total()
            places = moment.sizes.keys() | total.keys()
            by = {place: moment.sizes.get(place, 0) - total.get(place, 0) for place in places}
            by = {place: too_much for place, too_much in by.items() if too_much}
            if not by:
                return {}
            if nothing_unknown:
                times = times + 1 if by == wrong else 1
                wrong = by
                if times == SURE_AFTER:
                    return wrong
            await asyncio.sleep(random.uniform(0, LOOK_AGAIN_AFTER / 4))
        raise NoQuietMoment

    async def _moved(self, tail: Tail) -> list[tuple[UUID, list[Event]]]:
        """Who has moved, after the sums have followed."""
        moved = await tail.follow()
        for one, history in moved:
            self._put(one, expected(history, self._lookups))
        return moved

    async def _extras(self, place: str, customer_id: UUID | None = None) -> int:
        """Find, and remove, what stands in the index and follows from no document; how many there were."""
        number = 0
        async for members in self._holdings.members(place, customer_id):
            strange = await self._holdings.strange(place, members)
            for _ in range(LOOKS):
                if not strange:
                    break
                await asyncio.sleep(LOOK_AGAIN_AFTER)
                strange = await self._holdings.strange(place, list(strange))
            for member, document in strange.items():
                one = indexing.customer_of(member)
                if one in self._left:
                    continue  # it may be the document that is wrong
                repaired = self._repair and await self._holdings.remove(place, member, document)
                self._found(Difference(one, "extra", place), repaired)
                number += 1
        return number
