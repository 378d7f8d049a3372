"""One e-mail address belongs to one customer, however many ask for it at once, wherever they ask."""

import asyncio
import secrets
from collections import Counter

import pytest
from blackbox.customers import Customers, a_customer
from blackbox.problems import problem

ADDRESSES = 200
RIVALS = 20
ADDRESSES_AT_ONCE = 3


async def test_of_many_rivals_for_an_address_exactly_one_gets_it(customers: Customers) -> None:
    turn = asyncio.Semaphore(ADDRESSES_AT_ONCE)

    async def rival(email: str) -> str:
        answer = await customers.send("POST", "/v1/customers", a_customer(email=email))
        return "201" if answer.status_code == 201 else f"{answer.status_code} {answer.json()['code']}"

    async def contest(email: str) -> Counter[str]:
        async with turn:
            return Counter(await asyncio.gather(*(rival(email) for _ in range(RIVALS))))

    token = secrets.token_hex(6)
    outcomes = await asyncio.gather(*(contest(f"rival.{n}.{token}@example.com") for n in range(ADDRESSES)))
    expected = {"201": 1, "409 duplicate-key": RIVALS - 1}
    assert [outcome for outcome in outcomes if outcome != expected] == []


async def test_a_change_takes_an_address_as_exclusively_as_a_registration(customers: Customers) -> None:
    email = a_customer()["email"]
    rivals = await asyncio.gather(*(customers.register() for _ in range(RIVALS)))
    answers = await asyncio.gather(
        *(customers.send("PATCH", rival.path, {"email": email}, if_match=rival.etag) for rival in rivals)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: RIVALS - 1}


async def test_two_customers_that_swap_addresses_never_share_one(customers: Customers) -> None:
    one, other = await asyncio.gather(customers.register(), customers.register())
    emails = [(await customers.read(customer))["email"] for customer in (one, other)]
    answers = await asyncio.gather(
        customers.send("PATCH", one.path, {"email": emails[1]}, if_match=one.etag),
        customers.send("PATCH", other.path, {"email": emails[0]}, if_match=other.etag),
    )
    for answer in answers:
        problem(answer, 409, "duplicate-key")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ana.{0}@Example.com", "ana.{0}@eXAMPLE.COM"),
        ("straße.{0}@example.com", "STRASSE.{0}@example.com"),
        ("jos\u00e9.{0}@example.com", "jose\u0301.{0}@example.com"),
        ("ana.{0}@b\u00fccher.com", "ana.{0}@xn--bcher-kva.com"),
        ("ana.{0}@b\u00fccher.com", "ana.{0}@BU\u0308CHER.com"),
    ],
)
async def test_an_address_spelled_differently_is_the_same(customers: Customers, first: str, second: str) -> None:
    token = secrets.token_hex(6)
    registered = await customers.register(email=first.format(token))
    answer = await customers.send("POST", "/v1/customers", a_customer(email=second.format(token)))
    problem(answer, 409, "duplicate-key")
    assert registered.version == 1


async def test_an_address_that_is_given_up_may_be_taken(customers: Customers) -> None:
    email = a_customer()["email"]
    await customers.patch(await customers.register(email=email), email=a_customer()["email"])
    await customers.register(email=email)


async def test_an_archived_customer_keeps_its_address(customers: Customers) -> None:
    email = a_customer()["email"]
    archived = await customers.archive(await customers.register(email=email))
    problem(await customers.send("POST", "/v1/customers", a_customer(email=email)), 409, "duplicate-key")
    assert (await customers.restore(archived)).version == 3


async def test_changing_the_spelling_of_ones_own_address_is_no_conflict(customers: Customers) -> None:
    email = a_customer()["email"]
    respelled = await customers.patch(await customers.register(email=email), email=email.upper())
    assert respelled.version == 2
    problem(await customers.send("POST", "/v1/customers", a_customer(email=email)), 409, "duplicate-key")
