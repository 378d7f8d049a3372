"""The flags that there are. What a flag is by default is what the programs did before it was there."""

from typing import NamedTuple

COMMAND_PREFIX = "command."
"""Before the name of a command's type: whether it is taken. The command service knows which there are."""


class Flag(NamedTuple):
    """A switch. `default` holds where nothing is said of it, and `variant` is the name of that."""

    key: str
    default: bool
    purpose: str

    @property
    def variant(self) -> str:
        return variant_of(self.default)


def variant_of(value: bool) -> str:
    return "on" if value else "off"


VERIFY_EMAIL_AT_REGISTRATION = Flag(
    "verify-email-at-registration",
    False,
    "Whoever is registered with an e-mail address is sent a code at once; by customer.",
)
ADDRESS_ENRICHMENT = Flag(
    "address-enrichment",
    False,
    "What a registration's addresses lack is looked up by their postal code; by customer.",
)
RELAY_PUBLISHING = Flag(
    "relay-publishing", True, "The relay publishes; while it does not, the outbox holds what is committed."
)
CUSTOMER_PROJECTION = Flag(
    "customer-projection", True, "Events are applied to the read model; while they are not, the queues hold them."
)
EXACT_COUNTS = Flag("exact-counts", True, "Lists and searches count all that they find, if they are asked to.")
CHANGE_STREAM = Flag("change-stream", True, "The stream of changes is served.")

SHARED = (
    VERIFY_EMAIL_AT_REGISTRATION,
    ADDRESS_ENRICHMENT,
    RELAY_PUBLISHING,
    CUSTOMER_PROJECTION,
    EXACT_COUNTS,
    CHANGE_STREAM,
)
