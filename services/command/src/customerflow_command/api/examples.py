"""A body for each route that takes one, as it may be sent."""

from typing import Any, Final

Json = dict[str, Any]

ADDRESS: Final[Json] = {
    "label": "casa",
    "roles": ["billing", "shipping"],
    "country": "BR",
    "postalCode": "01310-100",
    "line1": "Av. Paulista",
    "number": "1578",
    "district": "Bela Vista",
    "city": "São Paulo",
    "region": "SP",
}
ADDRESS_CHANGE: Final[Json] = {"number": "1500", "line2": "apto. 71", "label": None}
TAX_ID: Final[Json] = {"type": "br_cpf", "value": "390.533.447-05"}
EXTERNAL_ID: Final[Json] = {"source": "erp", "value": "10442"}
CONSENT: Final[Json] = {
    "state": "granted",
    "capturedAt": "2026-11-22T15:00:00.000Z",
    "source": "checkout",
    "legalBasis": "consent",
    "policyVersion": "2026-03",
}

REGISTRATION: Final[Json] = {
    "type": "person",
    "name": "Ana Souza",
    "socialName": "Ana",
    "email": "Ana@Example.com",
    "phone": "(11) 99999-8888",
    "phoneCountry": "BR",
    "birthDate": "1990-04-17",
    "locale": "pt-BR",
    "timezone": "America/Sao_Paulo",
    "lifecycleStage": "customer",
    "taxIds": [TAX_ID],
    "addresses": [ADDRESS],
    "consents": [{"purpose": "newsletter", "channel": "email", **CONSENT}],
    "tags": ["vip"],
    "externalIds": [EXTERNAL_ID],
    "attributes": {"shoeSize": 38},
}
CHANGE: Final[Json] = {"name": "Ana Lima", "email": "ana.lima@example.com", "socialName": None}
UPSERT: Final[Json] = {"type": "person", "name": "Ana Souza", "email": "ana@example.com"}
UPSERT_IN_BODY: Final[Json] = {"externalId": EXTERNAL_ID, **UPSERT}

EMAIL_VERIFICATION: Final[Json] = {
    "value": "ana@example.com",
    "method": "link",
    "verifiedAt": "2026-11-22T15:00:00.000Z",
}
PHONE_VERIFICATION: Final[Json] = {
    "value": "+5511999998888",
    "method": "sms",
    "verifiedAt": "2026-11-22T15:00:00.000Z",
}
CONFIRMATION: Final[Json] = {"code": "428571"}
DEFAULT_ADDRESS: Final[Json] = {"addressId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12"}

LEGAL_HOLD: Final[Json] = {"reason": "tax audit", "until": "2031-12-31T23:59:59.999Z"}
SUSPENSION: Final[Json] = {"reason": "payment is disputed", "until": "2027-01-31T00:00:00.000Z"}
REASON: Final[Json] = {"reason": "asked for by the customer"}
ERASURE: Final[Json] = {"requestRef": "LGPD-2026-118", "reason": "asked for by the customer", "graceDays": 30}
