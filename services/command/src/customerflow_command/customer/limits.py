"""How many of each a customer may have."""

from collections.abc import Sized

from customerflow_command.customer.errors import LimitReached

MAX_TAX_IDS = 10
MAX_ADDRESSES = 20
MAX_CONSENTS = 100
MAX_TAGS = 50
MAX_EXTERNAL_IDS = 20
MAX_ATTRIBUTES = 50


def require_at_most(limit: int, those: Sized) -> None:
    if len(those) > limit:
        raise LimitReached(limit)


def require_room(limit: int, present: Sized) -> None:
    """For one more."""
    if len(present) >= limit:
        raise LimitReached(limit)
