"""What the commands have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click
from customerflow_shared.inputs.fields import Unfit

T = TypeVar("T")

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")


def read(parse: Callable[[Any], T]) -> Callable[[click.Context, click.Parameter, Any], T]:
    """An option's callback. What is unfit is told without repeating it."""

    def callback(_: click.Context, __: click.Parameter, value: Any) -> T:
        try:
            return parse(value)
        except Unfit as error:
            raise click.BadParameter(error.detail) from None

    return callback
