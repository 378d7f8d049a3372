"""Lists, search and look-ups show whom they should, as the customers are."""

import random
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from blackbox.bad_inputs import CONSENT
from blackbox.customers import Customer, Customers, Json, an_address
from blackbox.problems import problem
from blackbox.questions import LIST, LOOKUP, SEARCH, ask, pages

GIVEN = ["Ana", "\u00c1lvaro", "Bruno", "Maria", "Marina", "S\u00f8ren"]


@dataclass(frozen=True)
class Crowd:
    """Customers whom nobody else changes, by what they are shown as. All have the tag, and the token in their names."""

    token: str
    documents: list[Json]

    @property
    def tag(self) -> str:
        return f"crowd-{self.token}"

    def those(self, which: Callable[[Json], bool]) -> set[str]:
        return {document["id"] for document in self.documents if which(document)}


@pytest.fixture(scope="module")
async def crowd(customers: Customers) -> Crowd:
    token, chance = secrets.token_hex(5), random.Random(4)
    tag = f"crowd-{token}"

    async def born(number: int) -> Customer:
        customer = await customers.register(
            type=chance.choice(["person", "company"]),
            name=f"{GIVEN[number % len(GIVEN)]} {token}x{number:02}",
            tradeName=f"Loja {number:02}",
            tags=[tag, *chance.sample(["vip", "late", "b2b"], chance.randint(0, 2))],
            lifecycleStage=chance.choice(["lead", "client"]),
            locale=chance.choice(["pt-BR", "en"]),
            addresses=[an_address()] if number % 3 else [an_address(country="PT", postalCode="1000-001", region=None)],
            consents=[{"purpose": "news", "channel": "email", **CONSENT}] if number % 2 else [],
            externalIds=[{"source": "crm", "value": f"{token}-{number}"}],
        )
        match number % 5:
            case 0:
                return await customers.archive(customer)
            case 1:
                return await customers.suspend(customer)
            case 2:
                return await customers.patch(customer, name=f"1{number} {token}")
            case _:
                return customer

    known = [await born(number) for number in range(40)]
    return Crowd(token, [await customers.read(customer) for customer in known])


LIVING = {"active", "suspended"}
FILTERS: dict[str, tuple[Json, Callable[[Json], bool]]] = {
    "none": ({}, lambda one: one["status"] in LIVING),
    "archived": ({"status": "archived"}, lambda one: one["status"] == "archived"),
    "any status": ({"status": ["active", "archived", "suspended"]}, lambda one: True),
    "type": ({"type": "company"}, lambda one: one["type"] == "company" and one["status"] in LIVING),
    "all tags": ({"tagAll": ["vip", "b2b"]}, lambda one: {"vip", "b2b"} <= {*one["tags"]} and one["status"] in LIVING),
    "country": (
        {"country": ["PT", "DE"]},
        lambda one: one["addresses"][0]["country"] == "PT" and one["status"] in LIVING,
    ),
    "region": (
        {"region": "BR-SP"},
        lambda one: one["addresses"][0].get("region") == "SP" and one["status"] in LIVING,
    ),
    "stage and locale": (
        {"lifecycleStage": "lead", "locale": "en"},
        lambda one: (one["lifecycleStage"], one["locale"]) == ("lead", "en") and one["status"] in LIVING,
    ),
    "consent": ({"hasConsent": "news:email"}, lambda one: "consents" in one and one["status"] in LIVING),
    "source": ({"externalSource": "crm"}, lambda one: one["status"] in LIVING),
    "no issues": ({"hasIssues": "false"}, lambda one: "dataQuality" not in one and one["status"] in LIVING),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_shows_those_who_fit_as_they_are(customers: Customers, crowd: Crowd, name: str) -> None:
    parameters, which = FILTERS[name]
    shown = await pages(customers, 7, tagAll=[crowd.tag, *parameters.get("tagAll", [])], **_without_tags(parameters))
    assert Counter(one["id"] for one in shown) == Counter(crowd.those(which))
    assert all(one in crowd.documents for one in shown)


def _without_tags(parameters: Json) -> Json:
    return {name: value for name, value in parameters.items() if name != "tagAll"}


@pytest.mark.parametrize("sort", ["createdAt", "updatedAt"])
async def test_a_list_is_sorted_in_either_direction(customers: Customers, crowd: Crowd, sort: str) -> None:
    expected = sorted(
        (one for one in crowd.documents if one["status"] in LIVING), key=lambda one: (one[sort], one["id"])
    )
    assert await pages(customers, 9, tag=crowd.tag, sort=sort) == expected
    assert await pages(customers, 200, tag=crowd.tag, sort=f"-{sort}") == expected[::-1]


async def test_names_are_sorted_without_regard_to_case_and_accents(customers: Customers, crowd: Crowd) -> None:
    plain = str.maketrans({"\u00e1": "a", "\u00f8": "o"})
    expected = sorted(
        (one for one in crowd.documents if one["status"] in LIVING),
        key=lambda one: (one["name"].lower().translate(plain), one["id"]),
    )
    assert await pages(customers, 6, tag=crowd.tag, sort="name") == expected


async def test_a_range_of_times_is_from_its_beginning_to_before_its_end(customers: Customers, crowd: Crowd) -> None:
    times = sorted(one["createdAt"] for one in crowd.documents)
    first, last = times[5], times[25]
    shown = await pages(customers, 50, tag=crowd.tag, **{"createdAt[gte]": first, "createdAt[lt]": last})
    assert {one["id"] for one in shown} == crowd.those(
        lambda one: first <= one["createdAt"] < last and one["status"] in LIVING
    )


async def test_all_of_a_list_can_be_counted_and_shown_in_part(customers: Customers, crowd: Crowd) -> None:
    told = (await ask(customers, LIST, tag=crowd.tag, count="exact", limit=3, fields="name,status")).json()
    assert told["total"] == {"value": len(crowd.those(lambda one: one["status"] in LIVING)), "relation": "eq"}
    assert all(set(one) == {"id", "version", "name", "status"} for one in told["data"])


async def test_a_cursor_goes_on_only_in_the_list_that_it_is_of(customers: Customers, crowd: Crowd) -> None:
    cursor = (await ask(customers, LIST, tag=crowd.tag, limit=3)).json()["next"]
    await ask(customers, LIST, tag=crowd.tag, limit=5, cursor=cursor)
    for other in ({"tag": "vip"}, {"tag": crowd.tag, "sort": "name"}, {}):
        answer = await customers.query.get(LIST, params={**other, "cursor": cursor})
        problem(answer, 400, "cursor-mismatch")
    for place in range(0, len(cursor), 5):
        tampered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        answer = await customers.query.get(LIST, params={"tag": crowd.tag, "cursor": tampered})
        problem(answer, 400, "cursor-invalid")


@pytest.mark.parametrize(
    ("q", "given"),
    [
        ("{token}", GIVEN),
        ("{token} ma", ["Maria", "Marina"]),
        ("MARIA {token}", ["Maria"]),
        ("alvaro {token}", ["\u00c1lvaro"]),
        ("S\u00d8REN {token}", ["S\u00f8ren"]),
        ("soren {token} loj", ["S\u00f8ren"]),
        ("{token} nobody", []),
    ],
)
async def test_a_search_finds_who_has_words_that_begin_so(
    customers: Customers, crowd: Crowd, q: str, given: list[str]
) -> None:
    found: list[str] = []
    body: Json = {"q": q.format(token=crowd.token), "status": ["active", "suspended", "archived"], "limit": 10}
    while True:
        told = (await ask(customers, SEARCH, body)).json()
        found += [one["id"] for one in told["data"]]
        if "next" not in told:
            break
        body["cursor"] = told["next"]
    named = crowd.those(lambda one: one["name"].split()[0] in given)
    numbered = crowd.those(lambda one: one["name"][0] == "1") if q == "{token}" else set()
    assert Counter(found) == Counter(named | numbered)


async def test_a_search_is_narrowed_by_filters(customers: Customers, crowd: Crowd) -> None:
    told = (await ask(customers, SEARCH, {"q": crowd.token, "type": ["company"], "sort": "name", "limit": 200})).json()
    assert {one["id"] for one in told["data"]} == crowd.those(
        lambda one: one["type"] == "company" and one["status"] in LIVING
    )


async def test_whoever_has_a_value_is_looked_up_by_it_in_any_spelling(customers: Customers) -> None:
    token, number = secrets.token_hex(5), secrets.randbelow(10**7)
    customer = await customers.register(email=f"Look.{token}@Example.com", phone=f"+5511{96 * 10**7 + number}")
    customer, _ = await customers.add_tax_id(customer, "other", f"No. {token}")
    customer = await customers.link(customer, "erp", token)
    shown = await customers.read(customer)
    for body in (
        {"email": f"look.{token}@EXAMPLE.com"},
        {"phone": f"(11) {96 * 10**7 + number}", "phoneCountry": "BR"},
        {"taxId": {"type": "other", "value": f"No. {token}"}},
        {"externalId": {"source": "erp", "value": token}},
    ):
        assert (await ask(customers, LOOKUP, body)).json() == {"data": [shown]}, body
    for body in ({"email": f"not.{token}@example.com"}, {"externalId": {"source": "crm", "value": token}}):
        assert (await ask(customers, LOOKUP, body)).json() == {"data": []}
