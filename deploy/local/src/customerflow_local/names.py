"""Invented customers, Brazilian for the greater part; any likeness is chance, every address is at example.com."""

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    """
    Ana Antônio Beatriz Bruno Caio Camila Cauã Cecília Davi Débora Eduardo Flávia Gabriela Heitor Iara Inês
    João Joaquim Júlia Lívia Luís Márcia Mateus Natália Otávio Priscila Rafaela Renato Sônia Thiago Úrsula Vítor
    Aisha Amélie Björn Chinedu Dmitri Eszter Fatima Giulia Hiroshi Ingrid Jürgen Kwame Léa Mei Nguyễn Olivia
    Paweł Quentin Ravi Siobhán Tomáš Wanjiru Yusuf Zoë
    """
)
_LAST = _words(
    """
    Almeida Araújo Barbosa Carvalho Conceição Fonseca Gonçalves Guimarães Lacerda Magalhães Mendonça Nóbrega
    Oliveira Paixão Queirós Ribeiro Sant'Anna Simões Tavares Vasconcelos Xavier
    Abebe Castellano Çelik Dąbrowski Eriksson Fitzgerald Grünwald Haddad Ito Kovács Laurent Mensah Novák O'Brien
    Petrov Sørensen Tanaka Varga Weiß
    """
)
_TRADE = ("Padaria", "Oficina", "Livraria", "Transportes", "Café", "Laticínios", "Estúdio", "Vinhos", "Óptica")
_FORM = ("Ltda.", "S.A.", "ME", "& Filhos", "GmbH", "Ltd", "SARL")


@dataclass(frozen=True)
class Invented:
    type: Literal["person", "company"]
    name: str
    email: str


def invent(run: str, seed: int = 0) -> Iterator[Invented]:
    """Customers without end. `run` is part of every address, so that another run's are other customers."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        first, last = chance.choice(_FIRST), chance.choice(_LAST)
        if chance.random() < 0.8:
            address = f"{_plain(first)}.{_plain(last)}.{run}.{number}@example.com"
            yield Invented("person", f"{first} {last}", address)
        else:
            trade = chance.choice(_TRADE)
            address = f"contact.{_plain(last)}.{run}.{number}@example.com"
            yield Invented("company", f"{trade} {last} {chance.choice(_FORM)}", address)


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isascii() and letter.isalpha())
