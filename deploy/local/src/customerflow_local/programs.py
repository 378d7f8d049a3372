"""The programs of an instance, each a process with a port of its own."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from customerflow_local.instance import PROJECT, Instance
from customerflow_local.servers import urls
from customerflow_local.supervision import Service

MIGRATIONS = [
    [sys.executable, "-m", package, "migrate"] for package in ("customerflow_command", "customerflow_partners")
]


@dataclass(frozen=True)
class Program:
    """What to run and which settings it may see: no program is given another's servers."""

    name: str
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    outside: tuple[str, ...] = ()
    """Where services of others are, if anywhere."""


PROGRAMS = (
    Program(
        "command",
        ("customerflow_command", "api"),
        (
            "CF_MYSQL_URL",
            "CF_MASTER_KEYS",
            "CF_CLAIM_PEPPER",
            "CF_FEED_TOKEN",
            "CF_CONTRACT_URL",
            "CF_DELIVERY_TOKEN",
            "CF_RELAY_DOORBELL",
        ),
        outside=("CF_POSTAL_PROVIDERS",),
    ),
    Program(
        "relay",
        ("customerflow_command", "relay"),
        ("CF_MYSQL_URL", "CF_MASTER_KEYS", "CF_AMQP_URL", "CF_CONTRACT_URL"),
    ),
    Program(
        "projector",
        ("customerflow_projector", "run"),
        ("CF_AMQP_URL", "CF_REDIS_URL", "CF_FEED_URL", "CF_FEED_TOKEN", "CF_LOOKUP_KEY", "CF_OPERATOR_TOKEN"),
    ),
    Program("query", ("customerflow_query", "api"), ("CF_REDIS_URL", "CF_LOOKUP_KEY")),
    Program(
        "partners",
        ("customerflow_partners", "api"),
        (
            "CF_PARTNERS_MYSQL_URL",
            "CF_AMQP_URL",
            "CF_RABBITMQ_MANAGEMENT_URL",
            "CF_FEED_URL",
            "CF_FEED_TOKEN",
            "CF_OPERATOR_TOKEN",
            "CF_WEBHOOK_KEY",
        ),
    ),
    Program(
        "webhooks", ("customerflow_partners", "deliver"), ("CF_PARTNERS_MYSQL_URL", "CF_AMQP_URL", "CF_WEBHOOK_KEY")
    ),
    Program(
        "notifications",
        ("customerflow_notifications", "run"),
        ("CF_AMQP_URL", "CF_COMMAND_URL", "CF_DELIVERY_TOKEN", "CF_NOTIFICATIONS_DB"),
        outside=("CF_EMAIL_PROVIDER_URL",),
    ),
)

PROVIDER = "provider"


def replica_names(name: str, count: int) -> list[str]:
    """`relay`, `relay-2`, `relay-3`: the first one has the plain name and the well-known port."""
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


def port_names(replicas: Mapping[str, int]) -> Iterator[str]:
    for program in PROGRAMS:
        for name in replica_names(program.name, replicas.get(program.name, 1)):
            yield name
            if program.name == "relay":
                yield doorbell(name)


def doorbell(relay: str) -> str:
    return f"{relay}-doorbell"


def provider(instance: Instance) -> Service:
    """Stands in for services of others. It is there before the programs, and after them."""
    command = [sys.executable, "-m", "customerflow_local.provider", str(instance.ports[PROVIDER])]
    return Service(PROVIDER, command, priority=50)


def settings(instance: Instance, replicas: Mapping[str, int], provided: bool = False) -> dict[str, str]:
    """Every setting that any of the programs reads; the servers' and the feed's addresses among them, and, if somebody
    stands in for them, those of services of others.
    """
    relays = [doorbell(name) for name in replica_names("relay", replicas.get("relay", 1))]
    ports = instance.ports
    found = {
        **urls(instance),
        "CF_MASTER_KEYS": instance.secrets["master_keys"],
        "CF_CLAIM_PEPPER": instance.secrets["claim_pepper"],
        "CF_LOOKUP_KEY": instance.secrets["lookup_key"],
        "CF_FEED_TOKEN": instance.secrets["feed_token"],
        "CF_DELIVERY_TOKEN": instance.secrets["delivery_token"],
        "CF_OPERATOR_TOKEN": instance.secrets["operator_token"],
        "CF_WEBHOOK_KEY": instance.secrets["webhook_key"],
        "CF_NOTIFICATIONS_DB": str(instance.folder / "notifications.db"),
    }
    if provided:
        found["CF_POSTAL_PROVIDERS"] = f"viacep=http://127.0.0.1:{ports[PROVIDER]}"
        found["CF_EMAIL_PROVIDER_URL"] = f"http://127.0.0.1:{ports[PROVIDER]}/v1/messages"
    if "command" in ports:
        found["CF_FEED_URL"] = found["CF_COMMAND_URL"] = f"http://127.0.0.1:{ports['command']}"
        found["CF_CONTRACT_URL"] = f"http://127.0.0.1:{ports['command']}/contract"
        found["CF_RELAY_DOORBELL"] = ",".join(f"127.0.0.1:{ports[name]}" for name in relays)
    return found


def flag_file(instance: Instance) -> Path:
    """What is switched on in the instance: as the programs are shipped, until somebody changes it."""
    path = instance.folder / "flags.json"
    if not path.exists():
        shipped = PROJECT / "shared/src/customerflow_shared/flags/shipped.json"
        instance.write(path.name, shipped.read_text(encoding="utf-8"))
    return path


def services(
    instance: Instance, replicas: Mapping[str, int], extra: Mapping[str, str], provided: bool = False
) -> Iterator[Service]:
    known, flags = settings(instance, replicas, provided), flag_file(instance)
    for program in PROGRAMS:
        for name in replica_names(program.name, replicas.get(program.name, 1)):
            env = {setting: known[setting] for setting in program.settings}
            env |= {setting: known[setting] for setting in program.outside if setting in known}
            env |= {
                "CF_HOST": "127.0.0.1",
                "CF_PORT": str(instance.ports[name]),
                "CF_FLAGS": str(flags),
                "CF_OPERATOR_TOKEN": known["CF_OPERATOR_TOKEN"],
                **extra,
            }
            if program.name == "relay":
                env["CF_DOORBELL_PORT"] = str(instance.ports[doorbell(name)])
            yield Service(name, [sys.executable, "-m", *program.arguments], env, priority=100)
