"""What reading a body needs from outside."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Context(Struct, frozen=True):
    """`new_id` names what has an id; the external ids of `personal_sources` may say who somebody is."""

    now: datetime
    new_id: Callable[[], UUID]
    personal_sources: frozenset[str] = frozenset()
