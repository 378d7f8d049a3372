"""The stand-in tells what it was asked and given, however it feels."""

import asyncio
import json
import sys
from typing import Any

import httpx
import pytest
from customerflow_local.provider import Mood, Provider

LETTER = {"to": "ana@example.com", "code": "428571"}


async def post(client: httpx.AsyncClient, key: str, **letter: str) -> httpx.Response:
    return await client.post("/v1/messages", json=LETTER | letter, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("mood", Mood)
async def test_its_mailbox_and_what_it_was_asked_can_be_looked_at_in_every_mood(mood: Mood) -> None:
    async with Provider() as provider, httpx.AsyncClient(base_url=provider.url, trust_env=False) as client:
        await post(client, "one")
        await post(client, "one", code="000000")
        await post(client, "two", to="bia@example.com")
        assert (await client.put("/mood", content=mood)).json() == {"mood": mood}

        async def told(path: str) -> Any:
            return (await client.get(path)).raise_for_status().json()

        assert await told("/v1/messages") == [LETTER, LETTER | {"to": "bia@example.com"}]
        assert await told("/v1/messages?to=bia%40example.com") == [LETTER | {"to": "bia@example.com"}]
        assert await told("/v1/messages?to=nobody%40example.com") == []
        assert [one["key"] for one in await told("/asked")] == ["one", "one", "two"]
        assert await told("/health/ready") == {"status": "ready"}


async def test_when_it_is_silent_it_has_done_what_it_was_asked() -> None:
    async with Provider(mood=Mood.SILENT) as provider, httpx.AsyncClient(base_url=provider.url, timeout=0.3) as client:
        with pytest.raises(httpx.ReadTimeout):
            await post(client, "one")
        assert provider.sent == {"one": LETTER}


async def test_it_runs_by_itself_with_nothing_but_python_on_the_port_and_address_it_is_given() -> None:
    async with Provider() as free:
        port = free.port
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", sys.modules[Provider.__module__].__file__ or "", str(port), "127.0.0.2"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == f"serving on http://127.0.0.2:{port}\n".encode()
        async with httpx.AsyncClient(trust_env=False) as client:
            found = await client.get(f"http://127.0.0.2:{port}/ws/01310100/json/")
        assert json.loads(found.text)["cep"] == "01310-100"
    finally:
        process.terminate()
        await process.wait()
