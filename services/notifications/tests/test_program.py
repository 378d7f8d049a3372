"""The program as a process: how it starts, listens, sends, leaves and comes back."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from customerflow_consumer.testing import told
from customerflow_contract.cloud_event import encode
from customerflow_contract.events import ROUTING_KEYS, CustomerEmailVerificationRequestedV1, DeliveryLinksV1
from customerflow_local.provider import Asked, Mood, Provider
from customerflow_shared import messaging

TOKEN = "0123456789abcdef"
EXCHANGE = "customerflow.integration"
PERSONAL = ("ana@example.com", "428571", "Ana Souza")


class CommandService(Provider):
    def _sound(self, asked: Asked) -> tuple[int, Any]:
        email, code, name = PERSONAL
        return 200, {"email": email, "name": name, "code": code, "expiresAt": "2026-11-22T15:04:05.123Z"}


def environment(folder: Path, amqp_url: str, command_url: str, provider_url: str) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "CF_PORT": str(port),
        "CF_AMQP_URL": amqp_url,
        "CF_COMMAND_URL": command_url,
        "CF_DELIVERY_TOKEN": TOKEN,
        "CF_EMAIL_PROVIDER_URL": f"{provider_url}/v1/messages",
        "CF_NOTIFICATIONS_DB": str(folder / "notifications.db"),
    }


class Program:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self._url = url

    async def is_ready(self, status: int = 200) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
            while True:
                try:
                    answer = await client.get(f"{self._url}/health/ready")
                    if answer.status_code == status:
                        checks: dict[str, Any] = answer.json()["checks"]
                        return checks
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)

    async def metrics(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self._url}/metrics")).text

    async def leave(self) -> tuple[int | None, str]:
        self._process.terminate()
        output, _ = await self._process.communicate()
        return self._process.returncode, output.decode()


@asynccontextmanager
async def started(settings: dict[str, str]) -> AsyncIterator[Program]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CF_", "OTEL_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "customerflow_notifications", "run"),
        env=inherited | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Program(process, f"http://127.0.0.1:{settings.get('CF_PORT', '0')}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ask(amqp_url: str) -> str:
    """Tell an event, as the relay does; its id."""
    event = CustomerEmailVerificationRequestedV1(
        customer_id=uuid4(),
        version=2,
        verification_id=uuid4(),
        expires_at=(datetime.now(UTC) + timedelta(minutes=15)).isoformat(timespec="milliseconds"),
        links=DeliveryLinksV1(delivery="/internal/..."),
    )
    message = told(event)
    async with messaging.connected(amqp_url, "test") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(aio_pika.Message(encode(message)), ROUTING_KEYS[type(event)])
    return str(message.id)


async def test_what_is_asked_for_is_sent_also_after_the_program_was_away(tmp_path: Path, cf_amqp_url: str) -> None:
    async with messaging.connected(cf_amqp_url, "test") as connection:
        await messaging.declare(await connection.channel())
    async with CommandService() as commands, Provider() as provider:
        settings = environment(tmp_path, cf_amqp_url, commands.url, provider.url)

        async def are_sent(*keys: str) -> None:
            async with asyncio.timeout(20):
                while set(provider.sent) != set(keys):
                    await asyncio.sleep(0.05)

        async with started(settings) as program:
            assert await program.is_ready() == {"rabbitmq": "ok"}
            first = await ask(cf_amqp_url)
            await are_sent(first)
            provider.mood = Mood.FAIL
            second = await ask(cf_amqp_url)
            known = len(provider.asked)
            async with asyncio.timeout(20):
                while len(provider.asked) == known:
                    await asyncio.sleep(0.05)
            shown = await program.metrics()
            assert 'customerflow_notifications_messages_total{outcome="sent"} 1.0' in shown
            assert 'customerflow_outside_circuit{service="e-mail"} 0.0' in shown
            code, output = await program.leave()
        assert code == 0
        third = await ask(cf_amqp_url)
        provider.mood = Mood.WELL
        async with started(settings) as program:
            await are_sent(first, second, third)
            code, more = await program.leave()
        assert code == 0
        assert "Traceback" not in output + more
        assert not [one for one in PERSONAL if one in output + more + shown]


async def test_without_a_provider_it_says_so_and_sends_what_it_has_kept_once_there_is_one(
    tmp_path: Path, cf_amqp_url: str
) -> None:
    async with messaging.connected(cf_amqp_url, "test") as connection:
        await messaging.declare(await connection.channel())
    async with CommandService() as commands, Provider() as provider:
        settings = environment(tmp_path, cf_amqp_url, commands.url, provider.url)
        settings["CF_NOTIFICATIONS_QUEUE"] = "without-provider"
        named = settings.pop("CF_EMAIL_PROVIDER_URL")
        async with started(settings) as program:
            assert await program.is_ready() == {"rabbitmq": "ok"}
            kept = await ask(cf_amqp_url)
            async with asyncio.timeout(20):
                while 'messages_total{outcome="postponed"} 0.0' in await program.metrics():
                    await asyncio.sleep(0.05)
            code, output = await program.leave()
        assert code == 0
        assert "nothing is sent, for there is no provider: CF_EMAIL_PROVIDER_URL is not set" in output
        assert "NoProvider: CF_EMAIL_PROVIDER_URL is not set" in output
        assert "Traceback" not in output
        assert commands.asked == provider.asked == []
        async with started(settings | {"CF_EMAIL_PROVIDER_URL": named}) as program, asyncio.timeout(20):
            while set(provider.sent) != {kept}:
                await asyncio.sleep(0.05)


async def test_without_a_broker_it_lives_says_so_and_leaves_when_asked(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    async with started(environment(tmp_path, "amqp://127.0.0.1:1/", nowhere, nowhere)) as program:
        checks = await program.is_ready(503)
        assert checks == {"rabbitmq": "ConnectionError: not connected"}
        code, output = await program.leave()
    assert code == 0
    assert "Traceback" not in output


@pytest.mark.parametrize("missing", ["CF_AMQP_URL", "CF_COMMAND_URL", "CF_DELIVERY_TOKEN"])
async def test_what_is_missing_is_told(tmp_path: Path, missing: str) -> None:
    settings = environment(tmp_path, "amqp://127.0.0.1:1/", "http://127.0.0.1:1", "http://127.0.0.1:1")
    del settings[missing]
    async with started(settings) as program:
        output, _ = await program._process.communicate()
    assert program._process.returncode == 2
    assert f"{missing}: missing" in output.decode()
