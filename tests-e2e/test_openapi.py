"""The services do what their OpenAPI documents say, and nothing that can be derived from these makes them fail."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from blackbox.customers import Customers
from blackbox.hook import Hook
from blackbox.partner import SUBSCRIPTIONS, WEBHOOKS, Operator
from blackbox.system import System

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
SECONDS = 40
CUSTOMERS = 30
PARTNERS = 5  # some of which are removed on the way
KEYS = 1000  # a key that comes again would only be told so


async def requests_derived_from(base: str, configuration: Path, *options: str) -> None:
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={configuration}",
        "run",
        f"{base}/docs/openapi.json",
        f"--checks={CHECKS}",
        f"--max-time={SECONDS}",
        "--generation-database=none",
        "--no-shrink",
        "--no-color",
        "--warnings=off",
        *options,
        cwd=configuration.parent,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await run.communicate()
    assert run.returncode == 0, report.decode()


def configured(name: str, folder: Path, dictionaries: Mapping[str, Sequence[str]]) -> Path:
    """A configuration of this folder, with values that are known."""
    added = (f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n" for name, values in dictionaries.items())
    configuration = folder / "schemathesis.toml"
    configuration.write_text(Path(__file__).with_name(name).read_text() + "".join(added))
    return configuration


async def test_no_request_derived_from_a_document_makes_its_service_fail(
    system: System, customers: Customers, tmp_path: Path
) -> None:
    """Most requests are for customers who are there, so that commands take effect, or meet what others have done."""
    ids = [(await customers.register()).id for _ in range(CUSTOMERS)]
    known = {"customers": ids, "keys": [secrets.token_hex(8) for _ in range(KEYS)]}
    configuration = configured("schemathesis.toml", tmp_path, known)
    async with asyncio.TaskGroup() as both:
        for base in (system.command, system.query):
            both.create_task(requests_derived_from(base, configuration, "--phases=examples,coverage,fuzzing"))


async def test_no_request_derived_from_its_document_makes_the_partners_service_fail(
    system: System, tmp_path: Path
) -> None:
    """Most requests are for subscriptions, replays and webhooks that are there."""
    token = f"--header=Authorization: Bearer {system.operator_token}"
    with Hook() as hook:
        async with Operator(system) as operator, left_as_it_was(operator):
            names = [f"derived-{secrets.token_hex(4)}" for _ in range(PARTNERS)]
            replays = list[str]()
            for name in names:
                await operator.subscribe(name, "customer.#")
                begun = await operator.post(f"{SUBSCRIPTIONS}/{name}/replays", json={"rate": 1})
                assert begun.status_code == 202, begun.text
                replays.append(begun.json()["id"])
            webhooks = [str(uuid4())]
            if system.stack:  # others send nothing to where the receiver is
                for _ in range(PARTNERS):
                    created = await operator.post(WEBHOOKS, json={"url": hook.url, "routingKeys": ["customer.#"]})
                    assert created.status_code == 201, created.text
                    webhooks.append(created.json()["webhook"]["id"])
            known = {"names": names, "replays": replays, "webhooks": webhooks}
            configuration = configured("schemathesis-partners.toml", tmp_path, known)
            # so many that each route has its turn in the time there is
            fuzzing = ("--phases=examples,fuzzing", "--max-examples=25")
            await requests_derived_from(system.partners, configuration, token, *fuzzing)


@asynccontextmanager
async def left_as_it_was(operator: Operator) -> AsyncIterator[None]:
    """At the end no subscription, no unfinished replay and no webhook is there that was not there before."""

    async def there(route: str, member: str) -> set[str]:
        answer = await operator.get(route)
        assert answer.status_code == 200, answer.text
        return {one[member] for one in answer.json()["data"]}

    subscriptions, webhooks = await there(SUBSCRIPTIONS, "name"), await there(WEBHOOKS, "id")
    try:
        yield
    finally:
        for name in await there(SUBSCRIPTIONS, "name") - subscriptions:
            for replay in await there(f"{SUBSCRIPTIONS}/{name}/replays", "id"):
                cancelled = await operator.post(f"{SUBSCRIPTIONS}/{name}/replays/{replay}/cancel")
                assert cancelled.status_code in (200, 409), cancelled.text  # 409: it is over
            removed = await operator.delete(f"{SUBSCRIPTIONS}/{name}", params={"force": "true"})
            assert removed.status_code == 204, removed.text
        for webhook in await there(WEBHOOKS, "id") - webhooks:
            gone = await operator.delete(f"{WEBHOOKS}/{webhook}")
            assert gone.status_code in (204, 404), gone.text
