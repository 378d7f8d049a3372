"""What an event does to a customer's document: pure.

The personal fields of a redacted event are empty; the document then lacks what they held, until the erasure that
follows leaves nothing of it.
"""

from collections.abc import Iterable
from typing import assert_never

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
    external_id_of,
)
from customerflow_shared.values import (
    Address,
    Consent,
    Issue,
    TaxId,
    given_fields,
)
from customerflow_shared.views import ConsentView, CustomerView, ErasedView, Erasure, LegalHold, View, timestamp
from msgspec.structs import replace


class HistoryBroken(Exception):
    """An event does not follow from those before it."""


def project(view: View | None, recorded: Recorded) -> View:
    """The document after the event. Raises HistoryBroken unless the event is the next one."""
    if recorded.version != (view.version if view else 0) + 1:
        raise HistoryBroken(f"version {recorded.version} does not follow {view.version if view else 0}")
    event = recorded.event
    if view is None:
        if not isinstance(event, CustomerRegistered):
            raise HistoryBroken("the first event is not a registration")
        return _registered(recorded, event)
    if isinstance(view, ErasedView):
        raise HistoryBroken("the customer is erased")
    view = replace(view, version=recorded.version, updated_at=timestamp(recorded.recorded_at))
    match event:
        case CustomerRegistered():
            raise HistoryBroken("the customer is registered already")
        case CustomerProfileChanged():
            issues = _issues(view, event.changed, event.issues)
            return replace(view, data_quality=issues, **given_fields(event.profile), **given_fields(event.personal))
        case CustomerEmailChanged():
            issues = _issues(view, ["email"])
            return replace(view, email=event.email, email_verified_at=None, data_quality=issues)
        case CustomerPhoneChanged():
            return replace(
                view,
                phone=event.phone.number if event.phone else None,
                phone_extension=event.phone.extension if event.phone else None,
                phone_verified_at=None,
                data_quality=_issues(view, ["phone"]),
            )
        case CustomerEmailVerified():
            return replace(view, email_verified_at=timestamp(event.verified_at))
        case CustomerPhoneVerified():
            return replace(view, phone_verified_at=timestamp(event.verified_at))
        case CustomerEmailVerificationRequested() | CustomerEmailVerificationFailed():
            return view
        case CustomerTaxIdAdded():
            tax_id = TaxId(id=event.tax_id_id, type=event.tax_id_type, value=event.value)
            return replace(view, tax_ids=(*view.tax_ids, tax_id))
        case CustomerTaxIdRemoved():
            return replace(
                view,
                tax_ids=tuple(one for one in view.tax_ids if one.id != event.tax_id_id),
                data_quality=_issues(view, [f"taxIds/{event.tax_id_id}"]),
            )
        case CustomerAddressAdded():
            addresses = view.addresses if event.address is None else (*view.addresses, event.address)
            return replace(view, addresses=addresses, data_quality=_address_issues(view, event))
        case CustomerAddressChanged():
            return replace(
                view,
                addresses=_changed(view.addresses, event.address),
                data_quality=_address_issues(view, event),
            )
        case CustomerAddressRemoved():
            return replace(
                view,
                addresses=tuple(one for one in view.addresses if one.id != event.address_id),
                default_addresses={
                    role: one for role, one in view.default_addresses.items() if one != event.address_id
                },
                data_quality=_address_issues(view, event),
            )
        case CustomerDefaultAddressSet():
            return replace(view, default_addresses=view.default_addresses | {event.role: event.address_id})
        case CustomerConsentRecorded():
            return replace(view, consents=_with_newest(view.consents, event))
        case CustomerTagged():
            return replace(view, tags=(*view.tags, event.tag))
        case CustomerUntagged():
            return replace(view, tags=tuple(tag for tag in view.tags if tag != event.tag))
        case CustomerExternalIdLinked():
            return replace(view, external_ids=(*view.external_ids, *external_id_of(event)))
        case CustomerExternalIdUnlinked():
            gone = external_id_of(event)
            return replace(view, external_ids=tuple(one for one in view.external_ids if one not in gone))
        case CustomerAttributesChanged():
            removed = set(event.changed) - event.attributes.keys()
            kept = {key: value for key, value in view.attributes.items() if key not in removed}
            issues = _issues(view, [f"attributes/{key}" for key in event.changed])
            return replace(view, attributes=kept | event.attributes, data_quality=issues)
        case CustomerSuspended():
            until = timestamp(event.until) if event.until else None
            return replace(view, status="suspended", suspended_until=until)
        case CustomerReactivated():
            return replace(view, status="active", suspended_until=None)
        case CustomerArchived():
            return replace(view, status="archived")
        case CustomerRestored():
            until = view.suspended_until if event.status == "suspended" else None
            return replace(view, status=event.status, suspended_until=until)
        case CustomerLegalHoldPlaced():
            return replace(view, legal_hold=LegalHold(until=timestamp(event.until) if event.until else None))
        case CustomerLegalHoldLifted():
            return replace(view, legal_hold=None)
        case CustomerErasureRequested():
            return replace(view, erasure=Erasure(due_at=timestamp(event.due_at), request_ref=event.request_ref))
        case CustomerErasureCancelled():
            return replace(view, erasure=None)
        case CustomerErased():
            return tombstone(recorded, event)
        case _:
            assert_never(event)


def tombstone(recorded: Recorded, event: CustomerErased) -> ErasedView:
    """What is left; nothing of what was before matters."""
    return ErasedView(id=recorded.customer_id, version=recorded.version, erased_at=timestamp(event.erased_at))


def _registered(recorded: Recorded, event: CustomerRegistered) -> CustomerView:
    return CustomerView(
        id=recorded.customer_id,
        version=recorded.version,
        type=event.customer_type,
        name=event.name,
        status="active",
        given_name=event.given_name,
        family_name=event.family_name,
        social_name=event.social_name,
        legal_name=event.legal_name,
        trade_name=event.trade_name,
        birth_date=event.birth_date,
        email=event.email,
        phone=event.phone.number if event.phone else None,
        phone_extension=event.phone.extension if event.phone else None,
        locale=event.locale,
        timezone=event.timezone,
        lifecycle_stage=event.lifecycle_stage,
        tax_ids=event.tax_ids,
        addresses=event.addresses,
        consents=tuple(map(_shown, event.consents)),
        tags=event.tags,
        external_ids=event.external_ids + event.personal_external_ids,
        attributes=event.attributes,
        data_quality=event.issues,
        created_at=timestamp(recorded.recorded_at),
        updated_at=timestamp(recorded.recorded_at),
    )


def _issues(view: CustomerView, about: Iterable[str], now: tuple[Issue, ...] = ()) -> tuple[Issue, ...]:
    """Those of the document, but of the things at these paths only what is so now."""
    stale = tuple(f"{path}/" for path in about)
    return (*(issue for issue in view.data_quality if not f"{issue.path}/".startswith(stale)), *now)


def _address_issues(
    view: CustomerView, event: CustomerAddressAdded | CustomerAddressChanged | CustomerAddressRemoved
) -> tuple[Issue, ...]:
    now = () if isinstance(event, CustomerAddressRemoved) else event.issues
    return _issues(view, [f"addresses/{event.address_id}"], now)


def _changed(addresses: tuple[Address, ...], changed: Address | None) -> tuple[Address, ...]:
    return tuple(changed if changed and one.id == changed.id else one for one in addresses)


def _shown(consent: Consent | CustomerConsentRecorded) -> ConsentView:
    fields = {name: getattr(consent, name) for name in ConsentView.__struct_fields__}
    expires_at = timestamp(consent.expires_at) if consent.expires_at else None
    return ConsentView(**fields | {"captured_at": timestamp(consent.captured_at), "expires_at": expires_at})


def _with_newest(consents: tuple[ConsentView, ...], event: CustomerConsentRecorded) -> tuple[ConsentView, ...]:
    """In place of the one before it, if there is one: what is listed keeps its order."""
    newest = _shown(event)
    among = {(one.purpose, one.channel): one for one in consents}
    return tuple((among | {(newest.purpose, newest.channel): newest}).values())
