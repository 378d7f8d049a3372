"""MySQL, looked at, or damaged, by somebody who is not part of the system."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncmy

Row = tuple[Any, ...]


class Database:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, statement: str) -> list[Row]:
        async with self._connection.cursor() as cursor:
            await cursor.execute(statement)
            return list(await cursor.fetchall())

    async def run(self, statement: str) -> int:
        """How many rows it has changed."""
        async with self._connection.cursor() as cursor:
            return int(await cursor.execute(statement))

    async def tables(self) -> list[str]:
        return [name for (name,) in await self.rows("SHOW TABLES") if name.startswith("cf_")]


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    parts = urlsplit(url)
    connection = await asyncmy.connect(
        host=parts.hostname,
        port=parts.port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        db=parts.path.strip("/"),
        autocommit=True,
    )
    try:
        yield Database(connection)
    finally:
        await connection.ensure_closed()
