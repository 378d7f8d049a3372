"""From the outcome of a command to an answer."""

from typing import TypeVar
from uuid import UUID

import msgspec
from customerflow_shared.views import timestamp
from litestar import Response
from litestar.types import Send
from msgspec import Struct

from customerflow_command.mediator import Outcome
from customerflow_command.preconditions import etag

T = TypeVar("T")


class Done(Struct, frozen=True, kw_only=True, rename="camel"):
    """The version at which the command has taken effect."""

    id: UUID
    version: int


class TaxIdThere(Done, frozen=True, kw_only=True):
    tax_id_id: UUID


class AddressThere(Done, frozen=True, kw_only=True):
    address_id: UUID


class CodeIssued(Done, frozen=True, kw_only=True):
    """The code itself is told to nobody but the notification system."""

    verification_id: UUID
    expires_at: str


class ErasureDue(Done, frozen=True, kw_only=True):
    due_at: str


class Told(Response[T]):
    """A command's answer, which needs nothing of what the framework can do to a response: it is written as it is."""

    status_code: int

    def __init__(self, content: T, status_code: int, headers: dict[str, str]) -> None:
        self.content = content
        self.status_code = status_code
        self.headers = headers

    async def tell(self, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        body = b""
        if self.content is not None:
            body = msgspec.json.encode(self.content)
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def done(outcome: Outcome) -> Told[Done]:
    return answer(outcome, Done(id=outcome.id, version=outcome.version))


def no_content(outcome: Outcome) -> Told[None]:
    return answer(outcome, None, 204)


def registered(outcome: Outcome) -> Told[Done]:
    """201 for who is new, 200 for who was there."""
    response = done(outcome)
    if outcome.created:
        response.status_code = 201
        response.headers["Location"] = f"/v1/customers/{outcome.id}"
    return response


def tax_id_there(outcome: Outcome) -> Told[TaxIdThere]:
    content = TaxIdThere(id=outcome.id, version=outcome.version, tax_id_id=_resource(outcome))
    return answer(outcome, content, 201 if outcome.created else 200)


def address_there(outcome: Outcome) -> Told[AddressThere]:
    content = AddressThere(id=outcome.id, version=outcome.version, address_id=_resource(outcome))
    return answer(outcome, content, 201)


def code_issued(outcome: Outcome) -> Told[CodeIssued] | Told[Done]:
    """200 where there is nothing to verify any more."""
    if outcome.due_at is None:
        return done(outcome)
    content = CodeIssued(
        id=outcome.id,
        version=outcome.version,
        verification_id=_resource(outcome),
        expires_at=timestamp(outcome.due_at),
    )
    return answer(outcome, content, 202)


def erasure_due(outcome: Outcome) -> Told[ErasureDue] | Told[Done]:
    """202 for what is to come, 200 for what is done."""
    if outcome.due_at is None:
        return done(outcome)
    content = ErasureDue(id=outcome.id, version=outcome.version, due_at=timestamp(outcome.due_at))
    return answer(outcome, content, 202)


def answer(outcome: Outcome, content: T, status: int = 200) -> Told[T]:
    headers = {"ETag": etag(outcome.version), "CustomerFlow-Position": str(outcome.position)}
    if outcome.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Told(content, status, headers)


def _resource(outcome: Outcome) -> UUID:
    assert outcome.resource is not None  # the outcome of a command that names one
    return outcome.resource
