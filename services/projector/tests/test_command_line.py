"""The projector's commands: wrong environments, and what an operator is told."""

import base64
import os
import subprocess
import sys
from uuid import uuid4

import pytest
from customerflow_projector.generations import LOCK, LOCK_SECONDS
from customerflow_projector.read_model import ReadModel
from customerflow_shared import views
from redis.asyncio import Redis

FIT = {
    "CF_AMQP_URL": "amqp://127.0.0.1:9/",
    "CF_REDIS_URL": "redis://127.0.0.1:9/0",
    "CF_FEED_URL": "http://127.0.0.1:9",
    "CF_FEED_TOKEN": "token-of-the-feed",
    "CF_LOOKUP_KEY": base64.b64encode(bytes(range(32))).decode(),
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
    return subprocess.run(
        [sys.executable, "-m", "customerflow_projector", *arguments],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_that_is_missing_is_told_at_once() -> None:
    ended = run("run")
    assert ended.returncode == 2
    for variable in FIT:
        assert f"{variable}: missing" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "rebuild"])
def test_all_that_is_unfit_is_told_at_once_and_no_value(command: str) -> None:
    ended = run(command, **dict.fromkeys(FIT, "secret"))
    assert ended.returncode == 2
    for variable in FIT if command == "run" else FIT.keys() - {"CF_AMQP_URL"}:
        assert f"{variable}: " in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "rebuild", "parked"])
def test_a_log_level_that_is_none_is_told(command: str) -> None:
    ended = run(command, **FIT, CF_LOG_LEVEL="secret")
    assert ended.returncode == 2
    assert "CF_LOG_LEVEL: " in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr


def test_a_rebuild_without_its_servers_says_so_in_a_line() -> None:
    ended = run("rebuild", **FIT)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Error" in ended.stderr


@pytest.mark.parametrize("command", ["rollback", "verify"])
def test_other_commands_without_a_read_model_say_so_in_a_line(cf_redis_url: str, redis: Redis, command: str) -> None:
    ended = run(command, **FIT | {"CF_REDIS_URL": cf_redis_url})
    assert ended.returncode == 1
    assert "There is no" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_rebuild_without_the_feed_changes_nothing(cf_redis_url: str, model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, "1-00000001")
    ended = run("rebuild", **FIT | {"CF_REDIS_URL": cf_redis_url})
    assert ended.returncode == 1
    assert "ConnectError" in ended.stderr
    assert (await model.generations())[0] == "1-00000001"


@pytest.mark.parametrize("command", ["rebuild", "rollback"])
async def test_who_finds_the_lock_of_one_that_was_killed_is_told_when_it_ends(
    cf_redis_url: str, model: ReadModel, command: str
) -> None:
    await model.hold(LOCK, "one that was killed", LOCK_SECONDS)
    ended = run(command, **FIT | {"CF_REDIS_URL": cf_redis_url})
    assert ended.returncode == 1
    told = " ".join(ended.stderr.replace("\u2502", " ").split())  # without the frame
    assert f"was killed, its lock ends within {LOCK_SECONDS:.0f} s" in told


def test_what_single_customers_cost_is_told() -> None:
    told = " ".join(run("verify", "--help").stdout.replace("\u2502", " ").split())
    assert "each one looks through every index" in told


def test_only_a_parked_customer_can_be_retried(cf_redis_url: str) -> None:
    ended = run("retry", str(uuid4()), **FIT | {"CF_REDIS_URL": cf_redis_url})
    assert ended.returncode == 1
    assert "not parked" in ended.stderr
