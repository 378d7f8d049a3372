"""A file of flags in flagd's format (https://flagd.dev/reference/flag-definitions/), checked before it is believed."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.contrib.tools.flagd.core.model import FlagStore
from openfeature.evaluation_context import EvaluationContext

from customerflow_shared.flags.catalogue import COMMAND_PREFIX, Flag
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.problems import Problem

LARGEST = 1024 * 1024
_TRIALS = [EvaluationContext(), *(EvaluationContext(str(UUID(int=number))) for number in range(16))]


class Unfit(Exception):
    """Nothing in force is changed by such flags. `faults` are all that was found, a line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Definition(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One flag, as the file has it."""

    state: Literal["ENABLED", "DISABLED"]
    variants: dict[str, Any]
    default_variant: str | None = None
    targeting: dict[str, Any] | None = None
    metadata: dict[str, str | int | float | bool] | None = None


def read(raw: bytes, declared: Mapping[str, Flag]) -> str:
    """The text of a file that can be believed. Raises Unfit."""
    if len(raw) > LARGEST:
        raise Unfit([f"The file is larger than {LARGEST} bytes."])
    try:
        content = json_object(raw)
    except Problem as problem:
        raise Unfit([problem.detail.replace("The body", "The file")]) from None
    definitions = content.get("flags")
    if not isinstance(definitions, dict):
        raise Unfit(["`flags` is missing, or no object."])
    if faults := [fault for key, one in definitions.items() for fault in _of_definition(key, one, declared.get(key))]:
        raise Unfit(faults)
    text = raw.decode()
    if faults := list(_when_evaluated(text, declared, definitions.keys())):
        raise Unfit(faults)
    return text


def unknown(text: str, declared: Mapping[str, Flag]) -> list[str]:
    """The flags that no program has, perhaps misspelt. Only the command service knows those of commands."""
    knows_commands = any(key.startswith(COMMAND_PREFIX) for key in declared)
    keys: list[str] = [*json_object(text.encode())["flags"]]
    return [key for key in keys if key not in declared and (knows_commands or not key.startswith(COMMAND_PREFIX))]


def _of_definition(key: str, given: Any, flag: Flag | None) -> Iterator[str]:
    try:
        definition = msgspec.convert(given, Definition)
    except msgspec.ValidationError as error:
        yield f"{key}: {error}"
        return
    if not definition.variants:
        yield f"{key}: there are no variants"
    elif definition.default_variant is not None and definition.default_variant not in definition.variants:
        yield f"{key}: the default variant is none of its variants"
    if flag is not None and any(not isinstance(value, bool) for value in definition.variants.values()):
        yield f"{key}: each variant must be true or false"


def _when_evaluated(text: str, declared: Mapping[str, Flag], keys: Any) -> Iterator[str]:
    """What only shows when the targeting is used: for nobody, and for some."""
    store, core = FlagStore(), FlagdCore()
    try:
        store.update(json_object(text.encode()))
        core.set_flags(text)
    except Exception as error:  # of a library, about what an operator has written
        yield f"The flags cannot be read: {type(error).__name__} {error}".strip()
        return
    for key in keys:
        flag, definition = declared.get(key), store.flags[key]
        if flag is None or not definition.targeting:
            continue
        if strange := [name for name in _fractions(definition.targeting) if name not in definition.variants]:
            yield f"{key}: the targeting divides into {', '.join(strange)}, which is no variant"
            continue
        try:
            for context in _TRIALS:
                core.resolve_boolean_value(key, flag.default, context)
        except Exception as error:  # json-logic raises whatever comes up
            yield f"{key}: the targeting cannot be evaluated: {type(error).__name__} {error}".strip()


def _fractions(rule: Any) -> Iterator[str]:
    """The variants into which a targeting divides customers, wherever it does."""
    if isinstance(rule, dict):
        for operation, operands in rule.items():
            if operation == "fractional" and isinstance(operands, list):
                yield from (one[0] for one in operands if isinstance(one, list) and one and isinstance(one[0], str))
            yield from _fractions(operands)
    elif isinstance(rule, list):
        for one in rule:
            yield from _fractions(one)
