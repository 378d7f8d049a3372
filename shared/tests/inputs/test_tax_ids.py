"""Tax ids: one spelling of each number, and every way in which one can be wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.tax_ids import CHECKS, TAX_ID, cnpj, cpf, typed_number
from customerflow_shared.problems import Problem
from hypothesis import given
from hypothesis import strategies as st
from stdnum.br import cnpj as stdnum_cnpj
from stdnum.br import cpf as stdnum_cpf


def faults(kind: Any, value: Any) -> dict[str | None, str]:
    fields = Fields({"type": kind, "value": value}, TAX_ID)
    typed_number(fields)
    with pytest.raises(Problem) as caught:
        fields.check()
    return {fault.pointer: fault.code for fault in caught.value.errors}


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("br_cpf", "390.533.447-05", "39053344705"),
        ("br_cpf", "\uff13\uff19\uff10.533.447-05", "39053344705"),
        ("br_cnpj", "11.222.333/0001-81", "11222333000181"),
        ("br_cnpj", "12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("br_cnpj", "12abc34501de35", "12ABC34501DE35"),
        ("eu_vat", "de 136 695 976", "DE136695976"),
        ("eu_vat", "GR094259216", "EL094259216"),
        ("eu_vat", "EL094259216", "EL094259216"),
        ("us_ein", "91-1144442", "911144442"),
        ("pt_nif", "PT 501 964 843", "501964843"),
        ("ar_cuit", "20-05536168-2", "20055361682"),
        ("co_nit", "213.123.432-1", "2131234321"),
        ("co_nit", "0213.123.432-1", "2131234321"),
        ("cl_rut", "12.531.909-2", "125319092"),
        ("cl_rut", "05.126.663-3", "51266633"),
        ("ch_vat", "CHE-107.787.577 IVA", "CHE107787577MWST"),
        ("eu_vat", "NL4495445B01", "NL004495445B01"),
        ("mx_rfc", "gode 561231 gr8", "GODE561231GR8"),
        ("gb_vat", "GB 980 7806 84", "980780684"),
        ("in_gstin", "27AAPFU0939F1ZV", "27AAPFU0939F1ZV"),
        ("other", " X-1/2 ", "X-1/2"),
    ],
)
def test_a_number_has_one_spelling(kind: str, written: str, normal: str) -> None:
    assert typed_number(Fields({"type": kind, "value": written}, TAX_ID)) == (kind, normal)
    assert CHECKS[kind](normal) == normal


@pytest.mark.parametrize(
    ("kind", "written", "code"),
    [
        ("br_cpf", "390.533.447-06", "tax-id-checksum"),
        ("br_cpf", "390.533.447-15", "tax-id-checksum"),
        ("br_cpf", "390.533.447-0", "tax-id-length"),
        ("br_cpf", "111.111.111-11", "tax-id-repeated"),
        ("br_cpf", "39053344A05", "tax-id-format"),
        ("br_cpf", "\u0663\u0669\u0660 533 447 05", "tax-id-format"),
        ("br_cnpj", "39053344705", "tax-id-length"),
        ("br_cnpj", "11.222.333/0001-82", "tax-id-checksum"),
        ("br_cnpj", "11.222.333/0001-91", "tax-id-checksum"),
        ("br_cnpj", "12.ABC.345/01DE-3A", "tax-id-format"),
        ("br_cnpj", "12.AB\u00c7.345/01DE-35", "tax-id-format"),
        ("br_cnpj", "\u0661\u0662ABC34501DE35", "tax-id-format"),
        ("br_cnpj", "00000000000000", "tax-id-repeated"),
        ("eu_vat", "501964843", "tax-id-format"),
        ("eu_vat", "DE136695977", "tax-id-checksum"),
        ("eu_vat", "DE13669597", "tax-id-length"),
        ("us_ein", "07-1144442", "tax-id-format"),
        ("pt_nif", "\u0665\u0660\u0661964843", "tax-id-format"),
        ("pt_nif", "000000000", "tax-id-format"),
        ("ar_cuit", "20#05536168#2", "tax-id-format"),
        ("cl_rut", "00.000.000-0", "tax-id-repeated"),
        ("other", "", "blank"),
        ("other", "x" * 61, "too-long"),
        ("br_cpf", None, "required"),
        ("br_cpf", 39053344705, "type"),
    ],
)
def test_an_unfit_number_is_told_why(kind: str, written: Any, code: str) -> None:
    assert faults(kind, written) == {"#/value": code}


@pytest.mark.parametrize(
    ("kind", "code"),
    [("br_rg", "tax-id-type-unknown"), ("BR_CPF", "tax-id-type-unknown"), (None, "required"), (1, "type")],
)
def test_an_unknown_type_is_refused(kind: Any, code: str) -> None:
    assert faults(kind, "1") == {"#/type": code}


def test_a_cpf_where_a_cnpj_belongs_is_recognised() -> None:
    with pytest.raises(Unfit, match="tax-id-length") as caught:
        cnpj("390.533.447-05")
    assert "CPF" in caught.value.detail


def is_taken(check: Callable[[str], str], number: str) -> bool:
    try:
        return check(number) == number
    except Unfit:
        return False


@given(st.text("0123456789", min_size=9, max_size=9).filter(lambda digits: len(set(digits)) > 1), st.integers(0, 99))
def test_cpfs_are_those_of_python_stdnum(digits: str, guess: int) -> None:
    sound = digits + stdnum_cpf._calc_check_digits(digits)
    assert cpf(sound) == sound
    assert is_taken(cpf, f"{digits}{guess:02}") == stdnum_cpf.is_valid(f"{digits}{guess:02}")


@given(
    st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=12, max_size=12).filter(lambda given: len(set(given)) > 1),
    st.integers(0, 99),
)
def test_cnpjs_are_those_of_python_stdnum(root: str, guess: int) -> None:
    sound = root + stdnum_cnpj.calc_check_digits(root)
    assert cnpj(sound) == sound
    assert is_taken(cnpj, f"{root}{guess:02}") == stdnum_cnpj.is_valid(f"{root}{guess:02}")


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=20) | st.text("0123456789ABEK .-/", max_size=20))
def test_the_normal_form_of_any_number_is_its_own(kind: str, written: str) -> None:
    try:
        normal = CHECKS[kind](written)
    except Unfit:
        return
    assert CHECKS[kind](normal) == normal
    assert kind == "other" or normal.replace("\u00d1", "N").isascii()
