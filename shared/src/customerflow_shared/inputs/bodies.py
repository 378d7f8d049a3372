"""Bodies as OpenAPI shows them. Nothing is read with these: parsers are stricter, and tell more than one fault."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from customerflow_shared.inputs.emails import MAX_EMAIL
from customerflow_shared.inputs.external_ids import MAX_EXTERNAL_ID
from customerflow_shared.inputs.phones import MAX_PHONE
from customerflow_shared.inputs.tax_ids import CHECKS, MAX_TAX_ID

SLUG = r"^[a-z0-9][a-z0-9_.:-]{0,49}$"

Email: TypeAlias = Annotated[str, Meta(max_length=MAX_EMAIL, examples=["ana@example.com"])]
PhoneNumber: TypeAlias = Annotated[
    str,
    Meta(
        max_length=MAX_PHONE,
        description="With + and its country, or as it is dialled in `phoneCountry`. Kept as E.164.",
        examples=["(11) 99999-8888"],
    ),
]
Country: TypeAlias = Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.", examples=["BR"])]


class Body(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """One JSON object, without other members than these."""


class TaxIdBody(Body, kw_only=True):
    """Punctuation may be left out; the compact form is kept."""

    type: Annotated[str, Meta(extra_json_schema={"enum": sorted(CHECKS)}, examples=["br_cpf"])]
    value: Annotated[str, Meta(min_length=1, max_length=MAX_TAX_ID, examples=["390.533.447-05"])]


class ExternalIdBody(Body, kw_only=True):
    """Compared byte by byte. An e-mail address, phone number, CPF or CNPJ only from a source declared personal."""

    source: Annotated[str, Meta(pattern=SLUG, examples=["erp"])]
    value: Annotated[str, Meta(min_length=1, max_length=MAX_EXTERNAL_ID, examples=["10442"])]
