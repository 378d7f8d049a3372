"""Whatever JSON is sent, in whatever field: a command or a Problem, and no other exception."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from customerflow_command import inputs
from customerflow_command.customer.state import Customer
from customerflow_shared.problems import Problem
from customerflow_shared.values import Address, ExternalId
from hypothesis import given, settings
from hypothesis import strategies as st

FIELDS = """
type name givenName familyName socialName legalName tradeName email phone phoneCountry phoneExtension birthDate locale
timezone lifecycleStage taxIds addresses consents tags externalIds attributes value label roles country postalCode line1
number line2 district city region recipient purpose channel state capturedAt source legalBasis optInLevel policyVersion
evidenceRef expiresAt method verifiedAt code reason until requestRef graceDays addressId externalId
"""
# texts that come close, so that what lies behind the first check is reached
NEAR = """
BR US SP br_cpf br_cnpj eu_vat us_ein mx_rfc other billing granted person erp passport 01310-100 +5511999998888
390.533.447-05 ana@example.com 2026-11-22T15:00:00Z 1985-03-17 pt-BR vip UTC
"""

field_names = st.sampled_from(FIELDS.split()) | st.text(max_size=5)
near = st.sampled_from(NEAR.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | near
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(field_names, inner, max_size=6),
    max_leaves=20,
)
bodies = st.dictionaries(field_names, values, max_size=12)

ANA = Customer(type="person", name="Ana")
HOME = Address(id=uuid4(), country="BR", line1="Av. Paulista")


def all_readers(body: dict[str, Any], context: inputs.Context) -> list[Callable[[], object]]:
    return [
        lambda: inputs.register(body, context),
        lambda: inputs.register({"type": "person", "name": "Ana"} | body, context),
        lambda: inputs.change(body, context, ANA),
        lambda: inputs.upsert(body, context, ExternalId(source="erp", value="1")),
        lambda: inputs.external_id_in(body, context),
        lambda: inputs.external_id_of(body, context),
        lambda: inputs.verify_email(body, context),
        lambda: inputs.verify_phone(body, context),
        lambda: inputs.code(body),
        lambda: inputs.add_tax_id(body, context),
        lambda: inputs.add_address(body, context),
        lambda: inputs.change_address(body, context, HOME),
        lambda: inputs.default_address(body, "billing"),
        lambda: inputs.consent(body, context, "news", "email"),
        lambda: inputs.suspend(body, context),
        lambda: inputs.reason(body),
        lambda: inputs.erasure(body, context),
        lambda: inputs.nothing(body),
    ]


def refusal(read: Callable[[], object]) -> bytes:
    try:
        read()
    except Problem as problem:
        return problem.document("/v1/customers")
    return b""


@given(bodies)
def test_any_body_is_a_command_or_a_problem(context: inputs.Context, body: dict[str, Any]) -> None:
    for read in all_readers(body, context):
        with suppress(Problem):
            read()


@settings(max_examples=300)
@given(field_names, values)
def test_any_value_of_a_field_is_taken_or_a_problem(context: inputs.Context, field: str, value: Any) -> None:
    sound = {"type": "person", "name": "Ana"}
    with suppress(Problem):
        inputs.register(sound | {field: value}, context)
    with suppress(Problem):
        inputs.change(sound | {field: value}, context, ANA)


@pytest.mark.parametrize("field", FIELDS.split())
def test_no_fault_repeats_a_value_at_any_depth(context: inputs.Context, field: str) -> None:
    secret = "0800-Secret @@"
    everywhere = dict.fromkeys(FIELDS.split(), secret)
    for value in (secret, [secret], everywhere, [everywhere], [[secret]]):
        for read in all_readers({field: value}, context):
            assert b"ecret" not in refusal(read)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_of_a_path_is_taken_or_a_problem(context: inputs.Context, first: str, second: str) -> None:
    with suppress(Problem):
        inputs.external_id(first, second, context)
    with suppress(Problem):
        inputs.external_id_of({"source": first, "value": second}, context)
    with suppress(Problem):
        assert inputs.tag(inputs.tag(first)) == first.strip()
