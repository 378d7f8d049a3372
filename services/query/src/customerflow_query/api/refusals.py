"""What is answered in place of a customer."""

import msgspec
from customerflow_shared.problems import Problem
from customerflow_shared.views import ErasedView, Stored

CACHE_CONTROL = "private, no-cache"
"""Also of what no longer changes: an erasure must be heard, so whoever keeps an answer has to ask before it is used."""

_decoder = msgspec.json.Decoder(ErasedView)


def present(stored: Stored | None) -> Stored:
    """Raises Problem `customer-not-found` or `customer-erased`.

    Never a 304: whoever holds an erased customer must hear that it is to be deleted.
    """
    if stored is None:
        raise Problem("customer-not-found", "No customer has this id.")
    if not stored.erased:
        return stored
    view = _decoder.decode(stored.document)
    raise Problem(
        "customer-erased",
        "The customer's data has been erased.",
        headers={"ETag": f'"{view.version}"', "Cache-Control": CACHE_CONTROL},
        id=view.id,
        currentVersion=view.version,
        erasedAt=view.erased_at,
    )
