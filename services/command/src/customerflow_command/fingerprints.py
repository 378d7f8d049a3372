"""Which secrets a database was filled with.

With another pepper, values that are taken would look free; with another master key of the same name, what is written
could be read by one half of the processes only. So the first process that writes leaves a fingerprint of each of its
secrets, and no process that has another one gets to work.
"""

from collections.abc import Mapping
from itertools import chain

from customerflow_shared import database
from sqlalchemy.ext.asyncio import AsyncEngine


class ForeignSecret(Exception):
    """A secret is not the one that this database was filled with."""


class Fingerprints:
    """`own` are those of this process, by the secrets' names; only a process that `leaves` them adds new ones."""

    def __init__(self, engine: AsyncEngine, own: Mapping[str, bytes], *, leaves: bool) -> None:
        self._engine = engine
        self._own = own
        self._leaves = leaves
        self._verified = False

    async def check(self) -> None:
        """Raises ForeignSecret or DatabaseUnavailable. The database is asked until it has agreed to each secret."""
        if self._verified:
            return
        async with database.session(self._engine) as session:
            held = await _held(session)
            if self._leaves and (missing := [pair for pair in self._own.items() if pair[0] not in held]):
                await session.run(
                    f"INSERT IGNORE INTO cf_fingerprints (name, mac) VALUES {database.placeholders(len(missing), 2)}",
                    [*chain.from_iterable(missing)],
                )
                await session.commit()
                held = await _held(session)
        for name, mac in self._own.items():
            if held.get(name, mac) != mac:
                raise ForeignSecret(f"the {name} is not the one that this database was filled with")
        self._verified = self._own.keys() <= held.keys()


async def _held(session: database.Session) -> dict[str, bytes]:
    return dict(await session.rows("SELECT name, mac FROM cf_fingerprints"))
