"""Programs that the benchmark starts, each ended by its own pid whatever happens."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

_READY_WITHIN = 30.0
_LONGER = 60.0  # than a program is said to take


class ProgramFailed(Exception):
    """A program of the benchmark has not done what it was started for."""


def module(name: str) -> list[str]:
    return [sys.executable, "-m", f"customerflow_bench.{name}"]


def call(command: Sequence[str], *, seconds: float, given: bytes = b"", env: Mapping[str, str] | None = None) -> Any:
    """The last line that the program writes, read as JSON. Raises ProgramFailed."""
    with _started(command, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            output, _ = process.communicate(given, timeout=seconds + _LONGER)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{_named(command)} did not end") from None
    lines = output.decode().strip().splitlines()
    if process.returncode != 0 or not lines:
        raise ProgramFailed(f"{_named(command)} ended with {process.returncode}")
    return json.loads(lines[-1])


@contextmanager
def serving(
    command: Sequence[str], port: int, health: str, *, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """An HTTP service while the block lasts, from when its `health` is good; its pid. Raises ProgramFailed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, _started(command, env, stdin=subprocess.DEVNULL, stdout=output) as process:
        until = time.monotonic() + _READY_WITHIN
        while not _healthy(port, health):
            if process.poll() is not None or time.monotonic() > until:
                raise ProgramFailed(f"{_named(command)} does not serve; see {log}")
            time.sleep(0.05)
        yield process.pid


@contextmanager
def _started(
    command: Sequence[str], env: Mapping[str, str] | None, *, stdin: int, stdout: int | IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    here = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    process = subprocess.Popen(command, stdin=stdin, stdout=stdout, env={**here, **(env or {})})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _healthy(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=1).is_success
    except httpx.TransportError:
        return False


def _named(command: Sequence[str]) -> str:
    return next((word for word in command[1:] if not word.startswith("-")), command[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
