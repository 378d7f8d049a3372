"""How long the pure part of a registration with all fields takes, from the bytes to the claims, and what share of the
whole request that is: one client, one request at a time, a local stack of its own whose database commits to disk.

Each figure is the median of many.
"""

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import reduce
from statistics import median
from typing import Any

import httpx
from customerflow_command import inputs
from customerflow_command.customer.claims import Uniqueness, claims
from customerflow_command.customer.decide import decide
from customerflow_command.customer.state import evolve
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from customerflow_shared.ids import uuid7
from customerflow_shared.inputs import tax_ids
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.inputs.strict_json import json_object

ROUNDS = 3000
WARM_UP = 50
REQUESTS = 500
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
    pure = pure_part()
    whole = whole_request()
    for name, figure in pure.items():
        print(f"{name:14} {figure:8.1f} us")
    share = sum(pure.values()) / whole
    print(f"{'all of it':14} {sum(pure.values()):8.1f} us, {share:.1%} of the whole request ({whole:.0f} us)")


def pure_part() -> dict[str, float]:
    raw = json.dumps(BODY, ensure_ascii=False).encode()
    context = inputs.Context(now=NOW, new_id=uuid7)
    body = json_object(raw)
    command = inputs.register(body, context)
    events = decide(None, command, NOW)
    customer = reduce(evolve, events, None)
    assert customer is not None
    steps: dict[str, Callable[[], object]] = {
        "read JSON": lambda: json_object(raw),
        "read fields": lambda: inputs.register(body, context),
        "decide": lambda: decide(None, command, NOW),
        "evolve": lambda: reduce(evolve, events, None),
        "claims": lambda: claims(customer, Uniqueness(phone=True)),
    }
    return {name: _microseconds(step) for name, step in steps.items()}


def whole_request() -> float:
    stack = Stack(RUN / "bench-register")
    stack.start_servers()
    stack.start_programs()
    took = []
    try:
        with httpx.Client(base_url=stack.url("command")) as client:
            for _ in range(WARM_UP + REQUESTS):
                body = _nobody_yet()
                start = time.perf_counter_ns()
                answer = client.post("/v1/customers", json=body)
                took.append((time.perf_counter_ns() - start) / 1000)
                assert answer.status_code == 201, answer.text
    finally:
        stack.stop()
    return median(took[WARM_UP:])


def _nobody_yet() -> dict[str, Any]:
    """The same customer with another of each value that only one may have."""
    token = secrets.token_hex(6)
    cpf, cnpj = f"{secrets.randbelow(10**9):09}", f"{secrets.randbelow(10**12):012}"
    return BODY | {
        "email": f"{token}@example.com",
        "taxIds": [
            {"type": "br_cpf", "value": cpf + _check_digits(cpf, tax_ids.cpf)},
            {"type": "br_cnpj", "value": cnpj + _check_digits(cnpj, tax_ids.cnpj)},
        ],
        "externalIds": [{"source": one["source"], "value": f"{token}-a"} for one in BODY["externalIds"]],
    }


def _check_digits(number: str, check: Callable[[str], str]) -> str:
    """The one pair of a hundred with which the number passes."""
    for digits in (f"{n:02}" for n in range(100)):
        with suppress(Unfit):
            check(number + digits)
            return digits
    raise ValueError("a number of equal digits has none")


def _microseconds(step: Callable[[], object]) -> float:
    def once() -> int:
        start = time.perf_counter_ns()
        step()
        return time.perf_counter_ns() - start

    return median(once() for _ in range(ROUNDS)) / 1000


if __name__ == "__main__":
    main()
