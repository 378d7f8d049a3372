"""Register a customer, and change its plain fields."""

from customerflow_shared.database import DatabaseRefused, DatabaseUnavailable
from customerflow_shared.flags.catalogue import VERIFY_EMAIL_AT_REGISTRATION
from customerflow_shared.ids import uuid7
from customerflow_shared.openapi import Body
from litestar import Response, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import structs

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, done, registered
from customerflow_command.api.contact import verification
from customerflow_command.api.documentation import DONE, REGISTERED, command
from customerflow_command.api.intake import JSON, MERGE_PATCH, Customers, HttpRequest
from customerflow_command.api.refusals import unknown_outcome
from customerflow_command.customer.commands import ChangeCustomer, RegisterCustomer
from customerflow_command.customer.state import Customer
from customerflow_command.inputs.bodies import ChangeBody, RegisterBody
from customerflow_command.mediator import DeadlineExceeded


@post(
    "/v1/customers",
    **command(
        "Register a customer",
        "customers",
        {201: REGISTERED},
        body=Body(RegisterBody, examples.REGISTRATION),
        version="none",
        post=True,
        problems=["duplicate-key"],
    ),
)
async def register_customer(request: HttpRequest, customers: NamedDependency[Customers]) -> Response[Done]:
    """E-mail address, tax ids and external ids must be free: no other customer may hold them. Where it is switched on,
    the notification system is asked at once to deliver a code to the e-mail address; then the version is 2.

    If it is not known whether the command has taken effect (503), Location is where the customer would be.
    """
    given = await customers.take(request, JSON)
    customer_id = uuid7()
    verified = customers.choose(VERIFY_EMAIL_AT_REGISTRATION, customer_id)
    body, choices = await customers.completed_registration(given.body, customer_id)

    def read(_: Customer | None) -> RegisterCustomer:
        command = inputs.register(body, given.context)
        if not verified.on:
            return command
        return structs.replace(command, verification=verification(customers.codes, given.context))

    try:
        outcome = await given.send(customer_id, RegisterCustomer, read, choices=[verified, *choices])
    except DatabaseRefused:
        raise
    except (DatabaseUnavailable, DeadlineExceeded) as error:
        # who sends a key may have been given another id before
        where = {} if given.key else {"Location": f"/v1/customers/{customer_id}"}
        raise unknown_outcome(error, **where) from None
    return registered(outcome)


@patch(
    "/v1/customers/{customer_id:str}",
    **command(
        "Change a customer",
        "customers",
        {200: DONE},
        body=Body(ChangeBody, examples.CHANGE, MERGE_PATCH.media_type),
        version="required",
        problems=["duplicate-key", "limit-reached"],
    ),
)
async def change_customer(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """A merge patch: what is absent stays, null removes. One request is one transaction, with an event for each kind of
    thing that changed. A new e-mail address or phone number is not verified.
    """
    given = await customers.take(request, MERGE_PATCH, customer_id)
    return done(
        await given.change(
            ChangeCustomer,
            lambda customer: inputs.change(given.body, given.context, customer),
            if_match_required=True,
        )
    )


ROUTES = [register_customer, change_customer]
