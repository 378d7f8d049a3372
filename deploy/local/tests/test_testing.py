"""The rooms that tests get: empty, their own, and with the rights the programs will have."""

import aio_pika
import pytest
from customerflow_local.testing import Database, Servers
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url.replace("mysql://", "mysql+pymysql://", 1))
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def test_the_runtime_account_may_do_only_what_the_owner_grants(cf_database: Database) -> None:
    _execute(cf_database.owner_url, "CREATE TABLE t (n INT)", "INSERT INTO t VALUES (1)")
    with pytest.raises(OperationalError):
        _execute(cf_database.url, "SELECT n FROM t")
    _execute(cf_database.owner_url, "GRANT SELECT ON t TO customerflow")
    _execute(cf_database.url, "SELECT n FROM t")
    with pytest.raises(OperationalError):
        _execute(cf_database.url, "DELETE FROM t")


def test_every_suite_has_a_redis_database_of_its_own(cf_servers: Servers) -> None:
    with cf_servers.redis() as first, cf_servers.redis() as second:
        with Redis.from_url(first) as one:
            one.set("name", "Ada")
        with Redis.from_url(second) as two:
            assert two.get("name") is None


async def test_a_virtual_host_takes_quorum_queues_and_streams(cf_amqp_url: str) -> None:
    async with await aio_pika.connect(cf_amqp_url) as connection, connection.channel() as channel:
        for kind in ("quorum", "stream"):
            await channel.declare_queue(kind, durable=True, arguments={"x-queue-type": kind})
