"""The two HTTP interfaces as any client sees them."""

import itertools
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from uuid import UUID

import httpx

from blackbox.system import System

Json: TypeAlias = dict[str, Any]

# Clients for one service: httpx slows down out of proportion when many requests share one pool of connections.
LANES: Final = 12
MERGE_PATCH: Final = "application/merge-patch+json"

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; making one for each client takes long


def a_customer(**fields: Any) -> Json:
    """A body that registers: a person nobody has registered before, changed as the test says."""
    token = secrets.token_hex(6)
    return {"type": "person", "name": f"Name {token}", "email": f"mail.{token}@example.com", **fields}


def an_address(**fields: Any) -> Json:
    """A body that adds an address, changed as the test says."""
    address = {"country": "BR", "postalCode": "01310-100", "line1": "Av. Paulista", "city": "São Paulo", "region": "SP"}
    return {**address, **fields}


@dataclass(frozen=True)
class Customer:
    """What a client knows after a command: an id and a version."""

    id: str
    version: int

    @property
    def path(self) -> str:
        return f"/v1/customers/{self.id}"

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class Customers:
    """`send` and `get` answer whatever comes; the others insist on success."""

    def __init__(self, system: System, *, timeout: float = 30.0) -> None:
        self._commands = [_client(url, timeout) for _ in range(LANES) for url in system.commands]
        self._queries = [_client(url, timeout) for _ in range(LANES) for url in system.queries]
        self._command_turn, self._query_turn = itertools.cycle(self._commands), itertools.cycle(self._queries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (*self._commands, *self._queries):
            await client.aclose()

    @property
    def command(self) -> httpx.AsyncClient:
        """Each command process in turn."""
        return next(self._command_turn)

    @property
    def query(self) -> httpx.AsyncClient:
        """Each query process in turn."""
        return next(self._query_turn)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = dict(headers or {})
        if if_match is not None:
            sent["If-Match"] = if_match
        if method == "PATCH":
            sent.setdefault("Content-Type", MERGE_PATCH)
        return await self.command.request(method, path, json=body, headers=sent)

    async def register(self, **fields: Any) -> Customer:
        answer = await self.send("POST", "/v1/customers", a_customer(**fields))
        return _outcome(answer, 201)

    async def upsert(self, source: str, value: str, **fields: Any) -> httpx.Response:
        return await self.send("PATCH", f"/v1/external/{source}/{value}", fields)

    async def patch(self, customer: Customer, **fields: Any) -> Customer:
        return await self.command_on(customer, "PATCH", "", fields)

    async def archive(self, customer: Customer) -> Customer:
        return await self.command_on(customer, "DELETE", "", status=204)

    async def restore(self, customer: Customer) -> Customer:
        return await self.command_on(customer, "POST", "/restore")

    async def suspend(self, customer: Customer, **fields: Any) -> Customer:
        return await self.command_on(customer, "POST", "/suspend", {"reason": "a test", **fields})

    async def reactivate(self, customer: Customer) -> Customer:
        return await self.command_on(customer, "POST", "/reactivate")

    async def tag(self, customer: Customer, tag: str) -> Customer:
        return await self.command_on(customer, "PUT", f"/tags/{tag}", status=204)

    async def link(self, customer: Customer, source: str, value: str) -> Customer:
        return await self.command_on(customer, "POST", "/external-ids", {"source": source, "value": value})

    async def consent(self, customer: Customer, purpose: str, channel: str, **fields: Any) -> Customer:
        return await self.command_on(customer, "PUT", f"/consents/{purpose}/{channel}", fields)

    async def add_tax_id(self, customer: Customer, kind: str, value: str) -> tuple[Customer, str]:
        """The customer, and the id of its tax id."""
        answer = await self.send("POST", f"{customer.path}/tax-ids", {"type": kind, "value": value})
        return _outcome(answer, 201), answer.json()["taxIdId"]

    async def add_address(self, customer: Customer, **fields: Any) -> tuple[Customer, str]:
        """The customer, and the id of its address."""
        answer = await self.send("POST", f"{customer.path}/addresses", an_address(**fields))
        return _outcome(answer, 201), answer.json()["addressId"]

    async def request_erasure(self, customer: Customer, *, grace_days: int = 30) -> Customer:
        """At 0 days the customer is erased at once."""
        status = 202 if grace_days else 200
        return await self.command_on(customer, "POST", "/erasure", {"graceDays": grace_days}, status=status)

    async def command_on(
        self, customer: Customer, method: str, to: str, body: object = None, *, status: int = 200
    ) -> Customer:
        """Any command on the customer at the version that is known."""
        return _outcome(await self.send(method, customer.path + to, body, if_match=customer.etag), status, customer)

    async def get(
        self, customer: Customer | UUID, *, at_least: int | None = None, wait: int = 5, method: str = "GET"
    ) -> httpx.Response:
        """Ask the query service; with `at_least`, as one who must see that version."""
        path = customer.path if isinstance(customer, Customer) else f"/v1/customers/{customer}"
        if at_least is None:
            return await self.query.request(method, path)
        return await self.query.request(
            method, path, params={"minVersion": at_least}, headers={"Prefer": f"wait={wait}"}
        )

    async def read(self, customer: Customer, *, wait: int = 5) -> Json:
        """The document at the customer's version or a later one: read your own write."""
        answer = await self.get(customer, at_least=customer.version, wait=wait)
        assert answer.status_code == 200, f"{customer}: {answer.status_code} {answer.text}"
        document: Json = answer.json()
        assert document["version"] >= customer.version
        return document


def version_of(answer: httpx.Response) -> int:
    """The version that the entity tag names."""
    return int(answer.headers["ETag"].strip('"'))


def _client(url: str, timeout: float) -> httpx.AsyncClient:
    # servers close what is idle for 5 seconds, which is httpx's own limit too: a request could meet the close
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2)
    return httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=_NO_TLS, limits=limits)


def _outcome(answer: httpx.Response, status: int, customer: Customer | None = None) -> Customer:
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    if customer and not answer.content:
        return Customer(customer.id, version_of(answer))
    outcome = answer.json()
    assert version_of(answer) == outcome["version"]
    return Customer(outcome["id"], outcome["version"])
