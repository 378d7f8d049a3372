"""One customer whose every personal field holds a token, and the way to do something with it."""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from blackbox.canary import Tokens
from blackbox.customers import Customer, Customers, Json, version_of
from blackbox.system import System

PERSONAL_SOURCE: Final = "loyalty"
AN_ADDRESS: Final = {"country": "BR", "postalCode": "01310-100", "region": "SP"}
LONG_AGO: Final = "2026-01-02T03:04:05.678Z"


@dataclass
class Driven:
    """What has been done so far, by all customers together; `unanswered` is how questions were refused."""

    succeeded: set[tuple[str, str]] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    replayed: int = 0
    unanswered: list[bytes] = field(default_factory=list)


class Subject:
    """`version` is the customer's. Every command has a key, a token too, and is sent again under it."""

    def __init__(self, customers: Customers, system: System, tokens: Tokens, driven: Driven) -> None:
        self.customers = customers
        self.system = system
        self.new = tokens
        self.driven = driven
        self.erp = secrets.token_hex(8)
        self.id = ""
        self.version = 0
        self.last_key = ""

    @property
    def path(self) -> str:
        return f"/v1/customers/{self.id}"

    @property
    def customer(self) -> Customer:
        return Customer(self.id, self.version)

    # Sending

    async def does(self, method: str, path: str, body: Json | None = None, *, status: int = 200) -> Json:
        """A command that succeeds, and again under its key; returns the answer."""
        key = self.last_key = self.new.email()
        first, again = [await self._send(method, path, body, headers={"Idempotency-Key": key}) for _ in range(2)]
        assert first.status_code == status, f"{method} {path}: {first.status_code} {first.text}"
        assert (again.status_code, again.content, again.headers["ETag"]) == (
            status,
            first.content,
            first.headers["ETag"],
        )
        assert again.headers["Idempotency-Replayed"] == "true"
        self.driven.replayed += 1
        self.driven.succeeded.add((method, path.replace(self.id, "{id}") if self.id else path))
        self.version = version_of(first)
        return first.json() if first.content else {}

    async def fails(
        self, code: str, method: str, path: str, body: object = None, *, if_match: str | None = "", **sent: Any
    ) -> httpx.Response:
        """A command that is refused with this code, and again if it is repeated."""
        headers = {"Idempotency-Key": self.new.word(), **sent.pop("headers", {})}
        for _ in range(2):
            answer = await self._send(method, path, body, if_match=if_match, headers=headers, **sent)
            assert answer.json()["code"] == code, f"{method} {path}: {answer.text}"
        self.driven.refused[f"{answer.status_code} {code}"] += 1
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        if_match: str | None = "",
        headers: dict[str, str],
        **sent: Any,
    ) -> httpx.Response:
        """`if_match` is the present version by default, None for none."""
        given = {"If-Match": f'"{self.version}"'} if if_match == "" and self.version else {}
        if if_match:
            given["If-Match"] = if_match
        if method == "PATCH":
            given["Content-Type"] = "application/merge-patch+json"
        if body is not None:
            sent["json"] = body
        return await self.customers.command.request(method, path, headers=given | headers, **sent)

    async def asks_for_erasure(self, *, grace_days: int, status: int) -> None:
        body = {"requestRef": "ticket 42", "reason": self.new.text(), "graceDays": grace_days}
        await self.does("POST", f"{self.path}/erasure", body, status=status)

    # Values

    def everything(self) -> Json:
        """Every field that a registration takes."""
        return {
            **self.names(),
            "type": "person",
            "email": self.new.email(),
            "phone": self.new.phone(),
            "phoneExtension": "123",
            "birthDate": self.new.day(),
            "locale": "pt-BR",
            "timezone": "America/Sao_Paulo",
            "lifecycleStage": "lead",
            "taxIds": [
                {"type": "br_cpf", "value": self.new.cpf()},
                {"type": "other", "value": self.new.word()},
            ],
            "addresses": [self.address(), self.address()],
            "consents": [{"purpose": "terms", "channel": "web", **self.consent()}],
            "tags": ["canary"],
            "externalIds": [
                {"source": "erp", "value": self.erp},
                {"source": PERSONAL_SOURCE, "value": self.new.email()},
            ],
            "attributes": {"nickname": self.new.text(), "shoe": 42, "newsletter": True},
        }

    def names(self) -> Json:
        names = ("name", "givenName", "familyName", "socialName", "legalName", "tradeName")
        return {name: self.new.text() for name in names}

    def address(self) -> Json:
        lines = {name: self.new.text() for name in ("label", "line1", "line2", "district", "city", "recipient")}
        return {**AN_ADDRESS, "roles": ["billing"], **lines, "number": self.new.word()[-20:]}

    def consent(self, state: str = "granted") -> Json:
        return {"state": state, "capturedAt": LONG_AGO, "source": "checkout", "evidenceRef": self.new.text()}
