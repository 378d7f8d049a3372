"""The two services that a delivery needs: the command service, which tells what is to be delivered, and the provider
who delivers it. Each is called by a policy.
"""

from uuid import UUID

from customerflow_shared.outside import Answer, BadAnswer, Client, Policy, json_as
from msgspec import Struct

COMMANDS = Policy(
    deadline=3.0,
    per_try=2.0,
    tries=2,
    concurrent=16,
    queued=0,
    failures=5,
    window=10,
    open_for=1.0,
    open_at_most=5.0,
    largest_body=16 * 1024,
)
PROVIDER = Policy(
    deadline=10.0,
    per_try=5.0,
    tries=2,
    first_pause=0.2,
    longest_pause=1.0,
    concurrent=16,
    queued=0,
    failures=5,
    window=10,
    open_for=5.0,
    open_at_most=60.0,
    largest_body=64 * 1024,
)
"""A message may be sent twice, for it has an idempotency key."""

TEMPLATE = "email-verification"


class Delivery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Personal, all of it."""

    email: str
    name: str
    locale: str | None = None
    code: str
    expires_at: str


class Letter(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the provider is asked to deliver. Personal, all of it."""

    template: str
    to: str
    name: str
    locale: str | None = None
    code: str
    expires_at: str


class Refused(Exception):
    """The provider will not send this message, however often it is asked."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it answers {status}")


class NoProvider(Exception):
    """There is nobody to send a message by."""


class Commands:
    def __init__(self, url: str, token: str, policy: Policy = COMMANDS) -> None:
        self.client = Client("command", url, policy, headers={"Authorization": f"Bearer {token}"})

    async def delivery(self, customer: UUID, verification: UUID) -> Delivery | None:
        """None if there is nothing to deliver any more. Raises OutsideError."""
        path = f"/internal/customers/{customer}/email/verifications/{verification}"
        return await self.client.call("delivery", path, _delivery)


class Provider:
    """`POST <url>` takes a `Letter`, with an Idempotency-Key: for one that it has seen it does nothing again."""

    def __init__(self, url: str, token: str | None, policy: Policy = PROVIDER) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.client = Client("e-mail", url, policy, headers=headers)

    async def send(self, key: str, delivery: Delivery) -> None:
        """Raises OutsideError, or Refused."""
        letter = Letter(
            template=TEMPLATE,
            to=delivery.email,
            name=delivery.name,
            locale=delivery.locale,
            code=delivery.code,
            expires_at=delivery.expires_at,
        )
        if refusal := await self.client.call("send", "", _refusal, method="POST", body=letter, idempotency_key=key):
            raise Refused(refusal)


class _Problem(Struct, frozen=True):
    code: str


_GONE = frozenset({"verification-not-found", "customer-not-found", "customer-erased"})


def _delivery(answer: Answer) -> Delivery | None:
    """What there is not any more the service says itself, not what may stand before it."""
    if answer.status == 200:
        return json_as(answer, Delivery)
    if answer.status in (404, 410) and json_as(answer, _Problem).code in _GONE:
        return None
    raise BadAnswer(f"it answers {answer.status}")


def _refusal(answer: Answer) -> int | None:
    """400, 413 and 422 are about the message; others are about us (401, 403), or about where and when we ask."""
    if 200 <= answer.status < 300:
        return None
    if answer.status in (400, 413, 422):
        return answer.status
    raise BadAnswer(f"it answers {answer.status}")
