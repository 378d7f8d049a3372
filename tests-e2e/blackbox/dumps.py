"""All that a server or program keeps, as bytes to search in."""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import redis.asyncio
from aio_pika.abc import AbstractIncomingMessage
from customerflow_local.stack import Stack

from blackbox.database import Row, database
from blackbox.system import System


async def tables(system: System) -> dict[str, bytes]:
    """Every row of every table, as the owner of the database sees them."""
    async with database(system.mysql_owner) as observer:
        return {table: _rows(await observer.rows(f"SELECT * FROM {table}")) for table in await observer.tables()}


def _rows(rows: Iterable[Row]) -> bytes:
    return b"\n".join(b"|".join(map(_bytes, row)) for row in rows)


async def read_model(system: System) -> bytes:
    """Every key of Redis, of whatever type, with what it holds."""
    async with redis.asyncio.Redis.from_url(system.redis) as observer:
        found = []
        async for key in observer.scan_iter(count=1000):
            found += [key, await _value(observer, key)]
    return b"\n".join(found)


async def _value(observer: redis.asyncio.Redis, key: bytes) -> bytes:
    kind = await observer.type(key)
    match kind:
        case b"string":
            return _bytes(await observer.get(key))
        case b"hash":
            return _bytes(await observer.hgetall(key))
        case b"set":
            return _bytes(await observer.smembers(key))
        case b"list":
            return _bytes(await observer.lrange(key, 0, -1))
        case b"zset":
            return _bytes(await observer.zrange(key, 0, -1))
        case b"none":  # gone meanwhile
            return b""
        case _:
            raise AssertionError(f"{key!r} is a {kind!r}, which nobody can search")


def messages(taken: Iterable[AbstractIncomingMessage]) -> bytes:
    """With their headers, properties and routing keys."""
    return b"\n".join(
        message.body + json.dumps([message.headers, message.routing_key, message.info()], default=str).encode()
        for message in taken
    )


def logs(stack: Stack) -> Iterator[tuple[str, bytes]]:
    for log in sorted((stack.instance.folder / "logs").iterdir()):
        yield log.name, log.read_bytes()


def _unpacked(value: bytes) -> bytes:
    """What is within, if it is compressed."""
    try:
        return b" " + zlib.decompress(value)
    except zlib.error:
        return b""


def _bytes(value: Any) -> bytes:
    """Bytes as they are: an escape could hide what is searched for."""
    match value:
        case bytes():
            return value + _unpacked(value)
        case str():
            return value.encode()
        case dict():
            return b" ".join(_bytes(key) + b"=" + _bytes(kept) for key, kept in value.items())
        case list() | set() | tuple():
            return b" ".join(map(_bytes, value))
        case _:
            return str(value).encode()
