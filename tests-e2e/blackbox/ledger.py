"""What clients were told about their customers, to be held against what is there in the end."""

from collections import Counter
from dataclasses import dataclass, field

from blackbox.feed import Recorded
from blackbox.fold import Document, fold


@dataclass
class Life:
    """One customer, as its only client knows it: the fields of its document that a client can know."""

    known: Document
    version: int = 0
    id: str | None = None  # none until its registration is answered

    def acknowledged(self, changed: Document, version: int) -> None:
        self.known = {**self.known, **changed}
        self.version = version


@dataclass
class Ledger:
    lives: list[Life] = field(default_factory=list)
    sent: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)  # answers that did not come, and why not
    replayed: int = 0  # of these, commands that had taken effect
    violations: list[str] = field(default_factory=list)

    def violation(self, what: str) -> None:
        self.violations.append(what)

    def compare(self, recorded: list[Recorded], after: int) -> dict[str, Document]:
        """Hold the feed since `after` against what was told; returns its fold."""
        positions = [one.position for one in recorded]
        if positions != list(range(after + 1, after + 1 + len(positions))):
            self.violation("The positions of the feed have gaps.")
        try:
            documents = fold(recorded)
        except AssertionError as refused:
            self.violation(f"The versions of a customer have gaps: {refused}")
            return {}
        told = {life.id: life for life in self.lives}
        for stray in documents.keys() - told.keys():
            self.violation(f"Nobody registered {documents[stray]}.")
        for customer_id, life in told.items():
            found = documents.get(customer_id or "")
            if found is None or found["version"] != life.version or not _fits(found, life.known):
                self.violation(f"{life} ended as {found}.")
        return documents


def _fits(found: Document, expected: Document) -> bool:
    return all(found.get(name) == value for name, value in expected.items())
