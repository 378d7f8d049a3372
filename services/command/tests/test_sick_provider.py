"""Commands of which a part needs a look-up, beside a provider of postal codes that falls ill: the program, real
servers, real HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from customerflow_local.provider import Mood, Provider

if TYPE_CHECKING:
    from customerflow_local.testing import Database

SECONDS = float(os.environ.get("CF_TEST_SICK_SECONDS", "2"))
"""Of each illness."""
RATE = 60  # commands a second to each of the two programs, come what may
PATIENCE = 0.14  # nearly that of the programs
LOOKED_UP = 10  # every tenth lacks something
ILLNESSES = (Mood.LATE, Mood.RESET, Mood.RUBBISH, Mood.HALF)


def flags(folder: Path) -> str:
    on = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
    (folder / "flags.json").write_text(json.dumps({"flags": {"address-enrichment": on}}))
    return str(folder / "flags.json")


@asynccontextmanager
async def command_api(database: Database, provider: Provider, flags_file: str) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CF_", "OTEL_"))}
    settings = {
        "CF_PORT": str(port),
        "CF_MYSQL_URL": database.url,
        "CF_MYSQL_OWNER_URL": database.owner_url,
        "CF_MASTER_KEYS": f"k1={base64.b64encode(bytes(range(32))).decode()}",
        "CF_CLAIM_PEPPER": base64.b64encode(bytes(32)).decode(),
        "CF_FEED_TOKEN": "0123456789abcdef",
        "CF_POSTAL_PROVIDERS": f"viacep={provider.url}",
        "CF_FLAGS": flags_file,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_command", "api"),
        env=inherited | settings,
        stdout=asyncio.subprocess.DEVNULL,
    )
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30, limits=limits
        ) as client:
            async with asyncio.timeout(30):
                while not await answers(client):
                    await asyncio.sleep(0.1)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


def registration(number: int) -> dict[str, Any]:
    """Every tenth lacks district and street number's line; each with a code that nobody has asked for."""
    address = {"country": "BR", "postalCode": f"{1000 + number // 1000:05}-{number % 1000:03}", "line1": "Rua A"}
    address |= {"city": "São Paulo", "region": "SP"}
    if number % LOOKED_UP:
        address["district"] = "Sé"
    return {"type": "person", "name": "Ana", "addresses": [address], "email": f"{secrets.token_hex(8)}@example.com"}


async def load(client: httpx.AsyncClient, numbers: range, waits: list[float], statuses: Counter[int]) -> None:
    """At a steady rate; a wait is counted from when the command should have been sent."""

    async def register(number: int, due: float) -> None:
        answer = await client.post("/v1/customers", json=registration(number))
        waits.append(asyncio.get_running_loop().time() - due)
        statuses[answer.status_code] += 1

    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for count, number in enumerate(numbers):
            due = begun + count / RATE
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            group.create_task(register(number, due))


def over(limit: float, waits: list[float]) -> int:
    return sum(wait > limit for wait in waits)


def p99(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.99)]


@pytest.mark.timeout(300)
async def test_commands_are_no_slower_while_a_provider_is_sick(cf_database: Database, tmp_path: Path) -> None:
    """Two programs on one database take the same load at the same time, a tenth of it with look-ups; the provider of
    one is well, that of the other is ill in one way after another. So what else the machine does slows both.
    """
    flags_file = flags(tmp_path)
    well: list[float] = []
    ill: list[float] = []
    statuses = Counter[int]()
    async with (
        Provider() as sound,
        Provider() as sick,
        command_api(cf_database, sound, flags_file) as beside_the_sound,
        command_api(cf_database, sick, flags_file) as beside_the_sick,
    ):
        for client in (beside_the_sound, beside_the_sick):
            await load(client, range(900_000, 900_030), [], statuses)
        asked, held_up, healing = {}, {}, {}
        first, count = 0, int(RATE * SECONDS)
        for sick.mood in ILLNESSES:
            known, mood = len(sick.asked), str(sick.mood)
            numbers = range(first, first + count)
            await asyncio.gather(
                load(beside_the_sound, numbers, well, statuses), load(beside_the_sick, numbers, ill, statuses)
            )
            asked[mood] = len(sick.asked) - known
            held_up[mood] = over(PATIENCE, ill[-count:]) - over(PATIENCE, well[-count:])
            sick.mood = Mood.WELL
            healing[mood] = round(await recovered(beside_the_sick, sick, first), 1)
            first += count
        looked_up = len(sound.asked)
        metrics = (await beside_the_sick.get("/metrics")).text
    transitions = [line for line in metrics.splitlines() if line.startswith("customerflow_outside_circuit_transitions")]
    print(
        f"\n{len(ill)} commands each, {looked_up} look-ups; p99 beside a sound provider {p99(well) * 1000:.1f} ms, "
        f"beside a sick one {p99(ill) * 1000:.1f} ms ({p99(ill) / p99(well) - 1:+.1%}); slowest {max(well) * 1000:.0f} "
        f"and {max(ill) * 1000:.0f} ms; times asked while sick {asked}, commands held up {held_up}, seconds until well "
        f"again {healing}",
        *transitions,
        sep="\n",
    )
    assert set(statuses) == {201}
    assert looked_up > len(well) / LOOKED_UP
    # those who come before the first one has lost its patience; without bounds it would be every look-up of the illness
    assert max(held_up.values()) <= 4 < RATE * SECONDS / LOOKED_UP
    assert over(p99(well), ill) / len(ill) < 0.05  # one in a hundred by definition, and what the machine adds
    assert min(asked.values()) > 0
    assert max(asked.values()) < 12  # a few until the circuit opens, then probes


async def recovered(client: httpx.AsyncClient, provider: Provider, number: int) -> float:
    """Seconds until addresses are completed again, as fast as they come."""
    begun, number = time.monotonic(), 500_000 + number
    async with asyncio.timeout(90):
        while True:
            known, number = len(provider.asked), number + 2 * LOOKED_UP
            for one in range(number, number + 2 * LOOKED_UP, LOOKED_UP):
                await client.post("/v1/customers", json=registration(one))
            if len(provider.asked) == known + 2:
                return time.monotonic() - begun
            await asyncio.sleep(0.1)
