"""From the body of a request to a command: every field with its own verdict, all faults at once.

All of it is pure. A reader raises Problem `invalid-fields` with a fault for each unfit value, which is never repeated.
"""

from customerflow_command.inputs.addresses import add_address, change_address, default_address
from customerflow_command.inputs.consents import consent
from customerflow_command.inputs.context import Context
from customerflow_command.inputs.customers import change, register, upsert
from customerflow_command.inputs.emails import code, verify_email
from customerflow_command.inputs.labels import external_id, external_id_in, external_id_of, tag
from customerflow_command.inputs.lifecycle import erasure, legal_hold, nothing, reason, suspend
from customerflow_command.inputs.phones import verify_phone
from customerflow_command.inputs.tax_ids import add_tax_id

__all__ = [
    "Context",
    "add_address",
    "add_tax_id",
    "change",
    "change_address",
    "code",
    "consent",
    "default_address",
    "erasure",
    "external_id",
    "external_id_in",
    "external_id_of",
    "legal_hold",
    "nothing",
    "reason",
    "register",
    "suspend",
    "tag",
    "upsert",
    "verify_email",
    "verify_phone",
]
