"""History cannot be rewritten: the account that the programs use may only add to it."""

import pytest
from asyncmy.errors import MySQLError
from blackbox.database import database
from blackbox.system import System

# Denied for a table, a database, without a privilege; for triggers MySQL asks first whether SUPER allows them (1419).
DENIED = {1142, 1044, 1227, 1419}

REWRITING = [
    "UPDATE cf_events SET version = version + 1",
    "UPDATE cf_events SET data = '{}' WHERE position = 1",
    "DELETE FROM cf_events",
    "DELETE FROM cf_events WHERE position = 1",
    "TRUNCATE TABLE cf_events",
    "DROP TABLE cf_events",
    "ALTER TABLE cf_events ADD COLUMN extra INT",
    "REPLACE INTO cf_events SELECT * FROM cf_events LIMIT 1",
    "INSERT INTO cf_events SELECT * FROM cf_events LIMIT 1 ON DUPLICATE KEY UPDATE version = 7",
    "CREATE TABLE cf_other (id INT)",
    "DROP DATABASE customerflow",
    "CREATE TRIGGER changed BEFORE INSERT ON cf_events FOR EACH ROW SET NEW.version = 1",
]


@pytest.mark.parametrize("statement", REWRITING)
async def test_the_runtime_account_is_denied(system: System, statement: str) -> None:
    async with database(system.mysql) as runtime:
        before = await runtime.rows("SELECT COUNT(*), SUM(version) FROM cf_events")
        with pytest.raises(MySQLError) as denied:
            await runtime.rows(statement)
        assert denied.value.args[0] in DENIED
        assert await runtime.rows("SELECT COUNT(*), SUM(version) FROM cf_events") == before


@pytest.mark.parametrize("statement", ["UPDATE cf_events SET version = 7", "DELETE FROM cf_events"])
async def test_an_update_or_delete_of_history_is_refused_as_such(system: System, statement: str) -> None:
    async with database(system.mysql) as runtime:
        with pytest.raises(MySQLError) as denied:
            await runtime.rows(statement)
        assert denied.value.args[0] == 1142
