"""What a postal code says. There only if somebody is configured who knows."""

import re
from math import ceil

from customerflow_shared import requests
from customerflow_shared.openapi import Answer, operation
from customerflow_shared.outside import OutsideError
from customerflow_shared.problems import Problem, responses
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from customerflow_command.api.intake import HttpRequest
from customerflow_command.postal_codes import KEEPING, PostalCodes

PATH = "/v1/postal-codes/BR/{cep:str}"
ASK_AGAIN = 5.0
"""Seconds, if nobody says how long it may take."""

_CEP = re.compile(r"([0-9]{5})-?([0-9]{3})")
_HEADERS = {"Age": "Seconds since it was looked up.", "Cache-Control": "For how long it will not be looked up again."}


class PostalCode(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`region` is the suffix of ISO 3166-2. There is no street, and often no district, where a town has one code."""

    country: str
    postal_code: str
    region: str
    city: str
    district: str | None = None
    street: str | None = None


_EXAMPLE = {
    "country": "BR",
    "postalCode": "01001-000",
    "region": "SP",
    "city": "São Paulo",
    "district": "Sé",
    "street": "Praça da Sé",
}


@get(
    PATH,
    summary="Look up a postal code of Brazil",
    tags=["postal codes"],
    operation_class=operation(answers={200: Answer("What it says.", PostalCode, _HEADERS, _EXAMPLE)}),
    responses=responses(
        "postal-code-invalid", "unknown-parameter", "postal-code-unknown", "route-not-found", "internal", "unavailable"
    ),
)
async def postal_code(
    request: HttpRequest, cep: FromPath[str], postal_codes: NamedDependency[PostalCodes]
) -> Response[PostalCode]:
    """A CEP of eight digits, with or without the hyphen after the fifth. If nobody answers, what was known before is
    told, with its Age.
    """
    requests.parameters(request.scope["query_string"])
    first, last = _parts(cep)
    try:
        found = await postal_codes.find(first + last)
    except OutsideError as error:
        seconds = str(max(1, ceil(error.retry_after or ASK_AGAIN)))
        raise Problem(
            "unavailable", "None of those who know postal codes answers.", headers={"Retry-After": seconds}
        ) from None
    if (place := found.value) is None:
        raise Problem("postal-code-unknown", "Nobody knows such a postal code.")
    content = PostalCode(
        country="BR",
        postal_code=f"{first}-{last}",
        region=place.region,
        city=place.city,
        district=place.district,
        street=place.street,
    )
    fresh = "no-store" if found.is_stale else f"public, max-age={int(KEEPING.fresh_for - found.age)}"
    return Response(content, headers={"Age": str(int(found.age)), "Cache-Control": fresh})


def _parts(cep: str) -> tuple[str, str]:
    """The five digits and the three. Raises Problem `postal-code-invalid`."""
    if match := _CEP.fullmatch(cep):
        return match[1], match[2]
    digits = cep.replace("-", "")
    if not (digits.isascii() and digits.isdigit()):
        detail = "The postal code has other characters than digits and a hyphen."
    elif len(digits) != 8:
        detail = "The postal code has not eight digits."
    else:
        detail = "The only hyphen of a postal code stands after its fifth digit."
    raise Problem("postal-code-invalid", detail)


ROUTES = [postal_code]
