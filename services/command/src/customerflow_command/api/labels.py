"""Tags, and the names that other systems have for the customer. Setting one twice is setting it once."""

from customerflow_shared.inputs.bodies import ExternalIdBody
from customerflow_shared.openapi import Body
from litestar import Response, delete, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, done, no_content
from customerflow_command.api.documentation import DONE, GONE, command
from customerflow_command.api.intake import JSON, NOTHING, Customers, HttpRequest
from customerflow_command.customer.commands import LinkExternalId, TagCustomer, UnlinkExternalId, UntagCustomer

_TAG = "/v1/customers/{customer_id:str}/tags/{tag:str}"
_EXTERNAL_IDS = "/v1/customers/{customer_id:str}/external-ids"
_EXTERNAL_ID = _EXTERNAL_IDS + "/{source:str}/{value:str}"


@put(_TAG, **command("Tag a customer", "tags", {204: GONE}, problems=["limit-reached"]))
async def tag_customer(
    request: HttpRequest, customer_id: FromPath[str], tag: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """Tags are kept in clear and outlive an erasure: they must not say anything sensitive about a person."""
    given = await customers.take(request, NOTHING, customer_id)
    return no_content(await given.change(TagCustomer, lambda _: TagCustomer(tag=inputs.tag(tag))))


@delete(_TAG, **command("Remove a tag", "tags", {204: GONE}))
async def untag_customer(
    request: HttpRequest, customer_id: FromPath[str], tag: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """It need not be there."""
    given = await customers.take(request, NOTHING, customer_id)
    return no_content(await given.change(UntagCustomer, lambda _: UntagCustomer(tag=inputs.tag(tag))))


@put(
    _EXTERNAL_ID,
    **command("Link an external id", "external ids", {204: GONE}, problems=["duplicate-key", "limit-reached"]),
)
async def link_external_id(
    request: HttpRequest,
    customer_id: FromPath[str],
    source: FromPath[str],
    value: FromPath[str],
    customers: NamedDependency[Customers],
) -> Response[None]:
    """No other customer may have it. Other systems are told of it, unless its source is personal."""
    given = await customers.take(request, NOTHING, customer_id)

    def read(_: object) -> LinkExternalId:
        return LinkExternalId(external_id=inputs.external_id(source, value, given.context))

    return no_content(await given.change(LinkExternalId, read))


@delete(_EXTERNAL_ID, **command("Unlink an external id", "external ids", {204: GONE}))
async def unlink_external_id(
    request: HttpRequest,
    customer_id: FromPath[str],
    source: FromPath[str],
    value: FromPath[str],
    customers: NamedDependency[Customers],
) -> Response[None]:
    """It need not be there."""
    given = await customers.take(request, NOTHING, customer_id)

    def read(_: object) -> UnlinkExternalId:
        return UnlinkExternalId(external_id=inputs.external_id(source, value, given.context))

    return no_content(await given.change(UnlinkExternalId, read))


@post(
    _EXTERNAL_IDS,
    **command(
        "Link an external id that is given in the body",
        "external ids",
        {200: DONE},
        body=Body(ExternalIdBody, examples.EXTERNAL_ID),
        post=True,
        problems=["duplicate-key", "limit-reached"],
    ),
)
async def link_external_id_by_body(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """For external ids that hold a slash, or that are personal: those must not stand in a path."""
    given = await customers.take(request, JSON, customer_id)

    def read(_: object) -> LinkExternalId:
        return LinkExternalId(external_id=inputs.external_id_of(given.body, given.context))

    return done(await given.change(LinkExternalId, read))


@post(
    f"{_EXTERNAL_IDS}/unlink",
    **command(
        "Unlink an external id that is given in the body",
        "external ids",
        {200: DONE},
        body=Body(ExternalIdBody, examples.EXTERNAL_ID),
        post=True,
    ),
)
async def unlink_external_id_by_body(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """It need not be there."""
    given = await customers.take(request, JSON, customer_id)

    def read(_: object) -> UnlinkExternalId:
        return UnlinkExternalId(external_id=inputs.external_id_of(given.body, given.context))

    return done(await given.change(UnlinkExternalId, read))


ROUTES = [
    tag_customer,
    untag_customer,
    link_external_id,
    unlink_external_id,
    link_external_id_by_body,
    unlink_external_id_by_body,
]
