"""Say that e-mail address or phone number reach the customer, or find out."""

from datetime import timedelta

from customerflow_shared.openapi import Answer, Body
from litestar import Response, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from customerflow_command import inputs
from customerflow_command.api import examples
from customerflow_command.api.answers import CodeIssued, Done, code_issued, done
from customerflow_command.api.documentation import DONE, command
from customerflow_command.api.intake import JSON, NOTHING, Customers, HttpRequest
from customerflow_command.customer.commands import ConfirmEmail, RequestEmailVerification, VerifyEmail, VerifyPhone
from customerflow_command.customer.state import Customer
from customerflow_command.inputs.bodies import ConfirmationBody, EmailVerificationBody, PhoneVerificationBody
from customerflow_command.verification import Codes

CODE_LIVES = timedelta(minutes=15)


def verification(codes: Codes, context: inputs.Context) -> RequestEmailVerification:
    verification_id = context.new_id()
    return RequestEmailVerification(
        verification_id=verification_id,
        code_hash=codes.hash(verification_id, codes.code(verification_id)),
        expires_at=context.now + CODE_LIVES,
    )


@put(
    "/v1/customers/{customer_id:str}/email/verification",
    **command(
        "Say that the e-mail address is verified",
        "contact",
        {200: DONE},
        body=Body(EmailVerificationBody, examples.EMAIL_VERIFICATION),
        problems=["contact-changed"],
    ),
)
async def verify_email(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The address that was verified must be the present one; a verification that comes too late is refused."""
    given = await customers.take(request, JSON, customer_id)
    return done(await given.change(VerifyEmail, lambda _: inputs.verify_email(given.body, given.context)))


@put(
    "/v1/customers/{customer_id:str}/phone/verification",
    **command(
        "Say that the phone number is verified",
        "contact",
        {200: DONE},
        body=Body(PhoneVerificationBody, examples.PHONE_VERIFICATION),
        problems=["contact-changed"],
    ),
)
async def verify_phone(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """The number that was verified must be the present one; a verification that comes too late is refused."""
    given = await customers.take(request, JSON, customer_id)
    return done(await given.change(VerifyPhone, lambda _: inputs.verify_phone(given.body, given.context)))


@post(
    "/v1/customers/{customer_id:str}/email/verification-code",
    **command(
        "Have a code sent to the e-mail address",
        "contact",
        {
            202: Answer("The notification system is asked to deliver a code.", CodeIssued),
            200: Answer("The address is verified already.", Done),
        },
        post=True,
        problems=["contact-changed", "verification-too-soon"],
    ),
)
async def request_email_verification(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[CodeIssued] | Response[Done]:
    """The code lives for 15 minutes, takes the place of one before, and is told to nobody but the notification system.
    Each further one in a row has to be waited for twice as long. There is no body.
    """
    given = await customers.take(request, NOTHING, customer_id)
    asked = verification(customers.codes, given.context)
    return code_issued(await given.change(RequestEmailVerification, lambda _: asked))


@post(
    "/v1/customers/{customer_id:str}/email/confirmation",
    **command(
        "Confirm the e-mail address by the code",
        "contact",
        {200: DONE},
        body=Body(ConfirmationBody, examples.CONFIRMATION),
        post=True,
        problems=["no-pending-verification", "verification-code-wrong"],
    ),
)
async def confirm_email(
    request: HttpRequest, customer_id: FromPath[str], customers: NamedDependency[Customers]
) -> Response[Done]:
    """A wrong code is recorded, so the version grows; after five no code is taken until a new one is sent."""
    given = await customers.take(request, JSON, customer_id)

    def read(customer: Customer) -> ConfirmEmail:
        code, issued = inputs.code(given.body), customer.verification
        return ConfirmEmail(code_hash=customers.codes.hash(issued.id, code) if issued else "")

    return done(await given.change(ConfirmEmail, read))


ROUTES = [verify_email, verify_phone, request_email_verification, confirm_email]
