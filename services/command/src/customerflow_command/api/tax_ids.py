"""The customer's tax ids."""

from customerflow_shared.inputs.bodies import TaxIdBody
from customerflow_shared.openapi import Answer, Body
from litestar import Response, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import TaxIdThere, no_content, tax_id_there
from customerflow_command.api.documentation import GONE, command
from customerflow_command.api.intake import JSON, NOTHING, Customers, HttpRequest
from customerflow_command.customer.commands import AddTaxId, RemoveTaxId


@post(
    "/v1/customers/{customer_id:str}/tax-ids",
    **command(
        "Add a tax id",
        "tax ids",
        {
            201: Answer("Added.", TaxIdThere),
            200: Answer("The customer has it already.", TaxIdThere),
        },
        body=Body(TaxIdBody, examples.TAX_ID),
        post=True,
        problems=["duplicate-key", "tax-id-type-present", "limit-reached"],
    ),
)
async def add_tax_id(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[TaxIdThere]:
    """At most one of each type; punctuation does not matter."""
    given = await customers.take(request, JSON, customer_id)
    return tax_id_there(await given.change(AddTaxId, lambda _: inputs.add_tax_id(given.body, given.context)))


@delete(
    "/v1/customers/{customer_id:str}/tax-ids/{tax_id_id:str}",
    **command("Remove a tax id", "tax ids", {204: GONE}, version="required", problems=["tax-id-not-found"]),
)
async def remove_tax_id(
    request: HttpRequest, customer_id: FromPath[str], tax_id_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """Another customer may have it then."""
    given = await customers.take(request, NOTHING, customer_id, tax_id_id)
    outcome = await given.change(RemoveTaxId, lambda _: RemoveTaxId(tax_id_id=given.ids[1]), if_match_required=True)
    return no_content(outcome)


ROUTES = [add_tax_id, remove_tax_id]
