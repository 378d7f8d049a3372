"""Between a program and Redis: passes everything on, and writes down what Redis is asked to do."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Command = list[bytes]
_CHUNK = 1 << 18


@contextmanager
def recorded(redis_port: int, heard: Callable[[Command], None]) -> Iterator[int]:
    """The port at which to ask instead of Redis' own; `heard` is told of every command, in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", redis_port)
        asking = Commands()

        def listen(data: bytes) -> None:
            for command in asking.fed(data):
                heard(command)

        await asyncio.gather(_pass(reader, back, listen), _pass(there, writer, lambda _: None))

    started = asyncio.run_coroutine_threadsafe(asyncio.start_server(between, "127.0.0.1", 0), loop)
    server = started.result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Callable[[bytes], None]) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            heard(data)
            writer.write(data)
            await writer.drain()
    writer.close()


class Commands:
    """Out of the bytes that a client sends: arrays of strings with their lengths, as every client of Redis does."""

    def __init__(self) -> None:
        self._received = bytearray()

    def fed(self, data: bytes) -> Iterator[Command]:
        self._received += data
        at = 0
        while found := self._command(at):
            command, at = found
            yield command
        del self._received[:at]

    def _command(self, at: int) -> tuple[Command, int] | None:
        """The one that begins there, and where it ends; None while it is not whole."""
        head = self._number(at, b"*")
        if head is None:
            return None
        words, at = head
        command: Command = []
        for _ in range(words):
            length = self._number(at, b"$")
            if length is None or len(self._received) < length[1] + length[0] + 2:
                return None
            size, start = length
            command.append(bytes(self._received[start : start + size]))
            at = start + size + 2
        return command, at

    def _number(self, at: int, kind: bytes) -> tuple[int, int] | None:
        end = self._received.find(b"\r\n", at)
        if end < 0:
            return None
        if self._received[at : at + 1] != kind:
            raise ValueError("that is not how Redis is asked")
        return int(self._received[at + 1 : end]), end + 2
