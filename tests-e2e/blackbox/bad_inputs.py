"""A bad input and what it gets, as one row of a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blackbox.customers import Customer, Json, an_address

JSON: Final = "application/json"
UNKNOWN_ID: Final = "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"
CPF, OTHER_CPF, CNPJ = "390.533.447-05", "111.444.777-35", "12.ABC.345/01DE-35"
TOMORROW: Final = "2999-01-01"
CONSENT: Final[Json] = {"state": "granted", "capturedAt": "2026-01-01T00:00:00Z", "source": "checkout"}
ANY: Final = {"If-Match": "*"}


@dataclass(frozen=True)
class Row:
    """A request, and what it gets. `errors` are the codes by pointer, or by parameter of the path.

    In `path`, and in the texts of `body`, {standing} and the like are what stands in `World`.
    """

    name: str
    status: int
    code: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    more_headers: tuple[tuple[str, str], ...] = ()  # of names that come twice
    query: bool = False  # to the query service


@dataclass(frozen=True)
class World:
    """Customers whom no row may change, and what they hold."""

    standing: Customer
    archived: Customer
    suspended: Customer
    pending: Customer
    erased: Customer
    address: str
    email: str
    cpf: str
    external_id: str
    key: str

    def spell(self, text: str) -> str:
        names = ("standing", "archived", "suspended", "pending", "erased")
        known = {name: getattr(self, name).path for name in names}
        held = {"address": self.address, "email": self.email, "cpf": self.cpf, "externalId": self.external_id}
        for name, value in {**known, **held, "key": self.key, "version": str(self.standing.version)}.items():
            text = text.replace("{" + name + "}", value)
        return text


def refused(name: str, body: Mapping[str, Any], errors: Mapping[str, str]) -> Row:
    """A registration with unfit fields."""
    fields = {"type": "person", "name": "Ana Souza", **body}
    return Row(name, 422, "invalid-fields", "POST", "/v1/customers", body=fields, errors=errors)


def refused_change(name: str, body: Any, errors: Mapping[str, str], to: str = "", method: str = "PATCH") -> Row:
    headers = {"If-Match": "*"}
    return Row(name, 422, "invalid-fields", method, "{standing}" + to, body=body, headers=headers, errors=errors)


def raw(name: str, status: int, code: str, content: bytes, media_type: str = JSON, **more: Any) -> Row:
    """A registration whose body is these bytes."""
    return Row(name, status, code, "POST", "/v1/customers", raw=content, headers={"Content-Type": media_type}, **more)


def fields_of(name: str, field: str, code: str, *values: Any) -> Iterator[Row]:
    """One row for each of the unfit values of one field."""
    for number, value in enumerate(values, start=1):
        yield refused(f"{name} {number}", {field: value}, {f"#/{field}": code})


def address(name: str, changed: Mapping[str, Any], errors: Mapping[str, str]) -> Row:
    pointers = {f"#/addresses/0/{field}": code for field, code in errors.items()}
    return refused(name, {"addresses": [an_address(**changed)]}, pointers)


def tax_id(name: str, kind: str, value: str, code: str, at: str = "value") -> Row:
    return refused(name, {"taxIds": [{"type": kind, "value": value}]}, {f"#/taxIds/0/{at}": code})
