"""Tags and external ids: clear words about a customer, so neither may say who it is."""

from typing import Any

from customerflow_shared.inputs.clear import says_who, slug
from customerflow_shared.inputs.external_ids import EXTERNAL_ID, external_value
from customerflow_shared.inputs.fields import Fields, Parser, Unfit
from customerflow_shared.values import ExternalId

from customerflow_command.customer.limits import MAX_EXTERNAL_IDS, MAX_TAGS
from customerflow_command.inputs.context import Context


def tag(text: str) -> str:
    """One from the path."""
    fields = Fields({}, frozenset())
    given = fields.parameter("tag", text, _tag)
    fields.check()
    return given


def tags(fields: Fields) -> tuple[str, ...]:
    return fields.values("tags", MAX_TAGS, _tag)


def external_id(source: str, value: str, context: Context) -> ExternalId:
    """One from the path. A personal one does not belong there: others write paths into their logs."""
    fields = Fields({}, frozenset())
    known_source = fields.parameter("source", source, slug)
    personal = known_source in context.personal_sources
    if personal:
        fields.refuse_parameter(Unfit("external-id-personal", "Ids of this source are personal: use a body."), "source")
    known_value = fields.parameter("value", value, _value(personal))
    fields.check()
    return ExternalId(source=known_source, value=known_value)


def external_id_of(body: dict[str, Any], context: Context) -> ExternalId:
    """The body of a route that links or unlinks one."""
    fields = Fields(body, EXTERNAL_ID)
    found = _external_id(fields, context)
    fields.check()
    return found


def external_id_in(body: dict[str, Any], context: Context) -> tuple[ExternalId, dict[str, Any]]:
    """The external id that a body names its customer by, and the rest of the body."""
    fields = Fields(body, body.keys())
    found = _external_id(fields.object("externalId", EXTERNAL_ID), context)
    fields.check()
    return found, {name: value for name, value in body.items() if name != "externalId"}


def external_ids(fields: Fields, context: Context) -> tuple[ExternalId, ...]:
    items = fields.objects("externalIds", MAX_EXTERNAL_IDS, EXTERNAL_ID)
    return tuple(dict.fromkeys(_external_id(item, context) for item in items))


def _external_id(fields: Fields, context: Context) -> ExternalId:
    source = fields.required("source", slug)
    personal = source in context.personal_sources
    return ExternalId(source=source, value=fields.required("value", _value(personal)), personal=personal)


def _value(personal: bool) -> Parser[str]:
    def parse(value: Any) -> str:
        given = external_value(value)
        if not personal and says_who(given):
            raise Unfit("external-id-personal", "The value holds an e-mail address, a phone number or a tax id.")
        return given

    return parse


def _tag(value: Any) -> str:
    return slug(value, "tag-format")
