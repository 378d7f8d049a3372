"""The customer's postal addresses, and which of them is used unless somebody says otherwise."""

from customerflow_shared.openapi import Answer, Body
from litestar import Response, delete, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import AddressThere, Done, address_there, done, no_content
from customerflow_command.api.documentation import DONE, GONE, command
from customerflow_command.api.intake import JSON, MERGE_PATCH, NOTHING, Customers, HttpRequest
from customerflow_command.customer import addresses
from customerflow_command.customer.commands import (
    AddAddress,
    ChangeAddress,
    Command,
    RemoveAddress,
    SetDefaultAddress,
)
from customerflow_command.customer.errors import AddressNotFound
from customerflow_command.customer.state import Customer
from customerflow_command.inputs.bodies import AddressBody, AddressChangeBody, DefaultAddressBody


@post(
    "/v1/customers/{customer_id:str}/addresses",
    **command(
        "Add an address",
        "addresses",
        {201: Answer("Added.", AddressThere)},
        body=Body(AddressBody, examples.ADDRESS),
        post=True,
        problems=["limit-reached"],
    ),
)
async def add_address(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[AddressThere]:
    """Postal code and region must fit the country; a city that is not known there is accepted, and noted. Where it is
    switched on, what an address in Brazil lacks is looked up by its postal code.
    """
    given = await customers.take(request, JSON, customer_id)
    body, choices = await customers.completed_address(given.body, given.ids[0])
    outcome = await given.change(AddAddress, lambda _: inputs.add_address(body, given.context), choices=choices)
    return address_there(outcome)


@patch(
    "/v1/customers/{customer_id:str}/addresses/{address_id:str}",
    **command(
        "Change an address",
        "addresses",
        {200: DONE},
        body=Body(AddressChangeBody, examples.ADDRESS_CHANGE, MERGE_PATCH.media_type),
        version="required",
        problems=["address-not-found"],
    ),
)
async def change_address(
    request: HttpRequest, customer_id: FromPath[str], address_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """A merge patch; the address as a whole must then be sound."""
    given = await customers.take(request, MERGE_PATCH, customer_id, address_id)

    def read(customer: Customer) -> Command:
        current = addresses.find(customer, given.ids[1])
        if current is None:
            raise AddressNotFound
        return inputs.change_address(given.body, given.context, current)

    return done(await given.change(ChangeAddress, read, if_match_required=True))


@delete(
    "/v1/customers/{customer_id:str}/addresses/{address_id:str}",
    **command("Remove an address", "addresses", {204: GONE}, version="required", problems=["address-not-found"]),
)
async def remove_address(
    request: HttpRequest, customer_id: FromPath[str], address_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """Where it was the default, there is none then."""
    given = await customers.take(request, NOTHING, customer_id, address_id)
    outcome = await given.change(
        RemoveAddress, lambda _: RemoveAddress(address_id=given.ids[1]), if_match_required=True
    )
    return no_content(outcome)


@put(
    "/v1/customers/{customer_id:str}/default-addresses/{role:str}",
    **command(
        "Set a default address", "addresses", {200: DONE}, body=Body(DefaultAddressBody, examples.DEFAULT_ADDRESS)
    ),
)
async def set_default_address(
    request: HttpRequest, customer_id: FromPath[str], role: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The role is `billing` or `shipping`."""
    given = await customers.take(request, JSON, customer_id)
    return done(await given.change(SetDefaultAddress, lambda _: inputs.default_address(given.body, role)))


ROUTES = [add_address, change_address, remove_address, set_default_address]
