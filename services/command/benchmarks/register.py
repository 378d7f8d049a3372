"""How long the pure part of a registration with all fields takes, in microseconds: from the bytes to the claims.

Each figure is the median of many; a whole command adds the database, and HTTP.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from statistics import median
from typing import Any

from customerflow_command import inputs
from customerflow_command.customer.claims import Uniqueness, claims
from customerflow_command.customer.decide import decide
from customerflow_command.customer.state import evolve
from customerflow_shared.ids import uuid7

ROUNDS = 3000
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)

BODY: dict[str, Any] = {
    "type": "person",
    "name": "Ana Souza",
    "givenName": "Ana",
    "familyName": "Souza",
    "socialName": "Ana",
    "legalName": "Ana Maria de Souza",
    "tradeName": "Doces da Ana",
    "email": "Ana@Example.com",
    "phone": "(11) 99999-8888",
    "phoneCountry": "BR",
    "phoneExtension": "12",
    "birthDate": "1985-03-17",
    "locale": "pt-BR",
    "timezone": "America/Sao_Paulo",
    "lifecycleStage": "customer",
    "taxIds": [
        {"type": "br_cpf", "value": "390.533.447-05"},
        {"type": "br_cnpj", "value": "12.ABC.345/01DE-35"},
    ],
    "addresses": [
        {
            "label": label,
            "roles": [role],
            "country": "BR",
            "postalCode": "01310-100",
            "line1": "Av. Paulista",
            "number": "1578",
            "line2": "apto 12",
            "district": "Bela Vista",
            "city": "São Paulo",
            "region": "SP",
            "recipient": "Ana Souza",
        }
        for label, role in (("casa", "billing"), ("trabalho", "shipping"))
    ],
    "consents": [
        {
            "purpose": "newsletter",
            "channel": channel,
            "state": "granted",
            "capturedAt": "2026-11-22T15:00:00.000Z",
            "source": "checkout",
            "legalBasis": "consent",
            "policyVersion": "2026-01",
            "evidenceRef": "form 4711",
        }
        for channel in ("email", "sms", "post")
    ],
    "tags": ["vip", "b2c", "sp", "wholesale", "newsletter"],
    "externalIds": [{"source": "erp", "value": "10442"}, {"source": "crm", "value": "0035e00001abcDE"}],
    "attributes": {"size": "M", "points": 120, "rate": 0.5, "member": True, "colour": "azul-marinho"},
}


def main() -> None:
    raw = json.dumps(BODY, ensure_ascii=False).encode()
    context = inputs.Context(now=NOW, new_id=uuid7)
    body = inputs.json_object(raw)
    command = inputs.register(body, context)
    events = decide(None, command, NOW)
    customer = reduce(evolve, events, None)
    assert customer is not None
    steps: dict[str, Callable[[], object]] = {
        "read JSON": lambda: inputs.json_object(raw),
        "read fields": lambda: inputs.register(body, context),
        "decide": lambda: decide(None, command, NOW),
        "evolve": lambda: reduce(evolve, events, None),
        "claims": lambda: claims(customer, Uniqueness(phone=True)),
    }
    figures = {name: _microseconds(step) for name, step in steps.items()}
    for name, figure in (figures | {"all": sum(figures.values())}).items():
        print(f"{name:12} {figure:7.1f} us")


def _microseconds(step: Callable[[], object]) -> float:
    def once() -> int:
        start = time.perf_counter_ns()
        step()
        return time.perf_counter_ns() - start

    return median(once() for _ in range(ROUNDS)) / 1000


if __name__ == "__main__":
    main()
