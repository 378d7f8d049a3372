"""Addresses in Brazil, completed by their postal codes before they are read.

What was given stays as it is, and what is found goes the way of all input, into the event: nobody asks again for it.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from customerflow_shared.flags import Choice
from customerflow_shared.outside import OutsideError

from customerflow_command.customer.limits import MAX_ADDRESSES
from customerflow_command.inputs import postal
from customerflow_command.postal_codes import Place, PostalCodes

_POSTAL_CODE = re.compile(r"[0-9]{5}-?[0-9]{3}")
_FILLED: Mapping[str, Callable[[Place], str | None]] = {
    "region": lambda place: place.region,
    "city": lambda place: place.city,
    "district": lambda place: place.district,
    "line1": lambda place: place.street,
}


class Completed(NamedTuple):
    """What is read in place of the body that came, and by which choices."""

    body: dict[str, Any]
    choices: tuple[Choice, ...] = ()


class Enrichment:
    """A command waits no longer than the patience with which postal codes are looked up, for all of its addresses
    together, and not at all if the last look-up took longer or failed; then it goes on as it came.

    Whether it is wanted is asked (`choose`) only where something is missing; what is chosen goes with the command.
    """

    def __init__(self, postal_codes: PostalCodes) -> None:
        self._postal_codes = postal_codes

    async def of_registration(self, body: dict[str, Any], choose: Callable[[], Choice]) -> Completed:
        addresses = body.get("addresses")
        if not isinstance(addresses, list) or not any(map(_lacks_something, addresses)):
            return Completed(body)
        if not (choice := choose()).on:
            return Completed(body, (choice,))
        completed = await asyncio.gather(*map(self._completed, addresses[:MAX_ADDRESSES]))
        return Completed(body | {"addresses": [*completed, *addresses[MAX_ADDRESSES:]]}, (choice,))

    async def of_address(self, body: dict[str, Any], choose: Callable[[], Choice]) -> Completed:
        if not _lacks_something(body):
            return Completed(body)
        choice = choose()
        return Completed(await self._completed(body) if choice.on else body, (choice,))

    async def _completed(self, address: Any) -> Any:
        if not _lacks_something(address):
            return address
        try:
            found = await self._postal_codes.find_soon(address["postalCode"].strip().replace("-", ""))
        except OutsideError:
            return address
        return address if found.value is None else _filled(address, found.value)


def _lacks_something(address: Any) -> bool:
    return (
        isinstance(address, dict)
        and address.get("country") == "BR"
        and isinstance(code := address.get("postalCode"), str)
        and _POSTAL_CODE.fullmatch(code.strip()) is not None
        and any(address.get(name) is None for name in _FILLED)
    )


def _filled(address: dict[str, Any], place: Place) -> dict[str, Any]:
    """As it is if what was given contradicts the place: then one of them is wrong, and who knows which."""
    if not _agrees(address.get("region"), place.region) or not _agrees(address.get("city"), place.city):
        return address
    missing = {name: value(place) for name, value in _FILLED.items() if address.get(name) is None}
    return address | {name: value for name, value in missing.items() if value is not None}


def _agrees(given: Any, found: str) -> bool:
    return given is None or (isinstance(given, str) and postal.fold(given) == postal.fold(found))
