"""What a key was answered comes before everything that may have changed since."""

import secrets

import httpx
import pytest
from blackbox.customers import Customer, Customers
from blackbox.problems import problem


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


async def rename(customers: Customers, customer: Customer, key: dict[str, str], name: str) -> httpx.Response:
    """Always from version 1."""
    return await customers.send("PATCH", customer.path, {"name": name}, if_match='"1"', headers=key)


async def test_a_replay_is_decided_before_the_version(customers: Customers, key: dict[str, str]) -> None:
    customer = await customers.register()
    first = await rename(customers, customer, key, "Another Name")
    await customers.patch(Customer(customer.id, 2), name="A Third Name")
    again = await rename(customers, customer, key, "Another Name")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await customers.read(Customer(customer.id, 3)))["version"] == 3


async def test_a_key_that_is_reused_is_told_before_the_customer_is_looked_for(
    customers: Customers, key: dict[str, str]
) -> None:
    await rename(customers, await customers.register(), key, "Another Name")
    stranger = Customer("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11", 1)
    problem(await rename(customers, stranger, key, "Another Name"), 422, "idempotency-key-reused")


async def test_a_refusal_is_not_kept(customers: Customers, key: dict[str, str]) -> None:
    customer = await customers.register()
    problem(await rename(customers, customer, key, ""), 422, "invalid-fields")
    accepted = await rename(customers, customer, key, "Another Name")
    assert accepted.status_code == 200
    assert "Idempotency-Replayed" not in accepted.headers


async def test_a_wrong_code_is_counted_once_for_each_key(customers: Customers, key: dict[str, str]) -> None:
    customer = await customers.register()
    assert (await customers.send("POST", f"{customer.path}/email/verification-code")).status_code == 202
    tries = [
        await customers.send("POST", f"{customer.path}/email/confirmation", {"code": "no code"}, headers=key)
        for _ in range(2)
    ]
    for answer in tries:
        assert problem(answer, 422, "verification-code-wrong")["currentVersion"] == 3
    assert tries[1].headers["Idempotency-Replayed"] == "true"


async def test_an_erasure_is_answered_again_as_long_as_it_is_to_come(customers: Customers, key: dict[str, str]) -> None:
    customer = await customers.register()
    first, again = [
        await customers.send("POST", f"{customer.path}/erasure", {"graceDays": 3}, headers=key) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert first.json()["dueAt"]
