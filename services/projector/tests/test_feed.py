"""What the feed's reader makes of every answer that a command service, or what stands in its place, can give."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import httpx
import pytest
from customerflow_projector.feed import CUSTOMERS_PAGE, PAGE, Feed, FeedBehind, FeedUnavailable
from customerflow_shared import events
from customerflow_shared.events import Place, Recorded

from .builders import ANA, interleaved, renamings

TOKEN = "token-of-the-feed"
HISTORY = interleaved(renamings(ANA, 3), renamings(uuid4(), 2))

Handler = Callable[[httpx.Request], httpx.Response]


def feed(handler: Handler) -> Feed:
    return Feed(
        httpx.AsyncClient(
            base_url="http://command",
            headers={"Authorization": f"Bearer {TOKEN}"},
            transport=httpx.MockTransport(handler),
        )
    )


def lines(*history: Recorded) -> bytes:
    return b"".join(events.encode(event) + b"\n" for event in history)


def answering(body: bytes, *, head: str = "5", status: int = 200) -> Feed:
    return feed(lambda _: httpx.Response(status, content=body, headers={"CustomerFlow-Head": head}))


async def read(source: Feed, after: int = 0) -> list[Recorded | Place]:
    return [event async for _, page in source.after(after) for event in page]


async def test_all_events_come_with_the_head() -> None:
    pages = [(head, page) async for head, page in answering(lines(*HISTORY)).after(0)]
    assert pages == [(5, HISTORY)]


async def test_a_reader_says_where_it_stands_and_who_it_is() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, dict(request.url.params)) == ("/internal/events", {"after": "3"})
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return httpx.Response(200, content=lines(*HISTORY[3:]), headers={"CustomerFlow-Head": "5"})

    assert await read(feed(handler), after=3) == HISTORY[3:]


async def test_a_long_feed_comes_in_pages() -> None:
    long = interleaved(renamings(ANA, PAGE * 2 + 1))
    pages = [page async for _, page in answering(lines(*long), head=str(len(long))).after(0)]
    assert [len(page) for page in pages] == [PAGE, PAGE, 1]
    assert [event for page in pages for event in page] == long


async def test_a_feed_that_grows_while_it_is_read_gives_more_than_its_head() -> None:
    assert await read(answering(lines(*HISTORY), head="2")) == HISTORY


async def test_at_the_head_there_is_nothing() -> None:
    assert await read(answering(b"", head="5"), after=5) == []


@pytest.mark.parametrize("cut", range(1, len(lines(HISTORY[0])) + 1, 40))
async def test_lines_may_be_cut_anywhere_into_chunks(cut: int) -> None:
    whole = lines(*HISTORY)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), cut):
            yield whole[start : start + cut]

    cut_up = feed(lambda _: httpx.Response(200, content=chunks(), headers={"CustomerFlow-Head": "5"}))
    assert await read(cut_up) == HISTORY


async def test_an_event_store_that_knows_less_is_another_one() -> None:
    with pytest.raises(FeedBehind, match="head of the event store is 5, position 6 has been seen"):
        await read(answering(b"", head="5"), after=6)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(lines(HISTORY[0], HISTORY[2]), "position 2 is missing", id="a position is missing"),
        pytest.param(lines(HISTORY[0], HISTORY[0]), "position 2 is missing", id="a position comes twice"),
        pytest.param(lines(*HISTORY[:4]), "cut off at position 4 of 5", id="cut off between two lines"),
        pytest.param(b"", "cut off at position 0 of 5", id="empty"),
        pytest.param(lines(*HISTORY)[:-1], "the last line is cut off", id="cut off before a line feed"),
        pytest.param(lines(*HISTORY)[:-20], "the last line is cut off", id="cut off within a line"),
        pytest.param(b"<html>\n", "DecodeError", id="not JSON"),
        pytest.param(b"{}\n", "ValidationError", id="not an event"),
        pytest.param(lines(HISTORY[0]).replace(b"Ana", b"\xff"), "DecodeError", id="not UTF-8"),
        pytest.param(b"[" * 100_000 + b"\n", "ValidationError", id="nested"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"\n", "DecodeError", id="nested deeply"),
    ],
)
async def test_a_feed_with_a_fault_is_unavailable(body: bytes, message: str) -> None:
    with pytest.raises(FeedUnavailable, match=message):
        await read(answering(body))


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_a_refusal_is_unavailability(status: int) -> None:
    with pytest.raises(FeedUnavailable, match=f"event feed answers {status}"):
        await read(answering(b"", status=status))
    with pytest.raises(FeedUnavailable, match=f"event feed answers {status}"):
        await answering(b"", status=status).of_customer(ANA, 0)
    with pytest.raises(FeedUnavailable):
        await answering(b"", status=status).ping()


@pytest.mark.parametrize("head", ["", "many"])
async def test_an_answer_without_a_head_is_not_the_feeds(head: str) -> None:
    with pytest.raises(FeedUnavailable):
        await read(answering(b"", head=head))


async def test_an_answer_without_the_header_is_not_the_feeds() -> None:
    with pytest.raises(FeedUnavailable):
        await read(feed(lambda _: httpx.Response(200, content=b"")))


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_a_connection_that_fails_is_unavailability(error: type[httpx.TransportError]) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error("to a customer's address")

    with pytest.raises(FeedUnavailable) as caught:
        await read(feed(handler))
    assert str(caught.value) == f"the command service's event feed cannot be read: {error.__name__}"


async def test_a_connection_that_breaks_off_is_unavailability() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield lines(*HISTORY[:2])
        raise httpx.ReadError("reset by peer")

    source = feed(lambda _: httpx.Response(200, content=broken(), headers={"CustomerFlow-Head": "5"}))
    with pytest.raises(FeedUnavailable):
        await read(source)


async def test_an_event_of_another_time_comes_as_its_place() -> None:
    newer = lines(HISTORY[1]).replace(b'"type":"CustomerRegistered"', b'"type":"CustomerMarried","to":"?"')
    found = await read(answering(lines(HISTORY[0]) + newer + lines(*HISTORY[2:])))
    assert found[1] == Place(position=2, customer_id=HISTORY[1].customer_id, version=1)
    assert [found[0], *found[2:]] == [HISTORY[0], *HISTORY[2:]]


async def test_one_customers_events_are_asked_for_by_version() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, dict(request.url.params)) == (f"/internal/customers/{ANA}/events", {"after": "1"})
        return httpx.Response(200, content=lines(*renamings(ANA, 3)[1:]))

    assert await feed(handler).of_customer(ANA, 1) == renamings(ANA, 3)[1:]


async def test_one_customers_events_cut_off_are_unavailable() -> None:
    with pytest.raises(FeedUnavailable, match="the last line is cut off"):
        await answering(lines(*renamings(ANA, 3))[:-5]).of_customer(ANA, 0)


BOTH = sorted(HISTORY, key=lambda one: (one.customer_id, one.version))


async def by_customer(source: Feed, after: UUID = UUID(int=0)) -> list[Recorded | Place]:  # noqa: B008  # frozen
    return [event async for _, page in source.by_customer(after) for event in page]


async def test_customers_come_whole_with_the_head() -> None:
    pages = [found async for found in answering(lines(*BOTH) + b"\n").by_customer(UUID(int=0))]
    assert pages == [(5, BOTH)]


async def test_a_reader_of_customers_says_after_whom() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, dict(request.url.params)) == ("/internal/customers/events", {"after": str(ANA)})
        return httpx.Response(200, content=b"\n", headers={"CustomerFlow-Head": "5"})

    assert await by_customer(feed(handler), ANA) == []


async def test_no_customer_is_cut_by_the_end_of_a_page() -> None:
    long = [event for number in (1, 2, 3) for event in renamings(UUID(int=number), CUSTOMERS_PAGE - 1)]
    pages = [page async for _, page in answering(lines(*long) + b"\n").by_customer(UUID(int=0))]
    assert [{event.customer_id.int for event in page} for page in pages] == [{1, 2}, {3}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(lines(*BOTH), "cut off", id="without its end"),
        pytest.param(b"", "cut off", id="empty"),
        pytest.param(lines(BOTH[0], BOTH[2]) + b"\n", "an event is missing", id="a version is missing"),
        pytest.param(lines(*BOTH[1:]) + b"\n", "an event is missing", id="the first is missing"),
        pytest.param(lines(BOTH[-2], BOTH[0]) + b"\n", "an event is missing", id="not by customer"),
    ],
)
async def test_customers_with_a_fault_are_unavailable(body: bytes, message: str) -> None:
    with pytest.raises(FeedUnavailable, match=message):
        await by_customer(answering(body))


async def test_the_head_is_asked_for_without_events() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"after": str(10**18 - 1)}
        return httpx.Response(200, headers={"CustomerFlow-Head": "7"})

    assert await feed(handler).head() == 7
