"""The whole life of a customer, as those who work with it see it: what was commanded is read, field by field."""

import asyncio
import secrets
from collections import Counter
from typing import Any

import httpx
import pytest
from blackbox.canary import Tokens
from blackbox.customers import Customer, Customers, Json, a_customer, an_address, version_of
from blackbox.problems import problem
from blackbox.system import System

ASKED_AT = "2026-01-02T03:04:05.678Z"
GRANTED = {"state": "granted", "capturedAt": ASKED_AT, "source": "checkout"}

AS_GIVEN = (
    "type",
    "name",
    "givenName",
    "familyName",
    "socialName",
    "legalName",
    "tradeName",
    "phoneExtension",
    "birthDate",
    "timezone",
    "lifecycleStage",
    "consents",
    "tags",
    "attributes",
)

new = Tokens()


def everything() -> Json:
    """A body with every field, each in the form in which it is kept, but for what is normalised."""
    cpf, name = new.cpf(), f"Ana {new.word()}"
    return {
        "type": "person",
        "name": name,
        "givenName": "Ana",
        "familyName": "Souza",
        "socialName": "Aninha",
        "legalName": "Ana Maria de Souza",
        "tradeName": "Doces da Ana",
        "email": f"Ana.{new.word()}@Example.com",
        "phone": f"(11) {new.phone()[5:]}",
        "phoneCountry": "BR",
        "phoneExtension": "42",
        "birthDate": "1985-03-17",
        "locale": "pt_br",
        "timezone": "America/Sao_Paulo",
        "lifecycleStage": "lead",
        "taxIds": [{"type": "br_cpf", "value": cpf}, {"type": "br_cnpj", "value": new.cnpj().lower()}],
        "addresses": [an_address(label="casa", roles=["billing", "shipping"], postalCode="01310100", number="1578")],
        "consents": [{"purpose": "newsletter", "channel": "email", **GRANTED, "evidenceRef": "form 7"}],
        "tags": ["vip", "lead:2026"],
        "externalIds": [{"source": "erp", "value": secrets.token_hex(8)}, {"source": "loyalty", "value": "Ana/7"}],
        "attributes": {"shoe": 38, "height": 1.68, "vegan": True, "nickname": "Nina"},
    }


async def test_a_registration_with_every_field_is_read_back_field_by_field(customers: Customers) -> None:
    body = everything()
    body["externalIds"][1]["value"] = f"Ana/{new.word()}"
    document = await customers.read(await customers.register(**body))
    (cpf, cnpj), (address,) = document.pop("taxIds"), document.pop("addresses")
    local, _, _ = body["email"].partition("@")
    digits = "".join(character for character in body["phone"] if character.isdigit())

    assert cpf == {"id": cpf["id"], "type": "br_cpf", "value": body["taxIds"][0]["value"].translate(_UNPUNCTUATED)}
    assert cnpj == {"id": cnpj["id"], "type": "br_cnpj", "value": body["taxIds"][1]["value"].upper()}
    assert address == {**body["addresses"][0], "id": address["id"], "postalCode": "01310-100"}
    assert {name: document.pop(name) for name in AS_GIVEN} == {name: body[name] for name in AS_GIVEN}
    assert document.pop("createdAt") == document.pop("updatedAt")
    assert document == {
        "id": document["id"],
        "version": 1,
        "status": "active",
        "email": f"{local}@example.com",
        "phone": f"+55{digits}",
        "locale": "pt-BR",
        "externalIds": [body["externalIds"][0], {**body["externalIds"][1], "personal": True}],
    }


_UNPUNCTUATED = str.maketrans("", "", ".-")


async def test_a_patch_changes_what_it_names_and_removes_what_is_null(customers: Customers) -> None:
    body = everything() | {"externalIds": []}
    customer = await customers.register(**body)
    patch = {"name": "Ana Lima", "tradeName": None, "birthDate": None, "attributes": {"shoe": None, "height": 1.7}}
    changed = await customers.patch(customer, **patch, locale="en", phone=new.phone())
    assert changed.version == 4  # profile, phone, attributes
    document = await customers.read(changed)
    assert (document["name"], document["locale"]) == ("Ana Lima", "en")
    assert document["attributes"] == {"height": 1.7, "vegan": True, "nickname": "Nina"}
    assert not document.keys() & {"tradeName", "birthDate", "phoneExtension"}
    assert document["socialName"] == body["socialName"]


async def test_a_person_may_turn_out_to_be_a_company(customers: Customers) -> None:
    changed = await customers.patch(await customers.register(), type="company", legalName="Souza Ltda.")
    assert changed.version == 2
    assert (await customers.read(changed))["type"] == "company"


async def test_tax_ids_come_and_go(customers: Customers) -> None:
    customer = await customers.register()
    cnpj = new.cnpj()
    customer, tax_id = await customers.add_tax_id(customer, "br_cnpj", cnpj)
    again = await customers.send("POST", f"{customer.path}/tax-ids", {"type": "br_cnpj", "value": cnpj.lower()})
    assert (again.status_code, again.json()["taxIdId"]) == (200, tax_id)
    assert (await customers.read(customer))["taxIds"] == [{"id": tax_id, "type": "br_cnpj", "value": cnpj}]

    other = await customers.register()
    taken = await customers.send("POST", f"{other.path}/tax-ids", {"type": "br_cnpj", "value": cnpj})
    assert problem(taken, 409, "duplicate-key")["errors"][0]["pointer"] == "#/value"
    customer = await customers.command_on(customer, "DELETE", f"/tax-ids/{tax_id}", status=204)
    assert "taxIds" not in await customers.read(customer)
    await customers.add_tax_id(other, "br_cnpj", cnpj)


async def test_addresses_come_change_and_go_and_one_is_the_default(customers: Customers) -> None:
    customer, home = await customers.add_address(await customers.register(), label="home")
    customer, work = await customers.add_address(
        customer, label="work", country="PT", postalCode="1000-001", region=None
    )
    for role, address in (("billing", home), ("shipping", work), ("billing", work)):
        customer = await customers.command_on(customer, "PUT", f"/default-addresses/{role}", {"addressId": address})
    assert (await customers.read(customer))["defaultAddresses"] == {"billing": work, "shipping": work}

    moved = {"line1": "Rua Augusta", "number": "7", "label": None}
    customer = await customers.command_on(customer, "PATCH", f"/addresses/{work}", moved)
    customer = await customers.command_on(customer, "DELETE", f"/addresses/{home}", status=204)
    (address,) = (await customers.read(customer))["addresses"]
    assert (address["id"], address["line1"], address["number"]) == (work, "Rua Augusta", "7")
    assert "label" not in address

    customer = await customers.command_on(customer, "DELETE", f"/addresses/{work}", status=204)
    assert not (await customers.read(customer)).keys() & {"addresses", "defaultAddresses"}


async def test_tags_and_external_ids_come_and_go_and_setting_one_twice_is_setting_it_once(customers: Customers) -> None:
    customer, erp = await customers.register(), secrets.token_hex(8)
    loyalty = {"source": "loyalty", "value": f"Ana/{new.word()}"}
    commands = [
        ("PUT", "/tags/vip", None, 204),
        ("PUT", f"/external-ids/erp/{erp}", None, 204),
        ("POST", "/external-ids", loyalty, 200),
    ]
    for method, to, body, status in commands:
        customer = await customers.command_on(customer, method, to, body, status=status)
        assert await customers.command_on(customer, method, to, body, status=status) == customer
    document = await customers.read(customer)
    assert document["tags"] == ["vip"]
    assert document["externalIds"] == [{"source": "erp", "value": erp}, {**loyalty, "personal": True}]

    for method, to, body, status in (
        ("DELETE", "/tags/vip", None, 204),
        ("DELETE", f"/external-ids/erp/{erp}", None, 204),
        ("POST", "/external-ids/unlink", loyalty, 200),
    ):
        customer = await customers.command_on(customer, method, to, body, status=status)
        assert await customers.command_on(customer, method, to, body, status=status) == customer
    assert not (await customers.read(customer)).keys() & {"tags", "externalIds"}


async def test_the_newest_consent_counts(customers: Customers) -> None:
    customer = await customers.consent(await customers.register(), "newsletter", "email", **GRANTED)
    older = {**GRANTED, "state": "withdrawn", "capturedAt": "2025-12-31T23:59:59Z"}
    path = f"{customer.path}/consents/newsletter/email"
    problem(await customers.send("PUT", path, older), 409, "consent-stale")
    newer = {**GRANTED, "state": "withdrawn", "capturedAt": "2026-01-03T00:00:00-03:00", "policyVersion": "7"}
    customer = await customers.consent(customer, "newsletter", "email", **newer)
    (consent,) = (await customers.read(customer))["consents"]
    assert (consent["state"], consent["policyVersion"]) == ("withdrawn", "7")
    assert consent["capturedAt"] == "2026-01-03T03:00:00.000Z"


@pytest.mark.parametrize("in_body", [False, True])
async def test_an_upsert_registers_and_then_changes(customers: Customers, in_body: bool) -> None:
    external_id = {"source": "loyalty" if in_body else "erp", "value": f"{'a/b ' if in_body else ''}{new.word()}"}

    async def upsert(**fields: Any) -> httpx.Response:
        if in_body:
            return await customers.send("POST", "/v1/external/upsert", {"externalId": external_id, **fields})
        return await customers.upsert(external_id["source"], external_id["value"], **fields)

    assert problem(await upsert(email=a_customer()["email"]), 422, "invalid-fields")["errors"][0]["code"] == "required"
    body = a_customer()
    registered = await upsert(**body)
    assert registered.status_code == 201
    customer = Customer(registered.json()["id"], 1)
    assert registered.headers["Location"] == customer.path

    unchanged, changed = await upsert(**body), await upsert(name="Synchronised")
    assert [(answer.status_code, version_of(answer)) for answer in (unchanged, changed)] == [(200, 1), (200, 2)]
    document = await customers.read(Customer(customer.id, 2))
    assert (document["name"], document["email"]) == ("Synchronised", body["email"])
    assert document["externalIds"] == [{**external_id, **({"personal": True} if in_body else {})}]


async def test_of_many_upserts_at_once_one_registers(customers: Customers) -> None:
    value = secrets.token_hex(8)
    answers = await asyncio.gather(
        *(customers.upsert("erp", value, type="person", name=f"Name {number}") for number in range(20))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def the_code(system: System, customers: Customers, customer: Customer, verification_id: str) -> httpx.Response:
    """As the notification system fetches it."""
    return await customers.command.get(
        f"/internal/customers/{customer.id}/email/verifications/{verification_id}",
        headers={"Authorization": f"Bearer {system.delivery_token}"},
    )


async def asked(customers: Customers, customer: Customer) -> tuple[Customer, str]:
    """For a code: the customer then, and the id of the verification."""
    answer = await customers.send("POST", f"{customer.path}/email/verification-code")
    assert answer.status_code == 202, answer.text
    return Customer(customer.id, version_of(answer)), answer.json()["verificationId"]


async def test_an_address_is_verified_by_the_code_that_the_notification_system_delivers(
    system: System, customers: Customers
) -> None:
    body = a_customer(socialName="Nina", locale="pt-BR")
    customer, verification_id = await asked(customers, await customers.register(**body))
    delivery = await the_code(system, customers, customer, verification_id)
    assert delivery.headers["Cache-Control"] == "no-store"
    told = delivery.json()
    assert (told["email"], told["name"], told["locale"]) == (body["email"], "Nina", "pt-BR")
    assert "emailVerifiedAt" not in await customers.read(customer)

    verified = await customers.command_on(customer, "POST", "/email/confirmation", {"code": told["code"]})
    document = await customers.read(verified)
    assert document["emailVerifiedAt"] == document["updatedAt"]
    problem(await the_code(system, customers, customer, verification_id), 404, "verification-not-found")
    again = await customers.send("POST", f"{customer.path}/email/verification-code")
    assert (again.status_code, version_of(again)) == (200, verified.version)

    changed = await customers.patch(verified, email=a_customer()["email"])
    assert "emailVerifiedAt" not in await customers.read(changed)


async def test_after_five_wrong_codes_the_right_one_is_too_late(system: System, customers: Customers) -> None:
    """That a code expires after minutes is left to tests that have a clock of their own."""
    customer, verification_id = await asked(customers, await customers.register())
    code = (await the_code(system, customers, customer, verification_id)).json()["code"]
    for tries in range(1, 6):
        wrong = await customers.send("POST", f"{customer.path}/email/confirmation", {"code": f"{code}0"})
        assert problem(wrong, 422, "verification-code-wrong")["currentVersion"] == customer.version + tries
    late = await customers.send("POST", f"{customer.path}/email/confirmation", {"code": code})
    problem(late, 409, "no-pending-verification")

    again = await customers.send("POST", f"{customer.path}/email/verification-code")
    problem(again, 429, "verification-too-soon")


async def test_only_the_notification_system_is_told_a_code(system: System, customers: Customers) -> None:
    customer, verification_id = await asked(customers, await customers.register())
    path = f"/internal/customers/{customer.id}/email/verifications/{verification_id}"
    for headers in ({}, {"Authorization": f"Bearer {system.feed_token}"}):
        problem(await customers.command.get(path, headers=headers), 401, "unauthorized")


async def test_a_contact_that_somebody_else_has_verified_is_verified_until_it_changes(customers: Customers) -> None:
    body = a_customer(phone=new.phone())
    customer = await customers.register(**body)
    for contact in ("email", "phone"):
        verification = {"value": body[contact], "method": "link", "verifiedAt": ASKED_AT}
        customer = await customers.command_on(customer, "PUT", f"/{contact}/verification", verification)
    document = await customers.read(customer)
    assert (document["emailVerifiedAt"], document["phoneVerifiedAt"]) == (ASKED_AT, ASKED_AT)

    customer = await customers.patch(customer, phone=new.phone())
    late = {"value": body["phone"], "method": "link", "verifiedAt": ASKED_AT}
    problem(await customers.send("PUT", f"{customer.path}/phone/verification", late), 409, "contact-changed")
    assert "phoneVerifiedAt" not in await customers.read(customer)
