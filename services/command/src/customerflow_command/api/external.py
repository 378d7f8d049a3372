"""Register or change a customer by the name that another system has for it: for those who synchronise."""

from customerflow_shared.openapi import Body
from litestar import Response, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, registered
from customerflow_command.api.documentation import DONE, REGISTERED, command
from customerflow_command.api.intake import JSON, MERGE_PATCH, Customers, HttpRequest
from customerflow_command.customer.commands import UpsertCustomer
from customerflow_command.inputs.bodies import UpsertBody, UpsertInBody

_PROBLEMS = ["duplicate-key", "limit-reached"]


@patch(
    "/v1/external/{source:str}/{value:str}",
    **command(
        "Register or change by external id",
        "external ids",
        {200: DONE, 201: REGISTERED},
        body=Body(UpsertBody, examples.UPSERT, MERGE_PATCH.media_type),
        problems=_PROBLEMS,
    ),
)
async def upsert_customer(
    request: HttpRequest, source: FromPath[str], value: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """Changes the customer that has this external id, as a merge patch does; where nobody has it, registers one, for
    which type and name must be given.
    """
    given = await customers.take(request, MERGE_PATCH)
    external_id = inputs.external_id(source, value, given.context)
    outcome = await given.send(
        external_id, UpsertCustomer, lambda customer: inputs.upsert(given.body, given.context, external_id, customer)
    )
    return registered(outcome)


@post(
    "/v1/external/upsert",
    **command(
        "Register or change by an external id in the body",
        "external ids",
        {200: DONE, 201: REGISTERED},
        body=Body(UpsertInBody, examples.UPSERT_IN_BODY),
        post=True,
        problems=_PROBLEMS,
    ),
)
async def upsert_customer_by_body(request: HttpRequest, customers: NamedDependency[Customers]) -> Response[Done]:
    """For external ids that hold a slash, or that are personal: those must not stand in a path."""
    given = await customers.take(request, JSON)
    external_id, patch = inputs.external_id_in(given.body, given.context)
    outcome = await given.send(
        external_id,
        UpsertCustomer,
        lambda customer: inputs.upsert(patch, given.context, external_id, customer),
    )
    return registered(outcome)


ROUTES = [upsert_customer, upsert_customer_by_body]
