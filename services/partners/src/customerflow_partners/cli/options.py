"""What the commands have in common."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import rich_click as click
from customerflow_shared import settings, telemetry
from customerflow_shared.inputs.fields import Unfit
from msgspec import UNSET

from customerflow_partners import app, inputs
from customerflow_partners.subscriptions import MAX_KEYS

T = TypeVar("T")
S = TypeVar("S", bound=app.ToolSettings | app.WebhookToolSettings)

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")


def read(parse: Callable[[Any], T]) -> Callable[[click.Context, click.Parameter, Any], T]:
    """An option's callback. What is unfit is told without repeating it."""

    def callback(_: click.Context, __: click.Parameter, value: Any) -> T:
        try:
            return parse(value)
        except Unfit as error:
            raise click.BadParameter(error.detail) from None

    return callback


def optional(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """For `read`: an option that need not be given."""
    return lambda value: None if value is None else parse(value)


def shown(value: object) -> str:
    """Nothing for what is UNSET."""
    return "" if value is UNSET else str(value)


def run(
    cls: type[S],
    work: Callable[[S], Coroutine[None, None, T]],
    failures: tuple[type[Exception], ...],
    *,
    log_level: str | None = None,
) -> T:
    """The work, done with settings from the environment. Raises ClickException, with what a failure says, or else with
    what its kind does.
    """
    config = settings.load_or_exit(cls, os.environ)
    telemetry.configure("partners", log_level=log_level or config.log_level)
    try:
        return asyncio.run(work(config))
    except failures as error:
        raise click.ClickException(str(error) or str(type(error).__doc__)) from None


def routing_keys(values: Sequence[str]) -> tuple[str, ...]:
    """Raises Unfit."""
    if len(values) > MAX_KEYS:
        raise Unfit("too-many", f"There may be at most {MAX_KEYS}.")
    return tuple(sorted({inputs.routing_key(value) for value in values}))
