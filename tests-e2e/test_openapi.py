"""Both services do what their OpenAPI documents say, and nothing that can be derived from these makes them fail."""

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path

from blackbox.customers import Customers
from blackbox.system import System

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
SECONDS = 40
CUSTOMERS = 30
KEYS = 1000  # a key that comes again would only be told so
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


async def requests_derived_from(base: str, configuration: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={configuration}",
        "run",
        f"{base}/docs/openapi.json",
        f"--checks={CHECKS}",
        f"--max-time={SECONDS}",
        "--phases=examples,coverage,fuzzing",
        "--generation-database=none",
        "--no-shrink",
        "--no-color",
        "--warnings=off",
        cwd=configuration.parent,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await run.communicate()
    assert run.returncode == 0, report.decode()


async def test_no_request_derived_from_a_document_makes_its_service_fail(
    system: System, customers: Customers, tmp_path: Path
) -> None:
    """Most requests are for customers who are there, so that commands take effect, or meet what others have done."""
    ids = [(await customers.register()).id for _ in range(CUSTOMERS)]
    values = {"customers": ids, "keys": [secrets.token_hex(8) for _ in range(KEYS)]}
    configuration = tmp_path / "schemathesis.toml"
    dictionaries = (f"[dictionaries.{name}]\nvalues = {json.dumps(known)}\n" for name, known in values.items())
    configuration.write_text(CONFIGURATION.read_text() + "".join(dictionaries))
    async with asyncio.TaskGroup() as both:
        for base in (system.command, system.query):
            both.create_task(requests_derived_from(base, configuration))
