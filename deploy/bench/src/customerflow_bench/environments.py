"""Environments outside the project's, made on demand from hash-locked requirements: of the peers, the plots, another
server.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from customerflow_local.instance import RUN

from customerflow_bench.processes import ProgramFailed

FOLDER = RUN / "bench/env"


def python(name: str, requirements: Path) -> str:
    """The interpreter of the environment `name`, made anew if the requirements have changed. Raises ProgramFailed."""
    folder = FOLDER / name
    interpreter, made_of = folder / "bin/python", folder / "made-of"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if interpreter.exists() and made_of.exists() and made_of.read_text() == wanted:
        return str(interpreter)
    shutil.rmtree(folder, ignore_errors=True)
    # without a pip of its own, which Debian's Python may lack: the project's installs into it
    _run("-m", "venv", "--without-pip", str(folder))
    pip = ["-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "--no-input"]
    _run(*pip, "install", "-qq", "--require-hashes", "--requirement", str(requirements))
    made_of.write_text(wanted)
    return str(interpreter)


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProgramFailed(f"python {' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
