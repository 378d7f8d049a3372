"""An instance's folder: ports that are its own, secrets that stay secret."""

import os
import socket
from pathlib import Path

from customerflow_local import programs
from customerflow_local.flag_file import FlagFile
from customerflow_local.instance import Instance
from customerflow_local.processes import MARKER, marked


def test_a_port_that_somebody_else_has_is_left_to_them(tmp_path: Path) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        instance = Instance.open(tmp_path)
        moved = instance.choose_ports(["query"], {"query": taken})
        given = instance.ports["query"]
        assert moved == {"query": (taken, given)}
        assert given != taken
    assert Instance.open(tmp_path).ports["query"] == given


def test_secrets_are_kept_and_are_for_the_owner_only(tmp_path: Path) -> None:
    first = Instance.open(tmp_path)
    assert Instance.open(tmp_path).secrets == first.secrets
    assert (tmp_path / "instance.json").stat().st_mode & 0o077 == 0


def test_an_instance_of_an_earlier_release_is_given_the_secrets_that_it_lacks(tmp_path: Path) -> None:
    first = Instance.open(tmp_path)
    kept = dict(first.secrets)
    del first.secrets["lookup_key"]
    first.save()
    secrets = Instance.open(tmp_path).secrets
    assert secrets == kept | {"lookup_key": secrets["lookup_key"]}
    assert Instance.open(tmp_path).secrets == secrets


def test_a_long_path_still_has_room_for_sockets(tmp_path: Path) -> None:
    sockets = Instance.open(tmp_path / ("long" * 40)).sockets
    assert len(str(sockets)) < 80
    sockets.rmdir()


def test_processes_without_the_marker_are_nobodys(tmp_path: Path) -> None:
    assert MARKER not in os.environ
    assert list(marked(tmp_path)) == []


def test_flags_begin_as_shipped_and_stay_as_somebody_has_changed_them(tmp_path: Path) -> None:
    instance = Instance.open(tmp_path)
    path = programs.flag_file(instance)
    assert '"relay-publishing": {"state": "ENABLED"' in path.read_text()
    FlagFile(path).switch("relay-publishing", "off")
    changed = path.read_text()
    assert programs.flag_file(instance) == path
    assert path.read_text() == changed
