"""A life in which every command happens to a customer, and every refusal that depends on what happened before."""

from blackbox.customers import Json, version_of
from blackbox.every_refusal import be_refused
from blackbox.subject import LONG_AGO, PERSONAL_SOURCE, Subject


async def live(subject: Subject, *, by_upsert: bool) -> None:
    await (_is_synchronised(subject) if by_upsert else _registers(subject))
    await _changes(subject)
    await _is_verified(subject)
    await _has_tax_ids_and_addresses(subject)
    await _is_labelled(subject)
    await be_refused(subject)
    await _is_suspended_and_archived(subject)
    await _almost_goes(subject)


async def _registers(subject: Subject) -> None:
    answer = await subject.does("POST", "/v1/customers", subject.everything(), status=201)
    subject.id = answer["id"]


async def _is_synchronised(subject: Subject) -> None:
    """Registered by an external id, first one that is personal."""
    loyalty = {"source": PERSONAL_SOURCE, "value": subject.new.email()}
    body = {"externalId": loyalty, "type": "company", **subject.names(), "attributes": {"memo": subject.new.text()}}
    answer = await subject.does("POST", "/v1/external/upsert", body, status=201)
    subject.id = answer["id"]
    await subject.does("POST", "/v1/external/upsert", {"externalId": loyalty, "tradeName": subject.new.text()})
    await subject.does("PUT", f"{subject.path}/external-ids/erp/{subject.erp}", status=204)


async def _changes(subject: Subject) -> None:
    body = {
        **subject.names(),
        "birthDate": subject.new.day(),
        "attributes": {"nickname": subject.new.text(), "shoe": None},
    }
    national = f"(11) {subject.new.phone()[5:]}"
    await subject.does("PATCH", subject.path, {**body, "phone": national, "phoneCountry": "BR"})
    await subject.does("PATCH", f"/v1/external/erp/{subject.erp}", {"email": subject.new.email()})
    contact = {"email": subject.new.email(), "phone": subject.new.phone()}
    await subject.does("PATCH", subject.path, {**contact, "legalName": None})


async def _is_verified(subject: Subject) -> None:
    document = await subject.customers.read(subject.customer)
    verified = {"method": "link", "verifiedAt": LONG_AGO}
    for contact, other in (("email", subject.new.email()), ("phone", subject.new.phone())):
        path = f"{subject.path}/{contact}/verification"
        await subject.fails("contact-changed", "PUT", path, {"value": other, **verified})
        await subject.does("PUT", path, {"value": document[contact], **verified})
    await subject.does("PATCH", subject.path, {"email": subject.new.email()})

    asked = await subject.does("POST", f"{subject.path}/email/verification-code", status=202)
    delivery = await subject.customers.command.get(
        f"/internal/customers/{subject.id}/email/verifications/{asked['verificationId']}",
        headers={"Authorization": f"Bearer {subject.system.delivery_token}"},
    )
    code = delivery.json()["code"]
    path = f"{subject.path}/email/confirmation"
    wrong = await subject.fails("verification-code-wrong", "POST", path, {"code": "x" + code[1:]})
    subject.version = version_of(wrong)
    await subject.does("POST", path, {"code": code})
    await subject.fails("no-pending-verification", "POST", path, {"code": code})


async def _has_tax_ids_and_addresses(subject: Subject) -> None:
    cnpj = {"type": "br_cnpj", "value": subject.new.cnpj()}
    added = await subject.does("POST", f"{subject.path}/tax-ids", cnpj, status=201)
    await subject.fails(
        "tax-id-type-present", "POST", f"{subject.path}/tax-ids", {"type": "br_cnpj", "value": subject.new.cnpj()}
    )
    other = {"type": "person", **subject.names(), "taxIds": [cnpj]}
    await subject.fails("duplicate-key", "POST", "/v1/customers", other, if_match=None)
    await subject.does("DELETE", f"{subject.path}/tax-ids/{added['taxIdId']}", status=204)
    await subject.fails("tax-id-not-found", "DELETE", f"{subject.path}/tax-ids/{added['taxIdId']}")

    address = (await subject.does("POST", f"{subject.path}/addresses", subject.address(), status=201))["addressId"]
    gone = (await subject.does("POST", f"{subject.path}/addresses", subject.address(), status=201))["addressId"]
    await subject.does("PATCH", f"{subject.path}/addresses/{address}", {"line1": subject.new.text(), "line2": None})
    await subject.does("PUT", f"{subject.path}/default-addresses/billing", {"addressId": address})
    await subject.does("DELETE", f"{subject.path}/addresses/{gone}", status=204)
    await subject.fails("address-not-found", "PATCH", f"{subject.path}/addresses/{gone}", {"line1": subject.new.text()})


async def _is_labelled(subject: Subject) -> None:
    for method in ("PUT", "DELETE"):
        await subject.does(method, f"{subject.path}/tags/vip", status=204)
        await subject.does(method, f"{subject.path}/external-ids/crm/{subject.erp}", status=204)
    loyalty = {"source": PERSONAL_SOURCE, "value": subject.new.text()}
    await subject.does("POST", f"{subject.path}/external-ids", loyalty)
    await subject.does("POST", f"{subject.path}/external-ids/unlink", loyalty)
    await subject.does("POST", f"{subject.path}/external-ids", {**loyalty, "value": subject.new.word()})
    await subject.does("PUT", f"{subject.path}/consents/newsletter/email", subject.consent())
    stale = {**subject.consent("withdrawn"), "capturedAt": "2025-01-01T00:00:00Z"}
    await subject.fails("consent-stale", "PUT", f"{subject.path}/consents/newsletter/email", stale)


async def _is_suspended_and_archived(subject: Subject) -> None:
    def reason() -> Json:
        return {"reason": subject.new.text()}

    await subject.does("POST", f"{subject.path}/suspend", reason())
    await subject.fails("customer-suspended", "PUT", f"{subject.path}/consents/newsletter/sms", subject.consent())
    await subject.fails("invalid-transition", "POST", f"{subject.path}/restore", reason())
    await subject.does("POST", f"{subject.path}/reactivate", reason())
    await subject.does("POST", f"{subject.path}/archive", reason())
    await subject.fails("customer-archived", "PATCH", subject.path, subject.names())
    await subject.does("POST", f"{subject.path}/restore", reason())
    await subject.does("DELETE", subject.path, status=204)
    await subject.does("POST", f"{subject.path}/restore", reason())


async def _almost_goes(subject: Subject) -> None:
    """An erasure that is forbidden at first, and cancelled in time."""
    await subject.does("PUT", f"{subject.path}/legal-hold", {"reason": subject.new.text()})
    await subject.fails("legal-hold", "POST", f"{subject.path}/erasure", {"reason": subject.new.text()})
    await subject.does("DELETE", f"{subject.path}/legal-hold", {"reason": subject.new.text()}, status=204)
    await subject.fails("no-pending-erasure", "DELETE", f"{subject.path}/erasure", {"reason": subject.new.text()})
    await subject.asks_for_erasure(grace_days=5, status=202)
    await subject.fails("erasure-pending", "PATCH", subject.path, subject.names())
    await subject.does("PUT", f"{subject.path}/consents/newsletter/email", subject.consent("withdrawn"))
    await subject.does("DELETE", f"{subject.path}/erasure", {"reason": subject.new.text()}, status=204)
