"""The command API: from a request to a command, and from its outcome or error to an answer.

The order of checks is the same everywhere: media type and size, headers, JSON, the customer, its version, the fields,
the rules, uniqueness.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import litestar
import structlog
from customerflow_shared import requests
from customerflow_shared.events import CustomerType
from customerflow_shared.ids import uuid7
from customerflow_shared.openapi import header, operation
from customerflow_shared.problems import Fault, Problem, Translation, responses
from litestar import Response, delete, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import InternalServerException
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from customerflow_command import inputs
from customerflow_command.commit import ClaimTaken, StoreBusy, VersionTaken
from customerflow_command.customer import (
    ArchiveCustomer,
    Command,
    CustomerIsArchived,
    CustomerNotFound,
    RestoreCustomer,
)
from customerflow_command.database import DatabaseRefused, DatabaseUnavailable
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.mediator import (
    DeadlineExceeded,
    Handler,
    Outcome,
    Request,
    VersionMismatch,
    require,
)
from customerflow_command.personal import UnreadableEvent
from customerflow_command.preconditions import Precondition, etag, if_match
from customerflow_command.store import Store

log = structlog.get_logger()

HttpRequest: TypeAlias = litestar.Request[Any, Any, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True)
class Customers:
    """What the routes need: the way in for commands, and the store to look at a customer before its fields are read."""

    send: Handler
    store: Store

    async def check(self, customer_id: UUID, precondition: Precondition) -> None:
        """Raises CustomerNotFound, Problem `precondition-required` or VersionMismatch."""
        known = await self.store.load(customer_id)
        if known.state is None or (precondition.versions is not None and known.version not in precondition.versions):
            known = await self.store.load(customer_id, fresh=True)
        require(known, None)
        if not precondition.given:
            raise Problem("precondition-required", 'Send the version that you have read, as If-Match: "7".')
        require(known, precondition.versions)

    async def command(self, customer_id: UUID, precondition: Precondition, command: Command) -> Response[Outcome]:
        outcome = await self.send(
            Request(
                customer_id=customer_id,
                command=command,
                expected=precondition.versions,
                correlation_id=uuid7(),
            )
        )
        return Response(outcome, headers={"ETag": etag(outcome.version)})


class RegisterBody(Struct, kw_only=True, omit_defaults=True):
    """A new customer."""

    type: CustomerType
    name: Annotated[str, Meta(min_length=1, max_length=inputs.MAX_NAME, examples=["Ana Souza"])]
    email: Annotated[str, Meta(max_length=inputs.MAX_EMAIL, examples=["ana@example.com"])] | None = None


class ChangeBody(Struct, kw_only=True, omit_defaults=True):
    """A merge patch: what is absent stays, null removes."""

    name: Annotated[str, Meta(min_length=1, max_length=inputs.MAX_NAME)] | UnsetType = UNSET
    email: Annotated[str, Meta(max_length=inputs.MAX_EMAIL)] | UnsetType | None = UNSET


_IF_MATCH = header(
    "If-Match", "The version to start from, as an entity tag; `*` for any.", required=True, example='"7"'
)
_ANY_COMMAND = ("unknown-parameter", "busy", "unavailable", "internal")
_ANY_CHANGE = (
    "invalid-id",
    "if-match-invalid",
    "customer-not-found",
    "precondition-required",
    "version-mismatch",
    "concurrent-modification",
    *_ANY_COMMAND,
)
_ANY_BODY = ("malformed-json", "body-too-large", "unsupported-media-type", "invalid-fields")


@post(
    "/v1/customers",
    summary="Register a customer",
    tags=["customers"],
    operation_class=operation(body=RegisterBody),
    responses=responses(*_ANY_BODY, "duplicate-key", *_ANY_COMMAND),
)
async def register_customer(request: HttpRequest, customers: NamedDependency[Customers]) -> Response[Outcome]:
    """Register a customer."""
    requests.parameters(request.scope["query_string"])
    body = inputs.json_object(await _body(request, JSON))
    customer_id = uuid7()
    location = {"Location": f"/v1/customers/{customer_id}"}
    with _outcome_found_at(location):
        response = await customers.command(customer_id, Precondition(given=False), inputs.register(body))
    response.headers.update(location)
    return response


@patch(
    "/v1/customers/{customer_id:str}",
    summary="Change a customer",
    tags=["customers"],
    operation_class=operation(_IF_MATCH, body=ChangeBody, media_type=MERGE_PATCH),
    responses=responses(*_ANY_BODY, "customer-archived", "duplicate-key", *_ANY_CHANGE),
)
async def change_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Outcome]:
    """Change the name or the e-mail address. One request, one transaction; an event for each thing that changed."""
    requests.parameters(request.scope["query_string"])
    raw = await _body(request, MERGE_PATCH)
    target, precondition = requests.customer_id(customer_id), if_match(_header(request, "if-match"))
    body = inputs.json_object(raw)
    await customers.check(target, precondition)
    return await customers.command(target, precondition, inputs.change(body))


@delete(
    "/v1/customers/{customer_id:str}",
    summary="Archive a customer",
    tags=["customers"],
    operation_class=operation(_IF_MATCH),
    responses=responses(*_ANY_CHANGE),
)
async def archive_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """Archive the customer; it keeps its history and what it holds alone, and can be restored."""
    requests.parameters(request.scope["query_string"])
    target, precondition = requests.customer_id(customer_id), if_match(_header(request, "if-match"))
    await customers.check(target, precondition)
    response = await customers.command(target, precondition, ArchiveCustomer())
    return Response(None, status_code=204, headers=response.headers)


@post(
    "/v1/customers/{customer_id:str}/restore",
    summary="Restore an archived customer",
    tags=["customers"],
    status_code=200,
    operation_class=operation(_IF_MATCH),
    responses=responses(*_ANY_BODY, *_ANY_CHANGE),
)
async def restore_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Outcome]:
    """Make an archived customer active again. The body is empty."""
    requests.parameters(request.scope["query_string"])
    raw = await _body(request, JSON, required=False)
    target, precondition = requests.customer_id(customer_id), if_match(_header(request, "if-match"))
    body = inputs.json_object(raw) if raw else {}
    await customers.check(target, precondition)
    inputs.nothing(body)
    return await customers.command(target, precondition, RestoreCustomer())


ROUTES = [register_customer, change_customer, archive_customer, restore_customer]


def _duplicate(error: ClaimTaken) -> Problem:
    return Problem(
        "duplicate-key",
        "Another customer holds a value that only one may hold.",
        errors=[
            Fault(pointer=f"#/{kind}", code="duplicate-key", detail="The value is taken.", kind=kind)
            for kind in error.kinds
        ],
    )


def _mismatch(error: VersionMismatch) -> Problem:
    return Problem(
        "version-mismatch",
        "If-Match names no version that the customer has now; a weak tag never matches.",
        currentVersion=error.current,
        headers={"ETag": etag(error.current)},
    )


def _outcome_unknown(_: Exception, **location: str) -> Problem:
    return Problem(
        "unavailable",
        "The database does not answer. Read the customer before sending the command again: it may have taken effect.",
        headers={"Retry-After": "1", **location},
    )


def _refused(_: DatabaseRefused) -> Problem:
    return Problem(
        "unavailable", "The database does not take commands now; nothing was done.", headers={"Retry-After": "5"}
    )


def _foreign_secret(_: ForeignSecret) -> Problem:
    log.error("a secret is not the one that the database was filled with")
    return Problem("unavailable", "This process may not work on the database; nothing was done.")


def _unreadable(error: UnreadableEvent) -> Problem:
    log.error("customer cannot be read", reason=str(error))
    return Problem("unavailable", "What is stored of this customer cannot be read by this process; nothing was done.")


TRANSLATIONS: dict[type[Exception], Translation] = {
    CustomerNotFound: lambda error: Problem("customer-not-found", str(error)),
    CustomerIsArchived: lambda error: Problem("customer-archived", str(error)),
    VersionMismatch: _mismatch,
    VersionTaken: lambda _: Problem("concurrent-modification", "Read the customer again and decide anew."),
    ClaimTaken: _duplicate,
    StoreBusy: lambda _: Problem("busy", "Nothing was written; try again.", headers={"Retry-After": "1"}),
    DatabaseRefused: _refused,
    DatabaseUnavailable: _outcome_unknown,
    ForeignSecret: _foreign_secret,
    UnreadableEvent: _unreadable,
    DeadlineExceeded: _outcome_unknown,
}


@contextmanager
def _outcome_found_at(location: Mapping[str, str]) -> Iterator[None]:
    """Who registers a customer does not know its id: tell it also when it is not known whether there is one."""
    try:
        yield
    except DatabaseRefused:
        raise
    except (DatabaseUnavailable, DeadlineExceeded) as error:
        raise _outcome_unknown(error, **location) from None


def _header(request: HttpRequest, name: str) -> str | None:
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None


async def _body(request: HttpRequest, media_type: str, *, required: bool = True) -> bytes:
    """The raw body. Raises Problem `unsupported-media-type`; the framework refuses oversized ones."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported-media-type", "Send the body as it is.", headers={"Accept-Encoding": "identity"})
    name, _, parameter = request.headers.get("content-type", "").partition(";")
    charset = parameter.strip().lower().replace('"', "")
    fit = name.strip().lower() == media_type and charset in ("", "charset=utf-8")
    try:
        body = await request.body() if fit or not required else b""
    except InternalServerException:
        # how the framework says that the client has hung up; nobody reads the answer
        raise Problem("bad-request", "The body has been cut off.") from None
    if not fit and (required or body):
        accept = "Accept-Patch" if media_type == MERGE_PATCH else "Accept"
        raise Problem("unsupported-media-type", f"Send {media_type} in UTF-8.", headers={accept: media_type})
    return body
