"""E-mail addresses that somebody says to have verified."""

from typing import Any

from customerflow_shared.inputs.clear import slug
from customerflow_shared.inputs.emails import email
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.inputs.text import text
from customerflow_shared.inputs.times import past

from customerflow_command.customer.commands import VerifyEmail
from customerflow_command.inputs.context import Context

_VERIFICATION = {"value", "method", "verifiedAt"}


def verify_email(body: dict[str, Any], context: Context) -> VerifyEmail:
    fields = Fields(body, _VERIFICATION)
    address = fields.required("value", email)
    method = fields.required("method", slug)
    verified_at = fields.required("verifiedAt", past(context.now))
    fields.check()
    return VerifyEmail(email=address, method=method, verified_at=verified_at)


def code(body: dict[str, Any]) -> str:
    """That somebody says to have got by e-mail."""
    fields = Fields(body, {"code"})
    given = fields.required("code", text(20))
    fields.check()
    return given
