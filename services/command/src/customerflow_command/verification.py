"""Codes by which a customer shows that it reads what is sent to its e-mail address.

A code is kept nowhere: it follows from the pepper and the verification's id, so that whoever delivers it can be told it
again, and from nothing that is stored.
"""

from uuid import UUID

from customerflow_command.personal import Pepper

DIGITS = 6


class Codes:
    def __init__(self, pepper: Pepper) -> None:
        self._pepper = pepper

    def hash(self, verification_id: UUID, code: str) -> str:
        """What is kept of a code: without the pepper it does not help to try all of them."""
        return self._pepper.digest("email code", verification_id.bytes + code.encode()).hex()

    def code(self, verification_id: UUID) -> str:
        digest = self._pepper.digest("email verification", verification_id.bytes)
        return f"{int.from_bytes(digest) % 10**DIGITS:0{DIGITS}}"
