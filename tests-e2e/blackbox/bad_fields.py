"""Rows of registrations and changes whose fields are unfit."""

from typing import Final

from blackbox.bad_inputs import CPF, OTHER_CPF, TOMORROW, address, fields_of, refused, refused_change, tax_id
from blackbox.customers import an_address

FIELDS = [
    refused("unknown field", {"shoeSize": "verylarge"}, {"#/shoeSize": "unknown-field"}),
    refused("unknown field inside", {"addresses": [an_address(floor="9th")]}, {"#/addresses/0/floor": "unknown-field"}),
    *(
        refused(f"read-only {name}", {name: "2026-01-01"}, {f"#/{name}": "read-only-field"})
        for name in ("id", "version", "status", "createdAt", "updatedAt")
    ),
    *(
        refused_change(f"not patchable {name}", {name: []}, {f"#/{name}": "not-patchable"})
        for name in ("taxIds", "addresses", "consents", "tags", "externalIds", "status")
    ),
    refused("required, missing", {"type": None, "name": None}, {"#/type": "required", "#/name": "required"}),
    refused("required inside", {"taxIds": [{}]}, {"#/taxIds/0/type": "required", "#/taxIds/0/value": "required"}),
    refused_change("required, removed", {"name": None}, {"#/name": "required"}),
    *fields_of("wrong type of a text", "name", "type", 7, True, ["Ana"], {"first": "Ana"}),
    *fields_of("wrong type of a list", "tags", "type", "vip", {}, 7),
    *fields_of("wrong type of an object", "attributes", "type", [], "size", 7),
    refused("wrong type of an item", {"addresses": ["Av. Paulista"]}, {"#/addresses/0": "type"}),
    *fields_of("blank", "name", "blank", "", "   ", "\u2003\u00a0"),
    *fields_of("blank, optional", "givenName", "blank", "", " "),
    *fields_of("too long", "name", "too-long", "A" * 201),
    *fields_of("too many", "tags", "too-many", [f"tag-{number}" for number in range(51)]),
    *fields_of("too many objects", "addresses", "too-many", [an_address()] * 21),
    *fields_of("too many attributes", "attributes", "too-many", {f"key {number}": 1 for number in range(51)}),
    *fields_of("characters", "name", "invalid-characters", "A\x00B", "A\nB", "A\u202eB", "A\ud800B"),
    *fields_of("no choice", "type", "not-allowed", "robot", "Person"),
    refused("tag", {"tags": ["vip", "No Tag!"]}, {"#/tags/1": "tag-format"}),
    refused("number", {"attributes": {"size": 10**30}}, {"#/attributes/size": "number-range"}),
    refused(
        "all faults at once",
        {"name": "", "email": "nobody", "birthDate": "soon", "locale": "english", "country": "BR"},
        {
            "#/name": "blank",
            "#/email": "email-syntax",
            "#/birthDate": "date-format",
            "#/locale": "locale-invalid",
            "#/country": "unknown-field",
        },
    ),
]

CONTACTS = [
    *fields_of(
        "e-mail",
        "email",
        "email-syntax",
        "ana.example.com",
        "ana@b@example.com",
        '"ana souza"@example.com',
        "Ana Souza <ana@example.com>",
        "a" * 65 + "@example.com",
    ),
    *fields_of("e-mail domain", "email", "email-domain", "ana@[127.0.0.1]", "ana@example.test", "ana@localhost"),
    *fields_of("e-mail over 254", "email", "too-long", "a@" + "b" * 250 + ".com"),
    *fields_of("phone", "phone", "phone-syntax", "+55 11 CALL-NOW", "+55 11 99999-8888 ext. 9", "nine one one"),
    *fields_of("phone without country", "phone", "phone-country-required", "(11) 99999-8888"),
    *fields_of("phone with 00", "phone", "phone-ambiguous-prefix", "0055 11 99999-8888"),
    *fields_of("phone of nobody", "phone", "phone-invalid", "+55 11 1234", "+1 000 000 0000"),
    refused(
        "phone with 00 and country",
        {"phone": "0055 11 99999-8888", "phoneCountry": "BR"},
        {"#/phone": "phone-ambiguous-prefix"},
    ),
    refused(
        "phone of no country", {"phone": "11 99999-8888", "phoneCountry": "br"}, {"#/phoneCountry": "country-unknown"}
    ),
]

TAX_IDS = [
    tax_id("unknown type of tax id", "br_rg", "123456789", "tax-id-type-unknown", at="type"),
    tax_id("CPF too short", "br_cpf", "390.533.447-0", "tax-id-length"),
    tax_id("CPF with letters", "br_cpf", "390.533.44X-05", "tax-id-format"),
    tax_id("CPF of one digit", "br_cpf", "111.111.111-11", "tax-id-repeated"),
    tax_id("CPF with wrong check digit", "br_cpf", "390.533.447-06", "tax-id-checksum"),
    tax_id("CPF as a CNPJ", "br_cnpj", CPF, "tax-id-length"),
    tax_id("CNPJ with wrong check digit", "br_cnpj", "12.ABC.345/01DE-36", "tax-id-checksum"),
    tax_id("CNPJ in other digits", "br_cnpj", "\u0661\u0662ABC34501DE35", "tax-id-format"),
    refused(
        "two tax ids of one type",
        {"taxIds": [{"type": "br_cpf", "value": CPF}, {"type": "br_cpf", "value": OTHER_CPF}]},
        {"#/taxIds/1/type": "tax-id-type-present"},
    ),
]

PLACES_AND_TIMES = [
    *(
        address(f"country {code}", {"country": code}, {"country": "country-unknown"})
        for code in ("br", "UK", "BRA", "XX")
    ),
    address("region of another country", {"region": "NY"}, {"region": "region-unknown"}),
    address("postal code", {"postalCode": "1310"}, {"postalCode": "postal-format"}),
    address("postal code of another region", {"region": "RJ"}, {"postalCode": "postal-region-mismatch"}),
    address("street missing", {"line1": None}, {"line1": "required"}),
    refused_change(
        "address changed for the worse", {"postalCode": "x"}, {"#/postalCode": "postal-format"}, "/addresses/{address}"
    ),
    *fields_of("day", "birthDate", "date-format", "30/02/2001", "2001-02-30", "2001-02-03T00:00:00Z", "soon"),
    *fields_of("day out of range", "birthDate", "date-range", TOMORROW, "1899-12-31"),
    *fields_of("locale", "locale", "locale-invalid", "english", "xx-ZZ"),
    *fields_of("time zone", "timezone", "timezone-unknown", "GMT-3", "Sao Paulo"),
]

ROWS: Final = [*FIELDS, *CONTACTS, *TAX_IDS, *PLACES_AND_TIMES]
