"""A customer as a child would keep book of it: sets and flags, without an event."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from customerflow_command.customer.state import Customer, due


@dataclass
class Account:
    """What the model knows of one customer."""

    name: str
    email: str | None
    verified: bool = False
    code: tuple[datetime, int] | None = None
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
        self.__init__(name="", email=None, erased=True)  # type: ignore[misc]  # nothing else is left


def set_suspension(suspended: bool, until: datetime | None) -> Callable[[Account], object]:
    return lambda account: account.__dict__.update(suspended=suspended, until=until)


def set_archived(archived: bool) -> Callable[[Account], object]:
    return lambda account: account.__dict__.update(archived=archived)


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
