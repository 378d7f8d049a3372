"""A customer as a child would keep book of it: sets and flags, without an event."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from customerflow_command.customer.claims import Claim, Uniqueness, claims
from customerflow_command.customer.commands import Command
from customerflow_command.customer.decide import decide
from customerflow_command.customer.errors import CustomerError
from customerflow_command.customer.state import Customer, due
from customerflow_shared.events import CustomerEvent
from hypothesis.stateful import RuleBasedStateMachine, invariant

from .sentences import NOW, number, state

UNIQUE = Uniqueness()


class Code(NamedTuple):
    """The one that was issued last for the present address."""

    expires_at: datetime
    retry_at: datetime
    number: int
    failures: int = 0


@dataclass
class Account:
    """What the model knows of one customer."""

    name: str
    email: str | None
    verified: bool = False
    code: Code | None = None
    tags: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    tax_ids: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    addresses: set[UUID] = field(default_factory=set)
    defaults: dict[str, UUID] = field(default_factory=dict)
    consents: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    suspended: bool = False
    until: datetime | None = None
    archived: bool = False
    to_be_erased: datetime | None = None
    erased: bool = False

    def status(self) -> str:
        words = {"erased": self.erased, "archived": self.archived, "suspended": self.suspended, "active": True}
        return next(word for word, true in words.items() if true)

    def keys(self) -> set[tuple[str, str]]:
        keys = {("external-id:erp", value) for value in self.external}
        keys |= {(f"tax-id:{type}", value) for type, value in self.tax_ids.values() if type != "other"}
        return keys | ({("email", self.email.lower())} if self.email else set())

    def next_due(self) -> datetime | None:
        moments = [self.to_be_erased, None if self.archived else self.until]
        return min((moment for moment in moments if moment), default=None)

    def set_email(self, email: str | None) -> None:
        self.email, self.verified, self.code = email, False, None

    def erase(self) -> None:
        vars(self).update(vars(Account(name="", email=None, erased=True)))


def set_suspension(suspended: bool, until: datetime | None) -> Callable[[Account], object]:
    return lambda account: vars(account).update(suspended=suspended, until=until)


def set_archived(archived: bool) -> Callable[[Account], object]:
    return lambda account: vars(account).update(archived=archived)


def shown(customer: Customer) -> dict[str, Any]:
    return {
        "status": customer.status,
        "due": due(customer),
        "name": customer.name,
        "email": customer.email,
        "verified": customer.email_verified,
        "tags": set(customer.tags),
        "external": {one.value for one in customer.external_ids},
        "tax_ids": {one.id: (one.type, one.value) for one in customer.tax_ids},
        "addresses": {one.id for one in customer.addresses},
        "defaults": customer.default_addresses,
        "consents": {one.purpose: (one.captured_at, one.state) for one in customer.consents},
    }


def expected(account: Account) -> dict[str, Any]:
    kept = ("name", "email", "verified", "tags", "external", "tax_ids", "addresses", "defaults", "consents")
    return {"status": account.status(), "due": account.next_due()} | {name: getattr(account, name) for name in kept}


class BesideTheModel(RuleBasedStateMachine):
    """Customers as the rules have them, and as the model has them; the rules of the game stand in the test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.model: dict[int, Account] = {}
        self.streams: dict[int, list[CustomerEvent]] = {}
        self.holders: dict[Claim, int] = {}
        self.ids = 0

    def customer(self, who: int) -> Customer | None:
        return state(self.streams[who])

    def new_id(self) -> UUID:
        self.ids += 1
        return number(self.ids)

    def send(
        self,
        who: int,
        command: Command,
        change: Callable[[Account], object] | None,
        *,
        events: int = 1,
        refusal: str | None = None,
        except_if: tuple[str, ...] = (),
    ) -> None:
        """`change` None: nothing happens. The refusals that every customer has in common come before `refusal`."""
        refusal = self.common_refusal(who, except_if) or refusal
        if refusal is not None:
            with pytest.raises(CustomerError) as refused:
                decide(self.customer(who), command, self.now)
            assert type(refused.value).__name__ == refusal
            return
        decided = decide(self.customer(who), command, self.now)
        assert len(decided) == (events if change else 0)
        if change:
            self.commit(who, decided, change)

    def common_refusal(self, who: int, except_if: tuple[str, ...]) -> str | None:
        account = self.model[who]
        reasons = {
            "CustomerIsErased": account.erased,
            "ErasureIsPending": account.to_be_erased is not None,
            "CustomerIsArchived": account.archived,
        }
        return next((reason for reason, true in reasons.items() if true and reason not in except_if), None)

    def begin(self, decided: list[CustomerEvent], new: Account) -> int | None:
        """The number of the new customer; None if it would take what another one holds."""
        who = len(self.model)
        self.streams[who], self.model[who] = [], Account(name="", email=None)
        if self.commit(who, decided, lambda account: vars(account).update(vars(new))):
            return who
        del self.streams[who], self.model[who]
        return None

    def commit(self, who: int, decided: list[CustomerEvent], change: Callable[[Account], object]) -> bool:
        account = deepcopy(self.model[who])
        change(account)
        held = claims(state([*self.streams[who], *decided]), UNIQUE)
        taken = any(self.holders.get(claim, who) != who for claim in held)
        assert taken == any(account.keys() & other.keys() for i, other in self.model.items() if i != who)
        if taken:
            return False
        self.streams[who] += decided
        self.model[who] = account
        self.holders = {claim: holder for claim, holder in self.holders.items() if holder != who}
        self.holders |= dict.fromkeys(held, who)
        return True

    @invariant()
    def customers_are_what_the_model_says(self) -> None:
        for who, account in self.model.items():
            customer = self.customer(who)
            assert customer is not None
            assert shown(customer) == expected(account)

    @invariant()
    def no_value_has_two_holders(self) -> None:
        held = [(claim, who) for who in self.model for claim in claims(self.customer(who), UNIQUE)]
        assert len({claim for claim, _ in held}) == len(held)
        assert dict(held) == self.holders
        assert {tuple(claim) for claim, _ in held} == set().union(*(one.keys() for one in self.model.values()))
