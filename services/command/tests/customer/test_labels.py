"""Tags and external ids."""

import pytest
from customerflow_command.customer.commands import LinkExternalId, TagCustomer, UnlinkExternalId, UntagCustomer
from customerflow_command.customer.errors import LimitReached
from customerflow_shared.events import (
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerTagged,
    CustomerUntagged,
)
from customerflow_shared.values import ExternalId

from .sentences import REGISTERED, erp, known, personal, registered, when


def test_a_customer_is_tagged_once() -> None:
    tagged = when(TagCustomer(tag="vip"))
    assert tagged == [CustomerTagged(tag="vip")]
    assert known([registered(tags=["b2b"]), *tagged]).tags == ("b2b", "vip")
    assert when(TagCustomer(tag="vip"), given=[REGISTERED, *tagged]) == []


def test_a_customer_is_untagged_once() -> None:
    given = registered(tags=["b2b", "vip"])
    untagged = when(UntagCustomer(tag="b2b"), given=[given])
    assert untagged == [CustomerUntagged(tag="b2b")]
    assert known([given, *untagged]).tags == ("vip",)
    assert when(UntagCustomer(tag="b2b"), given=[given, *untagged]) == []


def test_a_customer_has_at_most_fifty_tags() -> None:
    tags = [f"t{n}" for n in range(49)]
    assert when(TagCustomer(tag="vip"), given=[registered(tags=tags)]) != []
    full = registered(tags=[*tags, "t49"])
    with pytest.raises(LimitReached) as refused:
        when(TagCustomer(tag="vip"), given=[full])
    assert refused.value.limit == 50
    assert when(TagCustomer(tag="t7"), given=[full]) == []


def test_an_external_id_is_linked_once() -> None:
    linked = when(LinkExternalId(external_id=erp()))
    assert linked == [CustomerExternalIdLinked(source="erp", value="10442")]
    assert known([REGISTERED, *linked]).external_ids == (erp(),)
    assert when(LinkExternalId(external_id=erp()), given=[REGISTERED, *linked]) == []


def test_an_external_id_of_a_personal_source_is_never_told_in_clear() -> None:
    linked = when(LinkExternalId(external_id=personal()))
    assert linked == [CustomerExternalIdLinked(source="crm", value=None, personal_value="ana@crm.example")]
    assert known([REGISTERED, *linked]).external_ids == (personal(),)
    unlinked = when(UnlinkExternalId(external_id=personal()), given=[REGISTERED, *linked])
    assert unlinked == [CustomerExternalIdUnlinked(source="crm", value=None, personal_value="ana@crm.example")]
    assert known([REGISTERED, *linked, *unlinked]).external_ids == ()


@pytest.mark.parametrize("other", [erp("10443"), erp("10442 "), ExternalId(source="ERP", value="10442")])
def test_an_external_id_is_compared_letter_by_letter(other: ExternalId) -> None:
    given = registered(external_ids=[erp()])
    linked = when(LinkExternalId(external_id=other), given=[given])
    assert known([given, *linked]).external_ids == (erp(), other)
    assert when(UnlinkExternalId(external_id=other), given=[given]) == []


def test_only_the_external_id_that_is_unlinked_goes() -> None:
    given = registered(external_ids=[erp(), erp("2"), personal()])
    unlinked = when(UnlinkExternalId(external_id=erp()), given=[given])
    assert unlinked == [CustomerExternalIdUnlinked(source="erp", value="10442")]
    assert known([given, *unlinked]).external_ids == (erp("2"), personal())


@pytest.mark.parametrize(
    ("linked", "asked"),
    [
        (personal(), ExternalId(source="crm", value="ana@crm.example")),
        (erp(), ExternalId(source="erp", value="10442", personal=True)),
    ],
)
def test_an_external_id_is_unlinked_as_it_was_linked_whatever_its_source_is_declared_to_be_now(
    linked: ExternalId, asked: ExternalId
) -> None:
    given = registered(external_ids=[linked])
    assert when(LinkExternalId(external_id=asked), given=[given]) == []
    assert known([given, *when(UnlinkExternalId(external_id=asked), given=[given])]).external_ids == ()


def test_a_customer_has_at_most_twenty_external_ids() -> None:
    nineteen = [erp(str(n)) for n in range(19)]
    assert when(LinkExternalId(external_id=erp()), given=[registered(external_ids=nineteen)]) != []
    with pytest.raises(LimitReached) as refused:
        when(LinkExternalId(external_id=erp()), given=[registered(external_ids=[*nineteen, personal()])])
    assert refused.value.limit == 20
