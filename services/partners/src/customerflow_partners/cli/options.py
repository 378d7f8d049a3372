"""What the commands have in common."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import rich_click as click
from customerflow_shared.inputs.fields import Unfit

from customerflow_partners import inputs
from customerflow_partners.subscriptions import MAX_KEYS

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


def routing_keys(values: Sequence[str]) -> tuple[str, ...]:
    """Raises Unfit."""
    if len(values) > MAX_KEYS:
        raise Unfit("too-many", f"There may be at most {MAX_KEYS}.")
    return tuple(sorted({inputs.routing_key(value) for value in values}))
