"""What the customer agrees to."""

from customerflow_shared.openapi import Body
from litestar import Response, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, done
from customerflow_command.api.documentation import DONE, command
from customerflow_command.api.intake import JSON, Customers, HttpRequest
from customerflow_command.customer.commands import RecordConsent
from customerflow_command.inputs.bodies import ConsentBody


@put(
    "/v1/customers/{customer_id:str}/consents/{purpose:str}/{channel:str}",
    **command(
        "Record a consent",
        "consents",
        {200: DONE},
        body=Body(ConsentBody, examples.CONSENT),
        problems=["consent-stale", "customer-suspended"],
    ),
)
async def record_consent(
    request: HttpRequest,
    customer_id: FromPath[str],
    purpose: FromPath[str],
    channel: FromPath[str],
    customers: NamedDependency[Customers],
) -> Response[Done]:
    """What the customer said last counts, by `capturedAt`: an older record than the present one is refused.

    Withdrawing is possible even while an erasure is pending.
    """
    given = await customers.take(request, JSON, customer_id)
    return done(
        await given.change(RecordConsent, lambda _: inputs.consent(given.body, given.context, purpose, channel))
    )


ROUTES = [record_consent]
