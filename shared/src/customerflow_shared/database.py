"""MySQL and MariaDB: the engine, raw statements on its pooled connections, and the schema's upkeep.

SQLAlchemy gives the pool, the migrations and everything that is not hot. Hot statements go straight to the driver,
because SQLAlchemy's own cost per statement is larger than the server's.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

import structlog
from alembic import command as alembic
from alembic import context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from asyncmy.cursors import Cursor
from asyncmy.errors import MySQLError as DriverError
from opentelemetry import trace
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from customerflow_shared import conventions
from customerflow_shared.patience import Patience

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.database")

SYSTEM = "mysql"

MIGRATION_LOCK = "customerflow.migrate"
MIGRATION_LOCK_SECONDS = 120

ANSWER_SECONDS = 5.0  # after which a silent server counts as away

DUPLICATE_ENTRY = 1062
DEADLOCK = 1213
LOCK_WAIT_TIMEOUT = 1205
ACTED_ON = {DUPLICATE_ENTRY, DEADLOCK, LOCK_WAIT_TIMEOUT}
DEADLOCKS = 5  # in a row, of one transaction

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """The database could not be asked, or its answer was lost: what was sent may have been done."""


class DatabaseRefused(DatabaseUnavailable):
    """The server answers, but does not do what it is asked (read-only, disk full ...): nothing was done."""

    def __init__(self, number: int | None) -> None:
        super().__init__(f"error {number}")
        self.number = number


class SchemaNotReady(Exception):
    """The database does not have the schema of this program's release."""


def open_engine(url: str, *, connections: int = 4) -> AsyncEngine:
    """An engine on `mysql://user:password@host:port/database`; nothing is connected yet."""
    return open_with(
        url, "SET SESSION innodb_lock_wait_timeout = 5", pool_size=connections, pool_pre_ping=True, pool_recycle=900
    )


def open_with(url: str, init_command: str, **pool: Any) -> AsyncEngine:
    """An engine whose connections begin with a statement; `pool` is SQLAlchemy's."""
    engine = create_async_engine(
        make_url(url).set(drivername="mysql+asyncmy"),
        isolation_level="READ COMMITTED",
        max_overflow=0,
        pool_timeout=3,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "charset": "utf8mb4",
            "init_command": init_command,
        },
        **pool,
    )
    _engines.add(engine.sync_engine)
    return engine


_engines: WeakSet[Engine] = WeakSet()


def _pools() -> list[QueuePool]:
    return [engine.pool for engine in _engines.copy() if isinstance(engine.pool, QueuePool)]


conventions.CONNECTIONS.read(lambda: sum(pool.checkedout() for pool in _pools()), SYSTEM, "used")
conventions.CONNECTIONS.read(lambda: sum(pool.checkedin() for pool in _pools()), SYSTEM, "idle")
conventions.MOST_CONNECTIONS.read(lambda: sum(pool.size() for pool in _pools()), SYSTEM)

_COLLECTION = re.compile(r"\b(?:FROM|INTO|UPDATE) +(\w+)")


@lru_cache(maxsize=256)
def _operation(beginning: str) -> tuple[str, str]:
    """What a statement does, and to which table first."""
    found = _COLLECTION.search(beginning)
    return beginning.partition(" ")[0], found[1] if found else ""


class _Cursor(Cursor):
    """Does not ask for warnings: they cost a round trip, and quote what they are about."""

    async def _show_warnings(self, connection: Any) -> None:
        pass


class Session:
    """One driver connection; every statement until `commit` is one transaction."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def rows(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with self._executed(filled(statement, arguments), *_operation(statement[:500])) as cursor:
            return list(await cursor.fetchall())

    async def run(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """The number of rows affected."""
        async with self._executed(filled(statement, arguments), *_operation(statement[:500])) as cursor:
            return int(cursor.rowcount)

    async def run_together(self, statements: Sequence[str]) -> list[int]:
        """Run all of them in one round trip, up to the first that fails; what each gave to LAST_INSERT_ID()."""
        async with self._executed(";".join(statements), "BATCH", batch=len(statements)) as cursor:
            ids = [int(cursor.lastrowid)]
            while await cursor.nextset():
                ids.append(int(cursor.lastrowid))
            return ids

    async def rollback(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._driver.rollback()

    async def commit(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._driver.commit()

    @asynccontextmanager
    async def _executed(self, text: str, operation: str, collection: str = "", *, batch: int = 0) -> AsyncIterator[Any]:
        with conventions.asking(tracer, SYSTEM, operation, collection, batch=batch):
            # not the driver's own read_timeout: on Python 3.11 that one swallows cancellations (asyncio.wait_for)
            async with asyncio.timeout(ANSWER_SECONDS), self._driver.cursor(_Cursor) as cursor:
                await cursor.execute(text)
                yield cursor


@asynccontextmanager
async def session(engine: AsyncEngine) -> AsyncIterator[Session]:
    """A pooled connection; what is not committed is rolled back.

    Raises DatabaseUnavailable, or DatabaseRefused for what the server refuses; only the refusals that callers act on
    (`ACTED_ON`) are raised as the driver's error, see `error_number`.
    """
    kept = KeptConnection(engine)
    try:
        async with kept.session() as opened:
            yield opened
    finally:
        await kept.close()


def again_after_deadlock(transaction: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """For a function that is one transaction and does nothing else: if the server has undone it for another's sake, it
    is carried out again. Raises DatabaseUnavailable if that does not end, or a lock is not to be had.
    """

    @wraps(transaction)
    async def again(*arguments: P.args, **options: P.kwargs) -> T:
        for _ in range(DEADLOCKS):
            try:
                return await transaction(*arguments, **options)
            except (SQLAlchemyError, DriverError) as error:
                if (number := error_number(error)) == LOCK_WAIT_TIMEOUT:
                    break
                if number != DEADLOCK:
                    raise
        log.warning("the database is too busy", number=number)
        raise DatabaseUnavailable

    return again


class KeptConnection:
    """A pooled connection that is kept from session to session: to fetch one takes as much as a small transaction.

    It is fetched anew once it has been kept for `seconds`. With `autocommit` each statement is a transaction.
    """

    def __init__(self, engine: AsyncEngine, seconds: float = 0.0, *, autocommit: bool = False) -> None:
        self._engine = engine
        self._seconds = seconds
        self._autocommit = autocommit
        self._fetched = 0.0
        self._connection: AsyncConnection | None = None
        self._session: Session

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """As `database.session`, but that nothing is rolled back if all goes well; one at a time."""
        try:
            connection = await self._fetch()
            try:
                yield self._session
            except BaseException as error:
                fetched, self._fetched = self._fetched, 0.0
                if _is_refusal(error):
                    await self._session.rollback()
                    self._fetched = fetched
                else:
                    # the driver may have stopped in the middle of a packet: such a connection must not be used again
                    await asyncio.shield(connection.invalidate())
                raise
        except (OSError, SQLAlchemyError, DriverError) as error:
            number = error_number(error)
            if number in ACTED_ON:
                raise
            if _is_refusal(error):
                log.error("the database refuses", number=number)
                raise DatabaseRefused(number) from None
            log.warning("the database does not answer", number=number, kind=type(error).__name__)
            raise DatabaseUnavailable from None

    async def _fetch(self) -> AsyncConnection:
        now = time.monotonic()
        if self._connection and now - self._fetched < self._seconds:
            return self._connection
        await self.close()
        self._connection = connection = self._engine.connect()
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.start()
            if self._autocommit:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            raw = await connection.get_raw_connection()
        self._session = Session(raw.driver_connection)
        self._fetched = now
        return connection

    async def close(self) -> None:
        """Give it back to the pool."""
        if connection := self._connection:
            self._connection = None
            with suppress(OSError, SQLAlchemyError, DriverError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.close()


def utc_now() -> datetime:
    """Now, to the millisecond: what the event table keeps, so that every reader sees the same time."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


_LITERALS: Mapping[type, Callable[[Any], str]] = {
    bytes: lambda value: f"x'{value.hex()}'",
    str: lambda value: f"_utf8mb4 x'{value.encode().hex()}'",
    int: str,
    float: repr,
    datetime: lambda value: f"'{value}'",
    type(None): lambda _: "NULL",
}


def literal(value: Any) -> str:
    """A value as it stands in a statement. Bytes and text in hexadecimal: whatever they hold and whatever mode the
    server is in, they are read as nothing else; and the driver takes fifty times as long to quote bytes.
    """
    return _LITERALS[type(value)](value)


def filled(statement: str, arguments: Sequence[Any]) -> str:
    """The statement with each `%s` replaced by a value."""
    return statement % tuple(map(literal, arguments))


def literals(rows: Iterable[Sequence[Any]]) -> str:
    """`(1,x'ff'),(2,NULL)` for a multi-row statement."""
    return ",".join("(" + ",".join(map(literal, row)) + ")" for row in rows)


def placeholders(rows: int, columns: int) -> str:
    """`(%s,%s),(%s,%s)` for a multi-row statement."""
    row = "(" + ",".join(["%s"] * columns) + ")"
    return ",".join([row] * rows)


def error_number(error: BaseException) -> int | None:
    """MySQL's number of a driver error, whether or not SQLAlchemy wraps it."""
    origin = getattr(error, "orig", None) or error
    arguments = getattr(origin, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _is_refusal(error: BaseException) -> bool:
    """The server has answered, with an error: the connection itself is sound."""
    number = error_number(error)
    return isinstance(error, DriverError) and number is not None and 1000 <= number < 2000


class Schema:
    """The tables of one service: its migrations, and what its account may do at run time, table by table.

    Any number of services may keep theirs in one database: `name` tells them apart.
    """

    def __init__(self, name: str, migrations: Path, grants: Mapping[str, str]) -> None:
        self.versions = f"{name}_schema_version"
        self._migrations = migrations
        self._grants = {**grants, self.versions: "SELECT"}

    async def check(self, engine: AsyncEngine) -> None:
        """Raises SchemaNotReady unless the database answers, can be written to, and has the schema of this release or
        of a newer one.

        Migrations only add, so that the releases before go on while each program is replaced.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS), engine.connect() as connection:
                read_only = await connection.scalar(text("SELECT @@global.read_only"))
                found = await connection.scalar(text(f"SELECT version_num FROM {self.versions}"))
        except (OSError, SQLAlchemyError) as error:
            raise SchemaNotReady(f"the schema cannot be read ({_reason(error)})") from None
        if found is None or found < self._newest:
            raise SchemaNotReady(f"the schema is at {found}, this release needs {self._newest}")
        if read_only not in (0, "OFF"):
            raise SchemaNotReady("the database is read-only")

    async def migrate(self, owner_url: str, runtime_url: str) -> None:
        """Bring the schema up to date and grant the runtime account its rights; any number of processes may try.

        The migrations themselves take as long as they take. Raises SchemaNotReady.
        """
        owner = open_engine(owner_url)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(ANSWER_SECONDS):
                    connection = await stack.enter_async_context(owner.connect())
                async with asyncio.timeout(MIGRATION_LOCK_SECONDS + ANSWER_SECONDS):
                    locked = await connection.scalar(
                        text("SELECT GET_LOCK(:name, :seconds)"),
                        {"name": MIGRATION_LOCK, "seconds": MIGRATION_LOCK_SECONDS},
                    )
                if locked != 1:
                    raise SchemaNotReady("another process has been migrating for too long")
                await connection.run_sync(self._upgrade)
                await connection.commit()
                if make_url(runtime_url).username != make_url(owner_url).username:
                    account = await _account(runtime_url)
                    for table, rights in self._grants.items():
                        await connection.execute(text(f"GRANT {rights} ON {table} TO {account}"))
                await connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": MIGRATION_LOCK})
        except (OSError, SQLAlchemyError) as error:
            raise SchemaNotReady(f"the schema cannot be brought up to date ({_reason(error)})") from None
        finally:
            await owner.dispose()
        log.info("schema is up to date")

    async def migrate_when_possible(self, owner_url: str, runtime_url: str) -> None:
        """`migrate`, tried until it succeeds; then nothing, until it is cancelled."""

        async def attempt() -> None:
            await self.migrate(owner_url, runtime_url)
            await asyncio.Event().wait()

        await Patience("migration").persist(attempt)

    def run_migrations(self) -> None:
        """For alembic's env.py: runs them on the connection that `migrate` hands in, or writes their SQL (`alembic
        upgrade head --sql`).
        """
        if context.is_offline_mode():
            context.configure(dialect_name="mysql", version_table=self.versions, literal_binds=True)
        else:
            connection = context.config.attributes["connection"]
            context.configure(connection=connection, version_table=self.versions, transactional_ddl=False)
        with context.begin_transaction():
            context.run_migrations()

    def _upgrade(self, connection: Connection) -> None:
        found = MigrationContext.configure(connection, opts={"version_table": self.versions}).get_current_revision()
        if found is not None and found > self._newest:
            log.info("the schema is that of a newer release", revision=found)
            return
        config = self._config()
        config.attributes["connection"] = connection
        alembic.upgrade(config, "head")

    @cached_property
    def _newest(self) -> str:
        """Revisions are numbered with leading zeros: they sort as they follow one another."""
        return str(ScriptDirectory.from_config(self._config()).get_current_head())

    def _config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self._migrations))
        return config


async def _account(url: str) -> str:
    """The account, quoted, that the server matches with the runtime URL; asked without a database, on which it may
    have no rights yet.
    """
    engine = open_engine(make_url(url).set(database="").render_as_string(hide_password=False))
    try:
        async with asyncio.timeout(ANSWER_SECONDS), engine.connect() as connection:
            user, _, host = str(await connection.scalar(text("SELECT CURRENT_USER()"))).rpartition("@")
    finally:
        await engine.dispose()
    return "'{}'@'{}'".format(user.replace("'", "''"), host.replace("'", "''"))


def _reason(error: Exception) -> str:
    return f"error {number}" if (number := error_number(error)) else type(error).__name__
