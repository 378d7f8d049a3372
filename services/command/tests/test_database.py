"""The schema is brought up to date once, whoever tries, and the runtime account may not rewrite history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from customerflow_command.schema import SCHEMA
from customerflow_shared import database
from customerflow_shared.database import DatabaseRefused, DatabaseUnavailable, SchemaNotReady

if TYPE_CHECKING:
    from customerflow_local.testing import Database, Servers

    from services.command.tests.conftest import WriteSide

COMMAND_DENIED = {1142, 1143}


async def test_many_processes_may_migrate_at_once(cf_servers: Servers) -> None:
    with cf_servers.database() as fresh:
        await asyncio.gather(*(SCHEMA.migrate(fresh.owner_url, fresh.url) for _ in range(4)))
        await SCHEMA.migrate(fresh.owner_url, fresh.url)
        engine = database.open_engine(fresh.url)
        await SCHEMA.check(engine)
        await engine.dispose()


async def test_a_migration_that_was_cut_off_can_be_repeated(cf_servers: Servers) -> None:
    with cf_servers.database() as fresh:
        owner = database.open_engine(fresh.owner_url)
        async with database.session(owner) as session:
            await session.run(
                "CREATE TABLE cf_position (id TINYINT UNSIGNED PRIMARY KEY, head BIGINT UNSIGNED NOT NULL)"
            )
        await SCHEMA.migrate(fresh.owner_url, fresh.url)
        await SCHEMA.check(owner)
        await owner.dispose()


async def test_without_the_schema_the_service_is_not_ready(cf_servers: Servers) -> None:
    with cf_servers.database() as fresh:
        engine = database.open_engine(fresh.owner_url)
        with pytest.raises(SchemaNotReady):
            await SCHEMA.check(engine)
        await engine.dispose()


async def test_a_newer_schema_is_accepted_and_left_alone_an_older_one_is_not(cf_servers: Servers) -> None:
    with cf_servers.database() as fresh:
        await SCHEMA.migrate(fresh.owner_url, fresh.url)
        owner = database.open_engine(fresh.owner_url)

        async def revision(number: str) -> None:
            async with database.session(owner) as session:
                await session.run("UPDATE cf_schema_version SET version_num = %s", (number,))
                await session.commit()

        await revision("9999")
        await SCHEMA.check(owner)
        await SCHEMA.migrate(fresh.owner_url, fresh.url)
        await SCHEMA.check(owner)
        await revision("0000")
        with pytest.raises(SchemaNotReady, match="this release needs"):
            await SCHEMA.check(owner)
        await owner.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cf_events SET data = '{}'",
        "DELETE FROM cf_events",
        "UPDATE cf_customer_keys SET wrapped = ''",
        "UPDATE cf_claims SET customer_id = ''",
        "DELETE FROM cf_position",
        "INSERT INTO cf_leases (name, holder, token, expires_at) VALUES ('x', '', 0, NOW())",
        "TRUNCATE TABLE cf_events",
        "DROP TABLE cf_events",
        "CREATE TABLE cf_mine (id INT)",
    ],
)
async def test_the_runtime_account_is_denied(write_side: WriteSide, statement: str) -> None:
    with pytest.raises(DatabaseRefused) as caught:
        async with database.session(write_side.engine) as session:
            await session.run(statement)
    assert caught.value.number in COMMAND_DENIED


async def test_a_refused_statement_does_not_cost_the_connection(write_side: WriteSide) -> None:
    async def connection_id() -> int:
        async with database.session(write_side.engine) as session:
            return int((await session.rows("SELECT CONNECTION_ID()"))[0][0])

    before = await connection_id()
    with pytest.raises(DatabaseRefused):
        async with database.session(write_side.engine) as session:
            await session.rows("SELECT * FROM nowhere")
    assert await connection_id() == before


async def test_a_killed_connection_is_replaced(write_side: WriteSide, migrated: Database) -> None:
    owner = database.open_engine(migrated.owner_url)
    async with database.session(write_side.engine) as session:
        victim = (await session.rows("SELECT CONNECTION_ID()"))[0][0]
    with pytest.raises(DatabaseUnavailable):
        async with database.session(write_side.engine) as session:
            victim = (await session.rows("SELECT CONNECTION_ID()"))[0][0]
            async with database.session(write_side.engine) as killer:
                await killer.run(f"KILL {victim}")
            await session.rows("SELECT 1")
    async with database.session(write_side.engine) as session:
        assert (await session.rows("SELECT 1")) == [(1,)]
    await owner.dispose()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    engine = database.open_engine("mysql://nobody:nothing@127.0.0.1:1/customerflow")
    with pytest.raises(DatabaseUnavailable):
        async with database.session(engine) as session:
            await session.rows("SELECT 1")
    with pytest.raises(SchemaNotReady):
        await SCHEMA.check(engine)
    await engine.dispose()
