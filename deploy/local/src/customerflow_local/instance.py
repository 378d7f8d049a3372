"""An instance: one folder that holds a running stack's data, logs, ports and secrets."""

import base64
import fcntl
import json
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[4]
RUN: Final = PROJECT / ".run"

PREFERRED_PORTS: Final[Mapping[str, int]] = {
    "command": 8080,
    "query": 8081,
    "relay": 8082,
    "projector": 8083,
    "notifications": 8084,
    "partners": 8085,
    "webhooks": 8086,
    "provider": 8087,
    "mysql": 13306,
    "amqp": 15673,
    "redis": 16379,
}

# Below the range from which the system takes ports for outgoing connections: a remembered port stays free.
_FREE_PORTS: Final = range(20000, 32000)
_LONGEST_SOCKET_FOLDER: Final = 80  # of the 107 bytes a socket's path may have


@dataclass
class Instance:
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    sockets: Path = Path()

    @classmethod
    def open(cls, folder: Path) -> "Instance":
        """Read the instance, or make a new one with secrets of its own."""
        folder = folder.resolve()
        for part in (folder, folder / "logs", folder / "config"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        instance = cls(folder)
        if instance._state.exists():
            state = json.loads(instance._state.read_text())
            instance.ports, instance.secrets = state["ports"], state["secrets"]
            instance.sockets = Path(state["sockets"])
        # an instance of an earlier release lacks the newer ones
        instance.secrets = _new_secrets() | instance.secrets
        if not instance.sockets.is_absolute() or not instance.sockets.is_dir():
            instance.sockets = _socket_folder(folder)
        instance.save()
        return instance

    @property
    def _state(self) -> Path:
        return self.folder / "instance.json"

    def save(self) -> None:
        state = {"ports": self.ports, "secrets": self.secrets, "sockets": str(self.sockets)}
        self.write("instance.json", json.dumps(state, indent=2))

    def write(self, name: str, text: str) -> Path:
        """Write a file of the instance, readable by its owner only, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        unfinished.rename(path)
        return path

    def holds(self, files: Mapping[str, str]) -> bool:
        """Whether each of these files is there, as it would be written."""
        paths = {self.folder / name: text for name, text in files.items()}
        return all(path.exists() and path.read_text() == text for path, text in paths.items())

    def choose_ports(self, names: Iterable[str], preferred: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Give each name a port that nobody listens on; return those that had to move, as (wanted, given)."""
        moved = {}
        for name in names:
            wanted = self.ports.get(name) or preferred.get(name)
            if wanted is None or not _is_free(wanted):
                self.ports[name] = self._free_port()
                if wanted is not None:
                    moved[name] = (wanted, self.ports[name])
            else:
                self.ports[name] = wanted
        self.save()
        return moved

    def _free_port(self) -> int:
        while True:
            port = random.choice(_FREE_PORTS)
            if port not in self.ports.values() and _is_free(port):
                return port

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One at a time may start or stop an instance."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_free(port: int) -> bool:
    """Whether the port can be bound, for streams and (the relay's doorbell) for datagrams."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def _new_secrets() -> dict[str, str]:
    def key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    return {
        "mysql_owner": secrets.token_urlsafe(24),
        "mysql_runtime": secrets.token_urlsafe(24),
        "mysql_partners": secrets.token_urlsafe(24),
        "amqp": secrets.token_urlsafe(24),
        "erlang_cookie": secrets.token_urlsafe(24),
        "feed_token": secrets.token_urlsafe(24),
        "delivery_token": secrets.token_urlsafe(24),
        "operator_token": secrets.token_urlsafe(24),
        "master_keys": f"k1={key()}",
        "claim_pepper": key(),
        "lookup_key": key(),
        "webhook_key": key(),
    }


def _socket_folder(folder: Path) -> Path:
    """In the instance, unless its path is too long for a socket's."""
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
        return folder
    return Path(tempfile.mkdtemp(prefix="customerflow-"))
