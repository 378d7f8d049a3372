"""Who may ask what of whom: every command against a customer that is not there, erased, to be erased, or archived."""

from typing import get_args

import pytest
from customerflow_command.customer.commands import (
    AddAddress,
    AddTaxId,
    ArchiveCustomer,
    CancelErasure,
    ChangeAddress,
    ChangeCustomer,
    Command,
    ConfirmEmail,
    DoWhatIsDue,
    LiftLegalHold,
    LinkExternalId,
    PlaceLegalHold,
    ReactivateCustomer,
    ReapplyErasure,
    RecordConsent,
    RegisterCustomer,
    RemoveAddress,
    RemoveTaxId,
    RequestEmailVerification,
    RequestErasure,
    RestoreCustomer,
    SetDefaultAddress,
    SuspendCustomer,
    TagCustomer,
    UnlinkExternalId,
    UntagCustomer,
    UpsertCustomer,
    VerifyEmail,
    VerifyPhone,
)
from customerflow_command.customer.errors import (
    CustomerError,
    CustomerIsArchived,
    CustomerIsErased,
    CustomerNotFound,
    ErasureIsPending,
)
from customerflow_shared.events import CustomerEvent
from customerflow_shared.values import Phone

from .sentences import (
    ARCHIVED,
    DAY,
    DUE,
    ERASED,
    ERASURE_REQUESTED,
    NOW,
    REGISTERED,
    address,
    consent,
    erp,
    number,
    tax_id,
    when,
)

WITHDRAWAL = RecordConsent(consent=consent("withdrawn"))
AT_ONCE = RequestErasure(due_at=NOW)
LATER = RequestErasure(due_at=DUE)
HOLD = PlaceLegalHold(reason="audit")
BY_THE_SYSTEM = [DoWhatIsDue(), ReapplyErasure()]
OF_NOBODY = [
    RegisterCustomer(customer_type="person", name="Ana"),
    UpsertCustomer(external_id=erp(), change=ChangeCustomer()),
]
CHANGES = [
    ChangeCustomer(),
    VerifyEmail(email="ana@example.com", method="link", verified_at=NOW),
    VerifyPhone(phone=Phone(number="+5511999998888"), method="sms", verified_at=NOW),
    RequestEmailVerification(verification_id=number(1), code_hash="hash", expires_at=NOW + DAY),
    ConfirmEmail(code_hash="hash"),
    AddTaxId(tax_id=tax_id(1)),
    RemoveTaxId(tax_id_id=number(1)),
    AddAddress(address=address(1)),
    ChangeAddress(address=address(1)),
    RemoveAddress(address_id=number(1)),
    SetDefaultAddress(role="billing", address_id=number(1)),
    TagCustomer(tag="vip"),
    UntagCustomer(tag="vip"),
    LinkExternalId(external_id=erp()),
    UnlinkExternalId(external_id=erp()),
    RecordConsent(consent=consent("granted")),
    RecordConsent(consent=consent("pending")),
    SuspendCustomer(reason="fraud"),
    ReactivateCustomer(),
]
EVERY = [
    *OF_NOBODY,
    *CHANGES,
    *BY_THE_SYSTEM,
    WITHDRAWAL,
    ArchiveCustomer(),
    RestoreCustomer(),
    LATER,
    AT_ONCE,
    CancelErasure(),
    HOLD,
    LiftLegalHold(),
]
UPSERT = OF_NOBODY[1]


def name(command: object) -> str:
    return type(command).__name__


def test_no_command_is_missing_here() -> None:
    assert {type(command) for command in EVERY} == set(get_args(Command))


@pytest.mark.parametrize("command", [command for command in EVERY if command not in OF_NOBODY], ids=name)
def test_nobody_takes_a_command(command: Command) -> None:
    with pytest.raises(CustomerNotFound):
        when(command, given=[])


@pytest.mark.parametrize(
    "command", [command for command in EVERY if command not in (OF_NOBODY[0], *BY_THE_SYSTEM)], ids=name
)
@pytest.mark.parametrize("before", [[], [ARCHIVED], [ERASURE_REQUESTED]], ids=["active", "archived", "pending"])
def test_an_erased_customer_takes_no_command(command: Command, before: list[CustomerEvent]) -> None:
    with pytest.raises(CustomerIsErased) as refused:
        when(command, given=[REGISTERED, *before, ERASED])
    assert refused.value.erased_at == ERASED.erased_at


@pytest.mark.parametrize("command", [UPSERT, *CHANGES, ArchiveCustomer(), RestoreCustomer(), LATER], ids=name)
@pytest.mark.parametrize("before", [[], [ARCHIVED]], ids=["active", "archived"])
def test_while_an_erasure_is_pending_nothing_else_happens(command: Command, before: list[CustomerEvent]) -> None:
    with pytest.raises(ErasureIsPending) as refused:
        when(command, given=[REGISTERED, *before, ERASURE_REQUESTED])
    assert refused.value.due_at == DUE


@pytest.mark.parametrize("command", [WITHDRAWAL, AT_ONCE, CancelErasure(), HOLD, *BY_THE_SYSTEM], ids=name)
def test_a_pending_erasure_does_not_stand_in_the_way_of(command: Command) -> None:
    assert when(command, given=[REGISTERED, ERASURE_REQUESTED], now=DUE) != []


@pytest.mark.parametrize("command", [UPSERT, *CHANGES, WITHDRAWAL], ids=name)
def test_an_archived_customer_takes_no_changes(command: Command) -> None:
    with pytest.raises(CustomerIsArchived):
        when(command, given=[REGISTERED, ARCHIVED])


@pytest.mark.parametrize("command", [RestoreCustomer(), LATER, AT_ONCE, HOLD, ReapplyErasure()], ids=name)
def test_being_archived_does_not_stand_in_the_way_of(command: Command) -> None:
    assert when(command, given=[REGISTERED, ARCHIVED]) != []


def test_a_refusal_says_in_words_why() -> None:
    for error in CustomerError.__subclasses__():
        assert error.__doc__
    assert str(CustomerIsArchived()) == "An archived customer takes no changes until it is restored."
    assert str(ErasureIsPending(DUE)) == ErasureIsPending.__doc__
