"""Suspend and reactivate, archive and restore."""

from customerflow_shared.openapi import Body
from litestar import Response, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, done, no_content
from customerflow_command.api.documentation import DONE, GONE, command
from customerflow_command.api.intake import JSON, NOTHING, OPTIONAL_JSON, Customers, HttpRequest
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    ReactivateCustomer,
    RestoreCustomer,
    SuspendCustomer,
)
from customerflow_command.inputs.bodies import ReasonBody, SuspensionBody

_REASON = Body(ReasonBody, examples.REASON, required=False)


@post(
    "/v1/customers/{customer_id:str}/suspend",
    **command(
        "Suspend a customer",
        "status",
        {200: DONE},
        body=Body(SuspensionBody, examples.SUSPENSION),
        version="required",
        post=True,
    ),
)
async def suspend_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """A suspended customer grants no consent to marketing. With `until` the suspension ends by itself."""
    given = await customers.take(request, JSON, customer_id)
    outcome = await given.change(
        SuspendCustomer, lambda _: inputs.suspend(given.body, given.context), if_match_required=True
    )
    return done(outcome)


@post(
    "/v1/customers/{customer_id:str}/reactivate",
    **command("End a suspension", "status", {200: DONE}, body=_REASON, version="required", post=True),
)
async def reactivate_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The body may be left out."""
    given = await customers.take(request, OPTIONAL_JSON, customer_id)
    return done(await given.change_for_a_reason(ReactivateCustomer))


@post(
    "/v1/customers/{customer_id:str}/archive",
    **command("Archive a customer", "status", {200: DONE}, body=_REASON, version="required", post=True),
)
async def archive_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The customer keeps its history and what it holds alone, and can be restored. The body may be left out."""
    given = await customers.take(request, OPTIONAL_JSON, customer_id)
    return done(await given.change_for_a_reason(ArchiveCustomer))


@delete(
    "/v1/customers/{customer_id:str}",
    **command("Archive a customer, without a reason", "status", {204: GONE}, version="required"),
)
async def delete_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """Nothing is deleted: see *erasure* for that."""
    given = await customers.take(request, NOTHING, customer_id)
    return no_content(await given.change(ArchiveCustomer, lambda _: ArchiveCustomer(), if_match_required=True))


@post(
    "/v1/customers/{customer_id:str}/restore",
    **command(
        "Restore an archived customer",
        "status",
        {200: DONE},
        body=_REASON,
        version="required",
        post=True,
        problems=["invalid-transition"],
    ),
)
async def restore_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """A customer that was suspended when it was archived is suspended again. The body may be left out."""
    given = await customers.take(request, OPTIONAL_JSON, customer_id)
    return done(await given.change_for_a_reason(RestoreCustomer))


ROUTES = [suspend_customer, reactivate_customer, archive_customer, delete_customer, restore_customer]
