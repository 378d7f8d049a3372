"""The peers: what others offer for the same work, each in an environment of its own (see `peers/`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from customerflow_local.instance import RUN

from customerflow_bench import environments, processes
from customerflow_bench.system import System
from customerflow_bench.traffic import JSON, Interface

FOLDER: Final = Path(__file__).parent / "peers"
PLAIN: Final = "plain"
IN_PROCESS: Final = ("eventsourcing", "python_cqrs")


def command(name: str, *arguments: str) -> list[str]:
    """Raises ProgramFailed if its environment cannot be made."""
    return [environments.python(name, FOLDER / name / "requirements.txt"), str(FOLDER / name / "main.py"), *arguments]


def send_commands(name: str, url: str, *, clients: int, seconds: float, warm_up: float, seed: int) -> Any:
    """What a peer without HTTP tells of so many tasks in its one process. Raises ProgramFailed."""
    bounds = ["--seconds", str(seconds), "--warm-up", str(warm_up), "--seed", str(seed)]
    return processes.call(
        command(name, "--mysql-url", url, "--clients", str(clients), *bounds), seconds=seconds + warm_up
    )


@contextmanager
def plain_service(system: System) -> Iterator[Interface]:
    """The service that a good developer would write in a day, on the same servers. Raises ProgramFailed."""
    port = processes.free_port()
    redis = system.stack.env["CF_REDIS_URL"].removesuffix("/0") + "/1"
    urls = ["--mysql-url", system.empty_database(PLAIN), "--redis-url", redis]
    served = command(PLAIN, "serve", *urls, "--port", str(port))
    with processes.serving(served, port, "/health", log=RUN / "bench/logs/plain.log"):
        yield Interface(port, "/customers", JSON["Content-Type"])
