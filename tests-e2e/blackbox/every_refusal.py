"""Every way in which a request can be refused whatever happened before, with tokens wherever something can be said."""

import json
from typing import Final

from blackbox.subject import PERSONAL_SOURCE, Subject

UNKNOWN: Final = "/v1/customers/0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"


async def be_refused(subject: Subject) -> None:
    await _with_bad_fields(subject)
    await _with_bad_conditions(subject)
    await _with_bad_form(subject)


async def _with_bad_fields(subject: Subject) -> None:
    cpf = subject.new.cpf()
    unfit = {
        "type": subject.new.word(),
        "name": subject.new.text() + "\0",
        "email": subject.new.email() + "@",
        "phone": subject.new.phone() + "x",
        "birthDate": subject.new.day() + "T00:00:00Z",
        "locale": subject.new.text(),
        "timezone": subject.new.word(),
        "taxIds": [{"type": subject.new.word(), "value": cpf}, {"type": "br_cnpj", "value": cpf}],
        "addresses": [{**subject.address(), "country": subject.new.word(), "region": subject.new.word()}],
        "consents": [{**subject.consent(subject.new.word()), "purpose": subject.new.email(), "channel": "web"}],
        "tags": [subject.new.email()],
        "externalIds": [{"source": "erp", "value": subject.new.email()}],
        "attributes": {"memo": [subject.new.text()]},
        subject.new.email(): subject.new.email(),
    }
    await subject.fails("invalid-fields", "POST", "/v1/customers", unfit, if_match=None)
    await subject.fails("invalid-fields", "PATCH", subject.path, {**unfit, "status": subject.new.word()})
    await subject.fails("invalid-fields", "PUT", f"{subject.path}/tags/{subject.new.email()}")
    for source in ("erp", PERSONAL_SOURCE):
        await subject.fails("invalid-fields", "PUT", f"{subject.path}/external-ids/{source}/{subject.new.email()}")
    await subject.fails(
        "invalid-fields", "PATCH", f"/v1/external/erp/{subject.new.email()}", subject.names(), if_match=None
    )
    await subject.fails("invalid-fields", "POST", f"{subject.path}/tax-ids", {"type": "br_cpf", "value": f"{cpf}0"})


async def _with_bad_conditions(subject: Subject) -> None:
    key = {"Idempotency-Key": subject.last_key}
    await subject.fails("idempotency-key-reused", "PATCH", subject.path, subject.names(), headers=key)
    await subject.fails("version-mismatch", "PATCH", subject.path, subject.names(), if_match='"1"')
    await subject.fails("precondition-required", "PATCH", subject.path, subject.names(), if_match=None)
    await subject.fails("if-match-invalid", "PATCH", subject.path, subject.names(), if_match=subject.new.word())
    await subject.fails("customer-not-found", "PATCH", UNKNOWN, subject.names())
    taken = {**subject.everything(), "email": (await subject.customers.read(subject.customer))["email"]}
    await subject.fails("duplicate-key", "POST", "/v1/customers", taken, if_match=None)


async def _with_bad_form(subject: Subject) -> None:
    new, names = subject.new, subject.names()
    await subject.fails("malformed-json", "POST", "/v1/customers", content=json.dumps(names)[:-1], headers=_JSON)
    oversized = json.dumps({**names, "memo": new.text() * 10_000})
    await subject.fails("body-too-large", "POST", "/v1/customers", content=oversized, headers=_JSON)
    plain = {"Content-Type": "text/plain"}
    await subject.fails("unsupported-media-type", "POST", "/v1/customers", content=new.text(), headers=plain)
    await subject.fails("invalid-id", "PATCH", f"/v1/customers/{new.email()}", names)
    await subject.fails("route-not-found", "POST", f"/v1/{new.email()}", names)
    await subject.fails("method-not-allowed", "PUT", "/v1/customers", names)
    await subject.fails("unknown-parameter", "PATCH", subject.path, names, params={new.word(): new.email()})
    for header, code in _HEADERS.items():
        await subject.fails(code, "PATCH", subject.path, names, headers={header: f"Ana {new.email()}"})
    for path in (f"/v1/customers/{new.email()}", f"/{new.email()}"):
        await subject.customers.query.get(path, params={new.word(): new.email()})


_JSON: Final = {"Content-Type": "application/json"}
_HEADERS: Final = {
    "Idempotency-Key": "idempotency-key-invalid",
    "CustomerFlow-Actor": "actor-invalid",
    "CustomerFlow-Correlation-Id": "correlation-id-invalid",
}
