"""The plain fields: names, the day of birth, language, time zone, what the customer is to the business."""

import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from customerflow_shared.inputs.clear import slug
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import one_of, string, text
from customerflow_shared.inputs.times import birth_date
from customerflow_shared.values import CustomerType, Issue, PersonalProfile, Profile
from langcodes.data_dicts import ALL_SCRIPTS, LANGUAGE_REPLACEMENTS, TERRITORY_REPLACEMENTS, VALIDITY
from msgspec import UnsetType

from customerflow_command.inputs.context import Context

MAX_NAME = 200
MAX_LOCALE = 35
TYPES: tuple[CustomerType, ...] = ("person", "company")
FIELDS = frozenset(
    {
        "name",
        "givenName",
        "familyName",
        "socialName",
        "legalName",
        "tradeName",
        "birthDate",
        "locale",
        "timezone",
        "lifecycleStage",
    }
)

_LANGUAGE_TAG = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?((?:[-_](?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
)
_LETTER = re.compile(r"[^\W\d_]")

customer_type = one_of(*TYPES)
name = text(MAX_NAME)


def profile(fields: Fields) -> Profile:
    return Profile(
        locale=fields.patch("locale", locale),
        timezone=fields.patch("timezone", timezone),
        lifecycle_stage=fields.patch("lifecycleStage", slug),
    )


def personal_profile(fields: Fields, context: Context) -> PersonalProfile:
    """All but the name, which is not optional."""
    return PersonalProfile(
        given_name=fields.patch("givenName", name),
        family_name=fields.patch("familyName", name),
        social_name=fields.patch("socialName", name),
        legal_name=fields.patch("legalName", name),
        trade_name=fields.patch("tradeName", name),
        birth_date=fields.patch("birthDate", birth_date(context.now)),
    )


def name_issues(given: str | UnsetType | None) -> tuple[Issue, ...]:
    """Real names surprise: one of digits or punctuation only is taken, and marked."""
    if not given or _LETTER.search(given):
        return ()
    return (Issue(path="name", code="name-unusual"),)


def locale(value: Any) -> str:
    """A language tag of BCP 47: language, script, region, variants; neither extensions nor private use."""
    return _standard(string(value).strip())


def timezone(value: Any) -> str:
    zone = string(value).strip()
    if zone not in _zones():
        raise Unfit("timezone-unknown", "The value must be a time zone of IANA, such as America/Sao_Paulo.")
    return zone


def _today(language: str) -> str:
    """One subtag for one: `sh` stays, as its `sr-Latn` might be followed by another script."""
    while "-" not in (newer := LANGUAGE_REPLACEMENTS.get(language, "-")):
        language = newer
    return language


@lru_cache(maxsize=1000)
def _standard(tag: str) -> str:
    """langcodes remembers every tag that it was ever asked about, so its tables are read here and it is not asked."""
    found = _LANGUAGE_TAG.fullmatch(tag.lower()) if len(tag) <= MAX_LOCALE else None
    if found:
        language, script, region, variants = found.groups()
        subtags = [
            _today(language),
            *((script.title(),) if script else ()),
            *((TERRITORY_REPLACEMENTS.get(region, region.upper()),) if region else ()),
            *re.split("[-_]", variants)[1:],
        ]
        if all(VALIDITY.match(subtag) or subtag in ALL_SCRIPTS for subtag in subtags):
            return "-".join(subtags)
    raise Unfit("locale-invalid", "The value must be a language of BCP 47, such as pt-BR.")


@cache
def _zones() -> frozenset[str]:
    """Those of the package: each machine has its own, and zones that none of the others knows."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="ascii").split())
