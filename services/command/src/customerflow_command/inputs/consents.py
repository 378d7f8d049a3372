"""Consents: who was asked what for, how, and what they said. What is kept in clear is a slug or a reference."""

from collections.abc import Set
from typing import Any

from customerflow_shared.inputs.clear import slug, token
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import one_of, text
from customerflow_shared.inputs.times import after, past
from customerflow_shared.values import Consent, ConsentState

from customerflow_command.customer.commands import RecordConsent
from customerflow_command.customer.limits import MAX_CONSENTS
from customerflow_command.inputs.context import Context

_RECORD: Set[str] = {
    "state",
    "capturedAt",
    "source",
    "legalBasis",
    "optInLevel",
    "policyVersion",
    "evidenceRef",
    "expiresAt",
}
_WHOLE = _RECORD | {"purpose", "channel"}
_STATES: tuple[ConsentState, ...] = ("granted", "withdrawn", "pending")

_state, _evidence = one_of(*_STATES), text(500)


def consent(body: dict[str, Any], context: Context, purpose: str, channel: str) -> RecordConsent:
    """`purpose` and `channel` are from the path."""
    fields = Fields(body, _RECORD)
    record = _consent(
        fields,
        context,
        fields.parameter("purpose", purpose, slug),
        fields.parameter("channel", channel, slug),
    )
    fields.check()
    return RecordConsent(consent=record)


def consents(fields: Fields, context: Context) -> tuple[Consent, ...]:
    """One for each purpose and channel."""
    seen: set[tuple[str, str]] = set()
    found = []
    for item in fields.objects("consents", MAX_CONSENTS, _WHOLE):
        record = _consent(item, context, item.required("purpose", slug), item.required("channel", slug))
        if (record.purpose, record.channel) in seen:
            item.refuse(Unfit("duplicate", "There is another consent for this purpose and channel."))
        if record.purpose and record.channel:
            seen.add((record.purpose, record.channel))
        found.append(record)
    return tuple(found)


def _consent(fields: Fields, context: Context, purpose: str, channel: str) -> Consent:
    captured_at = fields.required("capturedAt", past(context.now))
    return Consent(
        purpose=purpose,
        channel=channel,
        state=fields.required("state", _state),
        captured_at=captured_at,
        source=fields.required("source", token),
        legal_basis=fields.optional("legalBasis", slug),
        opt_in_level=fields.optional("optInLevel", slug),
        policy_version=fields.optional("policyVersion", token),
        evidence_ref=fields.optional("evidenceRef", _evidence),
        expires_at=fields.optional("expiresAt", after(captured_at or context.now)),
    )
