"""Another system, as its operator sees it: subscribed over REST, with an account that may only read."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
from pika.exceptions import AMQPError

from blackbox.customers import Json
from blackbox.subscriber import connected
from blackbox.system import System

SUBSCRIPTIONS: Final = "/internal/subscriptions"
WEBHOOKS: Final = "/internal/webhooks"


class Operator(httpx.AsyncClient):
    """The routes of the partners' service, with the operator's token."""

    def __init__(self, system: System) -> None:
        headers = {"Authorization": f"Bearer {system.operator_token}"}
        super().__init__(base_url=system.partners, headers=headers, timeout=30, trust_env=False)

    async def subscribe(self, name: str, *keys: str) -> Json:
        return await self.told("PUT", name, json={"routingKeys": [*keys]})

    async def told(self, method: str, of: str, **request: Any) -> Json:
        """What a route of a subscription answers to what it does."""
        answer = await self.request(method, f"{SUBSCRIPTIONS}/{of}", **request)
        assert answer.status_code in (200, 201), answer.text
        told: Json = answer.json()
        return told


def url_with(system: System, credentials: Mapping[str, str]) -> str:
    parts = urlsplit(system.amqp)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{credentials['user']}:{credentials['password']}@{host}"))


def may_connect(url: str) -> bool:
    try:
        with closing(connected(url)):
            return True
    except AMQPError:
        return False
