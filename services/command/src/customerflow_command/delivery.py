"""What a notification system fetches in order to deliver a verification code: where to, and the code.

An integration event tells it that there is something to fetch. So neither address nor code passes through the broker,
and both are to be had only as long as they are good for something.
"""

import msgspec
from customerflow_shared import requests
from customerflow_shared.database import utc_now
from customerflow_shared.problems import Problem
from customerflow_shared.views import timestamp
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command.customer.contact import live
from customerflow_command.customer.errors import CustomerNotFound, NoPendingVerification
from customerflow_command.store import Store
from customerflow_command.verification import Codes


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    email: str
    name: str
    locale: str | None = None
    code: str
    expires_at: str


@get("/internal/customers/{customer_id:str}/email/verifications/{verification_id:str}", include_in_schema=False)
async def code_to_deliver(
    customer_id: FromPath[str],
    verification_id: FromPath[str],
    store: NamedDependency[Store],
    codes: NamedDependency[Codes],
) -> Response[Delivery]:
    """404 once the code has been used, has expired or has been replaced."""
    wanted = requests.identifier(verification_id)
    customer = (await store.load(requests.identifier(customer_id), fresh=True)).state
    if customer is None:
        raise CustomerNotFound
    try:
        verification = live(customer.verification, utc_now())
    except NoPendingVerification:
        verification = None
    if verification is None or verification.id != wanted or customer.email is None:
        raise Problem("verification-not-found", "There is no such code to deliver, or no more.")
    delivery = Delivery(
        email=customer.email,
        name=customer.social_name or customer.name,
        locale=customer.locale,
        code=codes.code(verification.id),
        expires_at=timestamp(verification.expires_at),
    )
    return Response(delivery, headers={"Cache-Control": "no-store"})


ROUTES = [code_to_deliver]
