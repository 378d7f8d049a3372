"""The servers of an instance come back from anything, and nothing of them remains after stop."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest
from customerflow_local.processes import marked
from customerflow_local.stack import Stack, left_over

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.stop()
    assert left_over(stack.instance.folder) == []


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    shared_stack.start_servers()
    return shared_stack


def _wait_until_ready(stack: Stack) -> None:
    for server in ("mysql", "redis", "rabbitmq"):
        stack.wait_server_ready(server)


def _supervisor_pid(stack: Stack) -> int:
    return int((stack.instance.folder / "supervisord.pid").read_text())


def test_starting_what_runs_changes_nothing(stack: Stack) -> None:
    before = {name: stack.pid(name) for name in stack.services()}
    stack.start_servers()
    assert {name: stack.pid(name) for name in stack.services()} == before


def test_every_process_of_an_instance_is_marked(stack: Stack) -> None:
    pids = {stack.pid(name) for name in stack.services()} | {_supervisor_pid(stack)}
    assert pids <= set(marked(stack.instance.folder))


@pytest.mark.parametrize("server", ["mysql", "redis", "rabbitmq"])
def test_a_killed_server_comes_back_by_itself(stack: Stack, server: str) -> None:
    killed = stack.pid(server)
    stack.kill(server)
    deadline = time.monotonic() + 10
    while stack.pid(server) == killed and time.monotonic() < deadline:
        time.sleep(0.05)
    stack.wait_server_ready(server)
    assert stack.pid(server) != killed


def test_a_server_that_an_earlier_release_has_started_is_given_what_it_lacks(stack: Stack) -> None:
    earlier = {name: stack.pid(name) for name in stack.services()}
    del stack.instance.ports["management"]
    stack.instance.save()
    stack.instance.write("config/rabbitmq-plugins", "[].\n")
    stack.start_servers()
    now = {name: stack.pid(name) for name in stack.services()}
    assert {name for name, pid in now.items() if pid != earlier[name]} == {"epmd", "rabbitmq"}
    answer = httpx.get(f"{stack.env['CF_RABBITMQ_MANAGEMENT_URL']}api/whoami")
    assert answer.json()["name"] == "customerflow"


def test_programs_know_of_a_stand_in_for_services_of_others_once_there_is_one(stack: Stack) -> None:
    def told() -> dict[str, str]:
        env = stack.env
        return {name: env[name] for name in ("CF_POSTAL_PROVIDERS", "CF_EMAIL_PROVIDER_URL") if name in env}

    assert told() == {}
    stack.start_provider()
    url, first = stack.url("provider"), stack.pid("provider")
    assert told() == {"CF_POSTAL_PROVIDERS": f"viacep={url}", "CF_EMAIL_PROVIDER_URL": f"{url}/v1/messages"}
    stack.kill("provider")
    stack.start_provider()
    assert (stack.url("provider"), stack.pid("provider") != first) == (url, True)
    assert httpx.get(f"{url}/ws/01310100/json/").json()["localidade"] == "São Paulo"
    stack.stop()
    stack.start_servers()
    assert told() == {}


def test_a_killed_supervisor_leaves_nothing_that_a_start_does_not_heal(stack: Stack) -> None:
    orphan = stack.pid("rabbitmq")
    os.kill(_supervisor_pid(stack), signal.SIGKILL)
    assert not stack.running()
    assert orphan in left_over(stack.instance.folder)

    stack.start_servers()
    assert orphan not in left_over(stack.instance.folder)
    _wait_until_ready(stack)


def test_stop_ends_what_a_killed_supervisor_left(stack: Stack) -> None:
    os.kill(_supervisor_pid(stack), signal.SIGKILL)
    stack.stop()
    assert left_over(stack.instance.folder) == []


def test_a_first_start_that_was_interrupted_is_begun_again(shared_stack: Stack) -> None:
    stack = shared_stack
    stack.stop()
    for server in ("mysql", "redis", "rabbitmq"):
        (stack.instance.folder / server / "was-ready").unlink(missing_ok=True)
    (stack.instance.folder / "mysql/data").mkdir(parents=True, exist_ok=True)
    (stack.instance.folder / "mysql/data/ibdata1").write_bytes(b"half of it")
    stack.start_servers()
    _wait_until_ready(stack)
