"""RabbitMQ's management interface, as it treats its connections."""

import asyncio

import pytest
from customerflow_partners import management
from customerflow_partners.management import Management, Unavailable

ANSWERS = {
    b"/api/whoami": b'{"name": "operator", "tags": ["administrator"]}',
    b"/api/vhosts/%2F": b'{"name": "/"}',
}


class Broker:
    """Answers so many requests of each connection, and closes it without an answer to the next."""

    def __init__(self, each: int) -> None:
        self.asked: list[bytes] = []
        self._each = each

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for left in range(self._each, -1, -1):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            self.asked.append(head.split(b" ")[1])
            if left:
                body = ANSWERS[self.asked[-1]]
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()


async def checked(broker: Broker) -> None:
    server = await asyncio.start_server(broker.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        async with management.connect(f"http://operator:secret@127.0.0.1:{port}/") as http:
            await Management(http, "/").check()
    finally:
        server.close()


async def test_a_connection_that_is_closed_as_a_question_is_on_its_way_is_no_outage() -> None:
    broker = Broker(each=1)
    await checked(broker)
    assert broker.asked == [b"/api/whoami", b"/api/vhosts/%2F", b"/api/vhosts/%2F"]


async def test_a_broker_that_never_answers_is_asked_twice() -> None:
    broker = Broker(each=0)
    with pytest.raises(Unavailable):
        await checked(broker)
    assert broker.asked == [b"/api/whoami"] * 2
