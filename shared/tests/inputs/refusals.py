"""Why a value is refused."""

from collections.abc import Callable

import pytest
from customerflow_shared.inputs.fields import Unfit


def code(read: Callable[[], object]) -> str:
    with pytest.raises(Unfit) as caught:
        read()
    return caught.value.code
