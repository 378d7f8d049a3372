"""Invented customers by number: the same number is always the same customer, and no two share what only one may have.

Names are as frequent as in Brazil, so that a search for `maria` finds one in eight. Values are in the normal form in
which commands have them; a test compares them with what `inputs` makes of the same values.
"""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    ChangeAddress,
    ChangeCustomer,
    Command,
    RecordConsent,
    RegisterCustomer,
    RequestErasure,
    SuspendCustomer,
    TagCustomer,
    VerifyEmail,
)
from customerflow_local import names
from customerflow_shared.values import (
    Address,
    Consent,
    CustomerType,
    ExternalId,
    PersonalProfile,
    Phone,
    Profile,
    TaxId,
)
from msgspec.structs import replace

SOURCE = "load"
RARE_NAME, RARE_NAMES = "Wanderley", 20  # so many have it, however many customers there are
RARE_TAG, RARE_TAGS = "pilot", 100
UNCOMMON_TAG, COMMON_TAG = "vip", "newsletter"  # of 1 % and of 30 %

_LONG_AGO = datetime(2025, 1, 1, 12, tzinfo=UTC)
_SCRAMBLE = 387_420_489  # has no factor in common with a power of ten: each number leads to another CPF


def _weighted(text: str) -> tuple[list[str], list[float]]:
    """`Maria 12 José 6`: words, and their weights added up."""
    words, weights, total = text.split()[::2], [float(weight) for weight in text.split()[1::2]], 0.0
    return words, [total := total + weight for weight in weights]


_WOMEN = _weighted(
    """
    Maria 20 Ana 6 Francisca 1.4 Antônia 1.2 Adriana 1.1 Juliana 1.1 Márcia 1 Fernanda 1 Patrícia 1 Aline 1 Sandra .9
    Camila .9 Amanda .9 Bruna .9 Jéssica .9 Letícia .9 Júlia .8 Luciana .8 Vanessa .8 Mariana .8 Gabriela .8 Vitória .7
    Larissa .7 Cláudia .7 Beatriz .7 Rita .6 Luana .6 Sônia .5 Renata .5 Eliane .5 Inês .4 Conceição .3 Graça .2
    """
)
_MEN = _weighted(
    """
    José 11 João 6 Antônio 5 Francisco 3.5 Carlos 3 Paulo 2.8 Pedro 2.4 Lucas 2.2 Luiz 2.2 Marcos 2.1
    Luís 1.8 Gabriel 1.8 Rafael 1.6 Daniel 1.4 Marcelo 1.3 Bruno 1.3 Eduardo 1.2 Felipe 1.2 Rodrigo 1.1
    Manoel 1 Mateus 1 André .9 Fernando .9 Fábio .9 Leonardo .9 Gustavo .9 Guilherme .8 Leandro .8 Tiago .7 Ricardo .7
    Nuno .2 Rui .2 Duarte .1
    """
)
_SURNAMES = _weighted(
    """
    Silva 12 Santos 8 Oliveira 6 Souza 5 Rodrigues 4 Ferreira 4 Alves 3.5 Pereira 3.5 Lima 3 Gomes 2.8 Costa 2.6
    Ribeiro 2.4 Martins 2.2 Carvalho 2 Almeida 2 Lopes 1.8 Soares 1.7 Fernandes 1.7 Vieira 1.6 Barbosa 1.6 Rocha 1.5
    Dias 1.4 Nascimento 1.4 Andrade 1.2 Moreira 1.1 Nunes 1 Marques 1 Machado .9 Mendes .9 Freitas .8 Ramos .7 Pinto .6
    Teixeira .6 Cardoso .6 Correia .5 Figueiredo .3 Magalhães .2 Sousa .2
    """
)
_STAGES = _weighted("customer 55 lead 20 prospect 15 former 10")
_HOSTS = _weighted("example.com 7 example.org 2 example.net 1")


class Place(NamedTuple):
    """`phone` is what the numbers begin with, seven digits follow."""

    country: str
    region: str | None
    city: str
    postal_code: str
    street: str
    phone: str
    locale: str
    timezone: str


_BRAZIL = [
    Place("BR", region, city, postal_code, street, f"+55{area}99", "pt-BR", "America/Sao_Paulo")
    for city, region, postal_code, area, street in names.PLACES
]
_ABROAD = [
    *[Place("PT", None, "Lisboa", "1100-148", "Rua Augusta", "+35191", "pt-PT", "Europe/Lisbon")] * 4,
    *[Place("PT", None, "Porto", "4050-253", "Rua das Flores", "+35193", "pt-PT", "Europe/Lisbon")] * 2,
    Place("US", "CA", "San Francisco", "94103", "Market Street", "+1415", "en-US", "America/Los_Angeles"),
    Place(
        "AR", "C", "Buenos Aires", "C1043", "Avenida Corrientes", "+549114", "es-AR", "America/Argentina/Buenos_Aires"
    ),
    Place("ES", None, "Vigo", "36201", "Rúa do Príncipe", "+3461", "es-ES", "Europe/Madrid"),
    Place("DE", None, "Berlin", "10117", "Unter den Linden", "+491512", "de-DE", "Europe/Berlin"),
]


class Life(NamedTuple):
    """What registers a customer, and what becomes of it. Each of the changes may be asked for again: it has no effect
    then, or is refused.
    """

    registration: RegisterCustomer
    changes: tuple[Command, ...]


def life(number: int) -> Life:
    chance = random.Random(number)
    registration = _registration(number, chance)
    if is_erased(number):
        return Life(registration, (RequestErasure(due_at=_LONG_AGO, request_ref=f"DSR-{number}"),))
    return Life(registration, _changes(registration, chance))


def eventful_life(number: int) -> Life:
    """Three events, and nobody is erased."""
    grown = ChangeCustomer(profile=Profile(lifecycle_stage="loyal"))
    return Life(_registration(number, random.Random(number)), (grown, TagCustomer(tag="returning")))


def body(registration: RegisterCustomer) -> dict[str, Any]:
    """What a client sends to register that customer."""
    known: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(registration))
    for part in (*known["tax_ids"], *known["addresses"]):
        del part["id"]
    same = {name: known[name] for name in ("name", "email", "addresses", "consents", "tags", "attributes")}
    renamed = {"type": known["customer_type"], "taxIds": known["tax_ids"], "externalIds": known["external_ids"]}
    phone = {"phone": registration.phone.number} if registration.phone else {}
    return {**same, **renamed, **phone, **known["profile"], **known["personal"]}


def is_erased(number: int) -> bool:
    return number % 1000 == 500


def external_id(number: int) -> ExternalId:
    return ExternalId(source=SOURCE, value=str(number))


def _registration(number: int, chance: random.Random) -> RegisterCustomer:
    place = chance.choice(_BRAZIL if chance.random() < 0.9 else _ABROAD)
    who = _person(number, chance) if chance.random() < 0.88 else _company(chance)
    externals = [external_id(number)]
    if chance.random() < 0.5:
        externals.append(ExternalId(source="erp", value=f"L{number:08}"))
    tail = 2_000_000 + number * 7919 % 6_000_000
    return RegisterCustomer(
        customer_type=who.type,
        name=who.name,
        profile=Profile(
            locale=place.locale,
            timezone=place.timezone,
            lifecycle_stage=_one_of(_STAGES, chance),
        ),
        personal=who.personal,
        email=f"{who.mailbox}.{number}@{_one_of(_HOSTS, chance)}",
        phone=Phone(number=f"{place.phone}{tail}") if chance.random() < 0.75 else None,
        tax_ids=_tax_ids(number, who.type, chance) if place.country == "BR" else (),
        addresses=(_address(place, chance),),
        consents=_consents(chance),
        tags=_tags(number, who.type, chance),
        external_ids=tuple(externals),
        attributes={"points": chance.randrange(1000)} if chance.random() < 0.4 else {},
    )


class _Who(NamedTuple):
    type: CustomerType
    name: str
    personal: PersonalProfile
    mailbox: str


def _person(number: int, chance: random.Random) -> _Who:
    given_names = _WOMEN if chance.random() < 0.52 else _MEN
    given = _one_of(given_names, chance) if chance.random() < 0.97 else chance.choice(names.FIRST)
    if chance.random() < 0.35 and (second := _one_of(given_names, chance)) != given:
        given = f"{given} {second}"
    family = _one_of(_SURNAMES, chance) if chance.random() < 0.97 else chance.choice(names.LAST)
    if chance.random() < 0.55 and (second := _one_of(_SURNAMES, chance)) != family:
        family = f"{second} {family}"
    if number % 100 == 42 and number < RARE_NAMES * 100:
        family = RARE_NAME
    born = date(1940, 1, 1) + timedelta(days=chance.randrange(67 * 365))
    personal = PersonalProfile(given_name=given, family_name=family, birth_date=born)
    return _Who("person", f"{given} {family}", personal, f"{names.plain(given)}.{names.plain(family)}")


def _company(chance: random.Random) -> _Who:
    trade = f"{chance.choice(names.TRADE)} {_one_of(_SURNAMES, chance)}"
    legal = f"{trade} {chance.choice(names.FORM)}"
    return _Who("company", legal, PersonalProfile(legal_name=legal, trade_name=trade), names.plain(trade))


def _tax_ids(number: int, customer_type: CustomerType, chance: random.Random) -> tuple[TaxId, ...]:
    if customer_type == "person":
        kind, value = "br_cpf", names.cpf(f"{(number + 1) * _SCRAMBLE % 10**9:09}")
    else:
        kind, value = "br_cnpj", names.cnpj(f"LD{(number + 1) * _SCRAMBLE % 10**10:010}")
    return (TaxId(id=_id(chance), type=kind, value=value),)


def _address(place: Place, chance: random.Random) -> Address:
    return Address(
        id=_id(chance),
        label="main",
        roles=("billing", "shipping"),
        country=place.country,
        line1=place.street,
        number=str(chance.randrange(1, 3000)),
        city=place.city,
        region=place.region,
        postal_code=place.postal_code,
    )


def _consents(chance: random.Random) -> tuple[Consent, ...]:
    asked = _LONG_AGO + timedelta(hours=chance.randrange(8000))
    by_email = Consent(purpose="newsletter", channel="email", state="granted", captured_at=asked, source="checkout")
    by_sms = Consent(purpose="marketing", channel="sms", state="pending", captured_at=asked, source="store")
    return tuple(one for one, share in ((by_email, 0.6), (by_sms, 0.15)) if chance.random() < share)


def _tags(number: int, customer_type: CustomerType, chance: random.Random) -> tuple[str, ...]:
    given = {
        COMMON_TAG: chance.random() < 0.3,
        UNCOMMON_TAG: chance.random() < 0.01,
        "gold": chance.random() < 0.05,
        "b2b": customer_type == "company",
        RARE_TAG: number % 100 == 7 and number < RARE_TAGS * 100,
    }
    return tuple(tag for tag, has in given.items() if has)


def _changes(registered: RegisterCustomer, chance: random.Random) -> tuple[Command, ...]:
    """Of three in ten, so that there are about 1.4 events to a customer."""
    assert registered.email is not None
    later = _LONG_AGO + timedelta(days=400)
    match int(chance.random() * 100):
        case number if number < 6:
            profile = Profile(lifecycle_stage="customer", timezone="America/Recife")
            return (ChangeCustomer(profile=profile, attributes={"size": chance.choice("SML")}),)
        case number if number < 11:
            return (TagCustomer(tag="returning"),)
        case number if number < 15:
            withdrawn = Consent(
                purpose="newsletter", channel="email", state="withdrawn", captured_at=later, source="unsubscribe-link"
            )
            return (RecordConsent(consent=withdrawn),)
        case number if number < 20:
            (address,) = registered.addresses
            return (ChangeAddress(address=replace(address, line1="Rua Nova", number="7")),)
        case number if number < 24:
            verified = VerifyEmail(email=registered.email, method="link", verified_at=later)
            return verified, TagCustomer(tag="verified")
        case number if number < 27:
            return (SuspendCustomer(reason="an invoice is open"),)
        case number if number < 30:
            return TagCustomer(tag="lost"), ArchiveCustomer(reason="moved away")
        case _:
            return ()


def _one_of(words: tuple[Sequence[str], Sequence[float]], chance: random.Random) -> str:
    return chance.choices(words[0], cum_weights=words[1])[0]


def _id(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)
