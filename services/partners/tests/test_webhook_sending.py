"""One attempt, against real listeners that answer in every way."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from customerflow_partners.webhooks import addresses, sending
from customerflow_partners.webhooks.addresses import AddressRefused, networks
from customerflow_partners.webhooks.sending import Delivered, Failed, Gone, Outcome, Outgoing, Sender

from .certificates import Authority
from .receiver import OK, Received, Receiver, Respond, hang, raw, receiving, status

LOOPBACK = networks("127.0.0.0/8")
BODY = b'{"subject":"x"}'
NOW = datetime(2026, 11, 22, 15, 4, 5, tzinfo=UTC)


@asynccontextmanager
async def sender(url: str, outgoing: Outgoing | None = None, connections: int = 4) -> AsyncIterator[Sender]:
    made = outgoing or Outgoing(LOOPBACK)
    opened = Sender(made, url, connections)
    yield opened
    await opened.close()
    made.close()


async def sent(url: str, outgoing: Outgoing | None = None) -> Outcome:
    async with sender(url, outgoing) as opened:
        return await opened.send(BODY, {"webhook-id": "1"}, lambda: NOW)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr(sending, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.2)


async def test_a_delivery_is_a_post_of_exactly_the_event() -> None:
    async with receiving() as receiver:
        assert await sent(receiver.url + "?token=a%20b") == Delivered(204)
    (seen,) = receiver.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/hook?token=a%20b", BODY)
    assert seen.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "CustomerFlow-Webhooks/1",
        "content-type": "application/cloudevents+json",
        "content-length": str(len(BODY)),
        "webhook-id": "1",
    }


@pytest.mark.parametrize(
    ("respond", "outcome"),
    [
        (status(200, body=b"thank you"), Delivered(200)),
        (status(299), Delivered(299)),
        (raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), Delivered(200)),
        (raw(b"HTTP/1.0 202 Accepted\r\n\r\n"), Delivered(202)),
        (raw(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 X\r\n\r\n"), Delivered(204)),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut"), Delivered(200)),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nrubbish"), Delivered(200)),
        (status(410), Gone()),
        (status(301, "Location: /elsewhere"), Failed("redirect", 301)),
        (status(302, "Location: http://127.0.0.1:1/"), Failed("redirect", 302)),
        (status(307, "Location: https://example.com/"), Failed("redirect", 307)),
        (status(304), Failed("redirect", 304)),
        (status(400), Failed("status", 400)),
        (status(401), Failed("status", 401)),
        (status(404, "Retry-After: 9"), Failed("status", 404)),
        (status(500, body=b"x" * 1000), Failed("status", 500)),
        (status(503), Failed("status", 503)),
        (status(503, "Retry-After: 9"), Failed("status", 503, whole=True, wait=9)),
        (status(503, "Retry-After: later"), Failed("status", 503)),
        (status(429), Failed("status", 429, whole=True)),
        (status(429, "retry-AFTER: Sun, 22 Nov 2026 15:04:35 GMT"), Failed("status", 429, whole=True, wait=30)),
        (raw(b""), Failed("not-http")),
        (raw(b"\x00\xff\x16rubbish\r\n\r\n"), Failed("not-http")),
        (raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Failed("not-http")),
        (raw(b"HTTP/1.1 "), Failed("not-http")),
        (raw(b"HTTP/1.1 999 Odd\r\n\r\n"), Failed("status", 999)),
        (raw(b"HTTP/1.1 600 Odd\r\n\r\n"), Failed("status", 600)),
        (raw(b"HTTP/1.1 0 Odd\r\n\r\n"), Failed("not-http")),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), Failed("not-http")),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n"), Failed("not-http")),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Failed("not-http")),
    ],
)
async def test_what_comes_of_an_attempt_is_told_by_the_answer(respond: Respond, outcome: Outcome) -> None:
    async with receiving() as receiver:
        receiver.respond = respond
        assert await sent(receiver.url) == outcome
        assert len(receiver.seen) == 1


@pytest.mark.usefixtures("hurried")
async def test_a_receiver_that_hangs_is_given_up() -> None:
    async with receiving() as receiver:
        receiver.respond = hang
        assert await sent(receiver.url) == Failed("timeout")


@pytest.mark.usefixtures("hurried")
async def test_a_receiver_that_sends_its_head_byte_by_byte_is_given_up_after_the_whole_time() -> None:
    async def drip(_: Received, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    async with receiving() as receiver:
        receiver.respond = drip
        began = time.monotonic()
        assert await sent(receiver.url) == Failed("timeout")
        assert time.monotonic() - began < 2


@pytest.mark.usefixtures("hurried")
async def test_early_answers_without_an_end_are_given_up_too() -> None:
    async def early(_: Received, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            await writer.drain()

    async with receiving() as receiver:
        receiver.respond = early
        assert await sent(receiver.url) == Failed("timeout")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("interval", [0.0, 0.05])
async def test_an_endless_answer_is_left_and_its_status_counts(interval: float) -> None:
    written = 0

    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1000)
            written += 1000
            await writer.drain()
            await asyncio.sleep(interval)

    async with receiving() as receiver:
        receiver.respond = endless
        async with sender(receiver.url) as opened:
            began = time.monotonic()
            assert await opened.send(BODY, {}, lambda: NOW) == Delivered(200)
            assert time.monotonic() - began < 1
            await asyncio.sleep(0.1)
            so_far = written
            await asyncio.sleep(0.2)
            assert written <= so_far + 1000, "the connection is still read from"


async def test_a_connection_is_used_again_while_it_is_young() -> None:
    async with receiving() as receiver, sender(receiver.url) as opened:
        for _ in range(3):
            assert await opened.send(BODY, {}, lambda: NOW) == Delivered(204)
        assert receiver.connections == 1


async def test_no_more_connections_are_made_than_allowed() -> None:
    async def slow(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await OK(request, writer)

    async with receiving() as receiver, sender(receiver.url, connections=2) as opened:
        receiver.respond = slow
        await asyncio.gather(*(opened.send(BODY, {}, lambda: NOW) for _ in range(10)))
        assert len(receiver.seen) == 10
        assert receiver.connections == 2


async def test_a_port_that_nobody_listens_on_is_a_failure_of_the_whole() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        assert await sent(url) == Failed("not-connected", whole=True)


@pytest.mark.usefixtures("hurried")
async def test_a_host_that_does_not_answer_to_a_connection_is_a_failure_of_the_whole() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):  # the queue of connections is full then
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            waiting.append(one)
        assert await sent(f"http://127.0.0.1:{full.getsockname()[1]}/") == Failed("connect-timeout", whole=True)
        for one in waiting:
            one.close()


async def test_a_name_that_does_not_exist_is_a_failure_of_the_whole() -> None:
    assert await sent("https://nobody.invalid/") == Failed("address-unresolved", whole=True)


async def test_a_private_address_is_refused_and_never_connected_to() -> None:
    async with receiving() as receiver:
        for url in (receiver.url, receiver.url.replace("http", "https"), f"http://localhost:{receiver.port}/"):
            outcome = await sent(url, Outgoing())
            assert isinstance(outcome, Failed)
            assert outcome.whole
            assert outcome.error in ("address-scheme", "address-not-public")
        assert receiver.connections == 0


async def test_a_name_that_leads_elsewhere_by_the_time_of_the_connection_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: public when it is looked at, private when it is connected to."""
    asked = 0

    def look_up(_: str, __: int) -> list[addresses.IPAddress]:
        nonlocal asked
        asked += 1
        return [ip_address("1.1.1.1" if asked == 1 else "127.0.0.1")]

    monkeypatch.setattr(sending, "_look_up", look_up)
    outgoing = Outgoing()
    async with receiving() as receiver:
        where = addresses.target(f"https://rebound.example:{receiver.port}/")
        assert await outgoing.addresses(where) == [ip_address("1.1.1.1")]
        outcome = await sent(f"https://rebound.example:{receiver.port}/", outgoing)
        assert outcome == Failed("address-not-public", whole=True)
        assert asked == 2
        assert receiver.connections == 0


async def test_it_connects_to_the_very_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name resolves to something else for everybody but the one who checks."""
    monkeypatch.setattr(sending, "_look_up", lambda *_: [ip_address("127.0.0.1")])
    async with receiving() as receiver:
        assert await sent(f"http://elsewhere.invalid:{receiver.port}/") == Delivered(204)
        assert receiver.seen[0].headers["host"] == f"elsewhere.invalid:{receiver.port}"


async def test_the_next_address_of_a_name_is_tried_if_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_look_up", lambda *_: [ip_address("127.0.0.9"), ip_address("127.0.0.1")])
    async with receiving() as receiver:
        assert await sent(f"http://two.example:{receiver.port}/") == Delivered(204)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await sent(receiver.url) == Delivered(204)
        assert proxy.connections == 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_over_tls_the_certificate_must_be_for_the_name_and_by_an_authority_that_is_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_look_up", lambda *_: [ip_address("127.0.0.1")])

    async def over(receiver: Receiver, host: str, ca: str | None) -> Outcome:
        return await sent(f"https://{host}:{receiver.port}/", Outgoing(LOOPBACK, ca))

    async with receiving(authority.server("hooks.example", "127.0.0.1")) as receiver:
        assert await over(receiver, "hooks.example", authority.certificate) == Delivered(204)
        assert await over(receiver, "127.0.0.1", authority.certificate) == Delivered(204)
        assert len(receiver.seen) == 2
        assert await over(receiver, "other.example", authority.certificate) == Failed("tls", whole=True)
        assert await over(receiver, "hooks.example", None) == Failed("tls", whole=True)
        assert len(receiver.seen) == 2

    async def unencrypted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(unencrypted, "127.0.0.1", 0) as plain:
        url = f"https://hooks.example:{plain.sockets[0].getsockname()[1]}/"
        assert await sent(url, Outgoing(LOOPBACK, authority.certificate)) == Failed("tls", whole=True)


async def test_one_name_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def look_up(host: str, _: int) -> list[addresses.IPAddress]:
        nonlocal asked
        if host == "slow.example":
            asked += 1
            time.sleep(1.0)
        return [ip_address("127.0.0.1")]

    monkeypatch.setattr(sending, "_look_up", look_up)
    monkeypatch.setattr(sending, "CONNECT_SECONDS", 0.3)
    outgoing = Outgoing(LOOPBACK)
    async with receiving() as receiver, sender(f"http://slow.example:{receiver.port}/", outgoing, 200) as slow:
        hanging = [asyncio.create_task(slow.send(BODY, {}, lambda: NOW)) for _ in range(sending.RESOLVED_AT_ONCE + 1)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        async with sender(f"http://fast.example:{receiver.port}/", outgoing) as fast:
            assert await fast.send(BODY, {}, lambda: NOW) == Delivered(204)
        assert time.monotonic() - began < 0.5
        assert {*await asyncio.gather(*hanging)} == {Failed("address-unresolved", whole=True)}
        assert asked == 1


async def test_what_an_operator_is_told_never_says_what_a_name_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_look_up", lambda *_: [ip_address("10.20.30.40")])
    outgoing = Outgoing()
    with pytest.raises(AddressRefused) as refused:
        await outgoing.addresses(addresses.target("https://inside.example/"))
    assert "10.20" not in f"{refused.value} {refused.value!r} {refused.value.detail}"
    outgoing.close()
