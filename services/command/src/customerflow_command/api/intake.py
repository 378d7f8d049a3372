"""The one way from an HTTP request to a command on its way.

The order of checks is the same for every route, so that a request with several faults is always told the same one:
query, media type and size, ids in the path, headers, JSON; then, inside, the key, the customer, its version, the
fields, the rules, uniqueness.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes
from uuid import UUID

import litestar
import msgspec
from customerflow_shared import requests
from customerflow_shared.events import Actor
from customerflow_shared.flags import Choice, Flag
from customerflow_shared.flags.catalogue import ADDRESS_ENRICHMENT
from customerflow_shared.ids import uuid7
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.problems import Problem
from customerflow_shared.values import ExternalId

from customerflow_command import inputs
from customerflow_command.api import headers
from customerflow_command.api.refusals import erased, taken, wrong_code
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    CancelErasure,
    Command,
    LiftLegalHold,
    ReactivateCustomer,
    RestoreCustomer,
)
from customerflow_command.customer.errors import CustomerIsErased, CustomerNotFound
from customerflow_command.customer.state import Customer
from customerflow_command.enrichment import Completed, Enrichment
from customerflow_command.mediator import Handler, IdempotencyKey, Outcome, Request
from customerflow_command.preconditions import Precondition, if_match
from customerflow_command.unit_of_work import ValueTaken
from customerflow_command.verification import Codes

HttpRequest: TypeAlias = litestar.Request[Any, Any, Any]


Reasoned: TypeAlias = ReactivateCustomer | ArchiveCustomer | RestoreCustomer | CancelErasure | LiftLegalHold


class Accepts(NamedTuple):
    """What a route takes as its body; without `fields` an empty object at most."""

    media_type: str
    required: bool = True
    fields: bool = True


JSON = Accepts("application/json")
MERGE_PATCH = Accepts("application/merge-patch+json")
OPTIONAL_JSON = Accepts("application/json", required=False)
NOTHING = Accepts("application/json", required=False, fields=False)


def by_default(flag: Flag, _: UUID) -> Choice:
    return Choice(flag.key, flag.default, flag.variant)


@dataclass(frozen=True)
class Customers:
    """What the routes need: the way in for commands, and what reading them needs from outside."""

    send: Handler
    now: Callable[[], datetime]
    codes: Codes
    personal_sources: frozenset[str] = frozenset()
    require_key: bool = False
    choose: Callable[[Flag, UUID], Choice] = by_default
    """What a flag says of a customer; it goes with the command, so that its events tell it."""
    enrichment: Enrichment | None = None
    """None if there is nobody to ask."""

    def context(self) -> inputs.Context:
        return inputs.Context(now=self.now(), new_id=uuid7, personal_sources=self.personal_sources)

    async def completed_registration(self, body: dict[str, Any], customer_id: UUID) -> Completed:
        """With what its addresses lack, if that is wanted and can be found in time."""
        if self.enrichment is None:
            return Completed(body)
        return await self.enrichment.of_registration(body, partial(self.choose, ADDRESS_ENRICHMENT, customer_id))

    async def completed_address(self, body: dict[str, Any], customer_id: UUID) -> Completed:
        """The same, of one address."""
        if self.enrichment is None:
            return Completed(body)
        return await self.enrichment.of_address(body, partial(self.choose, ADDRESS_ENRICHMENT, customer_id))

    async def take(self, request: HttpRequest, accepts: Accepts, *ids: str) -> "Intake":
        """What the request says, up to its JSON. `ids` are those of the path, the customer's first.

        Raises Problem.
        """
        _check_path(request)
        requests.parameters(request.scope["query_string"])
        given = headers.given(request.scope)
        raw = await received(request, accepts.media_type, required=accepts.required)
        identifiers = tuple(map(requests.identifier, ids))
        _check_text(request)
        key = headers.idempotency_key(given.get("idempotency-key", ()))
        if key is None and self.require_key and request.method == "POST":
            raise Problem("idempotency-key-required", "Send an Idempotency-Key with every POST.")
        precondition = if_match(", ".join(tags) if (tags := given.get("if-match", ())) else None)
        actor = headers.actor(given.get("customerflow-actor", ()))
        correlation_id = headers.correlation_id(given.get("customerflow-correlation-id", ()))
        body = json_object(raw) if raw or accepts.required else {}
        return Intake(
            accepts=accepts,
            ids=identifiers,
            body=body,
            context=self.context(),
            precondition=precondition,
            key=None if key is None else IdempotencyKey(key, _payload(request, ids, identifiers, body)),
            actor=actor,
            correlation_id=correlation_id or uuid7(),
            handler=self.send,
        )


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says, read as far as that goes without knowing the customer."""

    accepts: Accepts
    ids: tuple[UUID, ...]
    body: dict[str, Any]
    context: inputs.Context
    precondition: Precondition
    key: IdempotencyKey | None
    actor: Actor
    correlation_id: UUID
    handler: Handler

    async def change(
        self,
        command: type[Command],
        read: Callable[[Customer], Command],
        *,
        if_match_required: bool = False,
        choices: Sequence[Choice] = (),
    ) -> Outcome:
        """Send a command to the customer of the path."""

        def read_for(customer: Customer | None) -> Command:
            if customer is None:
                raise CustomerNotFound
            if not self.accepts.fields:
                inputs.nothing(self.body)
            return read(customer)

        return await self.send(self.ids[0], command, read_for, if_match_required=if_match_required, choices=choices)

    async def change_for_a_reason(self, command: type[Reasoned]) -> Outcome:
        """A command that has a reason at most, and needs the version."""
        return await self.change(command, lambda _: command(reason=inputs.reason(self.body)), if_match_required=True)

    async def send(
        self,
        target: UUID | ExternalId,
        command: type[Command],
        read: Callable[[Customer | None], Command],
        *,
        if_match_required: bool = False,
        choices: Sequence[Choice] = (),
    ) -> Outcome:
        """Raises what `refusals` translates, or Problem."""
        try:
            outcome = await self.handler(
                Request(
                    target=target,
                    command=command,
                    read=read,
                    precondition=self.precondition,
                    needs_precondition=if_match_required,
                    key=self.key,
                    correlation_id=self.correlation_id,
                    actor=self.actor,
                    choices=(*choices,),
                )
            )
        except ValueTaken as error:
            raise taken(error, in_body=self.accepts.fields) from None
        except CustomerIsErased as error:
            raise erased(error, self.ids[0]) from None
        if outcome.refusal:
            raise wrong_code(outcome)
        return outcome


def _check_path(request: HttpRequest) -> None:
    """The framework reads an encoded slash as a slash, and drops one too many: the values in the path would be others
    than those that were sent.
    """
    path, template = _raw_path(request), request.scope["path_template"]
    if b"%2f" in path.lower() or path.count(b"/") != template.count("/"):
        raise Problem("route-not-found", "A value that holds a slash goes into a body, not into a path.")


def _check_text(request: HttpRequest) -> None:
    """The server replaces what is not UTF-8."""
    try:
        unquote_to_bytes(_raw_path(request)).decode()
    except UnicodeDecodeError:
        raise Problem("bad-request", "The path is not UTF-8.") from None


def _raw_path(request: HttpRequest) -> bytes:
    return request.scope["raw_path"].partition(b"?")[0]


def _payload(request: HttpRequest, ids: Sequence[str], identifiers: Sequence[UUID], body: dict[str, Any]) -> bytes:
    """What two requests have in common that ask the same, however their paths and bodies are spelled."""
    path = request.scope["path"]
    for given, identifier in zip(ids, identifiers, strict=True):
        path = path.replace(given, str(identifier))
    try:
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError:
        raise Problem("malformed-json", "The body is nested too deeply.") from None
    return b"\n".join((request.method.encode(), path.encode(), canonical))
