"""The schema is brought up to date once, whoever tries, and the runtime account may not rewrite history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from customerflow_command.schema import SCHEMA
from customerflow_shared import database
from customerflow_shared.database import DatabaseRefused, DatabaseUnavailable, SchemaNotReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from customerflow_local.testing import Database, Servers
    from sqlalchemy.ext.asyncio import AsyncEngine

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


@pytest.fixture
async def two_rows(cf_servers: Servers) -> AsyncIterator[AsyncEngine]:
    with cf_servers.database() as fresh:
        engine = database.open_engine(fresh.owner_url)
        async with database.session(engine) as session:
            await session.run("CREATE TABLE pair (id INT PRIMARY KEY, value INT NOT NULL)")
            await session.run("INSERT INTO pair VALUES (1, 0), (2, 0)")
            await session.commit()
        yield engine
        await engine.dispose()


async def test_a_transaction_that_was_undone_for_another_is_carried_out_again(two_rows: AsyncEngine) -> None:
    meeting, begun = asyncio.Barrier(2), []

    @database.again_after_deadlock
    async def change(*rows: int) -> None:
        begun.append(rows)
        async with database.session(two_rows) as session:
            for row in rows:
                await session.run("UPDATE pair SET value = value + 1 WHERE id = %s", (row,))
                if len(begun) <= 2 and row == rows[0]:
                    await meeting.wait()  # each has what the other wants
            await session.commit()

    await asyncio.gather(change(1, 2), change(2, 1))
    assert len(begun) == 3
    async with database.session(two_rows) as session:
        assert await session.rows("SELECT value FROM pair") == [(2,), (2,)]


async def test_a_lock_that_is_not_to_be_had_is_a_database_that_is_not_available(two_rows: AsyncEngine) -> None:
    @database.again_after_deadlock
    async def change() -> None:
        async with database.session(two_rows) as session:
            await session.run("SET innodb_lock_wait_timeout = 1")
            await session.run("UPDATE pair SET value = 7 WHERE id = 1")

    async with database.session(two_rows) as held:
        await held.run("UPDATE pair SET value = 1 WHERE id = 1")
        with pytest.raises(DatabaseUnavailable):
            await change()
