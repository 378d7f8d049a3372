"""The right to be forgotten."""

from customerflow_shared.openapi import Answer, Body
from litestar import Response, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, ErasureDue, erasure_due, no_content
from customerflow_command.api.documentation import ETAG, GONE, REPLAYED, command
from customerflow_command.api.intake import JSON, OPTIONAL_JSON, Customers, HttpRequest
from customerflow_command.customer.commands import CancelErasure, RequestErasure
from customerflow_command.inputs.bodies import ErasureBody, ReasonBody

_ERASURE = "/v1/customers/{customer_id:str}/erasure"


@post(
    _ERASURE,
    **command(
        "Erase a customer",
        "erasure",
        {
            202: Answer("The customer will be erased when that is due.", ErasureDue, ETAG | REPLAYED),
            200: Answer("The customer is erased.", Done, ETAG | REPLAYED),
        },
        body=Body(ErasureBody, examples.ERASURE),
        post=True,
    ),
)
async def request_erasure(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[ErasureDue] | Response[Done]:
    """After `graceDays`, or at once where they are 0, every personal field of the whole history becomes unreadable for
    ever. Until then the customer takes no changes but the withdrawal of consents, and the erasure can be cancelled.
    """
    given = await customers.take(request, JSON, customer_id)
    return erasure_due(await given.change(RequestErasure, lambda _: inputs.erasure(given.body, given.context)))


@delete(
    _ERASURE,
    **command(
        "Cancel an erasure",
        "erasure",
        {204: GONE},
        body=Body(ReasonBody, examples.REASON, required=False),
        version="required",
        problems=["no-pending-erasure"],
    ),
)
async def cancel_erasure(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """While it is pending. The body may be left out."""
    given = await customers.take(request, OPTIONAL_JSON, customer_id)
    outcome = await given.change(
        CancelErasure, lambda _: CancelErasure(reason=inputs.reason(given.body)), if_match_required=True
    )
    return no_content(outcome)


ROUTES = [request_erasure, cancel_erasure]
