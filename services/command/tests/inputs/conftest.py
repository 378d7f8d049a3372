"""A moment at which bodies are read, and how to learn what they were refused for."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from customerflow_command import inputs
from customerflow_shared.problems import Problem

NOW = datetime(2026, 11, 22, 15, 4, 5, 123456, tzinfo=UTC)

Refused: TypeAlias = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def context() -> inputs.Context:
    return inputs.Context(now=NOW, new_id=uuid4, personal_sources=frozenset({"passport"}))


@pytest.fixture(scope="session")
def refused() -> Refused:
    """Call a reader; the code of each fault by its pointer or parameter."""

    def call(read: Callable[..., Any], *given: Any, **named: Any) -> dict[str, str]:
        with pytest.raises(Problem) as caught:
            read(*given, **named)
        assert caught.value.code == "invalid-fields"
        return {fault.pointer or fault.parameter or "": fault.code for fault in caught.value.errors}

    return call
