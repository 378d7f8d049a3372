"""Tax ids: one of each type, at most ten."""

import pytest
from customerflow_command.customer.commands import AddTaxId, RemoveTaxId, TagCustomer
from customerflow_command.customer.decide import resource
from customerflow_command.customer.errors import LimitReached, TaxIdNotFound, TaxIdTypePresent
from customerflow_shared.events import CustomerTaxIdAdded, CustomerTaxIdRemoved

from .sentences import REGISTERED, known, number, registered, tax_id, when

WITH_CPF = registered(tax_ids=[tax_id(1), tax_id(2, "br_cnpj", "12ABC34501DE35")])


def test_a_tax_id_is_added() -> None:
    command = AddTaxId(tax_id=tax_id(1))
    added = when(command)
    assert added == [CustomerTaxIdAdded(tax_id_id=number(1), tax_id_type="br_cpf", value="39053344705")]
    after = known([REGISTERED, *added])
    assert after.tax_ids == (tax_id(1),)
    assert resource(command, after) == number(1)


def test_a_tax_id_that_is_there_is_answered_with_the_id_that_it_has() -> None:
    command = AddTaxId(tax_id=tax_id(9, "br_cnpj", "12ABC34501DE35"))
    assert when(command, given=[WITH_CPF]) == []
    assert resource(command, known([WITH_CPF])) == number(2)


def test_tax_ids_come_after_those_before() -> None:
    added = when(AddTaxId(tax_id=tax_id(3, "pt_nif", "501964843")), given=[WITH_CPF])
    assert [held.id for held in known([WITH_CPF, *added]).tax_ids] == [number(1), number(2), number(3)]


def test_a_second_value_of_the_same_type_is_refused() -> None:
    with pytest.raises(TaxIdTypePresent):
        when(AddTaxId(tax_id=tax_id(9, value="11144477735")), given=[WITH_CPF])


def test_the_same_value_under_another_type_is_another_tax_id() -> None:
    assert when(AddTaxId(tax_id=tax_id(9, "mx_rfc", "39053344705")), given=[WITH_CPF]) != []


def test_of_the_type_other_there_may_be_several() -> None:
    given = registered(tax_ids=[tax_id(1, "other", "x")])
    assert when(AddTaxId(tax_id=tax_id(2, "other", "y")), given=[given]) != []
    assert when(AddTaxId(tax_id=tax_id(2, "other", "x")), given=[given]) == []


def test_a_customer_has_at_most_ten_tax_ids() -> None:
    nine = [tax_id(n, "other", str(n)) for n in range(9)]
    assert when(AddTaxId(tax_id=tax_id(99)), given=[registered(tax_ids=nine)]) != []
    full = registered(tax_ids=[*nine, tax_id(10, "other", "10")])
    with pytest.raises(LimitReached) as refused:
        when(AddTaxId(tax_id=tax_id(99)), given=[full])
    assert refused.value.limit == 10
    assert when(AddTaxId(tax_id=tax_id(99, "other", "3")), given=[full]) == []


def test_a_tax_id_is_removed() -> None:
    removed = when(RemoveTaxId(tax_id_id=number(2)), given=[WITH_CPF])
    assert removed == [CustomerTaxIdRemoved(tax_id_id=number(2), tax_id_type="br_cnpj", value="12ABC34501DE35")]
    assert known([WITH_CPF, *removed]).tax_ids == (tax_id(1),)


def test_a_tax_id_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(TaxIdNotFound):
        when(RemoveTaxId(tax_id_id=number(3)), given=[WITH_CPF])


def test_a_command_that_adds_nothing_with_an_id_names_none() -> None:
    assert resource(TagCustomer(tag="vip"), known([WITH_CPF])) is None
    assert resource(AddTaxId(tax_id=tax_id(9, value="11144477735")), known([WITH_CPF])) is None
