"""A code shows that an e-mail address reaches the customer. The notification system fetches it with a token of its own;
no answer to anybody else holds it.
"""

import httpx
import pytest
from blackbox.customers import Customer, Customers, Json, version_of
from blackbox.problems import problem
from blackbox.system import System

TRIES = 5


async def ask_for_code(customers: Customers, customer: Customer) -> Json:
    answer = await customers.send("POST", f"{customer.path}/email/verification-code")
    assert answer.status_code == 202, answer.text
    asked: Json = answer.json()
    return asked


async def fetch(customers: Customers, asked: Json, token: str) -> httpx.Response:
    path = f"/internal/customers/{asked['id']}/email/verifications/{asked['verificationId']}"
    return await customers.command.get(path, headers={"Authorization": f"Bearer {token}"})


async def confirm(customers: Customers, asked: Json, code: str) -> httpx.Response:
    return await customers.send("POST", f"/v1/customers/{asked['id']}/email/confirmation", {"code": code})


@pytest.fixture
async def asked(customers: Customers) -> Json:
    return await ask_for_code(customers, await customers.register())


async def test_the_code_that_was_delivered_verifies_the_address(
    customers: Customers, system: System, asked: Json
) -> None:
    delivery = (await fetch(customers, asked, system.delivery_token)).json()
    confirmed = await confirm(customers, asked, delivery["code"])
    assert (confirmed.status_code, confirmed.json()["version"]) == (200, 3)
    document = await customers.read(Customer(asked["id"], 3))
    assert document["email"] == delivery["email"]
    assert document["emailVerifiedAt"]
    problem(await confirm(customers, asked, delivery["code"]), 409, "no-pending-verification")
    problem(await fetch(customers, asked, system.delivery_token), 404, "verification-not-found")


async def test_an_address_that_is_verified_needs_no_code(customers: Customers, system: System, asked: Json) -> None:
    code = (await fetch(customers, asked, system.delivery_token)).json()["code"]
    await confirm(customers, asked, code)
    again = await customers.send("POST", f"/v1/customers/{asked['id']}/email/verification-code")
    assert (again.status_code, again.json()) == (200, {"id": asked["id"], "version": 3})


async def test_nobody_can_try_all_codes(customers: Customers, system: System, asked: Json) -> None:
    code = (await fetch(customers, asked, system.delivery_token)).json()["code"]
    wrong = str((int(code) + 1) % 10**6).zfill(6)
    for tried in range(1, TRIES + 1):
        answer = await confirm(customers, asked, wrong)
        assert problem(answer, 422, "verification-code-wrong")["currentVersion"] == 2 + tried
        assert version_of(answer) == 2 + tried
    problem(await confirm(customers, asked, code), 409, "no-pending-verification")


async def test_another_code_has_to_be_waited_for(customers: Customers, system: System, asked: Json) -> None:
    """That it takes the place of the one before is left to tests that have a clock of their own."""
    again = await customers.send("POST", f"/v1/customers/{asked['id']}/email/verification-code")
    assert problem(again, 429, "verification-too-soon")["retryAt"]
    assert 0 < int(again.headers["Retry-After"]) <= 60
    code = (await fetch(customers, asked, system.delivery_token)).json()["code"]
    assert (await confirm(customers, asked, code)).status_code == 200


async def test_a_code_is_for_the_address_that_it_was_sent_to(customers: Customers, system: System, asked: Json) -> None:
    code = (await fetch(customers, asked, system.delivery_token)).json()["code"]
    await customers.patch(Customer(asked["id"], 2), email=f"other.{asked['id']}@example.com")
    problem(await confirm(customers, asked, code), 409, "no-pending-verification")


async def test_a_customer_without_an_address_gets_no_code(customers: Customers) -> None:
    customer = await customers.register(email=None)
    problem(await customers.send("POST", f"{customer.path}/email/verification-code"), 409, "contact-changed")


async def test_who_reads_the_feed_cannot_read_codes(customers: Customers, system: System, asked: Json) -> None:
    for token in (system.feed_token, "not the token of anybody"):
        problem(await fetch(customers, asked, token), 401, "unauthorized")
