"""The results of two commits; one that was never measured is, in a clone below .run/bench."""

import shutil
import subprocess
from pathlib import Path

from customerflow_local.instance import PROJECT, RUN

from customerflow_bench import results
from customerflow_bench.results import Result


def result_of(name: str) -> Result:
    """A file's, or the newest of a commit. Raises ValueError."""
    if Path(name).is_file():
        return results.load(Path(name))
    commit = results.commit_of(name)
    return results.newest(commit) or _measured(commit)


def _measured(commit: str) -> Result:
    """In a clone with an environment and servers of its own, which is kept. What make was told on its command line, as
    SCENARIOS, holds there too.
    """
    clone = RUN / "bench/commits" / commit
    if not clone.exists():
        unfinished = clone.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _run("git", "clone", "--quiet", "--shared", "--no-checkout", str(PROJECT), str(unfinished))
        _run("git", "-C", str(unfinished), "checkout", "--quiet", "--detach", commit)
        unfinished.rename(clone)
    if not (clone / "deploy/bench").is_dir():
        raise ValueError(f"{commit} is older than this benchmark")
    # its table is not what was asked for
    subprocess.run(["make", "-C", str(clone), "bench"], check=True, stdout=subprocess.DEVNULL)
    results.FOLDER.mkdir(parents=True, exist_ok=True)
    for path in (clone / ".run/bench/results").glob(f"{commit}-*.json"):
        shutil.copy2(path, results.FOLDER)
    found = results.newest(commit)
    if found is None:
        raise ValueError(f"{commit} was measured, but has no result")
    return found


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
