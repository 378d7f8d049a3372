"""Command processes that die at the one moment that matters: their transaction is committed, and nobody knows."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from customerflow_local.processes import MARKER
from customerflow_local.stack import Stack

from blackbox.waiting import eventually

_COMMIT: Final = b"COMMIT"  # the end of a group's only packet
_WRITES: Final = b"INSERT INTO cf_events"
_PRELOADED: Final = Path(__file__).with_name("preloaded.py")


class WithheldCommits:
    """A way to MySQL on which the COMMIT of a transaction that writes events arrives, but not the server's answer."""

    def __init__(self, mysql: str) -> None:
        self._mysql = urlsplit(mysql)
        self.withheld = 0
        self.url = ""

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        account, _, _ = self._mysql.netloc.rpartition("@")
        self.url = self._mysql._replace(netloc=f"{account}@127.0.0.1:{port}").geturl()
        return server

    async def _take(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._mysql.hostname, self._mysql.port)
        writes = muted = False

        async def ask() -> None:
            nonlocal writes, muted
            while asked := await client.read(2**16):
                writes = writes or _WRITES in asked
                if writes and asked.endswith(_COMMIT):
                    muted = True
                    self.withheld += 1
                to_server.write(asked)

        async def answer() -> None:
            while answered := await server.read(2**16):
                if not muted:
                    to_client.write(answered)

        ways = [asyncio.create_task(ask()), asyncio.create_task(answer())]
        with suppress(ConnectionError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (to_server, to_client):
            writer.close()


@dataclass(frozen=True)
class Mortal:
    """A command process of its own, and what stands between it and the database."""

    pid: int
    url: str
    commits: WithheldCommits

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Cradle:
    """Brings command processes into being, one after the other or several at once."""

    def __init__(self, stack: Stack, forks: asyncio.subprocess.Process) -> None:
        self._settings = {name: value for name, value in stack.env.items() if name != "CF_MYSQL_OWNER_URL"}
        self._forks = forks
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def mortal(self) -> AsyncIterator[Mortal]:
        """One that is ready; whoever has it is to kill it."""
        commits = WithheldCommits(self._settings["CF_MYSQL_URL"])
        async with await commits.serve():
            port = _free_port()
            own = {"CF_HOST": "127.0.0.1", "CF_PORT": str(port), "CF_MYSQL_URL": commits.url, "CF_UPKEEP_EVERY": "3600"}
            mortal = Mortal(await self._fork(self._settings | own), f"http://127.0.0.1:{port}", commits)
            try:
                await eventually(lambda: _ready(mortal.url), within=30)
                yield mortal
            finally:
                with suppress(ProcessLookupError):
                    mortal.kill()

    async def _fork(self, env: dict[str, str]) -> int:
        assert self._forks.stdin
        assert self._forks.stdout
        async with self._turn:
            self._forks.stdin.write(json.dumps(env).encode() + b"\n")
            return int(await self._forks.stdout.readline())


@asynccontextmanager
async def cradle(stack: Stack) -> AsyncIterator[Cradle]:
    log = stack.instance.folder / "logs" / "mortal.log"
    with log.open("ab") as errors:
        forks = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_PRELOADED),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, MARKER: str(stack.instance.folder)},
        )
    try:
        yield Cradle(stack, forks)
    finally:
        if forks.stdin:
            forks.stdin.close()
        await forks.wait()


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        try:
            answer = await client.get(f"{url}/health/ready")
        except httpx.TransportError as error:
            raise AssertionError(f"{url} does not answer") from error
    assert answer.is_success


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
