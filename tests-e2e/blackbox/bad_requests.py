"""Rows of requests that are refused before their fields are looked at."""

import json
from typing import Final

from blackbox.bad_inputs import JSON, UNKNOWN_ID, Row, raw
from blackbox.customers import MERGE_PATCH, an_address

GOOD: Final = json.dumps({"type": "person", "name": "Ana Souza"}).encode()

ADDRESSES_AND_BODIES = [
    Row("unknown route", 404, "route-not-found", "POST", "/v1/nowhere"),
    Row("wrong method", 405, "method-not-allowed", "PUT", "/v1/customers", answer_headers={"Allow": "OPTIONS, POST"}),
    raw("not JSON", 415, "unsupported-media-type", b"<a/>", "application/xml", answer_headers={"Accept": JSON}),
    Row(
        "PATCH is not a merge patch",
        415,
        "unsupported-media-type",
        "PATCH",
        "{standing}",
        raw=b"{}",
        headers={"Content-Type": JSON, "If-Match": "*"},
        answer_headers={"Accept-Patch": MERGE_PATCH},
    ),
    raw("body over 256 KiB", 413, "body-too-large", b'{"name":"' + b"A" * 256 * 1024 + b'"}'),
    raw("empty body", 400, "malformed-json", b""),
    raw("broken JSON", 400, "malformed-json", b'{"type":'),
    raw("duplicate members", 400, "malformed-json", b'{"name":"A","name":"B"}'),
    raw("NaN", 400, "malformed-json", b'{"name":NaN}'),
    raw("Infinity", 400, "malformed-json", b'{"name":-Infinity}'),
    raw("invalid UTF-8", 400, "malformed-json", b'{"name":"\xff"}'),
    raw("top level is an array", 400, "malformed-json", b"[" + GOOD + b"]"),
    raw("top level is null", 400, "malformed-json", b"null"),
    Row("id is no UUID", 400, "invalid-id", "PUT", "/v1/customers/nobody/tags/vip"),
    Row("id of an address is no UUID", 400, "invalid-id", "DELETE", "{standing}/addresses/home"),
    Row("id of a tax id is no UUID", 400, "invalid-id", "DELETE", "{standing}/tax-ids/1"),
    Row("unknown id", 404, "customer-not-found", "PUT", f"/v1/customers/{UNKNOWN_ID}/tags/vip"),
    Row("unknown query parameter", 400, "unknown-parameter", "POST", "/v1/customers?dry=1", body={}),
    Row("slash in a value of the path", 404, "route-not-found", "PUT", "{standing}/external-ids/erp/a%2Fb"),
    Row("slash at the end of a value", 404, "route-not-found", "PUT", "{standing}/external-ids/erp/a%2F"),
    Row("path is no text", 400, "bad-request", "PUT", "{standing}/external-ids/erp/%ff"),
]

KEYS = [
    Row(f"key: {name}", 400, "idempotency-key-invalid", "PUT", "{standing}/tags/vip", headers={"Idempotency-Key": key})
    for name, key in {
        "256 characters": "x" * 256,
        "256 quoted": f'"{"x" * 256}"',
        "empty": "",
        "empty quoted": '""',
        "tab inside": '"a\tb"',
        "two in one": "a, b",
        "quote at one side": '"a',
    }.items()
] + [
    Row(
        "two keys",
        400,
        "idempotency-key-invalid",
        "PUT",
        "{standing}/tags/vip",
        more_headers=(("Idempotency-Key", "a"), ("Idempotency-Key", "a")),
    ),
    Row(
        "same key, other payload",
        422,
        "idempotency-key-reused",
        "POST",
        "/v1/customers",
        body={"type": "person", "name": "Somebody Else"},
        headers={"Idempotency-Key": "{key}"},
    ),
    Row(
        "same key, other route",
        422,
        "idempotency-key-reused",
        "PUT",
        "{standing}/tags/vip",
        headers={"Idempotency-Key": '"{key}"'},
    ),
]

OTHER_HEADERS = [
    Row(f"actor {value!r}", 400, "actor-invalid", "PUT", "{standing}/tags/vip", headers={"CustomerFlow-Actor": value})
    for value in ("", "ana@example.com", "system:me", "user:", "user:a b")
] + [
    Row(
        f"correlation id {value!r}",
        400,
        "correlation-id-invalid",
        "PUT",
        "{standing}/tags/vip",
        headers={"CustomerFlow-Correlation-Id": value},
    )
    for value in ("", "1", "0193f0a07c1e7d529a542f6d1b0c9e11")
]

VERSIONED: Final = [
    ("PATCH", "", {"name": "Another Name"}),
    ("DELETE", "", None),
    ("POST", "/archive", None),
    ("POST", "/restore", None),
    ("POST", "/suspend", {"reason": "none"}),
    ("POST", "/reactivate", None),
    ("PATCH", "/addresses/{address}", {"number": "9"}),
    ("DELETE", "/addresses/{address}", None),
    ("DELETE", "/tax-ids/{address}", None),
    ("DELETE", "/erasure", None),
]
UNVERSIONED: Final = [
    ("PUT", "/tags/vip", None),
    ("PUT", "/external-ids/erp/7", None),
    ("POST", "/tax-ids", {"type": "other", "value": "7"}),
    ("POST", "/addresses", an_address()),
    ("POST", "/erasure", {}),
]
VERSIONS = (
    [
        Row(f"If-Match absent: {method} {to}", 428, "precondition-required", method, "{standing}" + to, body=body)
        for method, to, body in VERSIONED
    ]
    + [
        Row(
            f"If-Match {tag}: {method} {to}",
            status,
            code,
            method,
            "{standing}" + to,
            body=body,
            headers={"If-Match": tag},
        )
        for method, to, body in [*VERSIONED, *UNVERSIONED]
        for tag, status, code in (
            ('"99"', 412, "version-mismatch"),
            ('W/"{version}"', 412, "version-mismatch"),
            ("garbage", 400, "if-match-invalid"),
        )
    ]
    + [
        Row(
            "If-Match * on what is missing",
            412,
            "version-mismatch",
            "PATCH",
            "/v1/external/erp/nobody-has-this",
            body={"type": "person", "name": "Ana Souza"},
            headers={"If-Match": "*"},
        )
    ]
)

ROWS: Final = [*ADDRESSES_AND_BODIES, *KEYS, *OTHER_HEADERS, *VERSIONS]
