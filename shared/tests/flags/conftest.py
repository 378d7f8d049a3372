from collections.abc import Callable, Iterator

import pytest
from customerflow_shared.flags import Flag, Flags

Open = Callable[..., Flags]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Flags that are closed at the end of the test."""
    these: list[Flags] = []

    def opening(setting: str = "", *own: Flag) -> Flags:
        these.append(Flags.open(setting, *own))
        return these[-1]

    yield opening
    for one in these:
        one.close()
