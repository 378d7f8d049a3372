"""The command service's feed, as a replay sees it: made-up events, told by the feed's own rules."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import httpx

UPDATED = "customer.updated.v1"
ERASED = "customer.erased.v1"
CONSENT = "customer.consent_changed.v1"
_SPACE = UUID(int=7)


def customer(number: int) -> UUID:
    return uuid5(_SPACE, f"customer {number}")


def event(number: int, version: int, kind: str = UPDATED) -> dict[str, Any]:
    who = str(customer(number))
    return {
        "specversion": "1.0",
        "id": str(uuid5(_SPACE, f"{number} {version} {kind}")),
        "type": f"io.customerflow.{kind}",
        "source": "/customerflow",
        "subject": who,
        "sequence": f"{version:020d}",
        "data": {"customerId": who, "version": version},
    }


@dataclass
class Past:
    """`lines` by position; `away` answers in place of it; `cut` ends an answer after so many lines, in the middle of
    the next.
    """

    lines: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    away: int | None = None
    cut: int | None = None
    asked: list[httpx.QueryParams] = field(default_factory=list)

    @classmethod
    def of(cls, customers: int, versions: int, *kinds: str) -> "Past":
        """Each customer's versions, all customers in turn, each version with an event of each kind."""
        found = cls()
        for version in range(1, versions + 1):
            for number in range(customers):
                found.lines[len(found.lines) + 1] = [event(number, version, kind) for kind in kinds or (UPDATED,)]
        return found

    @property
    def head(self) -> int:
        return max(self.lines, default=0)

    def events(self, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[str]:
        """Their ids."""
        return [one["id"] for line in self.lines.values() for one in line if fits(one)]

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="http://command", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.away is not None:
            return httpx.Response(self.away)
        if request.url.path != "/internal/integration-events":
            return self._of_version(*request.url.path.split("/")[3::2])
        asked = request.url.params
        self.asked.append(asked)
        after, end = int(asked.get("after", 0)), min(self.head, int(asked.get("until", self.head)))
        types, subject = asked.get_list("type"), asked.get("customer")
        told: list[dict[str, Any]] = [{"position": after}]
        for position, line in self.lines.items():
            if not after < position <= end:
                continue
            fitting = [
                one
                for one in line
                if (not types or one["type"].removeprefix("io.customerflow.") in types)
                and subject in (None, one["subject"])
            ]
            if position in self.unreadable:
                told.append({"position": position, "unreadable": {"position": position}})
            elif fitting:
                told.append({"position": position, "events": fitting})
        told.append({"position": end})
        content = b"".join(json.dumps(one).encode() + b"\n" for one in told)
        if self.cut is not None:
            lines = content.split(b"\n")
            content = b"\n".join(lines[: self.cut]) + b"\n" + lines[self.cut][:9] if len(lines) > self.cut else content
        return httpx.Response(200, headers={"CustomerFlow-Head": str(end)}, content=content)

    def _of_version(self, who: str, version: str) -> httpx.Response:
        for position, line in self.lines.items():
            if any(one["subject"] == who and int(one["sequence"]) == int(version) for one in line):
                unreadable = {"unreadable": {"position": position}} if position in self.unreadable else {}
                return httpx.Response(
                    200, json={"position": position, "events": [] if unreadable else line} | unreadable
                )
        return httpx.Response(404, json={"code": "event-not-found"})
