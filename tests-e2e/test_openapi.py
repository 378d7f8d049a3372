"""Both services do what their OpenAPI documents say, and nothing that can be derived from these makes them fail."""

import asyncio
import os
import sys
from pathlib import Path

from blackbox.system import System

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
SECONDS = 20
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


async def requests_derived_from(base: str, folder: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={CONFIGURATION}",
        "run",
        f"{base}/docs/openapi.json",
        f"--checks={CHECKS}",
        f"--max-time={SECONDS}",
        "--phases=examples,coverage,fuzzing",
        "--generation-database=none",
        "--no-shrink",
        "--no-color",
        "--warnings=off",
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await run.communicate()
    assert run.returncode == 0, report.decode()


async def test_no_request_derived_from_a_document_makes_its_service_fail(system: System, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as both:
        for base in (system.command, system.query):
            both.create_task(requests_derived_from(base, tmp_path))
