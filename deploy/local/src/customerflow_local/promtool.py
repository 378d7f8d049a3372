"""Prometheus' own checks of rules and settings: `python -m customerflow_local.promtool check rules FILE`.

It comes out of Debian's package of Prometheus, as the servers do; of that only this one program is kept.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from customerflow_local import packages
from customerflow_local.instance import RUN

_PACKAGE = packages.PackageSet("prometheus", ("prometheus",))


def program(console: Console) -> Path:
    """Fetches it the first time: 20 MB."""
    root = packages.provide(_PACKAGE, RUN / "tools", console)
    (root / "usr/bin/prometheus").unlink(missing_ok=True)
    return root / "usr/bin/promtool"


def run(arguments: Sequence[str], console: Console) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(console), *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    done = run(sys.argv[1:], Console(stderr=True))
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)
