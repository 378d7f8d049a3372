"""Rows of commands that do not fit the customer whom they are for, or others."""

from typing import Any, Final

from blackbox.bad_inputs import (
    ANY,
    CNPJ,
    CONSENT,
    CPF,
    OTHER_CPF,
    TOMORROW,
    UNKNOWN_ID,
    Row,
    refused,
    refused_change,
)

LABELS = [
    *(
        refused(
            f"external id that says who: {value}",
            {"externalIds": [{"source": "erp", "value": value}]},
            {"#/externalIds/0/value": "external-id-personal"},
        )
        for value in ("ana@example.com", CPF, "+55 11 99999-8888")
    ),
    refused_change("tag in the path", None, {"tag": "tag-format"}, "/tags/No%20Tag", "PUT"),
    refused_change("source in the path", None, {"source": "format"}, "/external-ids/No%20Source/1", "PUT"),
    refused_change(
        "personal external id in the path",
        None,
        {"value": "external-id-personal"},
        "/external-ids/erp/a@b.example.com",
        "PUT",
    ),
    refused_change(
        "default of no such role", {"addressId": "{address}"}, {"role": "not-allowed"}, "/default-addresses/home", "PUT"
    ),
    refused_change(
        "default that is not there",
        {"addressId": UNKNOWN_ID},
        {"#/addressId": "address-unknown"},
        "/default-addresses/billing",
        "PUT",
    ),
    refused_change(
        "consent of tomorrow",
        {**CONSENT, "capturedAt": TOMORROW + "T00:00:00Z"},
        {"#/capturedAt": "date-range"},
        "/consents/newsletter/email",
        "PUT",
    ),
    refused_change("reason missing", {}, {"#/reason": "required"}, "/suspend", "POST"),
    refused_change(
        "suspended until yesterday",
        {"reason": "none", "until": "2020-01-01T00:00:00Z"},
        {"#/until": "date-range"},
        "/suspend",
        "POST",
    ),
    refused_change("too much grace", {"graceDays": 31}, {"#/graceDays": "number-range"}, "/erasure", "POST"),
    refused_change("field of a command without", {"tag": "x"}, {"#/tag": "unknown-field"}, "/tags/vip", "PUT"),
    Row(
        "nobody has the external id",
        422,
        "invalid-fields",
        "PATCH",
        "/v1/external/erp/nobody-has-this",
        body={"email": "ana.nobody@example.com"},
        errors={"#/type": "required", "#/name": "required"},
    ),
]

TAKEN = [
    Row(
        f"taken: {pointer}",
        409,
        "duplicate-key",
        "POST",
        "/v1/customers",
        body={"type": "person", "name": "Ana Souza", **body},
        errors={pointer: "duplicate-key"},
    )
    for pointer, body in dict[str, dict[str, Any]](
        {
            "#/email": {"email": "{email}"},
            "#/taxIds/1/value": {"taxIds": [{"type": "br_cnpj", "value": CNPJ}, {"type": "br_cpf", "value": "{cpf}"}]},
            "#/externalIds/0/value": {"externalIds": [{"source": "erp", "value": "{externalId}"}]},
        }
    ).items()
] + [
    Row(
        "taken by a change",
        409,
        "duplicate-key",
        "PATCH",
        "{suspended}",
        body={"email": "{email}"},
        headers={"If-Match": "*"},
        errors={"#/email": "duplicate-key"},
    ),
    Row(
        "taken by a tax id",
        409,
        "duplicate-key",
        "POST",
        "{suspended}/tax-ids",
        body={"type": "br_cpf", "value": "{cpf}"},
        errors={"#/value": "duplicate-key"},
    ),
    Row(
        "taken by a link",
        409,
        "duplicate-key",
        "PUT",
        "{suspended}/external-ids/erp/{externalId}",
        errors={"value": "duplicate-key"},
    ),
]

STATES = [
    Row("suspended is not restored", 409, "invalid-transition", "POST", "{suspended}/restore", headers=ANY),
    Row(
        "suspended agrees to marketing",
        409,
        "customer-suspended",
        "PUT",
        "{suspended}/consents/newsletter/sms",
        CONSENT,
    ),
    Row("archived is changed", 409, "customer-archived", "PUT", "{archived}/tags/vip"),
    Row("archived is suspended", 409, "customer-archived", "POST", "{archived}/suspend", {"reason": "none"}, ANY),
    Row("pending is changed", 409, "erasure-pending", "PUT", "{pending}/tags/vip"),
    Row("pending is erased later", 409, "erasure-pending", "POST", "{pending}/erasure", {"graceDays": 9}),
    Row("erased is changed", 410, "customer-erased", "PUT", "{erased}/tags/vip"),
    Row("erased is restored", 410, "customer-erased", "POST", "{erased}/restore", headers=ANY),
    Row("nothing to cancel", 409, "no-pending-erasure", "DELETE", "{standing}/erasure", headers=ANY),
    Row("no such address", 404, "address-not-found", "DELETE", "{standing}/addresses/" + UNKNOWN_ID, headers=ANY),
    Row("no such tax id", 404, "tax-id-not-found", "DELETE", "{standing}/tax-ids/" + UNKNOWN_ID, headers=ANY),
    Row(
        "type is there",
        409,
        "tax-id-type-present",
        "POST",
        "{standing}/tax-ids",
        {"type": "br_cpf", "value": OTHER_CPF},
    ),
    Row(
        "consent of long ago",
        409,
        "consent-stale",
        "PUT",
        "{standing}/consents/newsletter/email",
        {**CONSENT, "capturedAt": "2025-01-01T00:00:00Z"},
    ),
    Row(
        "verification of another address",
        409,
        "contact-changed",
        "PUT",
        "{standing}/email/verification",
        {"value": "an.older.one@example.com", "method": "link", "verifiedAt": "2026-01-01T00:00:00Z"},
    ),
    Row(
        "no code was asked for",
        409,
        "no-pending-verification",
        "POST",
        "{standing}/email/confirmation",
        {"code": "000000"},
    ),
]

ROWS: Final = [*LABELS, *TAKEN, *STATES]
