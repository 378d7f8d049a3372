"""Who has this address, number or id: however it is written, it is read as it was when it was stored."""

from collections.abc import Mapping
from typing import Any

import msgspec
from customerflow_shared import requests, views
from customerflow_shared.indexing import ID, Lookups, customer_of
from customerflow_shared.inputs.bodies import Body as Struct
from customerflow_shared.inputs.bodies import Country, Email, ExternalIdBody, PhoneNumber, TaxIdBody
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.clear import slug
from customerflow_shared.inputs.emails import email
from customerflow_shared.inputs.external_ids import EXTERNAL_ID, external_value
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.phones import phone_number
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.inputs.tax_ids import TAX_ID, typed_number
from customerflow_shared.openapi import JSON, Answer, Body
from customerflow_shared.problems import Problem
from customerflow_shared.values import ExternalId
from customerflow_shared.views import Stored
from litestar import Request, Response, post
from litestar.di import NamedDependency

from customerflow_query.api import documentation
from customerflow_query.api.fields import fields, selected
from customerflow_query.api.freshness import PARAMETERS, asked, headers_of, read
from customerflow_query.read_model import ReadModel

MOST = 100

_WAYS = ("email", "phone", "taxId", "externalId")
_KNOWN = frozenset(_WAYS) | {"phoneCountry"}
_ONE_OF_THEM = "one of `email`, `phone`, `taxId` and `externalId`"


class LookupBody(Struct, kw_only=True):
    """Exactly one of `email`, `phone`, `taxId` and `externalId`; `phoneCountry` goes with `phone`."""

    email: Email | None = None
    phone: PhoneNumber | None = None
    phone_country: Country | None = None
    tax_id: TaxIdBody | None = None
    external_id: ExternalIdBody | None = None


class Holders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`truncated` if there are more than are shown."""

    data: list[documentation.InPart]
    truncated: bool = False


_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "by e-mail": {"email": "Ana@EXAMPLE.com"},
    "by phone": {"phone": "(11) 99999-8888", "phoneCountry": "BR"},
    "by tax id": {"taxId": {"type": "br_cpf", "value": "390.533.447-05"}},
    "by external id": {"externalId": {"source": "erp", "value": "10442"}},
}


@post(
    "/v1/customers/lookup",
    **documentation.read(
        "Look customers up",
        "customers",
        {
            200: Answer(
                "Those who have it, in the order in which they were registered; nobody is an answer too.",
                Holders,
                example={"data": [documentation.CUSTOMER]},
            )
        },
        documentation.FIELDS,
        body=Body(LookupBody, _EXAMPLES["by e-mail"], examples=_EXAMPLES),
        problems=["bad-request", "malformed-json", "body-too-large", "unsupported-media-type", "invalid-fields"],
    ),
)
async def look_up(
    request: Request[Any, Any, Any], model: NamedDependency[ReadModel], lookups: NamedDependency[Lookups]
) -> Response[bytes]:
    """By e-mail address, phone number (whatever the extension), tax id or external id, each in any spelling that a
    command takes. Archived customers are found, erased ones never; at most 100.
    """
    given = requests.parameters(request.scope["query_string"], ("fields", *PARAMETERS))
    wanted, names = asked(given, request.scope["headers"]), fields(given)
    digest = digest_of(json_object(await received(request, JSON)), lookups)

    async def holders(generation: str) -> tuple[list[Stored], bool]:
        async with model.redis.pipeline(transaction=False) as pipeline:
            pipeline.get(views.key(generation, "lookup-key"))
            pipeline.zrange(
                views.key(generation, "lookup"),
                b"[" + digest,
                b"[" + digest + b"\xff" * ID,
                bylex=True,
                offset=0,
                num=MOST + 1,
            )
            key, members = await pipeline.execute()
        _require_own(key, lookups)
        found = await model.documents(generation, [*map(customer_of, members[:MOST])])
        return [stored for stored in found if not stored.erased], len(members) > MOST

    (found, truncated), freshness = await read(model, wanted, holders)
    answer: dict[str, Any] = {"data": [msgspec.Raw(selected(stored.document, names)) for stored in found]}
    if truncated:
        answer["truncated"] = True
    return Response(msgspec.json.encode(answer), media_type=JSON, headers=headers_of(freshness, wanted))


ROUTES = [look_up]


async def check_key(model: ReadModel, lookups: Lookups) -> None:
    """Raises Problem `unavailable` unless the live generation was made with our key, or as `ReadModel.state` does."""
    _, (key,) = await model.fetch(lambda generation: [views.key(generation, "lookup-key")])
    _require_own(key, lookups)


def digest_of(body: Mapping[str, Any], lookups: Lookups) -> bytes:
    """Raises Problem `invalid-fields`."""
    given = Fields(body, _KNOWN)
    ways = [way for way in _WAYS if given.holds(way)]
    if not ways:
        given.refuse(Unfit("required", f"Give {_ONE_OF_THEM}."))
    for way in ways[1:]:
        given.refuse(Unfit("too-many", f"Give only {_ONE_OF_THEM}."), way)
    if given.holds("phoneCountry") and not given.holds("phone"):
        given.refuse(Unfit("required", "A country needs a phone."), "phone")
    address, number = given.optional("email", email), phone_number(given, "phone")
    tax_id = typed_number(given.object("taxId", TAX_ID)) if given.holds("taxId") else None
    external_id = _external_id(given.object("externalId", EXTERNAL_ID)) if given.holds("externalId") else None
    given.check()
    if address is not None:
        return lookups.email(address)
    if number is not None:
        return lookups.phone(number)
    if tax_id is not None:
        return lookups.tax_id(*tax_id)
    assert external_id is not None  # one way was given
    return lookups.external_id(external_id)


def _external_id(given: Fields) -> ExternalId:
    """Whether its source is personal only the command service knows: one that could not be stored is nobody's."""
    return ExternalId(source=given.required("source", slug), value=given.required("value", external_value))


def _require_own(key: bytes | None, lookups: Lookups) -> None:
    """With another key nobody would be found, though there may be somebody."""
    if key != lookups.fingerprint().encode():
        raise Problem(
            "unavailable",
            "The look-ups of the read model were made with another key than this process has.",
            headers={"Retry-After": "5"},
        )
