"""What becomes of a customer: reasons, an end of a suspension, the grace before an erasure."""

from datetime import datetime, timedelta
from typing import Any

from customerflow_shared.inputs.clear import token
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import text
from customerflow_shared.inputs.times import after

from customerflow_command.customer.commands import PlaceLegalHold, RequestErasure, SuspendCustomer
from customerflow_command.inputs.context import Context

MAX_REASON = 500
MAX_GRACE_DAYS = 30

_reason = text(MAX_REASON)


def suspend(body: dict[str, Any], context: Context) -> SuspendCustomer:
    given_reason, until = _reason_and_end(body, context)
    return SuspendCustomer(reason=given_reason, until=until)


def legal_hold(body: dict[str, Any], context: Context) -> PlaceLegalHold:
    given_reason, until = _reason_and_end(body, context)
    return PlaceLegalHold(reason=given_reason, until=until)


def reason(body: dict[str, Any]) -> str | None:
    """For commands that take a reason and nothing else."""
    fields = Fields(body, {"reason"})
    given = fields.optional("reason", _reason)
    fields.check()
    return given


def erasure(body: dict[str, Any], context: Context) -> RequestErasure:
    """`requestRef` outlives the customer, in clear."""
    fields = Fields(body, {"requestRef", "reason", "graceDays"})
    request_ref = fields.optional("requestRef", token)
    given_reason = fields.optional("reason", _reason)
    grace = fields.optional("graceDays", _grace_days)
    fields.check()
    due_at = context.now + timedelta(days=MAX_GRACE_DAYS if grace is None else grace)
    return RequestErasure(due_at=due_at, request_ref=request_ref, reason=given_reason)


def nothing(body: dict[str, Any]) -> None:
    """For commands that have no fields."""
    Fields(body, frozenset()).check()


def _reason_and_end(body: dict[str, Any], context: Context) -> tuple[str, datetime | None]:
    fields = Fields(body, {"reason", "until"})
    given_reason = fields.required("reason", _reason)
    until = fields.optional("until", after(context.now))
    fields.check()
    return given_reason, until


def _grace_days(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unfit("type", "The value must be a whole number.")
    if not 0 <= value <= MAX_GRACE_DAYS:
        raise Unfit("number-range", f"The value must be 0 to {MAX_GRACE_DAYS}.")
    return value
