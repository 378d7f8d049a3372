"""The read model told a second time, independently of the projector: the fold of the feed."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from blackbox.feed import Recorded

Document: TypeAlias = dict[str, Any]

_CONSENT: Final = (
    "purpose",
    "channel",
    "state",
    "capturedAt",
    "source",
    "legalBasis",
    "optInLevel",
    "policyVersion",
    "evidenceRef",
    "expiresAt",
)


def fold(events: Iterable[Recorded]) -> dict[str, Document]:
    """The document of every customer; versions must be contiguous, each customer's from 1."""
    documents: dict[str, Document] = {}
    for recorded in events:
        known = documents.get(recorded.customer_id, {"id": recorded.customer_id, "version": 0})
        assert recorded.version == known["version"] + 1, f"{recorded} after version {known['version']}"
        if recorded.event["type"] == "CustomerErased":
            known = {"id": recorded.customer_id, "status": "erased"}
        else:
            known["updatedAt"] = _milliseconds(recorded.recorded_at)
        changed = {**known, "version": recorded.version, **_changes(known, recorded)}
        documents[recorded.customer_id] = {
            name: value for name, value in changed.items() if value not in (None, [], {})
        }
    return documents


def _without_nothing(document: Document) -> Document:
    """An empty legal hold is one without an end; whatever else is empty is left out."""
    empty: tuple[object, ...] = (None, [], {})
    return {
        name: value
        for name, value in document.items()
        if value not in empty or (name == "legalHold" and value is not None)
    }


def _changes(known: Document, recorded: Recorded) -> Document:
    event = recorded.event
    match event["type"].removeprefix("Customer"):
        case "Registered":
            return _registered(recorded)
        case "ProfileChanged":
            given = event.get("profile", {}) | event.get("personal", {})
            return {**given, "dataQuality": _issues(known, event["changed"], event)}
        case "EmailChanged":
            return {"email": event["email"], "emailVerifiedAt": None, "dataQuality": _issues(known, ["email"])}
        case "PhoneChanged":
            issues = _issues(known, ["phone", "phoneExtension"])
            return {**_phone(event["phone"]), "phoneVerifiedAt": None, "dataQuality": issues}
        case "EmailVerified":
            return {"emailVerifiedAt": _milliseconds(event["verifiedAt"])}
        case "PhoneVerified":
            return {"phoneVerifiedAt": _milliseconds(event["verifiedAt"])}
        case "EmailVerificationRequested" | "EmailVerificationFailed":
            return {}
        case "AttributesChanged":
            kept = {key: value for key, value in known.get("attributes", {}).items() if key not in event["changed"]}
            issues = _issues(known, [f"attributes/{key}" for key in event["changed"]])
            return {"attributes": kept | event["attributes"], "dataQuality": issues}
        case "Suspended":
            return {"status": "suspended", "suspendedUntil": _milliseconds(event.get("until"))}
        case "Reactivated":
            return {"status": "active", "suspendedUntil": None}
        case "Archived":
            return {"status": "archived"}
        case "Restored":
            status = event.get("status", "active")
            return {"status": status} if status == "suspended" else {"status": status, "suspendedUntil": None}
        case "LegalHoldPlaced":
            return {"legalHold": _without_nothing({"until": _milliseconds(event.get("until"))})}
        case "LegalHoldLifted":
            return {"legalHold": None}
        case "ErasureRequested":
            asked = {"dueAt": _milliseconds(event["dueAt"]), "requestRef": event["requestRef"]}
            return {"erasure": _without_nothing(asked)}
        case "ErasureCancelled":
            return {"erasure": None}
        case "Erased":
            return {"erasedAt": _milliseconds(event["erasedAt"])}
        case _:
            return _changes_of_collections(known, event)


def _changes_of_collections(known: Document, event: Document) -> Document:
    match event["type"].removeprefix("Customer"):
        case "TaxIdAdded":
            added = {"id": event["taxIdId"], "type": event["taxIdType"], "value": event["value"]}
            return {"taxIds": [*known.get("taxIds", []), added]}
        case "TaxIdRemoved":
            kept = [one for one in known["taxIds"] if one["id"] != event["taxIdId"]]
            return {"taxIds": kept, "dataQuality": _issues(known, [f"taxIds/{event['taxIdId']}"])}
        case "AddressAdded":
            return {"addresses": [*known.get("addresses", []), event["address"]], "dataQuality": _about(known, event)}
        case "AddressChanged":
            changed = [event["address"] if one["id"] == event["addressId"] else one for one in known["addresses"]]
            return {"addresses": changed, "dataQuality": _about(known, event)}
        case "AddressRemoved":
            defaults = known.get("defaultAddresses", {})
            return {
                "addresses": [one for one in known["addresses"] if one["id"] != event["addressId"]],
                "defaultAddresses": {role: one for role, one in defaults.items() if one != event["addressId"]},
                "dataQuality": _about(known, event),
            }
        case "DefaultAddressSet":
            return {"defaultAddresses": known.get("defaultAddresses", {}) | {event["role"]: event["addressId"]}}
        case "ConsentRecorded":
            newest = _consent({name: event[name] for name in _CONSENT if event.get(name) is not None})
            others = [one for one in known.get("consents", []) if not _same_subject(one, newest)]
            return {"consents": [*others, newest]}
        case "Tagged":
            return {"tags": [*known.get("tags", []), event["tag"]]}
        case "Untagged":
            return {"tags": [tag for tag in known["tags"] if tag != event["tag"]]}
        case "ExternalIdLinked":
            return {"externalIds": [*known.get("externalIds", []), _external_id(event)]}
        case "ExternalIdUnlinked":
            return {"externalIds": [one for one in known["externalIds"] if one != _external_id(event)]}
        case _:
            raise AssertionError(f"The fold does not know this event: {event}")


def _registered(recorded: Recorded) -> Document:
    event = dict(recorded.event)
    for name in ("type", "countries"):
        event.pop(name, None)
    return {
        "type": event.pop("customerType"),
        "status": "active",
        "createdAt": _milliseconds(recorded.recorded_at),
        "dataQuality": event.pop("issues", []),
        "externalIds": [*event.pop("externalIds", []), *event.pop("personalExternalIds", [])],
        **_phone(event.pop("phone", None)),
        "consents": [_consent(one) for one in event.pop("consents", [])],
        **event,
    }


def _phone(phone: Document | None) -> Document:
    return {"phone": (phone or {}).get("number"), "phoneExtension": (phone or {}).get("extension")}


def _consent(consent: Document) -> Document:
    return consent | {name: _milliseconds(consent[name]) for name in ("capturedAt", "expiresAt") if name in consent}


def _same_subject(one: Document, other: Document) -> bool:
    return (one["purpose"], one["channel"]) == (other["purpose"], other["channel"])


def _external_id(event: Document) -> Document:
    if event["value"] is None:
        return {"source": event["source"], "value": event["personalValue"], "personal": True}
    return {"source": event["source"], "value": event["value"]}


def _about(known: Document, event: Document) -> list[Document]:
    return _issues(known, [f"addresses/{event['addressId']}"], event)


def _issues(known: Document, about: Sequence[str], event: Document | None = None) -> list[Document]:
    """What was odd before, but of these things only what is odd about them now."""
    stale = tuple(f"{path}/" for path in about)
    before = known.get("dataQuality", [])
    return [*(one for one in before if not f"{one['path']}/".startswith(stale)), *(event or {}).get("issues", [])]


def _milliseconds(instant: str | None) -> str | None:
    """2026-11-22T15:04:05.123456Z, as the read model words it: to the millisecond."""
    if instant is None:
        return None
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3]:0<3}Z"
