"""Stored forms of events that this release no longer writes, led to the present ones, one step at a time: pure.

An event is never edited. When its form changes in a way that a default does not cover, its `schema_version` grows (or
another event takes its place), and what was stored before gets a step here and a golden row in the tests.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
Form: TypeAlias = tuple[str, int]
"""The name of an event and its schema version."""
Upcaster: TypeAlias = Callable[[Fields], tuple[Form, Fields]]


def _renamed_1(fields: Fields) -> tuple[Form, Fields]:
    """Until 0.1 the name was all that a profile had. The personal fields are missing if the customer is erased."""
    changed: Fields = {"changed": ["name"]}
    if "name" in fields:
        changed |= {
            "personal": {"name": fields["name"]},
            "previousPersonal": {"name": fields["previousName"]},
        }
    return ("CustomerProfileChanged", 1), changed


UPCASTERS: Mapping[Form, Upcaster] = {
    ("CustomerRenamed", 1): _renamed_1,
}


def upcast(form: Form, fields: Fields) -> tuple[Form, Fields]:
    """The newest form that the steps lead to; the given one if there is no step from it."""
    while step := UPCASTERS.get(form):
        form, fields = step(fields)
    return form, fields
