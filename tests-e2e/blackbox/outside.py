"""Services of others, as `customerflow_local.provider` stands in for them: what they were asked and given."""

from types import TracebackType
from typing import Any, Self

import httpx
from customerflow_local.provider import Mood

from blackbox.customers import Json


class Outside:
    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def feel(self, mood: Mood) -> None:
        told = (await self._client.put("/mood", content=mood)).raise_for_status().json()
        assert told == {"mood": mood}

    async def letters(self, to: str) -> list[Json]:
        """What lies in the mailbox of an address."""
        letters: list[Json] = await self._get("/v1/messages", to=to)
        return letters

    async def keys(self) -> list[str]:
        """By which idempotency keys it was asked to send something, again and again included."""
        return [one["key"] for one in await self._get("/asked") if one["method"] == "POST"]

    async def look_ups(self) -> list[str]:
        return [one["path"] for one in await self._get("/asked") if one["method"] == "GET"]

    async def _get(self, path: str, **parameters: str) -> Any:
        return (await self._client.get(path, params=parameters)).raise_for_status().json()
