"""Why a rule forbids a command.

CustomerError
+-- CustomerNotFound
+-- CustomerIsErased
+-- ErasureIsPending
+-- CustomerIsArchived
+-- CustomerIsSuspended
+-- InvalidTransition
+-- ContactChanged
+-- NoPendingVerification
+-- CodeIssuedRecently
+-- TaxIdNotFound
+-- TaxIdTypePresent
+-- AddressNotFound
+-- AddressUnknown
+-- ConsentIsStale
+-- NoPendingErasure
+-- CustomerIsHeld
+-- LimitReached
+-- RegistrationIncomplete
"""

from collections.abc import Sequence
from datetime import datetime


class CustomerError(Exception):
    """A rule forbids the command."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class CustomerNotFound(CustomerError):
    """No customer has this id."""


class CustomerIsErased(CustomerError):
    """The customer's data has been erased, and nothing more can happen to it."""

    def __init__(self, erased_at: datetime) -> None:
        super().__init__()
        self.erased_at = erased_at


class ErasureIsPending(CustomerError):
    """The customer is to be erased; until that is cancelled it only takes the withdrawal of consents."""

    def __init__(self, due_at: datetime) -> None:
        super().__init__()
        self.due_at = due_at


class CustomerIsArchived(CustomerError):
    """An archived customer takes no changes until it is restored."""


class CustomerIsSuspended(CustomerError):
    """A suspended customer grants no consent to marketing until it is reactivated."""


class InvalidTransition(CustomerError):
    """The customer's status does not lead there."""

    def __init__(self, current: str, allowed: Sequence[str]) -> None:
        super().__init__()
        self.current = current
        self.allowed = tuple(allowed)


class ContactChanged(CustomerError):
    """What was verified is not what the customer has now."""


class NoPendingVerification(CustomerError):
    """No code is waiting for confirmation: none was issued, or it has expired, was tried too often, or is for another
    address.
    """


class CodeIssuedRecently(CustomerError):
    """A code has been issued a short time ago; each further one has to be waited for longer."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__()
        self.retry_at = retry_at


class TaxIdNotFound(CustomerError):
    """The customer has no tax id of this id."""


class TaxIdTypePresent(CustomerError):
    """The customer has another tax id of this type."""


class AddressNotFound(CustomerError):
    """The customer has no address of this id."""


class AddressUnknown(CustomerError):
    """The body names an address that the customer does not have."""


class ConsentIsStale(CustomerError):
    """A newer record for this purpose and channel is there."""


class NoPendingErasure(CustomerError):
    """No erasure is pending."""


class CustomerIsHeld(CustomerError):
    """A legal hold forbids that the customer is erased."""


class LimitReached(CustomerError):
    """The customer has as many of these as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit


class RegistrationIncomplete(CustomerError):
    """Nobody has this external id; to register a customer, its type and name are needed."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__()
        self.missing = tuple(missing)
