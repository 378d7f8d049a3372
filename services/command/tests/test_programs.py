"""The programs as processes: how they start, what they answer without their servers, and how they leave."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from customerflow_shared.ids import uuid7

if TYPE_CHECKING:
    from customerflow_local.testing import Database

NOWHERE = "mysql://nobody:nothing@127.0.0.1:1/customerflow"


def secret(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


ENVIRONMENT = {
    "CF_MYSQL_URL": NOWHERE,
    "CF_MYSQL_OWNER_URL": NOWHERE,
    "CF_AMQP_URL": "amqp://127.0.0.1:1/",
    "CF_MASTER_KEYS": f"k1={secret(1)}",
    "CF_CLAIM_PEPPER": secret(2),
    "CF_FEED_TOKEN": "0123456789abcdef",
}


class Program:
    """`python -m customerflow_command <command>` on a free port."""

    def __init__(self, *arguments: str, **changes: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CF_", "OTEL_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "customerflow_command", *arguments],
            env=inherited | ENVIRONMENT | {"CF_PORT": str(port)} | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10)

    def wait_for(self, path: str, status: int = 200) -> httpx.Response:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                answer = self.get(path)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == status:
                return answer
            time.sleep(0.1)
        raise TimeoutError(path)

    def leave(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Program] = []

    def begin(*arguments: str, **changes: str) -> Program:
        started.append(Program(*arguments, **changes))
        return started[-1]

    yield begin
    for program in started:
        program.process.kill()
        program.process.communicate()


@pytest.mark.parametrize("command", ["api", "relay"])
def test_without_the_database_a_program_lives_says_so_and_leaves_when_asked(start: Start, command: str) -> None:
    program = start(command)
    program.wait_for("/health/live")
    ready = program.get("/health/ready")
    assert ready.status_code == 503
    assert "SchemaNotReady" in ready.json()["checks"]["mysql"]
    code, output = program.leave()
    assert code == 0
    assert "Traceback" not in output


def test_without_the_database_a_command_is_told_that_it_is_unavailable(start: Start) -> None:
    program = start("api")
    program.wait_for("/health/live")
    answer = httpx.post(program.url + "/v1/customers", json={"type": "person", "name": "Ana"}, timeout=15)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_erasures_are_listed_and_applied_again_and_claims_verified(
    start: Start, cf_database: Database, tmp_path: Path
) -> None:
    urls = {"CF_MYSQL_URL": cf_database.url, "CF_MYSQL_OWNER_URL": cf_database.owner_url}
    program = start("api", **urls)
    program.wait_for("/health/ready")
    customers = []
    for name in ("Ana", "Bia"):
        answer = httpx.post(program.url + "/v1/customers", json={"type": "person", "name": name}, timeout=15)
        customers.append(answer.json()["id"])
    erasure = httpx.post(f"{program.url}/v1/customers/{customers[0]}/erasure", json={"graceDays": 0}, timeout=15)
    assert erasure.status_code == 200, erasure.text

    code, output = start("erased", **urls).end()
    assert (code, output.split()) == (0, [customers[0]])
    assert start("verify", **urls).end()[0] == 0
    listed = tmp_path / "erased"
    listed.write_text(f"{customers[0]}\n\nno id\n")
    code, output = start("reapply", str(listed), **urls).end()
    assert code == 1
    assert "line 3" in output
    listed.write_text(f"{customers[0]}\n{customers[1]}\n{uuid7()}\n")
    code, output = start("reapply", str(listed), **urls).end()
    assert code == 0
    assert "1 customers erased again" in output
    code, output = start("erased", **urls).end()
    assert output.split() == customers


def test_the_schema_is_brought_up_to_date_beside_the_listener(start: Start, cf_database: Database) -> None:
    program = start("api", CF_MYSQL_URL=cf_database.url, CF_MYSQL_OWNER_URL=cf_database.owner_url)
    program.wait_for("/health/ready")
    assert program.leave()[0] == 0


@pytest.mark.parametrize(
    "changes",
    [{"CF_CLAIM_PEPPER": secret(8)}, {"CF_MASTER_KEYS": f"k1={secret(9)}"}],
    ids=["another pepper", "another master key"],
)
def test_a_program_with_other_secrets_than_the_database_does_not_work_on_it(
    start: Start, cf_database: Database, changes: dict[str, str]
) -> None:
    urls = {"CF_MYSQL_URL": cf_database.url, "CF_MYSQL_OWNER_URL": cf_database.owner_url}
    customer = {"type": "person", "name": "Ana", "email": f"{uuid7()}@example.com"}
    sound = start("api", **urls)
    sound.wait_for("/health/ready")
    registered = httpx.post(sound.url + "/v1/customers", json=customer)
    assert registered.status_code == 201

    foreign = start("api", **urls, **changes)
    ready = foreign.wait_for("/health/ready", 503)
    assert "ForeignSecret" in ready.json()["checks"]["secrets"]
    answer = httpx.post(foreign.url + "/v1/customers", json=customer)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    change = httpx.patch(
        foreign.url + registered.headers["Location"],
        json={"name": "Bia"},
        headers={"If-Match": "*", "Content-Type": "application/merge-patch+json"},
    )
    assert (change.status_code, change.json()["code"]) == (503, "unavailable")
    feed = {"Authorization": f"Bearer {ENVIRONMENT['CF_FEED_TOKEN']}"}
    assert httpx.get(foreign.url + "/internal/events", headers=feed).status_code == 503


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        (["api"], "CF_MYSQL_URL", "mysql://u:secret-pw@h:abc/db"),
        (["api"], "CF_MASTER_KEYS", "secret-pw"),
        (["api"], "CF_CLAIM_PEPPER", "secret-pw"),
        (["api"], "CF_RELAY_DOORBELL", "secret-pw"),
        (["api"], "CF_POSTAL_PROVIDERS", "viacep=https://u:secret-pw@h"),
        (["api"], "CF_FEED_TOKEN", "secret-pw-0123456789-é"),
        (["relay"], "CF_AMQP_URL", "amqp://u:secret-pw@h:abc/"),
        (["relay"], "CF_LOG_LEVEL", "secret-pw"),
        (["migrate"], "CF_LOG_LEVEL", "secret-pw"),
        (["migrate"], "CF_MYSQL_OWNER_URL", "mysql://u:secret-pw@h:99999/db"),
        (["parked"], "CF_MYSQL_URL", "secret-pw"),
        (["retry", str(uuid7())], "CF_MYSQL_URL", "secret-pw"),
    ],
)
def test_an_unfit_environment_is_told_by_the_variable_without_its_value(
    start: Start, command: list[str], variable: str, value: str
) -> None:
    code, output = start(*command, **{variable: value}).end()
    assert code == 2
    assert variable in output
    assert "secret-pw" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", [["migrate"], ["parked"], ["retry", str(uuid7())]])
def test_a_tool_without_the_database_says_so(start: Start, command: list[str]) -> None:
    code, output = start(*command).end()
    assert code == 1
    assert "Error" in output
    assert "Traceback" not in output
    assert "nothing@" not in output


@pytest.mark.parametrize("command", ["api", "relay"])
def test_a_program_that_cannot_listen_fails_without_a_stack_trace(start: Start, command: str) -> None:
    code, output = start(command, CF_HOST="nowhere.invalid").end()
    assert code not in (0, 2)
    assert "Traceback" not in output
    assert "gaierror" in output


def test_a_customer_that_is_not_parked_cannot_be_released(start: Start, cf_database: Database) -> None:
    urls: dict[str, Any] = {"CF_MYSQL_URL": cf_database.url, "CF_MYSQL_OWNER_URL": cf_database.owner_url}
    code, output = start("migrate", **urls).end()
    assert code == 0, output
    code, output = start("retry", str(uuid7()), **urls).end()
    assert code == 1
    assert "not parked" in output
    code, output = start("parked", **urls).end()
    assert code == 0
    assert "reason" in output
