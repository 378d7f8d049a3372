"""Tax ids: CPF and CNPJ (the alphanumeric one too) by our own check, the others by python-stdnum.

Every value is kept in the compact form of its type, so that two spellings of one number are one number.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from operator import mul
from typing import Any

from stdnum import exceptions
from stdnum.ar import cuit
from stdnum.au import abn
from stdnum.ca import bn
from stdnum.ch import vat as ch_vat
from stdnum.cl import rut as cl_rut
from stdnum.co import nit
from stdnum.do import rnc
from stdnum.ec import ruc as ec_ruc
from stdnum.es import nif as es_nif
from stdnum.eu import vat as eu_vat
from stdnum.gb import vat as gb_vat
from stdnum.in_ import gstin, pan
from stdnum.jp import cn as jp_cn
from stdnum.kr import brn
from stdnum.mx import rfc
from stdnum.no import mva
from stdnum.pe import ruc as pe_ruc
from stdnum.pt import nif as pt_nif
from stdnum.py import ruc as py_ruc
from stdnum.us import ein
from stdnum.uy import rut as uy_rut
from stdnum.ve import rif
from stdnum.za import tin

from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import ascii_compatible, string, text, trimmed

MAX_TAX_ID = 60

TAX_ID = frozenset({"type", "value"})
_PUNCTUATION = str.maketrans("", "", " .-/")
_CPF = re.compile(r"[0-9]{11}")
_CNPJ = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_CPF_WEIGHTS = (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
_CNPJ_WEIGHTS = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
_PUNCTUATED = re.compile(r"[0-9A-Za-z .\-/&\u00d1\u00f1]+")


def cpf(value: str) -> str:
    digits = _without_punctuation(value)
    if len(digits) != 11:
        raise Unfit("tax-id-length", "A CPF has 11 digits.")
    if not _CPF.fullmatch(digits):
        raise Unfit("tax-id-format", "A CPF consists of digits.")
    _require_variety(digits)
    _require_check_digits(digits, _CPF_WEIGHTS)
    return digits


def cnpj(value: str) -> str:
    """Also the alphanumeric one, which is issued since July 2026."""
    characters = _without_punctuation(value)
    if len(characters) != 14:
        hint = " This looks like a CPF." if len(characters) == 11 else ""
        raise Unfit("tax-id-length", f"A CNPJ has 14 characters.{hint}")
    if not _CNPJ.fullmatch(characters):
        raise Unfit("tax-id-format", "A CNPJ consists of 12 digits or letters and two digits.")
    _require_variety(characters)
    _require_check_digits(characters, _CNPJ_WEIGHTS)
    return characters


def is_brazilian(value: str) -> bool:
    """Whether it is a CPF or CNPJ, however it is punctuated."""
    for check in (cpf, cnpj):
        try:
            check(value)
        except Unfit:
            continue
        return True
    return False


def _other(value: str) -> str:
    """A type that we do not know is not checked."""
    return text(MAX_TAX_ID)(value)


def _eu_vat(value: str) -> str:
    """Greece is EL in this register, and GR for everybody else: one number, one spelling."""
    number = eu_vat.validate(value)
    return f"EL{number[2:]}" if number.startswith("GR") else number


def _ch_vat(value: str) -> str:
    """MWST, TVA and IVA are one word in the languages of Switzerland."""
    return f"{ch_vat.validate(value)[:12]}MWST"


def _cl_rut(value: str) -> str:
    """Of 7 or 8 digits and their check: a zero in front is only written to fill a form."""
    number = cl_rut.validate(value)
    return number[1:] if len(number) == 9 and number[0] == "0" else number


def _co_nit(value: str) -> str:
    return nit.validate(value).lstrip("0")


def _by(validate: Callable[[str], str]) -> Callable[[str], str]:
    """A check of python-stdnum. It takes far more for a digit or a separator than anybody writes, and gives some of it
    back: only ASCII (and the Ñ of Mexico and Spain) with the usual punctuation reaches it.
    """

    def check(value: str) -> str:
        plain = unicodedata.normalize("NFKC", value)
        if not _PUNCTUATED.fullmatch(plain):
            raise Unfit("tax-id-format", "The value has characters that do not belong here.")
        try:
            number = validate(plain)
        except exceptions.InvalidLength:
            raise Unfit("tax-id-length", "The value has not the length that its type prescribes.") from None
        except exceptions.InvalidChecksum:
            raise Unfit("tax-id-checksum", "The check digits do not fit.") from None
        except exceptions.ValidationError:
            raise Unfit("tax-id-format", "The value has not the form that its type prescribes.") from None
        _require_variety(number)
        return number

    return check


CHECKS: Mapping[str, Callable[[str], str]] = {
    "ar_cuit": _by(cuit.validate),
    "au_abn": _by(abn.validate),
    "br_cnpj": cnpj,
    "br_cpf": cpf,
    "ca_bn": _by(bn.validate),
    "ch_vat": _by(_ch_vat),
    "cl_rut": _by(_cl_rut),
    "co_nit": _by(_co_nit),
    "do_rnc": _by(rnc.validate),
    "ec_ruc": _by(ec_ruc.validate),
    "es_nif": _by(es_nif.validate),
    "eu_vat": _by(_eu_vat),
    "gb_vat": _by(gb_vat.validate),
    "in_gstin": _by(gstin.validate),
    "in_pan": _by(pan.validate),
    "jp_cn": _by(jp_cn.validate),
    "kr_brn": _by(brn.validate),
    "mx_rfc": _by(rfc.validate),
    "no_mva": _by(mva.validate),
    "pe_ruc": _by(pe_ruc.validate),
    "pt_nif": _by(pt_nif.validate),
    "py_ruc": _by(py_ruc.validate),
    "us_ein": _by(ein.validate),
    "uy_rut": _by(uy_rut.validate),
    "ve_rif": _by(rif.validate),
    "za_tin": _by(tin.validate),
    "other": _other,
}


def typed_number(fields: Fields) -> tuple[str, str]:
    """`type` and `value` of a tax id."""
    kind = fields.required("type", _type)
    check = CHECKS.get(kind, _other)
    return kind, fields.required("value", lambda given: check(trimmed(given, MAX_TAX_ID)))


def _type(value: Any) -> str:
    if string(value) not in CHECKS:
        raise Unfit("tax-id-type-unknown", "The type is not one of those that are checked, nor `other`.")
    return str(value)


def _without_punctuation(value: str) -> str:
    return ascii_compatible(value, "tax-id-format").translate(_PUNCTUATION).upper()


def _require_variety(value: str) -> None:
    if len(set(value)) == 1:
        raise Unfit("tax-id-repeated", "The value repeats one character.")


def _require_check_digits(value: str, weights: tuple[int, ...]) -> None:
    """The last but one is made with the weights but the first, the last with all. A letter counts as its code in ASCII
    less 48, so that a digit counts as itself.
    """
    numbers = [ord(character) - 48 for character in value]
    for number, used in ((numbers[-2], weights[1:]), (numbers[-1], weights)):
        rest = sum(map(mul, numbers, used)) % 11
        if number != (0 if rest < 2 else 11 - rest):
            raise Unfit("tax-id-checksum", "The check digits do not fit.")
