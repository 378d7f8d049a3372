"""What is to be done at which event."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import ROUTING_KEYS, IntegrationEventV1

T = TypeVar("T")
E = TypeVar("E", bound=IntegrationEventV1)

Handler: TypeAlias = Callable[[E, CloudEvent, T], Awaitable[None]]


class TryLater(Exception):
    """Raised by a handler: what it needs is away, and that is no fault of the event. It is tried again until it works.
    The text appears in logs.
    """


@dataclass(frozen=True)
class Registered(Generic[T]):
    handle: Handler[Any, T]
    overtaken: bool


class Handlers(Generic[T]):
    """One for each type of event; a type without one is not listened to. `T` is the inbox's transaction: what is
    changed with it is there exactly once.
    """

    def __init__(self) -> None:
        self._registered: dict[type[IntegrationEventV1], Registered[T]] = {}

    def on(self, kind: type[E], *, overtaken: bool = False) -> Callable[[Handler[E, T]], Handler[E, T]]:
        """Register the decorated function.

        An event comes late if a later one of its customer has been handled, as may be when what was missed is caught up
        on. It is left out, as it would undo the later one, unless `overtaken` says that the handler looks at the
        sequence itself.
        """
        if kind in self._registered:
            raise ValueError(f"{kind.__name__} has a handler already")

        def register(handle: Handler[E, T]) -> Handler[E, T]:
            self._registered[kind] = Registered(handle, overtaken)
            return handle

        return register

    def of(self, kind: type[IntegrationEventV1]) -> Registered[T] | None:
        return self._registered.get(kind)

    @property
    def routing_keys(self) -> list[str]:
        """Of the types that are listened to."""
        return [name for kind, name in ROUTING_KEYS.items() if kind in self._registered]
