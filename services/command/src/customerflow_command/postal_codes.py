"""Postal codes of Brazil, looked up at services of others: one is asked after the other, and what they say is checked
before it is believed.

Their forms are those of ViaCEP, BrasilAPI and OpenCEP; where they are is a setting.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.inputs.text import text
from customerflow_shared.outside import Answer, BadAnswer, Cache, Client, Keeping, Kept, Policy, first_answer, json_as
from msgspec import Struct

from customerflow_command.inputs import postal

POLICY = Policy(
    deadline=2.0,
    per_try=1.0,
    tries=2,
    first_pause=0.02,
    longest_pause=0.05,
    retries_per_call=0.1,
    retry_burst=5,
    concurrent=4,
    queued=4,
    failures=4,
    window=8,
    memory=60,
    open_for=2,
    open_at_most=60,
    largest_body=16 * 1024,
)
"""Of each provider."""
CHAIN = 3.0
"""Seconds for all of them together."""
KEEPING = Keeping(fresh_for=7 * 86_400, unknown_for=3600, stale_for=90 * 86_400, largest=20_000)

DIGITS = re.compile(r"[0-9]{8}")
_SETTING = re.compile(r"([a-z]+)=(https?://[^\s/;@?#]+(?:/[^\s;?#]*)?)")
_NOT_FOUND = ("não encontrado", "inválido")

_place, _line = text(100), text(200)


class Place(NamedTuple):
    """What a postal code says: `district` and `street` are None where a whole town has one code."""

    region: str
    city: str
    district: str | None
    street: str | None


class _InPortuguese(Struct, frozen=True):
    cep: str = ""
    logradouro: str | None = None
    bairro: str | None = None
    localidade: str = ""
    uf: str = ""
    erro: bool | str = False


class _InEnglish(Struct, frozen=True):
    cep: str
    state: str
    city: str
    neighborhood: str | None = None
    street: str | None = None


class _Refusal(Struct, frozen=True):
    message: str = ""


class _Refusals(Struct, frozen=True):
    type: str
    errors: tuple[_Refusal, ...] = ()


def _viacep(digits: str, answer: Answer) -> Place | None:
    if answer.status != 200:
        raise BadAnswer(f"it answers {answer.status}")
    told = json_as(answer, _InPortuguese)
    if told.erro in (True, "true"):
        return None
    return _checked(digits, told.cep, told.uf, told.localidade, told.bairro, told.logradouro)


def _opencep(digits: str, answer: Answer) -> Place | None:
    return None if answer.status == 404 else _viacep(digits, answer)


def _brasilapi(digits: str, answer: Answer) -> Place | None:
    """Its 404 says that none of those whom it has asked has answered, and why each has not."""
    if answer.status == 404:
        refusals = json_as(answer, _Refusals)
        reasons = [one.message.casefold() for one in refusals.errors]
        if refusals.type == "service_error" and any(known in reason for known in _NOT_FOUND for reason in reasons):
            return None
    if answer.status != 200:
        raise BadAnswer(f"it answers {answer.status}")
    told = json_as(answer, _InEnglish)
    return _checked(digits, told.cep, told.state, told.city, told.neighborhood, told.street)


def _checked(digits: str, cep: str, region: str, city: str, district: str | None, street: str | None) -> Place:
    """Raises BadAnswer unless it is about this code, and fits it."""
    known = postal.rules("BR").regions.get(region)
    if cep.replace("-", "", 1) != digits or known is None or not _lies_in(digits, known):
        raise BadAnswer("it is about another postal code")
    try:
        return Place(region, _place(city), _place(district) if district else None, _line(street) if street else None)
    except Unfit:
        raise BadAnswer("it holds what cannot be kept") from None


class Form(NamedTuple):
    path: str
    read: Callable[[str, Answer], Place | None]


FORMS: Mapping[str, Form] = {
    "viacep": Form("/ws/{}/json/", _viacep),
    "brasilapi": Form("/api/cep/v1/{}", _brasilapi),
    "opencep": Form("/v1/{}", _opencep),
}

Addresses: TypeAlias = tuple[tuple[str, str], ...]
"""Names of `FORMS`, each with where one who answers in it is, in the order in which they are asked."""


def parse_providers(setting: str) -> Addresses:
    """`viacep=https://...;brasilapi=https://...`. Raises ValueError."""
    found = [_SETTING.fullmatch(part.strip()) for part in setting.split(";") if part.strip()]
    known = [(match[1], match[2].rstrip("/")) for match in found if match and match[1] in FORMS]
    if len(known) < len(found) or len(dict(known)) < len(known):
        raise ValueError(f"Expected <form>=<url>, separated by semicolons, each form once: {', '.join(FORMS)}")
    return tuple(known)


class PostalCodes:
    """`patience`: how long a command waits, in seconds. `close` it in the end."""

    def __init__(self, addresses: Addresses, patience: float = 0.0, policy: Policy = POLICY) -> None:
        self.clients = {form: Client(form, url, policy) for form, url in addresses}
        self._cache = Cache("postal-codes", KEEPING, self._ask, patience)

    async def find(self, digits: str) -> Kept[Place]:
        """None if there is no such code. Raises OutsideError if nobody says so or otherwise."""
        return await self._cache.get(digits) if _may_be(digits) else Kept(None)

    async def find_soon(self, digits: str) -> Kept[Place]:
        """Within the patience, or not at all: see `Cache.get_soon`."""
        return await self._cache.get_soon(digits) if _may_be(digits) else Kept(None)

    async def close(self) -> None:
        await self._cache.close()
        for client in self.clients.values():
            await client.close()

    async def _ask(self, digits: str) -> Place | None:
        return await first_answer(self._asks(digits), CHAIN)

    def _asks(self, digits: str) -> Sequence[Callable[[], Awaitable[Place | None]]]:
        return [
            partial(client.call, "postal-code", FORMS[form].path.format(digits), partial(FORMS[form].read, digits))
            for form, client in self.clients.items()
        ]


def _may_be(digits: str) -> bool:
    return any(_lies_in(digits, region) for region in postal.rules("BR").regions.values())


def _lies_in(digits: str, region: postal.Region) -> bool:
    return bool(region.postal_code and region.postal_code.match(f"{digits[:5]}-{digits[5:]}"))
