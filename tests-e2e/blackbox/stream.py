"""The change stream as a browser follows it: it comes back with the last id that it has got."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import httpx

from blackbox.customers import Json
from blackbox.system import System

# the stream says something every 15 seconds
_PATIENCE: Final = httpx.Timeout(5, read=25)


@dataclass
class Stream:
    """`last` is the last id, `text` all that has come, `resets` how often something was not kept any more."""

    system: System
    last: int | None = None
    parameters: Json = field(default_factory=dict)
    text: str = ""
    resets: int = 0

    async def changes(self) -> AsyncGenerator[Json, None]:
        """One connection's worth."""
        headers = {} if self.last is None else {"Last-Event-ID": str(self.last)}
        async with (
            httpx.AsyncClient(base_url=self.system.query, timeout=_PATIENCE, trust_env=False) as client,
            client.stream("GET", "/v1/changes", params=self.parameters, headers=headers) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["Content-Type"].split(";")[0] == "text/event-stream"
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                self.text += line + "\n"
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                    continue
                self.last = int(event.get("id", self.last or 0))
                self.resets += event.get("event") == "reset"
                if event.get("event") == "change":
                    yield json.loads(event["data"])
                event = {}

    async def first(self) -> Json:
        async with aclosing(self.changes()) as changes:
            return await anext(changes)

    async def until(self, position: int) -> list[Json]:
        """Everything up to the position."""
        found = []
        if self.last is None or self.last < position:
            async with aclosing(self.changes()) as changes:
                async for change in changes:
                    found.append(change)
                    if change["position"] >= position:
                        break
        return found
