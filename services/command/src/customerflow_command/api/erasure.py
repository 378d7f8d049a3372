"""The right to be forgotten, and the duty to keep."""

from customerflow_shared.openapi import Answer, Body
from litestar import Response, delete, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import Done, ErasureDue, done, erasure_due, no_content
from customerflow_command.api.documentation import DONE, GONE, command
from customerflow_command.api.intake import JSON, OPTIONAL_JSON, Customers, HttpRequest
from customerflow_command.customer.commands import CancelErasure, LiftLegalHold, PlaceLegalHold, RequestErasure
from customerflow_command.inputs.bodies import ErasureBody, LegalHoldBody, ReasonBody

_ERASURE = "/v1/customers/{customer_id:str}/erasure"
_LEGAL_HOLD = "/v1/customers/{customer_id:str}/legal-hold"


@post(
    _ERASURE,
    **command(
        "Erase a customer",
        "erasure",
        {
            202: Answer("The customer will be erased when that is due.", ErasureDue),
            200: Answer("The customer is erased.", Done),
        },
        body=Body(ErasureBody, examples.ERASURE),
        post=True,
        problems=["legal-hold"],
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
    return no_content(await given.change_for_a_reason(CancelErasure))


@put(
    _LEGAL_HOLD,
    **command("Place a legal hold", "erasure", {200: DONE}, body=Body(LegalHoldBody, examples.LEGAL_HOLD)),
)
async def place_legal_hold(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The customer cannot be erased before `until`, or before the hold is lifted; an erasure that is pending waits."""
    given = await customers.take(request, JSON, customer_id)
    return done(await given.change(PlaceLegalHold, lambda _: inputs.legal_hold(given.body, given.context)))


@delete(
    _LEGAL_HOLD,
    **command(
        "Lift a legal hold",
        "erasure",
        {204: GONE},
        body=Body(ReasonBody, examples.REASON, required=False),
        version="required",
    ),
)
async def lift_legal_hold(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[None]:
    """An erasure that has been waiting for this happens when it is due, or at once. The body may be left out."""
    given = await customers.take(request, OPTIONAL_JSON, customer_id)
    return no_content(await given.change_for_a_reason(LiftLegalHold))


ROUTES = [request_erasure, cancel_erasure, place_legal_hold, lift_legal_hold]
