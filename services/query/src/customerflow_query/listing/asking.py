"""What a list is asked for, out of JSON: every part with its own verdict, all faults at once. Pure."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from customerflow_shared import indexing
from customerflow_shared.inputs.clear import slug
from customerflow_shared.inputs.countries import COUNTRIES, country
from customerflow_shared.inputs.fields import Fields, Parser, Unfit
from customerflow_shared.inputs.text import one_of, string, text, trimmed
from customerflow_shared.inputs.times import moment
from customerflow_shared.values import CustomerStatus, CustomerType
from customerflow_shared.views import CustomerView

Sort: TypeAlias = Literal["createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name", "relevance"]

SORTS: tuple[Sort, ...] = ("createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name")
STATUSES: tuple[CustomerStatus, ...] = get_args(CustomerStatus)
SHOWN: tuple[CustomerStatus, ...] = ("active", "suspended")  # unless others are asked for
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_VALUES = 20  # of one filter
MAX_FIELDS = 50
MIN_Q, MAX_Q = 2, 100
ALWAYS = frozenset(["id", "version"])

RANGES = ("createdAt", "updatedAt")
BOUNDS = ("gte", "lt")

_NAMES: tuple[str, ...] = tuple(field.encode_name for field in msgspec.structs.fields(CustomerView))
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*")


class Range(msgspec.Struct, frozen=True, array_like=True):
    """Milliseconds since 1970: from `gte` on, before `lt`; None is open."""

    gte: int | None = None
    lt: int | None = None

    def holds(self, score: float) -> bool:
        return (self.gte is None or score >= self.gte) and (self.lt is None or score < self.lt)


class Filters(msgspec.Struct, frozen=True, array_like=True):
    """What all customers of a list have in common.

    Of the facets of each group a customer has at least one, and none of those in `without`. Each of the `words` begins
    a word of its names. `consents` are facets as well, of which one must not have expired.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    without: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    created: Range = Range()
    updated: Range = Range()
    consents: tuple[str, ...] = ()

    @property
    def erased(self) -> bool:
        """Whether erased customers are asked for."""
        of_status = [group for group in self.groups if group[0].startswith(indexing.status_facet(""))]
        return all(indexing.status_facet("erased") in group for group in of_status)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`fields` is empty if documents are wanted whole."""

    filters: Filters
    sort: Sort
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    count: bool = False
    fields: frozenset[str] = frozenset()

    def digest(self) -> bytes:
        """What a cursor is bound to: another limit or other fields go on in the same list."""
        return hashlib.sha256(msgspec.msgpack.encode((self.filters, self.sort))).digest()[:16]


def _region(value: Any) -> str:
    place, hyphen, part = string(value).partition("-")
    if place not in COUNTRIES or not hyphen:
        raise Unfit("region-unknown", "The value must be a region with its country, as in ISO 3166-2: BR-SP.")
    return f"{place}-{trimmed(part, 100)}"


def _locale(value: Any) -> str:
    if not _LOCALE.fullmatch(string(value)):
        raise Unfit("locale-invalid", "The value must be a language as the customer shows it, such as pt-BR.")
    return str(value)


def _consent(value: Any) -> tuple[str, str]:
    mark = "/" if "/" in string(value) else ":"
    purpose, _, channel = value.partition(mark)
    if value.count(mark) != 1:
        raise Unfit("format", "The value must be purpose:channel; if one of them has a colon, purpose/channel.")
    return slug(purpose), slug(channel)


def _tag(value: Any) -> str:
    return slug(value, "tag-format")


# the filters of which any value will do
_ANY: Mapping[str, tuple[Parser[Any], Callable[..., str]]] = {
    "type": (one_of(*get_args(CustomerType)), indexing.type_facet),
    "tag": (_tag, indexing.tag_facet),
    "country": (country, indexing.country_facet),
    "region": (_region, indexing.region_facet),
    "lifecycleStage": (slug, indexing.stage_facet),
    "locale": (_locale, indexing.locale_facet),
    "externalSource": (slug, indexing.source_facet),
}
REPEATABLE = ("status", *_ANY, "tagAll", "hasConsent")
"""The filters that take several values."""
LISTED = frozenset([*REPEATABLE, *RANGES, "hasIssues", "sort", "limit", "cursor", "count", "fields"])
SEARCHED = LISTED | {"q"}

_status, _count, _field = one_of(*STATUSES), one_of("exact"), one_of(*_NAMES)


def question(body: Mapping[str, Any], known: frozenset[str] = SEARCHED) -> Question:
    """Raises Problem `invalid-fields`."""
    fields = Fields(body, known)
    words = fields.optional("q", _words) or ()
    status = frozenset(_values(fields, body, "status", _status) or SHOWN)
    groups = [] if status == set(STATUSES) else [tuple(map(indexing.status_facet, status))]
    for name, (parse, facet) in _ANY.items():
        groups.append(tuple(facet(value) for value in _values(fields, body, name, parse) if value is not None))
    groups += [(indexing.tag_facet(tag),) for tag in _values(fields, body, "tagAll", _tag) if tag is not None]
    consents = tuple(
        sorted(indexing.consent_facet(*value) for value in _values(fields, body, "hasConsent", _consent) if value)
    )
    issues = fields.optional("hasIssues", _boolean)
    groups += [consents, (indexing.ISSUES_FACET,) if issues else ()]
    created, updated = (_range(fields, name) for name in RANGES)
    sort = fields.optional("sort", _sort(searching=fields.holds("q")))
    limit = fields.optional("limit", _limit)
    count = fields.optional("count", _count)
    shown = frozenset(_values(fields, body, "fields", _field, MAX_FIELDS))
    cursor = fields.optional("cursor", string)
    fields.check()
    return Question(
        filters=Filters(
            groups=tuple(sorted({tuple(sorted(group)) for group in groups if group})),
            without=(indexing.ISSUES_FACET,) if issues is False else (),
            words=words,
            created=created,
            updated=updated,
            consents=consents,
        ),
        sort=sort or ("relevance" if words else "-createdAt"),
        limit=limit or DEFAULT_LIMIT,
        cursor=cursor,
        count=count is not None,
        fields=shown | ALWAYS if shown else shown,
    )


def _values(
    fields: Fields, body: Mapping[str, Any], name: str, parse: Parser[Any], limit: int = MAX_VALUES
) -> tuple[Any, ...]:
    """A single one may stand there without an array."""
    if isinstance(body.get(name), list):
        return fields.values(name, limit, parse)
    value = fields.optional(name, parse)
    return () if value is None else (value,)


def _range(fields: Fields, name: str) -> Range:
    if not fields.holds(name):
        return Range()
    bounds = fields.object(name, frozenset(BOUNDS))
    gte, lt = (bounds.optional(bound, _milliseconds) for bound in BOUNDS)
    if gte is not None and lt is not None and gte >= lt:
        bounds.refuse(Unfit("range-inverted", "`gte` must be earlier than `lt`."))
    return Range(gte, lt)


def _milliseconds(value: Any) -> int:
    return round(moment(value).timestamp() * 1000)


def _sort(*, searching: bool) -> Parser[Sort]:
    allowed: tuple[Sort, ...] = ("relevance", *SORTS) if searching else SORTS
    choose = one_of(*allowed)

    def parse(value: Any) -> Sort:
        try:
            return choose(value)
        except Unfit as unfit:
            raise Unfit("sort-not-allowed", unfit.detail) from None

    return parse


def _limit(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        raise Unfit("limit-range", f"The value must be a whole number from 1 to {MAX_LIMIT}.")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("type", "The value must be true or false.")
    return value


def _words(value: Any) -> tuple[str, ...]:
    given = text(MAX_Q)(value)
    if len(given) < MIN_Q:
        raise Unfit("format", f"The value must have at least {MIN_Q} characters.")
    if not (words := indexing.words(indexing.folded(given))):
        raise Unfit("blank", "The value must have a letter or a digit.")
    return tuple(words)
