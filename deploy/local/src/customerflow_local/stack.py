"""A whole stack of one instance: the servers, the programs, and what a test may do to them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import httpx
from rich.console import Console

from customerflow_local import packages, programs, servers
from customerflow_local.errors import LocalStackError
from customerflow_local.instance import RUN, Instance
from customerflow_local.processes import MARKER, marked
from customerflow_local.supervision import Supervisor

_READY_WITHIN = 90.0
_LOG_LINES_SHOWN = 8
# What else a process sees of the caller's environment: nothing of it may change what a server does.
_INHERITED = ("PATH", "TMPDIR", "TZ", "USER", "OTEL_EXPORTER_OTLP_ENDPOINT", "CF_WEBHOOK_ALLOW")


class Stack:
    """Everything may be called again at any time: what runs is left running, what fell is started again.

    `ports` are preferred: one that somebody else has is replaced by a free one, which the instance keeps.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ports: Mapping[str, int] | None = None,
        durable: bool = True,
        server_packages: packages.PackageSet = packages.STABLE,
        console: Console | None = None,
    ) -> None:
        self.instance = Instance.open(folder)
        self._preferred_ports = ports or {}
        self._durable = durable
        self._server_packages = server_packages
        self._console = console or Console(stderr=True)
        self._supervisor = Supervisor(self.instance)

    # What runs where

    @property
    def env(self) -> dict[str, str]:
        """The CF_* settings of whatever was started: the servers', and the programs' to run one by hand."""
        return programs.settings(self.instance, self._replicas(), self._provided())

    @property
    def urls(self) -> dict[str, str]:
        """The HTTP address of every running program, replicas included."""
        return {name: self.url(name) for name in self.services() if name in self._program_names()}

    def url(self, program: str) -> str:
        return f"http://127.0.0.1:{self.instance.ports[program]}"

    def running(self) -> bool:
        return self._supervisor.running()

    def services(self) -> dict[str, str]:
        """The state of every supervised process, as supervisord words it (RUNNING, STOPPED, ...)."""
        if not self.running():
            return {}
        return {name: self._supervisor.state(name) for name in sorted(self._supervisor.names())}

    # Start and stop

    def start_servers(self) -> None:
        """Servers that are installed nowhere else, ready to be used; the programs are left as they are."""
        unpacked = self._unpacked()
        with self.instance.alone():
            self._ensure_supervisor()
            here = self._supervisor.names()
            # an instance of an earlier release lacks the newer ones
            lacking = servers.PORTS.keys() - self.instance.ports.keys()
            self._choose_ports(port for port, of in servers.PORTS.items() if of not in here or port in lacking)
            wanted = servers.servers(self.instance, unpacked, durable=self._durable)
            fallen = [server for server in wanted if not self._on_its_way(server)]
            for server in fallen:
                self._supervisor.forget(service.name for service in server.services)
                for name, text in server.config.items():
                    self.instance.write(name, text)
                server.prepare()
                self._supervisor.run(server.services)
            for server in wanted:
                self._wait(server.name, server.ready)
                servers.remember_ready(self.instance, server.name)

    def _on_its_way(self, server: servers.Server) -> bool:
        """Runs as it would be started now and is ready, or was so once: then its data is whole, and it needs time at
        most.
        """
        if not self.instance.holds(server.config):
            return False
        if server.ready():
            return True
        here = self._supervisor.names()
        return servers.was_ready(self.instance, server.name) and all(
            service.name in here and self._supervisor.state(service.name) in ("STARTING", "RUNNING")
            for service in server.services
        )

    def start_provider(self) -> None:
        """Whoever stands in for services of others: the programs that are started from now on know of it."""
        with self.instance.alone():
            if programs.PROVIDER not in self._supervisor.names():
                self._choose_ports([programs.PROVIDER])
            self._supervisor.run([programs.provider(self.instance)])
            self._supervisor.start_service(programs.PROVIDER)
            self.wait_ready(programs.PROVIDER)

    def start_programs(
        self, replicas: Mapping[str, int] | None = None, extra_env: Mapping[str, str] | None = None
    ) -> None:
        """Migrate, then run each program as often as `replicas` says, else as before; return when all are ready."""
        replicas = {**self._replicas(), **(replicas or {})}
        with self.instance.alone():
            here = self._supervisor.names()
            self._choose_ports(name for name in programs.port_names(replicas) if _owner(name) not in here)
            self.migrate()
            wanted = list(programs.services(self.instance, replicas, extra_env or {}, self._provided()))
            names = {service.name for service in wanted}
            self._supervisor.forget((here & self._program_names()) - names)
            self._supervisor.run(wanted)
            for name in names:
                self._supervisor.start_service(name)
            for name in sorted(names):
                self.wait_ready(name)

    def migrate(self) -> None:
        """Bring the databases' tables to what the programs expect."""
        for command in programs.MIGRATIONS:
            done = subprocess.run(
                command,
                env={**_inherited(), **self.env, MARKER: str(self.instance.folder)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise LocalStackError(f"The database could not be migrated:\n{done.stdout}{done.stderr}")

    def stop(self) -> None:
        """End every process of the instance; its data stays."""
        with self.instance.alone():
            self._supervisor.stop()

    # What a test does to a running stack

    def wait_ready(self, program: str, within: float = _READY_WITHIN) -> None:
        def ready() -> bool:
            try:
                return httpx.get(f"{self.url(program)}/health/ready", timeout=2).is_success
            except httpx.TransportError:
                return False

        self._wait(program, ready, within)

    def wait_server_ready(self, server: str, within: float = _READY_WITHIN) -> None:
        for one in servers.servers(self.instance, self._unpacked(), durable=self._durable):
            if one.name == server:
                self._wait(server, one.ready, within)

    def pid(self, name: str) -> int:
        return self._supervisor.pid(name)

    def send(self, name: str, sent: signal.Signals) -> None:
        """Send a signal: SIGKILL kills (it comes back by itself), SIGSTOP and SIGCONT make a zombie of it."""
        os.kill(self.pid(name), sent)

    def kill(self, name: str) -> None:
        self.send(name, signal.SIGKILL)

    def stop_service(self, name: str) -> None:
        self._supervisor.stop_service(name)

    def start_service(self, name: str) -> None:
        self._supervisor.start_service(name)

    def log(self, name: str) -> str:
        path = self.instance.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def add_vhost(self, name: str) -> str:
        """A fresh RabbitMQ virtual host; returns its URL."""
        servers.add_vhost(self.instance, self._unpacked(), name)
        return f"{servers.urls(self.instance)['CF_AMQP_URL']}{name}"

    def delete_vhost(self, name: str) -> None:
        servers.delete_vhost(self.instance, self._unpacked(), name)

    # Inside

    def _unpacked(self) -> Path:
        return packages.provide(self._server_packages, RUN / "servers", self._console)

    def _ensure_supervisor(self) -> None:
        if not self._supervisor.running():
            self._supervisor.start(_inherited())

    def _choose_ports(self, names: Iterable[str]) -> None:
        moved = self.instance.choose_ports(names, self._preferred_ports)
        for name, (wanted, given) in moved.items():
            self._console.print(f"Port {wanted} is taken by something else: {name} uses {given} instead.")

    def _program_names(self) -> set[str]:
        known = {program.name for program in programs.PROGRAMS}
        return {name for name in self.instance.ports if _owner(name).split("-")[0] in known}

    def _provided(self) -> bool:
        return self.running() and programs.PROVIDER in self._supervisor.names()

    def _replicas(self) -> dict[str, int]:
        here = self._supervisor.names() if self.running() else set()
        counts = {p.name: sum(_owner(n).split("-")[0] == p.name for n in here) for p in programs.PROGRAMS}
        return {name: count or 1 for name, count in counts.items()}

    def _wait(self, name: str, ready: Callable[[], bool], within: float = _READY_WITHIN) -> None:
        deadline = time.monotonic() + within
        while not ready():
            if time.monotonic() > deadline:
                last = "\n".join(self.log(name).splitlines()[-_LOG_LINES_SHOWN:])
                log = self.instance.folder / "logs" / f"{name}.log"
                raise LocalStackError(f"{name} did not become ready within {within:.0f} s. {log} ends:\n{last}")
            time.sleep(0.05)


def _owner(port: str) -> str:
    """The program that a port is for: `relay-2-doorbell` is relay-2's."""
    return port.removesuffix("-doorbell")


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"LANG": "C.UTF-8"}


def left_over(folder: Path) -> list[int]:
    """Processes of the instance that still run; after `stop` there are none."""
    return sorted(marked(folder.resolve()))
