"""Where the system under test is: one that was given by its addresses, or a local stack of the tests' own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from customerflow_local.stack import Stack

REPLICAS: Final = {"command": 2, "relay": 2, "projector": 3}


@dataclass(frozen=True)
class System:
    """Addresses only. `stack` is there when the tests own the processes and may kill them."""

    commands: tuple[str, ...]
    query: str
    relays: tuple[str, ...]
    projectors: tuple[str, ...]
    partners: str
    notifications: str
    provider: str
    """Stands in for services of others: see customerflow_local.provider."""
    feed_token: str
    operator_token: str
    delivery_token: str
    amqp: str
    redis: str
    mysql: str
    mysql_owner: str
    stack: Stack | None = None
    further_queries: tuple[str, ...] = ()

    @property
    def queries(self) -> tuple[str, ...]:
        return (self.query, *self.further_queries)

    @property
    def command(self) -> str:
        return self.commands[0]

    @property
    def programs(self) -> tuple[str, ...]:
        return (*self.commands, *self.queries, *self.relays, *self.projectors, self.partners, self.notifications)


class Incomplete(Exception):
    """Some addresses of a running system are given, others are missing."""


def given(environment: Mapping[str, str] = os.environ) -> System | None:
    """The system that CF_E2E_* names, or None when it names none."""
    named = {name: environment.get(f"CF_E2E_{name}", "") for name in _NAMES}
    if not named["COMMAND_URL"] and not named["QUERY_URL"]:
        return None
    if missing := sorted(f"CF_E2E_{name}" for name, value in named.items() if not value):
        raise Incomplete(", ".join(missing))
    return System(
        commands=(named["COMMAND_URL"],),
        query=named["QUERY_URL"],
        relays=(named["RELAY_URL"],),
        projectors=(named["PROJECTOR_URL"],),
        partners=named["PARTNERS_URL"],
        notifications=named["NOTIFICATIONS_URL"],
        provider=named["PROVIDER_URL"],
        feed_token=named["FEED_TOKEN"],
        operator_token=named["OPERATOR_TOKEN"],
        delivery_token=named["DELIVERY_TOKEN"],
        amqp=named["AMQP_URL"],
        redis=named["REDIS_URL"],
        mysql=named["MYSQL_URL"],
        mysql_owner=named["MYSQL_OWNER_URL"],
    )


_NAMES: Final = (
    "COMMAND_URL",
    "QUERY_URL",
    "RELAY_URL",
    "PROJECTOR_URL",
    "PARTNERS_URL",
    "NOTIFICATIONS_URL",
    "PROVIDER_URL",
    "FEED_TOKEN",
    "OPERATOR_TOKEN",
    "DELIVERY_TOKEN",
    "AMQP_URL",
    "REDIS_URL",
    "MYSQL_URL",
    "MYSQL_OWNER_URL",
)


# What the tests wait for happens soon; a source of external ids that is personal; receivers of the tests' own.
RULES: Final = {"CF_UPKEEP_EVERY": "0.5", "CF_PERSONAL_SOURCES": "loyalty", "CF_WEBHOOK_ALLOW": "127.0.0.0/8"}


def started(stack: Stack, extra_env: Mapping[str, str] | None = None, replicas: Mapping[str, int] = REPLICAS) -> System:
    """The stack as a system, with several of each program; whatever of it runs already is left running."""
    stack.start_servers()
    stack.start_provider()
    stack.start_programs(replicas=replicas, extra_env=RULES | dict(extra_env or {}))
    urls, env = stack.urls, stack.env

    def copies(program: str) -> tuple[str, ...]:
        return tuple(urls[name] for name in sorted(urls) if name.split("-")[0] == program)

    return System(
        commands=copies("command"),
        query=urls["query"],
        further_queries=copies("query")[1:],
        relays=copies("relay"),
        projectors=copies("projector"),
        partners=urls["partners"],
        notifications=urls["notifications"],
        provider=stack.url("provider"),
        feed_token=env["CF_FEED_TOKEN"],
        operator_token=env["CF_OPERATOR_TOKEN"],
        delivery_token=env["CF_DELIVERY_TOKEN"],
        amqp=env["CF_AMQP_URL"],
        redis=env["CF_REDIS_URL"],
        mysql=env["CF_MYSQL_URL"],
        mysql_owner=env["CF_MYSQL_OWNER_URL"],
        stack=stack,
    )
