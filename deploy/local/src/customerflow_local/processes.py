"""Find and end the processes of one instance, and no others.

Every process of an instance inherits the marker variable. By it orphans are found when the supervisor
itself was killed, whatever they are (epmd, a beam.smp, a worker): not by name and not by a recorded
pid, which may by then belong to somebody else.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from customerflow_local.errors import LocalStackError

MARKER = "CUSTOMERFLOW_INSTANCE"


def marked(instance: Path) -> Iterator[int]:
    """The pids of the instance's processes, never the caller's own."""
    marker = f"{MARKER}={instance}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):  # ended meanwhile, or another user's
                if marker in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def end_marked(instance: Path, patience: float = 15.0) -> int:
    """End every process of the instance, asking first; return how many there were."""
    found = set(marked(instance))
    _signal_marked(instance, signal.SIGTERM)
    if not all_gone(instance, patience):
        _signal_marked(instance, signal.SIGKILL)
        if not all_gone(instance, 5.0):
            raise LocalStackError(f"These processes of {instance} cannot be ended: {sorted(marked(instance))}")
    return len(found)


def _signal_marked(instance: Path, sent: signal.Signals) -> None:
    for pid in marked(instance):
        with suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            try:
                if pid in marked(instance):  # the descriptor is of this process: its number cannot pass to another now
                    signal.pidfd_send_signal(process, sent)
            finally:
                os.close(process)


def all_gone(instance: Path, seconds: float) -> bool:
    """Whether the last process of the instance ends within this time."""
    deadline = time.monotonic() + seconds
    while any(True for _ in marked(instance)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
