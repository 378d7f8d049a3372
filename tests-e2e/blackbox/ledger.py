"""What clients were told about their customers, to be held against what is there in the end."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from blackbox.feed import Recorded
from blackbox.fold import Document, fold


@dataclass
class Life:
    """One customer, as its only client knows it: the fields of its document that a client can know."""

    known: Document
    events: int = 0  # its version
    id: str | None = None  # none while its registration has no known outcome
    # What the last command would have made of it, when its answer was lost; then the customer is left alone.
    undecided: Document | None = None
    undecided_events: int = 0

    def acknowledged(self, changed: Document, version: int) -> None:
        self.known = {**self.known, **changed}
        self.events = version

    def lost_answer(self, changed: Document, events: int) -> None:
        self.undecided = {**self.known, **changed}
        self.undecided_events = self.events + events

    def outcomes(self) -> Iterator[tuple[int, Document]]:
        """The version and document it may have in the end: nothing of a command is there, or all of it."""
        yield self.events, self.known
        if self.undecided is not None:
            yield self.undecided_events, self.undecided


@dataclass
class Ledger:
    lives: list[Life] = field(default_factory=list)
    sent: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    settled: Counter[str] = field(default_factory=Counter)  # what became of the lost answers

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
        claimed = set(self._settle(documents))
        for stray in documents.keys() - claimed:
            self.violation(f"Nobody registered {documents[stray]}.")
        return documents

    def _settle(self, documents: dict[str, Document]) -> Iterable[str]:
        """The ids of the customers that are accounted for."""
        by_name = {document["name"]: document for document in documents.values()}
        for life in self.lives:
            found = documents.get(life.id) if life.id else by_name.get((life.undecided or life.known)["name"])
            version = found["version"] if found else 0
            fits = [
                expected for events, expected in life.outcomes() if events == version and _fits(found or {}, expected)
            ]
            if not fits:
                self.violation(f"{life} ended as {found}.")
            elif life.undecided is not None:
                self.settled["fully there" if version == life.undecided_events else "not at all"] += 1
            if found:
                yield found["id"]


def _fits(found: Document, expected: Document) -> bool:
    return not found or all(found[name] == value for name, value in expected.items())
