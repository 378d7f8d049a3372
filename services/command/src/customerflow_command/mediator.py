"""One way in for every command: through a visible list of policies to the unit of work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import reduce
from typing import TypeAlias, get_args
from uuid import UUID

import msgspec
from customerflow_shared import metrics, telemetry
from customerflow_shared.events import Actor
from customerflow_shared.flags import COMMAND_PREFIX, Choice, Flag, Flags
from customerflow_shared.ids import uuid7
from customerflow_shared.problems import Problem
from customerflow_shared.values import ExternalId
from opentelemetry import trace

from customerflow_command.customer.commands import Command
from customerflow_command.customer.state import Customer
from customerflow_command.preconditions import Precondition
from customerflow_command.unit import Receipt, VersionTaken

tracer = trace.get_tracer("customerflow.command")

_commands = metrics.counter(
    "customerflow.commands",
    "{command}",
    "Commands that could be read, by type and by what became of them: done, replayed, or why not.",
    ["customerflow.command.type", "customerflow.outcome"],
)
_retries = metrics.counter(
    "customerflow.command.retries", "{retry}", "Commands that were decided again, for another had been faster."
)

SYSTEM = Actor(type="system")

SWITCHES: dict[type[Command], Flag] = {
    command: Flag(f"{COMMAND_PREFIX}{command.__name__}", True, "Commands of this type are taken.")
    for command in get_args(Command)
}


class IdempotencyKey(msgspec.Struct, frozen=True):
    """The client's key, and what it is for: method, path and body."""

    key: str
    payload: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command on its way to the customer of this id, or to the one that has this external id.

    `read` makes the command, given the customer as it is; it is called once the customer and its version are found to
    be right, and raises Problem `invalid-fields`. Each command finds out by itself whether it registers: then there is
    no customer. `choices` are what flags have said of how it is to be done.
    """

    target: UUID | ExternalId
    command: type[Command]
    read: Callable[[Customer | None], Command]
    precondition: Precondition = Precondition(given=False)
    needs_precondition: bool = False
    key: IdempotencyKey | None = None
    receipt: Receipt | None = None
    correlation_id: UUID
    actor: Actor = Actor()
    choices: tuple[Choice, ...] = ()


def by_system(customer_id: UUID, command: Command) -> Request:
    """A command that nobody has asked for."""
    return Request(
        target=customer_id, command=type(command), read=lambda _: command, correlation_id=uuid7(), actor=SYSTEM
    )


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The version at which the command has taken effect.

    `created`: the customer, or the `resource`, is new. `due_at`: when what was asked for falls due, or ends. `refusal`:
    the command was refused, and that is on record. `replayed`: all this is the answer of an earlier time. `position`:
    where in the feed that version stands; None if the command has written no event.
    """

    id: UUID
    version: int
    created: bool = False
    resource: UUID | None = None
    due_at: datetime | None = None
    refusal: str | None = None
    replayed: bool = False
    position: int | None = None


class DeadlineExceeded(Exception):
    """The command took too long. Whether it takes effect is not known."""


class SwitchedOff(Exception):
    """Commands of this type are not taken at present. Nothing was done."""


Handler: TypeAlias = Callable[[Request], Awaitable[Outcome]]
Policy: TypeAlias = Callable[[Request, Handler], Awaitable[Outcome]]


def mediator(handler: Handler, policies: Sequence[Policy]) -> Handler:
    """`send`: the handler inside the policies, the first one outermost."""
    return reduce(_inside, reversed(policies), handler)


def _inside(handler: Handler, policy: Policy) -> Handler:
    async def handle(request: Request) -> Outcome:
        return await policy(request, handler)

    return handle


async def counted(request: Request, handle: Handler) -> Outcome:
    kind, became = request.command.__name__, "cancelled"
    try:
        outcome = await handle(request)
        became = "replayed" if outcome.replayed else "refused" if outcome.refusal else "done"
        return outcome
    except Exception as error:
        became = error.code if isinstance(error, Problem) else type(error).__name__
        raise
    finally:
        _commands.add(1, kind, became)


async def traced(request: Request, handle: Handler) -> Outcome:
    token = telemetry.CORRELATION.set(request.correlation_id)
    try:
        with telemetry.span(tracer, request.command.__name__) as span:
            if span.is_recording():
                span.set_attribute("customerflow.correlation_id", str(request.correlation_id))
            outcome = await handle(request)
            span.set_attribute("customerflow.version", outcome.version)
            return outcome
    finally:
        telemetry.CORRELATION.reset(token)


def within(seconds: float) -> Policy:
    async def with_deadline(request: Request, handle: Handler) -> Outcome:
        try:
            async with asyncio.timeout(seconds):
                return await handle(request)
        except TimeoutError:
            raise DeadlineExceeded from None

    return with_deadline


def with_position(position: Callable[[UUID, int], Awaitable[int]]) -> Policy:
    """Also of the version at which a command found nothing to do, or had found when it first came."""

    async def telling_the_position(request: Request, handle: Handler) -> Outcome:
        outcome = await handle(request)
        if outcome.position is not None:
            return outcome
        return msgspec.structs.replace(outcome, position=await position(outcome.id, outcome.version))

    return telling_the_position


def unless_switched_off(flags: Flags) -> Policy:
    """Inside of idempotency: whoever has sent a command before is still told what has become of it."""

    async def while_it_is_on(request: Request, handle: Handler) -> Outcome:
        customer_id = request.target if isinstance(request.target, UUID) else None
        if not flags.on(SWITCHES[request.command], customer_id):
            raise SwitchedOff
        return await handle(request)

    return while_it_is_on


def retrying_lost_races(times: int) -> Policy:
    """Decide again on the newer state. With an expected version the second look says so; without one the command
    simply follows.
    """

    async def with_retries(request: Request, handle: Handler) -> Outcome:
        for _ in range(times):
            try:
                return await handle(request)
            except VersionTaken:
                _retries.add(1)
        return await handle(request)

    return with_retries
