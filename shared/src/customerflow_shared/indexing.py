"""By what customers are ordered, filtered, searched and looked up; shared by who writes the indexes and who reads them.

Everything is a sorted set, so that how much there is of a thing is known without counting, and a page is read from
where the last one ended. Members are the 16 bytes of a customer's id, alone or behind the text by which they are
ordered; so nothing but the id breaks ties.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime
from uuid import UUID

from customerflow_shared.normal_forms import email_key
from customerflow_shared.values import ExternalId
from customerflow_shared.views import CustomerView, ErasedView, View

MAX_WORD = 32  # characters of a word that can be searched for
MAX_WORDS = 40  # of one customer
MAX_NAME = 96  # bytes of a name that order it
BEHIND_NAMES = b"\xff"  # no byte of UTF-8
DIGEST = 16  # bytes
ID = 16  # bytes

_NO_WORD = re.compile(r"[\W_]+")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "\u0131": "i"})


def folded(text: str) -> str:
    """Words in lower case without accents, a space between them: `D'Ávila  & Søn` is `d avila son`."""
    if text.isascii():
        return _NO_WORD.sub(" ", text.lower()).strip()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(one for one in decomposed if not unicodedata.combining(one)).translate(_LETTERS)
    return _NO_WORD.sub(" ", unicodedata.normalize("NFC", plain)).strip()


def names(view: CustomerView) -> str:
    """All words by which the customer is found, folded; the name comes first, then a line feed."""
    others = filter(None, (view.social_name, view.legal_name, view.trade_name))
    return "\n".join((folded(view.name), " ".join(map(folded, others))))


def words(folded_names: str) -> list[str]:
    """Each once, cut to `MAX_WORD` characters, in the order in which they come."""
    return list(dict.fromkeys(word[:MAX_WORD] for word in folded_names.split()))[:MAX_WORDS]


def word_member(word: str, customer_id: UUID) -> bytes:
    return b"%b\0%b" % (word.encode(), customer_id.bytes)


def name_member(folded_names: str, customer_id: UUID) -> bytes:
    """By the first line of what `names` gives; of names that agree in their first `MAX_NAME` bytes the id decides. Who
    is erased has none at all, and stands behind everybody.
    """
    if not folded_names:
        return BEHIND_NAMES + b"\0" + customer_id.bytes
    text = folded_names.partition("\n")[0].encode()[:MAX_NAME].decode(errors="ignore").encode()
    return b"%b\0%b" % (text, customer_id.bytes)


def customer_of(member: bytes) -> UUID:
    """Whose member it is, of any index."""
    return UUID(bytes=member[-ID:])


# --- facets: what a customer can be filtered by, each with a set of its own -------------------------------------------


def status_facet(status: str) -> str:
    return f"status:{status}"


def type_facet(customer_type: str) -> str:
    return f"type:{customer_type}"


def tag_facet(tag: str) -> str:
    return f"tag:{tag}"


def country_facet(country: str) -> str:
    return f"country:{country}"


def region_facet(region: str) -> str:
    """`region` as in ISO 3166-2: BR-SP."""
    return f"region:{region}"


def stage_facet(lifecycle_stage: str) -> str:
    return f"stage:{lifecycle_stage}"


def locale_facet(locale: str) -> str:
    return f"locale:{locale}"


def consent_facet(purpose: str, channel: str) -> str:
    """Granted, also if it has expired: that is for the reader to see. A slash, since either may have a colon."""
    return f"consent:{purpose}/{channel}"


def source_facet(source: str) -> str:
    return f"source:{source}"


ISSUES_FACET = "issues"


def facets(view: View) -> frozenset[str]:
    if isinstance(view, ErasedView):
        return frozenset([status_facet(view.status)])
    return frozenset(_facets(view))


def _facets(view: CustomerView) -> Iterator[str]:
    yield status_facet(view.status)
    yield type_facet(view.type)
    yield from map(tag_facet, view.tags)
    for address in view.addresses:
        yield country_facet(address.country)
        if address.region:
            yield region_facet(f"{address.country}-{address.region}")
    if view.lifecycle_stage:
        yield stage_facet(view.lifecycle_stage)
    if view.locale:
        yield locale_facet(view.locale)
    for consent in view.consents:
        if consent.state == "granted":
            yield consent_facet(consent.purpose, consent.channel)
    for external_id in view.external_ids:
        yield source_facet(external_id.source)
    if view.data_quality:
        yield ISSUES_FACET


# --- counts: the statistics, each a number of customers ---------------------------------------------------------------


def counts(view: View) -> frozenset[str]:
    """In which totals the customer is counted: `status:active`, `consent:marketing/email:granted`, ..."""
    if isinstance(view, ErasedView):
        return frozenset([status_facet(view.status)])
    return frozenset(_counts(view))


def _counts(view: CustomerView) -> Iterator[str]:
    yield status_facet(view.status)
    yield type_facet(view.type)
    if view.lifecycle_stage:
        yield stage_facet(view.lifecycle_stage)
    for address in view.addresses:
        yield country_facet(address.country)
    for consent in view.consents:
        yield f"{consent_facet(consent.purpose, consent.channel)}:{consent.state}"
    if view.erasure:
        yield "erasure-pending"
    if view.data_quality:
        yield ISSUES_FACET


# --- times ------------------------------------------------------------------------------------------------------------


def milliseconds(timestamp: str) -> int:
    """Since 1970, of a time as `views.timestamp` gives it."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def born(customer_id: UUID) -> int:
    """When the id was made, in milliseconds since 1970: a UUIDv7 tells, of others it is 0. It outlives an erasure."""
    return customer_id.int >> 80 if customer_id.int >> 76 & 0xF == 7 else 0


def birthday(customer_id: UUID) -> date:
    """The day (UTC) on which the customer is counted as registered."""
    return datetime.fromtimestamp(born(customer_id) / 1000, UTC).date()


def created_score(view: View) -> int:
    return born(view.id) if isinstance(view, ErasedView) else milliseconds(view.created_at)


def updated_score(view: View) -> int:
    return milliseconds(view.erased_at if isinstance(view, ErasedView) else view.updated_at)


# --- look-ups ---------------------------------------------------------------------------------------------------------


class Lookups:
    """Makes the keys by which customers are looked up: HMACs, for what stands in an index is no secret kept."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"customerflow look-ups v1", hashlib.sha256)

    def fingerprint(self) -> str:
        """Of the key, by what it makes: who has another key would find nothing."""
        return self._digest("fingerprint", "").hex()

    def email(self, address: str) -> bytes:
        return self._digest("email", email_key(address))

    def phone(self, number: str) -> bytes:
        """E.164; whoever shares a line is found by it, whatever the extension."""
        return self._digest("phone", number)

    def tax_id(self, tax_id_type: str, value: str) -> bytes:
        return self._digest(f"tax-id:{tax_id_type}", value)

    def external_id(self, external_id: ExternalId) -> bytes:
        return self._digest(f"external-id:{external_id.source}", external_id.value)

    def of(self, view: View) -> frozenset[bytes]:
        return frozenset() if isinstance(view, ErasedView) else frozenset(self._of(view))

    def _of(self, view: CustomerView) -> Iterator[bytes]:
        if view.email is not None:
            yield self.email(view.email)
        if view.phone is not None:
            yield self.phone(view.phone)
        for tax_id in view.tax_ids:
            yield self.tax_id(tax_id.type, tax_id.value)
        yield from map(self.external_id, view.external_ids)

    def _digest(self, kind: str, value: str) -> bytes:
        # lengths first, so that no kind and value can be read as others
        message = b"%d:%b%b" % (len(kind), kind.encode(), value.encode())
        return hmac.digest(self._key, message, hashlib.sha256)[:DIGEST]
