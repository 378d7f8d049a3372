"""Any life that a customer may have, as hypothesis draws it; and what is left of it once its key is destroyed."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from customerflow_projector.projections import project
from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerArchived,
    CustomerAttributesChanged,
    CustomerConsentRecorded,
    CustomerDefaultAddressSet,
    CustomerEmailChanged,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerEmailVerified,
    CustomerErased,
    CustomerErasureCancelled,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerPhoneChanged,
    CustomerPhoneVerified,
    CustomerProfileChanged,
    CustomerReactivated,
    CustomerRegistered,
    CustomerRestored,
    CustomerSuspended,
    CustomerTagged,
    CustomerTaxIdAdded,
    CustomerTaxIdRemoved,
    CustomerUntagged,
    Recorded,
    redacted_fields,
)
from customerflow_shared.values import Address, Consent, ExternalId, Issue, PersonalProfile, Phone, Profile, TaxId
from customerflow_shared.views import CustomerView, View
from hypothesis import strategies as some
from msgspec.structs import replace

from .builders import recorded, renaming

Events = some.SearchStrategy[CustomerEvent]

ids = some.uuids()
texts = some.text(min_size=1, max_size=8)
words = some.sampled_from(["a", "b", "c"])
emails = some.none() | some.sampled_from(["ana@example.com", "bia@example.com"])
phones = some.none() | some.builds(Phone, number=some.just("+5511999998888"), extension=some.none() | words)
moments = some.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=some.just(UTC))
roles = some.lists(some.sampled_from(["billing", "shipping"]), unique=True).map(tuple)
addresses = some.builds(Address, id=ids, country=words, line1=texts, roles=roles, city=some.none() | texts)
attributes = some.dictionaries(words, texts | some.integers() | some.booleans(), max_size=2)
external_ids = some.builds(ExternalId, source=words, value=texts)
consents = some.builds(
    Consent,
    purpose=words,
    channel=words,
    state=some.sampled_from(["granted", "withdrawn"]),
    captured_at=moments,
    source=words,
    evidence_ref=some.none() | texts,
)


def _linked(event: CustomerRegistered) -> tuple[ExternalId, ...]:
    return event.external_ids + event.personal_external_ids


def _identity(one: ExternalId) -> tuple[str, str]:
    return one.source, one.value


registrations = some.builds(
    CustomerRegistered,
    customer_type=some.sampled_from(["person", "company"]),
    name=texts,
    email=emails,
    phone=phones,
    tax_ids=some.lists(some.builds(TaxId, id=ids, type=words, value=texts), max_size=2).map(tuple),
    addresses=some.lists(addresses, max_size=2).map(tuple),
    consents=some.lists(consents, max_size=1).map(tuple),
    tags=some.lists(words, max_size=2, unique=True).map(tuple),
    external_ids=some.lists(external_ids, max_size=1).map(tuple),
    personal_external_ids=some.lists(external_ids.map(lambda one: replace(one, personal=True)), max_size=1).map(tuple),
    attributes=attributes,
    issues=some.sampled_from([(), (Issue(path="name", code="name-unusual"),)]),
).filter(lambda event: len({*map(_identity, _linked(event))}) == len(_linked(event)))


@some.composite
def lives(draw: some.DrawFn, *, erased: bool = False, more: tuple[int, int] = (0, 0)) -> list[Recorded]:
    """The events of one customer, then `more` (from, to) new names; `erased`: its life has come to its end."""
    history = [recorded(draw(registrations), 1)]
    view = project(None, history[0])
    for version in range(2, draw(some.integers(2, 14))):
        assert isinstance(view, CustomerView)
        history.append(recorded(draw(some.one_of(what_may_follow(view))), version))
        view = project(view, history[-1])
    names = [renaming(f"Name {number}", "") for number in range(draw(some.integers(*more)))]
    history += [recorded(event, version) for version, event in enumerate(names, start=len(history) + 1)]
    if erased:
        history += [recorded(draw(event), version) for version, event in enumerate(the_end, start=len(history) + 1)]
    return history


the_end: Sequence[Events] = [
    some.builds(CustomerErasureRequested, due_at=moments, request_ref=some.none() | words, reason=texts),
    some.builds(CustomerErased, erased_at=moments, request_ref=some.none(), keys_destroyed=some.just(1)),
]


def what_may_follow(view: CustomerView) -> list[Events]:
    if view.erasure:
        return [some.builds(CustomerErasureCancelled, reason=texts)]
    held = some.builds(CustomerLegalHoldPlaced, until=some.none() | moments, reason=texts)
    lifted = [some.builds(CustomerLegalHoldLifted, reason=texts)] if view.legal_hold else []
    changes = [] if view.status == "archived" else _changes(view)
    return [the_end[0], held, *lifted, *_transitions(view), *changes]


def _transitions(view: CustomerView) -> list[Events]:
    match view.status:
        case "active":
            suspended = some.builds(CustomerSuspended, until=some.none() | moments, reason=texts)
            return [suspended, some.just(CustomerArchived())]
        case "suspended":
            return [some.just(CustomerReactivated()), some.just(CustomerArchived(previous_status="suspended"))]
        case "archived":
            return [some.builds(CustomerRestored, status=some.sampled_from(["active", "suspended"]))]


def _changes(view: CustomerView) -> list[Events]:
    changes: list[Events] = [
        some.builds(
            CustomerProfileChanged,
            changed=some.just(("name", "locale")),
            profile=some.builds(Profile, locale=some.none() | words),
            personal=some.builds(PersonalProfile, name=texts),
        ),
        some.builds(CustomerEmailChanged, email=emails, previous_email=some.just(view.email)),
        some.builds(CustomerPhoneChanged, phone=phones, previous_phone=some.none()),
        some.builds(CustomerTaxIdAdded, tax_id_id=ids, tax_id_type=words, value=texts),
        addresses.map(_added),
        consents.map(lambda one: CustomerConsentRecorded(**msgspec.structs.asdict(one), previous_state=None)),
        words.filter(lambda tag: tag not in view.tags).map(lambda tag: CustomerTagged(tag=tag))
        if len(view.tags) < 3
        else some.nothing(),
        external_ids.filter(lambda one: _identity(one) not in map(_identity, view.external_ids)).flatmap(_links),
        some.builds(
            CustomerAttributesChanged,
            changed=some.just(("a", "b", "c")),
            attributes=attributes,
            previous_attributes=some.just(view.attributes),
        ),
    ]
    if view.email:
        changes += [
            some.builds(CustomerEmailVerified, method=words, verified_at=moments),
            some.builds(
                CustomerEmailVerificationRequested,
                verification_id=ids,
                number=some.just(1),
                expires_at=moments,
                retry_at=moments,
                code_hash=texts,
            ),
            some.builds(CustomerEmailVerificationFailed, verification_id=ids),
        ]
    if view.phone:
        changes += [some.builds(CustomerPhoneVerified, method=words, verified_at=moments)]
    changes += [
        some.just(CustomerTaxIdRemoved(tax_id_id=one.id, tax_id_type=one.type, value=one.value)) for one in view.tax_ids
    ]
    for one in view.addresses:
        changes += [
            some.builds(CustomerDefaultAddressSet, role=some.just("billing"), address_id=some.just(one.id)),
            some.just(_moved(one)),
            some.just(CustomerAddressRemoved(address_id=one.id, address=one)),
        ]
    changes += [some.just(CustomerUntagged(tag=tag)) for tag in view.tags]
    changes += [some.just(_unlinked(one)) for one in view.external_ids]
    return changes


def _added(address: Address) -> CustomerAddressAdded:
    return CustomerAddressAdded(
        address_id=address.id,
        roles=address.roles,
        country=address.country,
        region=address.region,
        issues=(Issue(path=f"addresses/{address.id}/city", code="city-unknown"),) if address.city else (),
        address=address,
    )


def _moved(address: Address) -> CustomerAddressChanged:
    return CustomerAddressChanged(
        address_id=address.id,
        changed=("line1",),
        roles=address.roles,
        country=address.country,
        region=address.region,
        address=replace(address, line1="elsewhere"),
        previous_address=address,
    )


def _links(one: ExternalId) -> Events:
    personal = CustomerExternalIdLinked(source=one.source, value=None, personal_value=one.value)
    return some.sampled_from([CustomerExternalIdLinked(source=one.source, value=one.value), personal])


def _unlinked(one: ExternalId) -> CustomerExternalIdUnlinked:
    if one.personal:
        return CustomerExternalIdUnlinked(source=one.source, value=None, personal_value=one.value)
    return CustomerExternalIdUnlinked(source=one.source, value=one.value)


def redacted(event: Recorded) -> Recorded:
    """The event as it is read once the customer's key is destroyed."""
    fields = msgspec.to_builtins(event.event) | redacted_fields(type(event.event))
    return replace(event, redacted=True, event=msgspec.convert(fields, CustomerEvent))


def fold(history: Sequence[Recorded]) -> View:
    view: View | None = None
    for event in history:
        view = project(view, event)
    assert view is not None
    return view
