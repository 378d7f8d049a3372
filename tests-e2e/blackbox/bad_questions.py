"""Rows of questions to the query service that cannot be answered."""

from collections.abc import Mapping
from typing import Any, Final

from blackbox.bad_inputs import JSON, UNKNOWN_ID, Row
from blackbox.questions import LIST, LOOKUP, SEARCH, STATISTICS

CHANGES: Final = "/v1/changes"
NO_WAIT: Final = {"Prefer": "wait=0"}
BEYOND: Final = 10**15


def unanswered(name: str, status: int, code: str, path: str, **more: Any) -> Row:
    return Row(name, status, code, "GET", path, query=True, **more)


def listed(query: str, code: str, *at: str, fault: str | None = None) -> Row:
    """`at` are the parameters at which the fault is told, and `fault` its code if that is another one."""
    errors = dict.fromkeys(at, fault or code)
    return unanswered(f"list: {query[:60]}", 400, code, f"{LIST}?{query}", errors=errors)


def searched(name: str, body: Any, errors: Mapping[str, str]) -> Row:
    return Row(f"search: {name}", 422, "invalid-fields", "POST", SEARCH, body=body, errors=errors, query=True)


def looked_up(name: str, body: Any, errors: Mapping[str, str]) -> Row:
    return Row(f"look-up: {name}", 422, "invalid-fields", "POST", LOOKUP, body=body, errors=errors, query=True)


LISTS = [
    listed("x=1", "unknown-parameter"),
    listed("q=ana", "unknown-parameter"),
    listed("minVersion=1", "unknown-parameter"),
    listed("sort=age", "sort-not-allowed", "sort"),
    listed("sort=relevance", "sort-not-allowed", "sort"),
    listed("sort=", "sort-not-allowed", "sort"),
    listed("sort=name&sort=-name", "invalid-parameter"),
    *(listed(f"limit={limit}", "limit-range", "limit") for limit in ("0", "201", "-1", "abc", "1.5", "", "9" * 30)),
    listed("createdAt[gte]=yesterday", "date-format", "createdAt[gte]"),
    listed("updatedAt[lt]=2026-02-30T00:00:00Z", "date-format", "updatedAt[lt]"),
    listed("createdAt[gte]=2026-02-01T00:00:00Z&createdAt[lt]=2026-01-01T00:00:00Z", "range-inverted", "createdAt"),
    listed("createdAt[gt]=2026-02-01T00:00:00Z", "unknown-parameter"),
    listed("status=gone", "invalid-parameter", "status", fault="not-allowed"),
    listed("type=robot", "invalid-parameter", "type", fault="not-allowed"),
    listed("tag=No%20Tag", "invalid-parameter", "tag", fault="tag-format"),
    listed("country=br", "invalid-parameter", "country", fault="country-unknown"),
    listed("region=SP", "invalid-parameter", "region", fault="region-unknown"),
    listed("locale=english", "invalid-parameter", "locale", fault="locale-invalid"),
    listed("hasConsent=newsletter", "invalid-parameter", "hasConsent", fault="format"),
    listed("hasIssues=maybe", "invalid-parameter", "hasIssues", fault="type"),
    listed("count=all", "invalid-parameter", "count", fault="not-allowed"),
    listed("fields=secret", "invalid-parameter", "fields", fault="not-allowed"),
    listed("&".join(f"tag=t{number}" for number in range(21)), "invalid-parameter", "tag", fault="too-many"),
    listed("cursor=", "cursor-invalid"),
    listed("cursor=abc", "cursor-invalid"),
    listed("cursor=" + "A" * 5000, "cursor-invalid"),
    listed("cursor=%C3%A9", "cursor-invalid"),
    listed("minPosition=-1", "invalid-parameter"),
    listed("minPosition=abc", "invalid-parameter"),
    listed("%ff=1", "invalid-parameter"),
    unanswered("list that is not there yet", 503, "projection-behind", f"{LIST}?minPosition={BEYOND}", headers=NO_WAIT),
]

SEARCHES = [
    searched("one letter", {"q": "a"}, {"#/q": "format"}),
    searched("no letter", {"q": "!!"}, {"#/q": "blank"}),
    searched("too long", {"q": "a" * 101}, {"#/q": "too-long"}),
    searched("no text", {"q": 42}, {"#/q": "type"}),
    searched("unknown field", {"query": "ana"}, {"#/query": "unknown-field"}),
    searched("unknown sort", {"q": "ana", "sort": "age"}, {"#/sort": "sort-not-allowed"}),
    searched("relevance of nothing", {"sort": "relevance"}, {"#/sort": "sort-not-allowed"}),
    searched("limit", {"limit": 201}, {"#/limit": "limit-range"}),
    searched("limit is no number", {"limit": "20"}, {"#/limit": "limit-range"}),
    searched(
        "several at once",
        {"q": "a", "status": ["active", "gone"], "createdAt": {"gte": "yesterday"}},
        {"#/q": "format", "#/status/1": "not-allowed", "#/createdAt/gte": "date-format"},
    ),
    searched(
        "inverted range",
        {"updatedAt": {"gte": "2026-02-01T00:00:00Z", "lt": "2026-01-01T00:00:00Z"}},
        {"#/updatedAt": "range-inverted"},
    ),
    Row("search: cursor", 400, "cursor-invalid", "POST", SEARCH, body={"cursor": "abcd"}, query=True),
    Row("search: parameter", 400, "unknown-parameter", "POST", f"{SEARCH}?q=ana", body={}, query=True),
    Row("search: no POST", 405, "method-not-allowed", "GET", SEARCH, query=True),
]

LOOKUPS = [
    looked_up("nothing", {}, {"#": "required"}),
    looked_up("two", {"email": "ana@example.com", "phone": "+5511999998888"}, {"#/phone": "too-many"}),
    looked_up("e-mail", {"email": "ana@"}, {"#/email": "email-syntax"}),
    looked_up("phone", {"phone": "11 99999-8888"}, {"#/phone": "phone-country-required"}),
    looked_up("tax id", {"taxId": {"type": "br_cpf", "value": "390.533.447-06"}}, {"#/taxId/value": "tax-id-checksum"}),
    looked_up("tax id without type", {"taxId": {"value": "390.533.447-05"}}, {"#/taxId/type": "required"}),
    looked_up("external id", {"externalId": {"source": "erp"}}, {"#/externalId/value": "required"}),
    looked_up("unknown field", {"name": "Ana Souza"}, {"#": "required", "#/name": "unknown-field"}),
]

BODIES = [
    Row(f"{name}: {path}", status, code, "POST", path, raw=raw, headers={"Content-Type": media_type}, query=True)
    for path in (SEARCH, LOOKUP)
    for name, status, code, raw, media_type in (
        ("not JSON", 415, "unsupported-media-type", b"<a/>", "application/xml"),
        ("broken JSON", 400, "malformed-json", b'{"q":', JSON),
        ("duplicate members", 400, "malformed-json", b'{"q":"ana","q":"bia"}', JSON),
        ("top level is an array", 400, "malformed-json", b"[]", JSON),
        ("over 256 KiB", 413, "body-too-large", b'{"q":"' + b"a" * 256 * 1024 + b'"}', JSON),
    )
]

LOOKING_BACK = [
    *(
        row
        for to in ("timeline", "history?field=name")
        for row in (
            unanswered(f"nobody's {to}", 400, "invalid-id", f"{LIST}/nobody/{to}"),
            unanswered(f"unknown {to}", 404, "customer-not-found", f"{LIST}/{UNKNOWN_ID}/{to}"),
        )
    ),
    unanswered("nobody's diff", 400, "invalid-id", f"{LIST}/nobody/diff?from=0&to=1"),
    # one that is yet to come may be registered yet
    unanswered("unknown diff", 503, "projection-behind", f"{LIST}/{UNKNOWN_ID}/diff?from=0&to=1", headers=NO_WAIT),
    *(
        unanswered(f"{to[:60]}", 400, code, "{standing}/" + to)
        for to, code in (
            ("timeline?x=1", "unknown-parameter"),
            ("timeline?limit=0", "limit-range"),
            ("timeline?limit=abc", "limit-range"),
            ("timeline?cursor=abc", "cursor-invalid"),
            ("timeline?type=CustomerVanished", "invalid-parameter"),
            ("timeline?minVersion=0", "invalid-parameter"),
            ("history", "invalid-parameter"),
            ("history?field=secret", "invalid-parameter"),
            ("history?field=name&field=email", "invalid-parameter"),
            ("history?field=name&limit=201", "limit-range"),
            ("history?field=name&cursor=" + "A" * 100, "cursor-invalid"),
            ("diff", "invalid-parameter"),
            ("diff?from=1", "invalid-parameter"),
            ("diff?from=x&to=1", "invalid-parameter"),
            ("diff?from=2&to=1", "range-inverted"),
        )
    ),
    *(
        unanswered(f"as of: {query}", 400, code, "{standing}?" + query)
        for query, code in (
            ("asOf=yesterday", "date-format"),
            ("asOf=2026-02-30T00:00:00Z", "date-format"),
            ("asOf=2999-01-01T00:00:00Z", "as-of-future"),
            ("atVersion=0", "invalid-parameter"),
            ("atVersion=abc", "invalid-parameter"),
            ("atVersion=1&asOf=2026-01-01T00:00:00Z", "invalid-parameter"),
            ("fields=secret", "invalid-parameter"),
        )
    ),
    unanswered("as of long ago", 404, "not-yet-registered", "{standing}?asOf=2020-01-01T00:00:00Z"),
    unanswered("version to come", 503, "projection-behind", "{standing}?atVersion=99", headers=NO_WAIT),
    unanswered("difference to come", 503, "projection-behind", "{standing}/diff?from=1&to=99", headers=NO_WAIT),
    *(
        unanswered(f"erased: {to}", 410, "customer-erased", "{erased}" + to)
        for to in ("?atVersion=1", "?asOf=2026-01-01T00:00:00Z", "/history?field=name", "/diff?from=0&to=1")
    ),
]

NUMBERS_AND_CHANGES = [
    unanswered("statistics: parameter", 400, "unknown-parameter", f"{STATISTICS}?x=1"),
    unanswered("statistics: position", 400, "invalid-parameter", f"{STATISTICS}?minPosition=abc"),
    unanswered("statistics to come", 503, "projection-behind", f"{STATISTICS}?minPosition={BEYOND}", headers=NO_WAIT),
    unanswered("changes: parameter", 400, "unknown-parameter", f"{CHANGES}?minPosition=1"),
    *(
        unanswered(f"changes: {query[:40]}", 400, "invalid-parameter", f"{CHANGES}?{query}")
        for query in (
            "after=",
            "after=-1",
            "after=abc",
            "after=1&after=2",
            "after=" + "9" * 30,
            "type=CustomerVanished",
            "customerId=nobody",
            "&".join([f"customerId={UNKNOWN_ID}"] * 51),
        )
    ),
    *(
        unanswered(f"changes: last {last!r}", 400, "invalid-parameter", CHANGES, headers={"Last-Event-ID": last})
        for last in ("", "abc", "-1", "1, 2", "9" * 30)
    ),
    unanswered(
        "changes: two last ones",
        400,
        "invalid-parameter",
        CHANGES,
        more_headers=(("Last-Event-ID", "1"), ("Last-Event-ID", "1")),
    ),
]

ROWS: Final = [*LISTS, *SEARCHES, *LOOKUPS, *BODIES, *LOOKING_BACK, *NUMBERS_AND_CHANGES]
