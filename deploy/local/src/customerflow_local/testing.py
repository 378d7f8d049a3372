"""A pytest plugin: real servers, and for each suite a database, a virtual host and a Redis of its own.

With CF_TEST_MYSQL_URL, CF_TEST_MYSQL_OWNER_URL, CF_TEST_AMQP_URL, CF_TEST_REDIS_URL and
CF_TEST_RABBITMQ_MANAGEMENT_URL (with an administrator's account) set, those servers are used (the owner must be
allowed to make databases, and all suites share the one virtual host). Otherwise the servers of the instance .run/test
are started when the first test asks for them, shared by all pytest processes that run at the same time, and ended by
the last. CF_TEST_KEEP=1 leaves them running, which makes the next run start at once. CF_TEST_SERVERS=newest takes
MySQL 9, RabbitMQ 4 and Redis 8 in place of what this machine's Debian release has; CF_TEST_SERVERS=containers starts
the images of docker-compose.yml with testcontainers.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import pytest

from customerflow_local import packages
from customerflow_local.flag_file import FlagFile
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack

_GIVEN = (
    "CF_TEST_MYSQL_URL",
    "CF_TEST_MYSQL_OWNER_URL",
    "CF_TEST_AMQP_URL",
    "CF_TEST_REDIS_URL",
    "CF_TEST_RABBITMQ_MANAGEMENT_URL",
)


@dataclass(frozen=True)
class Database:
    """`url` is the runtime account, which may do nothing until a migration grants it something."""

    url: str
    owner_url: str


class Vhosts(Protocol):
    def add_vhost(self, name: str) -> str: ...

    def delete_vhost(self, name: str) -> None: ...


@dataclass(frozen=True)
class Servers:
    """Real servers, and fresh rooms in them."""

    mysql_url: str
    mysql_owner_url: str
    amqp_url: str
    redis_url: str
    management_url: str
    vhosts: Vhosts | None = None

    @contextmanager
    def database(self) -> Iterator[Database]:
        """An empty database, dropped afterwards."""
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import NullPool

        name = f"customerflow_{secrets.token_hex(6)}"
        driver_url = self.mysql_owner_url.replace("mysql://", "mysql+pymysql://", 1)
        engine = create_engine(driver_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
        try:
            yield Database(_with_path(self.mysql_url, name), _with_path(self.mysql_owner_url, name))
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name}"))

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """The URL of an empty virtual host, or of the only one there is where the servers were given."""
        if self.vhosts is None:
            yield self.amqp_url
            return
        name = f"test-{secrets.token_hex(6)}"
        yield self.vhosts.add_vhost(name)
        self.vhosts.delete_vhost(name)

    @contextmanager
    def redis(self) -> Iterator[str]:
        """The URL of an empty Redis database; the numbers go round, so the oldest is taken again."""
        from redis import Redis

        with Redis.from_url(self.redis_url) as client:
            count = int(client.config_get("databases")["databases"])
            number = 1 + int(client.incr("customerflow:test:databases")) % (count - 1)
        url = _with_path(self.redis_url, str(number))
        with Redis.from_url(url) as client:
            client.flushdb()
            yield url
            client.flushdb()


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


@contextmanager
def private_servers() -> Iterator[Servers]:
    """A lock counts the users of the servers, so a pytest that is killed counts no more."""
    known = {"": ("test", packages.STABLE), "newest": ("test-newest", packages.NEWEST)}
    folder, server_packages = known[os.environ.get("CF_TEST_SERVERS", "")]
    stack = Stack(RUN / folder, durable=False, server_packages=server_packages)
    with (stack.instance.folder / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            stack.start_servers()
            yield _named(stack.env, "CF_", stack)
        finally:
            if not os.environ.get("CF_TEST_KEEP"):
                _stop_if_last(stack, users.fileno())


def _named(urls: Mapping[str, str], prefix: str, vhosts: Vhosts | None = None) -> Servers:
    return Servers(
        mysql_url=urls[f"{prefix}MYSQL_URL"],
        mysql_owner_url=urls[f"{prefix}MYSQL_OWNER_URL"],
        amqp_url=urls[f"{prefix}AMQP_URL"],
        redis_url=urls[f"{prefix}REDIS_URL"],
        management_url=urls[f"{prefix}RABBITMQ_MANAGEMENT_URL"],
        vhosts=vhosts,
    )


def _stop_if_last(stack: Stack, users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    stack.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "servers: needs real servers; set by itself on tests that use cf_servers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cf_servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def cf_servers() -> Iterator[Servers]:
    given = {name: os.environ[name] for name in _GIVEN if os.environ.get(name)}
    if not given and os.environ.get("CF_TEST_SERVERS") == "containers":
        from customerflow_local import containers

        with containers.started() as started:
            yield Servers(
                started.mysql_url,
                started.mysql_owner_url,
                started.amqp_url,
                started.redis_url,
                started.management_url,
                started.vhosts,
            )
    elif not given:
        with private_servers() as servers:
            yield servers
    elif missing := set(_GIVEN) - set(given):
        pytest.fail(f"Some servers are given, but not {', '.join(sorted(missing))}", pytrace=False)
    else:
        yield _named(given, "CF_TEST_")


@pytest.fixture
def cf_flags(tmp_path: Path) -> FlagFile:
    """Says nothing of any flag before the test does."""
    return FlagFile(tmp_path / "flags.json")


@pytest.fixture(scope="module")
def cf_database(cf_servers: Servers) -> Iterator[Database]:
    with cf_servers.database() as database:
        yield database


@pytest.fixture(scope="module")
def cf_amqp_url(cf_servers: Servers) -> Iterator[str]:
    with cf_servers.vhost() as url:
        yield url


@pytest.fixture(scope="module")
def cf_redis_url(cf_servers: Servers) -> Iterator[str]:
    with cf_servers.redis() as url:
        yield url


@pytest.fixture
def cf_management_url(cf_servers: Servers) -> str:
    """RabbitMQ's, of all virtual hosts."""
    return cf_servers.management_url


def node_folder(name: str, package: Path) -> Path:
    """A folder below .run with a package.json and what it depends on, which is fetched once. Skips the test, and says
    why, where there is no node, or it cannot be had.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")
    folder = RUN / name
    folder.mkdir(parents=True, exist_ok=True)
    complete, wanted = folder / "complete", package.read_text()
    if not complete.exists() or complete.read_text() != wanted:
        (folder / "package.json").write_text(wanted)
        install = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--fetch-retries=0",
        ]
        try:
            done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{name} cannot be had: npm has not come to an end within a minute")
        if done.returncode:
            codes = [line for line in done.stderr.splitlines() if line.startswith("npm error code")]
            pytest.skip(f"{name} cannot be had: {codes[0] if codes else 'npm failed'}")
        complete.write_text(wanted)
    return folder
