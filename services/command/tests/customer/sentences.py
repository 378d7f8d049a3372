"""Given these events, when this is asked, then: the words of the tests beside this file."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID

from customerflow_command.customer.commands import Command, ConfirmEmail
from customerflow_command.customer.decide import decide
from customerflow_command.customer.state import Customer, evolve
from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerErased,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerRegistered,
    CustomerSuspended,
)
from customerflow_shared.values import Address, Consent, ConsentState, ExternalId, Phone, TaxId

NOW = datetime(2026, 11, 22, 15, 4, 5, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
DAY = timedelta(days=1)

REGISTERED = CustomerRegistered(customer_type="person", name="Ana Souza", email="ana@example.com")
SUSPENDED = CustomerSuspended(reason="chargeback")
ARCHIVED = CustomerArchived()
DUE = NOW + 30 * DAY
ERASURE_REQUESTED = CustomerErasureRequested(request_ref="LGPD-7", due_at=DUE)
ERASED = CustomerErased(erased_at=NOW - DAY, reason_code="requested", request_ref=None, keys_destroyed=1)

CODE = "482913"


def past(*events: CustomerEvent) -> list[CustomerEvent]:
    return list(events)


def state(given: Sequence[CustomerEvent]) -> Customer | None:
    return reduce(evolve, given, None)


def known(given: Sequence[CustomerEvent]) -> Customer:
    customer = state(given)
    assert customer is not None
    return customer


def when(
    command: Command, *, given: Sequence[CustomerEvent] = (REGISTERED,), now: datetime = NOW
) -> list[CustomerEvent]:
    return decide(state(given), command, now)


def number(n: int) -> UUID:
    return UUID(int=n)


def registered(
    *,
    email: str | None = None,
    phone: Phone | None = None,
    tax_ids: Sequence[TaxId] = (),
    addresses: Sequence[Address] = (),
    consents: Sequence[Consent] = (),
    tags: Sequence[str] = (),
    external_ids: Sequence[ExternalId] = (),
) -> CustomerRegistered:
    return CustomerRegistered(
        customer_type="person",
        name="Ana Souza",
        email=email,
        phone=phone,
        tax_ids=tuple(tax_ids),
        addresses=tuple(addresses),
        consents=tuple(consents),
        tags=tuple(tags),
        external_ids=tuple(one for one in external_ids if not one.personal),
        personal_external_ids=tuple(one for one in external_ids if one.personal),
    )


def tax_id(n: int, type: str = "br_cpf", value: str = "39053344705") -> TaxId:
    return TaxId(id=number(n), type=type, value=value)


def address(n: int, line1: str = "Av. Paulista", city: str = "São Paulo", country: str = "BR") -> Address:
    return Address(id=number(n), country=country, line1=line1, city=city, region="SP", roles=("billing",))


def consent(
    state: ConsentState = "granted",
    *,
    purpose: str = "newsletter",
    channel: str = "email",
    captured_at: datetime = NOW,
    source: str = "checkout",
) -> Consent:
    return Consent(purpose=purpose, channel=channel, state=state, captured_at=captured_at, source=source)


def erp(value: str = "10442") -> ExternalId:
    return ExternalId(source="erp", value=value)


def personal(value: str = "ana@crm.example") -> ExternalId:
    return ExternalId(source="crm", value=value, personal=True)


def code_hash(n: int, code: str) -> str:
    return f"hash of {code} for {n}"


def confirmed(n: int = 1, code: str = CODE) -> ConfirmEmail:
    return ConfirmEmail(code_hash=code_hash(n, code))


def code_sent(n: int = 1, *, expires_at: datetime = NOW + DAY, code: str = CODE) -> CustomerEmailVerificationRequested:
    return CustomerEmailVerificationRequested(
        verification_id=number(n),
        number=1,
        expires_at=expires_at,
        retry_at=NOW,
        code_hash=code_hash(n, code),
    )


def wrong_code_given(n: int = 1) -> CustomerEmailVerificationFailed:
    return CustomerEmailVerificationFailed(verification_id=number(n))
