"""supervisord keeps an instance's processes running; this module writes its files and speaks to it."""

import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

from supervisor.xmlrpc import Faults, SupervisorTransport

from customerflow_local.errors import LocalStackError
from customerflow_local.instance import PROJECT, Instance
from customerflow_local.processes import MARKER, all_gone, end_marked

_PATIENCE_WITH_STOPPING = 30


@dataclass(frozen=True)
class Service:
    """One supervised process."""

    name: str
    command: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    priority: int = 100  # started in rising, stopped in falling order


class Supervisor:
    """The supervisord of one instance, looked up at each call: it may have been killed in between."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._socket = instance.sockets / "supervisor.sock"
        self._services = instance.folder / "config/services"

    def running(self) -> bool:
        try:
            self._call("getState")
        except (OSError, LocalStackError):  # not there, or on its way out
            return False
        return True

    def start(self, env: Mapping[str, str]) -> None:
        """Start supervisord with nothing to run; what an earlier one left behind is ended first."""
        end_marked(self._instance.folder)
        for leftover in self._services.glob("*.conf"):
            leftover.unlink()
        self._socket.unlink(missing_ok=True)
        folder = self._instance.folder
        config = self._instance.write(
            "config/supervisord.conf",
            f"""\
[supervisord]
logfile = {_literal(folder)}/logs/supervisord.log
logfile_maxbytes = 5MB
pidfile = {_literal(folder)}/supervisord.pid
directory = {_literal(PROJECT)}
umask = 077

[unix_http_server]
file = {_literal(self._socket)}
chmod = 0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = services/*.conf
""",
        )
        started = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "customerflow_local.supervisord", "-c", str(config)],
            env={**env, MARKER: str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise LocalStackError(f"supervisord did not start:\n{started.stdout}{started.stderr}")

    def run(self, services: Iterable[Service]) -> None:
        """Add these services, restarting those whose configuration is new."""
        for service in services:
            self._instance.write(f"config/services/{service.name}.conf", self._config(service))
        self._update()

    def forget(self, names: Iterable[str]) -> None:
        """Stop these services and run them no more."""
        for name in names:
            (self._services / f"{name}.conf").unlink(missing_ok=True)
        self._update()

    def _update(self) -> None:
        ((added, changed, removed),) = self._call("reloadConfig")
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)

    def names(self) -> set[str]:
        return {process["name"] for process in self._call("getAllProcessInfo")}

    def state(self, name: str) -> str:
        return cast("str", self._call("getProcessInfo", name)["statename"])

    def pid(self, name: str) -> int:
        """The pid of the service's process, waiting for it while it is being started."""
        deadline = time.monotonic() + 10
        while not (pid := cast("int", self._call("getProcessInfo", name)["pid"])):
            if time.monotonic() > deadline:
                raise LocalStackError(f"{name} is not running: {self.state(name)}")
            time.sleep(0.05)
        return pid

    def stop_service(self, name: str) -> None:
        self._call("stopProcess", name, unless=Faults.NOT_RUNNING)

    def start_service(self, name: str) -> None:
        self._call("startProcess", name, False, unless=Faults.ALREADY_STARTED)

    def stop(self) -> None:
        """Stop all services in order, then supervisord; end by hand whatever outlives it."""
        if self.running():
            self._call("shutdown")
            all_gone(self._instance.folder, 2 * _PATIENCE_WITH_STOPPING)
        end_marked(self._instance.folder)
        self._socket.unlink(missing_ok=True)

    def _call(self, method: str, *arguments: Any, unless: int | None = None) -> Any:
        with closing(SupervisorTransport(None, None, f"unix://{self._socket}")) as transport:
            server = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == unless:
                    return None
                raise LocalStackError(f"supervisord refused {method} {arguments}: {fault.faultString}") from fault

    def _config(self, service: Service) -> str:
        env = ",".join(f'{name}="{_literal(value)}"' for name, value in service.env.items())
        log = self._instance.folder / "logs" / f"{service.name}.log"
        return f"""\
[program:{service.name}]
command = {_literal(shlex.join(service.command))}
environment = {env}
priority = {service.priority}
autorestart = true
startsecs = 1
startretries = 1000
stopwaitsecs = {_PATIENCE_WITH_STOPPING}
stopasgroup = false
killasgroup = true
redirect_stderr = true
stdout_logfile = {_literal(log)}
stdout_logfile_maxbytes = 20MB
stdout_logfile_backups = 1
"""


def _literal(value: object) -> str:
    """supervisord expands %(..)s everywhere."""
    return str(value).replace("%", "%%")
