"""The command API: from a request to a command, and from its outcome or error to an answer.

Each module holds the routes of one sub-topic; `intake` is the way in that all of them share, `answers` and `refusals`
are the ways out.
"""

from customerflow_command.api import (
    addresses,
    consents,
    contact,
    contract,
    customers,
    erasure,
    external,
    labels,
    lifecycle,
    postal_codes,
    tax_ids,
)
from customerflow_command.api.intake import Customers
from customerflow_command.api.refusals import TRANSLATIONS

ROUTES = [
    *customers.ROUTES,
    *external.ROUTES,
    *contact.ROUTES,
    *tax_ids.ROUTES,
    *addresses.ROUTES,
    *labels.ROUTES,
    *consents.ROUTES,
    *lifecycle.ROUTES,
    *erasure.ROUTES,
    *contract.ROUTES,
]

POSTAL_CODES = postal_codes.ROUTES
"""For who has somebody to ask."""

__all__ = ["POSTAL_CODES", "ROUTES", "TRANSLATIONS", "Customers"]
