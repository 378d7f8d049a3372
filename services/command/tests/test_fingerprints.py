"""No process works on a database with secrets other than those that it was filled with."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from customerflow_command.fingerprints import Fingerprints, ForeignSecret
from customerflow_command.personal import MasterKeys, Pepper
from customerflow_command.schema import SCHEMA
from customerflow_shared import database
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from customerflow_local.testing import Database, Servers


def secret(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


@pytest.fixture
async def fresh(cf_servers: Servers) -> AsyncIterator[Database]:
    with cf_servers.database() as one:
        await SCHEMA.migrate(one.owner_url, one.url)
        yield one


@pytest.fixture
async def engine(fresh: Database) -> AsyncIterator[AsyncEngine]:
    opened = database.open_engine(fresh.url)
    yield opened
    await opened.dispose()


def own(engine: AsyncEngine, keys: str, pepper: int = 9, *, leaves: bool = True) -> Fingerprints:
    own = {"claim pepper": Pepper(secret(pepper)).fingerprint(), **MasterKeys(keys).fingerprints()}
    return Fingerprints(engine, own, leaves=leaves)


K1, K2, OTHER_K1 = f"k1={secret(1)}", f"k2={secret(2)}", f"k1={secret(3)}"


async def test_the_secrets_of_the_first_process_are_those_of_the_database(engine: AsyncEngine) -> None:
    await own(engine, K1).check()
    await own(engine, K1).check()
    with pytest.raises(ForeignSecret, match="claim pepper"):
        await own(engine, K1, pepper=8).check()
    with pytest.raises(ForeignSecret, match="master key k1"):
        await own(engine, OTHER_K1).check()


async def test_master_keys_can_be_added(engine: AsyncEngine) -> None:
    await own(engine, K1).check()
    await own(engine, f"{K2},{K1}").check()
    await own(engine, K2).check()
    with pytest.raises(ForeignSecret):
        await own(engine, f"{K2},{OTHER_K1}").check()


async def test_a_process_that_only_reads_leaves_nothing(engine: AsyncEngine) -> None:
    reader = own(engine, OTHER_K1, leaves=False)
    await reader.check()
    await own(engine, K1).check()
    with pytest.raises(ForeignSecret):
        await reader.check()


async def test_the_database_is_asked_until_it_has_agreed(fresh: Database, engine: AsyncEngine) -> None:
    owner = database.open_engine(fresh.owner_url)
    await own(engine, K1).check()
    foreign, agreed = own(engine, OTHER_K1), own(engine, K1)
    for _ in range(2):
        with pytest.raises(ForeignSecret):
            await foreign.check()
    await agreed.check()
    async with database.session(owner) as session:
        await session.run("DELETE FROM cf_fingerprints")
        await session.commit()
        await agreed.check()
        assert await session.rows("SELECT COUNT(*) FROM cf_fingerprints") == [(0,)]
    await owner.dispose()
