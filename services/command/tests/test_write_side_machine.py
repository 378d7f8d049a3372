"""Any commands in any order, at either of two processes, with keys that are used again: beside a model of dictionaries.

The model knows versions, states, who holds which address, and what each key was answered. Everything else is the real
thing: mediator, idempotency, unit of work, group commit, a database.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

import msgspec
import pytest
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    ChangeCustomer,
    Command,
    RegisterCustomer,
    RequestErasure,
    RestoreCustomer,
    TagCustomer,
    UntagCustomer,
)
from customerflow_command.customer.errors import CustomerIsArchived, CustomerIsErased
from customerflow_command.idempotency import KeyReused
from customerflow_command.mediator import Outcome
from customerflow_command.unit_of_work import ValueTaken, VersionMismatch
from customerflow_shared.ids import uuid7
from customerflow_shared.values import PersonalProfile
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

if TYPE_CHECKING:
    from uuid import UUID

    from services.command.tests.conftest import Start

NAMES = some.sampled_from(["Ana", "Bia"])
EMAILS = some.sampled_from([None, "a", "A", "b", "c"])
TAGS = some.sampled_from(["vip", "new"])
SIDES = some.integers(0, 1)
KEYS = some.none() | some.integers(0, 5)
EXPECTED = some.sampled_from([None, 0, -1])  # none, the version as it is, the one before
WHO = some.integers(0, 9)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Account:
    version: int
    name: str
    email: str | None
    tags: frozenset[str] = frozenset()
    archived: bool = False
    erased: bool = False


class Machine(RuleBasedStateMachine):
    start: ClassVar[Start]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.sides = [self.runner.run(self.stack.enter_async_context(type(self).start())) for _ in range(2)]
        self.prefix = str(uuid7())
        self.accounts: dict[UUID, Account] = {}
        self.answers: dict[str, tuple[str, Outcome]] = {}

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    @rule(name=NAMES, email=EMAILS, side=SIDES, key=KEYS)
    def register(self, name: str, email: str | None, side: int, key: int | None) -> None:
        command = RegisterCustomer(customer_type="person", name=name, email=self.address(email))
        taken = self.holder(command.email) is not None
        self.send(uuid7(), command, side, key, ValueTaken if taken else None, Account(1, name, command.email))

    @precondition(lambda self: self.accounts)
    @rule(who=WHO, name=NAMES, email=EMAILS, side=SIDES, key=KEYS, expected=EXPECTED)
    def change(self, who: int, name: str, email: str | None, side: int, key: int | None, expected: int | None) -> None:
        customer, account = self.pick(who)
        address = self.address(email)
        command = ChangeCustomer(personal=PersonalProfile(name=name), email=address)
        holder = self.holder(address)
        refusal = self.closed(account) or (ValueTaken if holder not in (None, customer) else None)
        steps = (name != account.name) + (address != account.email)
        after = replace(account, version=account.version + steps, name=name, email=address)
        self.send(customer, command, side, key, refusal, after, expected)

    @precondition(lambda self: self.accounts)
    @rule(who=WHO, tag=TAGS, adds=some.booleans(), side=SIDES, key=KEYS)
    def tag(self, who: int, tag: str, adds: bool, side: int, key: int | None) -> None:
        customer, account = self.pick(who)
        tags = account.tags | {tag} if adds else account.tags - {tag}
        after = replace(account, version=account.version + (tags != account.tags), tags=tags)
        command = TagCustomer(tag=tag) if adds else UntagCustomer(tag=tag)
        self.send(customer, command, side, key, self.closed(account), after)

    @precondition(lambda self: self.accounts)
    @rule(who=WHO, archives=some.booleans(), side=SIDES, key=KEYS, expected=EXPECTED)
    def archive_or_restore(self, who: int, archives: bool, side: int, key: int | None, expected: int | None) -> None:
        customer, account = self.pick(who)
        after = replace(account, version=account.version + (archives != account.archived), archived=archives)
        command = ArchiveCustomer() if archives else RestoreCustomer()
        self.send(customer, command, side, key, CustomerIsErased if account.erased else None, after, expected)

    @precondition(lambda self: self.accounts)
    @rule(who=WHO, side=SIDES, key=KEYS)
    def erase(self, who: int, side: int, key: int | None) -> None:
        customer, account = self.pick(who)
        after = replace(account, version=account.version + 2, email=None, erased=True)
        command = RequestErasure(due_at=LONG_AGO)
        if self.send(customer, command, side, key, CustomerIsErased if account.erased else None, after):
            self.answers = {
                used: (asked, answer)
                for used, (asked, answer) in self.answers.items()
                if answer.id != customer or used == self.key(key)
            }

    @invariant()
    def every_process_sees_what_the_model_knows(self) -> None:
        for customer, account in self.accounts.items():
            known = self.runner.run(self.sides[0].store.load(customer, fresh=True))
            assert known.version == account.version
            assert known.state is not None
            assert (known.state.archived, known.state.erased_at is not None) == (
                account.archived and not account.erased,
                account.erased,
            )
            if not account.erased:
                assert (known.state.name, known.state.email) == (account.name, account.email)
                assert set(known.state.tags) == account.tags

    def send(
        self,
        customer: UUID,
        command: Command,
        side: int,
        key: int | None,
        refusal: type[Exception] | None,
        after: Account,
        expected: int | None = None,
    ) -> bool:
        """True if the command has been carried out now, and not at an earlier time."""
        account = self.accounts.get(customer)
        version = account.version + expected if account and expected is not None else None
        asked = f"{None if isinstance(command, RegisterCustomer) else customer} {command}"
        used = self.key(key)
        if used in self.answers:
            refusal = None if self.answers[used][0] == asked else KeyReused
        elif account and not account.erased and expected == -1:
            refusal = VersionMismatch
        sending = self.sides[side].do(customer, command, version, key=used, payload=asked)
        if refusal:
            with pytest.raises(refusal):
                self.runner.run(sending)
            return False
        outcome = self.runner.run(sending)
        if used in self.answers:
            assert outcome == msgspec.structs.replace(self.answers[used][1], replayed=True)
            return False
        assert (outcome.id, outcome.version, outcome.replayed) == (customer, after.version, False)
        self.accounts[customer] = after
        if used is not None:
            self.answers[used] = asked, outcome
        return True

    def key(self, number: int | None) -> str | None:
        return None if number is None else f"{self.prefix} {number}"

    def address(self, local: str | None) -> str | None:
        return None if local is None else f"{local}.{self.prefix}@example.com"

    def holder(self, email: str | None) -> UUID | None:
        return next(
            (
                one
                for one, held in self.accounts.items()
                if email and held.email and held.email.lower() == email.lower()
            ),
            None,
        )

    def pick(self, who: int) -> tuple[UUID, Account]:
        customer = list(self.accounts)[who % len(self.accounts)]
        return customer, self.accounts[customer]

    def closed(self, account: Account) -> type[Exception] | None:
        return CustomerIsErased if account.erased else CustomerIsArchived if account.archived else None


async def test_any_commands_in_any_order_agree_with_the_model(start: Start) -> None:
    machine = type("Machine", (Machine,), {"start": staticmethod(start)})
    limits = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=limits)
