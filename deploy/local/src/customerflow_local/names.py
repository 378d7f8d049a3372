"""Invented customers, Brazilian for the greater part; any likeness is chance, every address is at example.com."""

import itertools
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    """
    Ana Antônio Beatriz Bruno Caio Camila Cauã Cecília Davi Débora Eduardo Flávia Gabriela Heitor Iara Inês
    João Joaquim Júlia Lívia Luís Márcia Mateus Natália Otávio Priscila Rafaela Renato Sônia Thiago Úrsula Vítor
    Aisha Amélie Björn Chinedu Dmitri Eszter Fatima Giulia Hiroshi Ingrid Jürgen Kwame Léa Mei Nguyễn Olivia
    Paweł Quentin Ravi Siobhán Tomáš Wanjiru Yusuf Zoë
    """
)
LAST = _words(
    """
    Almeida Araújo Barbosa Carvalho Conceição Fonseca Gonçalves Guimarães Lacerda Magalhães Mendonça Nóbrega
    Oliveira Paixão Queirós Ribeiro Sant'Anna Simões Tavares Vasconcelos Xavier
    Abebe Castellano Çelik Dąbrowski Eriksson Fitzgerald Grünwald Haddad Ito Kovács Laurent Mensah Novák O'Brien
    Petrov Sørensen Tanaka Varga Weiß
    """
)
TRADE = ("Padaria", "Oficina", "Livraria", "Transportes", "Café", "Laticínios", "Estúdio", "Vinhos", "Óptica")
FORM = ("Ltda.", "S.A.", "ME", "& Filhos", "GmbH", "Ltd", "SARL")


# City, its state, a postal code of it, the area code of its phones, a street.
PLACES = (
    ("São Paulo", "SP", "01310-100", "11", "Avenida Paulista"),
    ("Campinas", "SP", "13010-111", "19", "Rua Barão de Jaguara"),
    ("Rio de Janeiro", "RJ", "20040-002", "21", "Avenida Rio Branco"),
    ("Belo Horizonte", "MG", "30140-071", "31", "Rua da Bahia"),
    ("Curitiba", "PR", "80020-320", "41", "Rua XV de Novembro"),
    ("Porto Alegre", "RS", "90010-150", "51", "Rua dos Andradas"),
    ("Salvador", "BA", "40020-000", "71", "Rua Chile"),
    ("Recife", "PE", "50030-230", "81", "Rua do Bom Jesus"),
)
_CONSENT = {"purpose": "newsletter", "channel": "email", "state": "granted", "source": "checkout"}
_CNPJ_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Invented:
    """`erp` is the customer's number in another system, `body` what registers it."""

    erp: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def email(self) -> str:
        return str(self.body["email"])


def invent(run: str, seed: int = 0) -> Iterator[Invented]:
    """Customers without end. What only one may have is different in each `run`."""
    chance, unique = random.Random(seed), random.Random(run)
    for number in itertools.count(1):
        first, last = chance.choice(FIRST), chance.choice(LAST)
        is_person = chance.random() < 0.8
        who = _person(first, last, chance, unique) if is_person else _company(last, chance, unique)
        local = f"{plain(first)}.{plain(last)}" if is_person else f"contact.{plain(last)}"
        erp = f"C{number:05}-{run}"
        yield Invented(
            erp,
            {
                **who,
                **_contact(chance, unique),
                "email": f"{local}.{run}.{number}@example.com",
                "locale": "pt-BR",
                "timezone": "America/Sao_Paulo",
                "externalIds": [{"source": "erp", "value": erp}],
                "consents": [{**_CONSENT, "capturedAt": f"2026-10-{1 + number % 31:02}T12:00:00Z"}],
                "tags": ["demo"],
            },
        )


def _person(first: str, last: str, chance: random.Random, unique: random.Random) -> dict[str, Any]:
    born = f"{chance.randrange(1940, 2008)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    number = "".join(unique.choices("0123456789", k=9))
    return {
        "type": "person",
        "name": f"{first} {last}",
        "givenName": first,
        "familyName": last,
        "birthDate": born,
        "taxIds": [{"type": "br_cpf", "value": cpf(number)}],
    }


def _company(last: str, chance: random.Random, unique: random.Random) -> dict[str, Any]:
    """With a CNPJ that has letters, as they are issued since July 2026."""
    trade = f"{chance.choice(TRADE)} {last}"
    number = "".join(unique.choices(_CNPJ_LETTERS, k=12))
    legal = f"{trade} {chance.choice(FORM)}"
    return {
        "type": "company",
        "name": legal,
        "legalName": legal,
        "tradeName": trade,
        "taxIds": [{"type": "br_cnpj", "value": cnpj(number)}],
    }


def _contact(chance: random.Random, unique: random.Random) -> dict[str, Any]:
    city, region, postal_code, area, street = chance.choice(PLACES)
    address = {
        "label": "main",
        "roles": ["billing", "shipping"],
        "country": "BR",
        "postalCode": postal_code,
        "line1": street,
        "number": str(chance.randrange(1, 2000)),
        "city": city,
        "region": region,
    }
    phone = f"({area}) 9{unique.randrange(6000, 10_000)}-{unique.randrange(10_000):04}"
    return {"phone": phone, "phoneCountry": "BR", "addresses": [address]}


def cpf(number: str) -> str:
    """Nine digits, and the two that check them."""
    return number + _check_digits(number, range(11, 1, -1))


def cnpj(number: str) -> str:
    """Twelve digits or letters, and the two digits that check them."""
    return number + _check_digits(number, (6, 5, 4, 3, 2, *range(9, 1, -1)))


def _check_digits(number: str, weights: Sequence[int]) -> str:
    """A letter counts as its code less 48, so that a digit counts as itself."""
    for used in (weights[1:], weights):
        rest = sum((ord(character) - 48) * weight for character, weight in zip(number, used, strict=True)) % 11
        number += str(0 if rest < 2 else 11 - rest)
    return number[-2:]


def plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isascii() and letter.isalpha())
