"""A wrong environment is told whole, before anything is started, and without its values."""

import os
import subprocess
import sys

import pytest


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
    return subprocess.run(
        [sys.executable, "-m", "customerflow_query", "api"],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "faults"),
    [
        pytest.param({}, ["CF_REDIS_URL: missing", "CF_LOOKUP_KEY: missing"], id="nothing"),
        pytest.param(
            dict.fromkeys(["CF_REDIS_URL", "CF_LOOKUP_KEY", "CF_PORT", "CF_LOG_LEVEL"], "secret-value"),
            ["CF_REDIS_URL: ", "CF_LOOKUP_KEY: ", "CF_PORT: ", "CF_LOG_LEVEL: "],
            id="all wrong",
        ),
        pytest.param({"CF_REDIS_URL_FILE": "/nowhere/secret-value"}, ["CF_REDIS_URL_FILE: "], id="no file"),
    ],
)
def test_all_faults_are_told_at_once_and_no_value(environment: dict[str, str], faults: list[str]) -> None:
    ended = run(**environment)
    assert ended.returncode == 2
    for fault in faults:
        assert fault in ended.stderr
    assert "secret-value" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
