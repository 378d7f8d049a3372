"""The units that wait to be written: whoever came first goes first, unless it must wait for another."""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from customerflow_command.unit import Unit


@dataclass(slots=True)
class _Place:
    number: int
    ahead: int  # units that it must wait for
    behind: list[Unit] = field(default_factory=list)
    waiting: bool = True


class Waiting:
    """Units that touch the same come into different groups, in the order of their arrival; all others pass them by.

    What a unit costs here does not grow with the number of those that wait.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._numbers = count()
        self._places: dict[Unit, _Place] = {}
        self._ready: list[tuple[int, Unit]] = []
        self._last: dict[object, Unit] = {}  # the last unit that touches it

    def __len__(self) -> int:
        return self._waiting

    def add(self, unit: Unit) -> None:
        self._waiting += 1
        ahead = {self._last[touched] for touched in unit.touches if touched in self._last}
        self._last.update(dict.fromkeys(unit.touches, unit))
        place = self._places[unit] = _Place(next(self._numbers), len(ahead))
        for one in ahead:
            self._places[one].behind.append(unit)
        if not ahead:
            heappush(self._ready, (place.number, unit))

    def take(self, units: int, size: int) -> list[Unit]:
        """The next group: at most so many, and no more once they have that size. Each must be given to `end`."""
        group: list[Unit] = []
        while self._ready and len(group) < units and size > 0:
            _, unit = heappop(self._ready)
            if self._places[unit].waiting:
                self.leave(unit)
                group.append(unit)
                size -= unit.size()
            else:
                self.end(unit)
        return group

    def leave(self, unit: Unit) -> None:
        """The unit does not wait any more; if it has not been taken, it never will be."""
        place = self._places.get(unit)
        if place and place.waiting:
            place.waiting = False
            self._waiting -= 1

    def end(self, unit: Unit) -> None:
        """The unit is written, or never will be: what is behind it need not wait for it."""
        for touched in unit.touches:
            if self._last[touched] is unit:
                del self._last[touched]
        for one in self._places.pop(unit).behind:
            place = self._places[one]
            place.ahead -= 1
            if not place.ahead:
                heappush(self._ready, (place.number, one))
