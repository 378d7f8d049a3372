"""Suspended, archived, restored, erased: who may do what when, and what the clock does by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from blackbox.customers import Customer, Customers, a_customer
from blackbox.database import database
from blackbox.problems import problem
from blackbox.system import System
from blackbox.waiting import eventually

GRANTED = {"state": "granted", "capturedAt": "2026-01-02T03:04:05.678Z", "source": "checkout"}


async def status(customers: Customers, customer: Customer) -> str:
    return str((await customers.read(customer))["status"])


async def test_a_suspended_customer_changes_but_grants_no_consent_to_marketing(customers: Customers) -> None:
    suspended = await customers.suspend(await customers.register())
    assert await status(customers, suspended) == "suspended"
    path = f"{suspended.path}/consents/newsletter/email"
    problem(await customers.send("PUT", path, GRANTED), 409, "customer-suspended")
    granted = await customers.consent(suspended, "terms", "web", **GRANTED)
    changed = await customers.patch(granted, name="Changed While Suspended")
    reactivated = await customers.reactivate(changed)
    await customers.consent(reactivated, "newsletter", "email", **GRANTED)
    assert await status(customers, reactivated) == "active"


async def test_a_suspension_with_an_end_ends_by_itself(customers: Customers) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    suspended = await customers.suspend(await customers.register(), until=until.isoformat(timespec="milliseconds"))
    shown = await customers.read(suspended)
    assert (shown["status"], shown["suspendedUntil"]) == ("suspended", f"{until:%FT%T}.{until.microsecond // 1000:03}Z")

    async def reactivated() -> None:
        assert (await customers.get(suspended)).json()["status"] == "active"

    await eventually(reactivated, within=15)
    document = await customers.read(Customer(suspended.id, suspended.version + 1))
    assert "suspendedUntil" not in document
    assert document["updatedAt"] >= shown["suspendedUntil"]


async def test_an_archived_customer_returns_to_what_it_was(customers: Customers) -> None:
    suspended = await customers.suspend(await customers.register())
    for way in (("POST", "/archive", {"reason": "moved away"}, 200), ("DELETE", "", None, 204)):
        method, to, body, answered = way
        archived = await customers.command_on(suspended, method, to, body, status=answered)
        assert await status(customers, archived) == "archived"
        refused = await customers.send("PUT", f"{archived.path}/tags/vip")
        problem(refused, 409, "customer-archived")
        suspended = await customers.restore(archived)
        assert await status(customers, suspended) == "suspended"
    active = await customers.restore(await customers.archive(await customers.reactivate(suspended)))
    assert await status(customers, active) == "active"


async def test_a_suspension_is_not_ended_by_restoring(customers: Customers) -> None:
    suspended = await customers.suspend(await customers.register())
    refused = await customers.send("POST", f"{suspended.path}/restore", if_match=suspended.etag)
    document = problem(refused, 409, "invalid-transition")
    assert (document["from"], document["allowed"]) == ("suspended", ["active", "archived"])


async def test_a_pending_erasure_is_shown_and_can_be_cancelled(customers: Customers) -> None:
    customer = await customers.consent(await customers.register(), "newsletter", "email", **GRANTED)
    asked = {"requestRef": "ticket 42", "reason": "asked on the phone", "graceDays": 7}
    pending = await customers.command_on(customer, "POST", "/erasure", asked, status=202)
    erasure = (await customers.read(pending))["erasure"]
    due_in = datetime.fromisoformat(erasure["dueAt"]) - datetime.now(UTC)
    assert erasure["requestRef"] == "ticket 42"
    assert timedelta(days=6, hours=23) < due_in <= timedelta(days=7)

    refused = await customers.send("PATCH", pending.path, {"name": "Too Late"}, if_match=pending.etag)
    assert problem(refused, 409, "erasure-pending")["dueAt"] == erasure["dueAt"]
    withdrawn = await customers.consent(pending, "newsletter", "email", **{**GRANTED, "state": "withdrawn"})
    cancelled = await customers.command_on(withdrawn, "DELETE", "/erasure", status=204)
    assert "erasure" not in await customers.read(cancelled)
    await customers.patch(cancelled, name="Still Here")


async def test_a_legal_hold_forbids_an_erasure_until_it_is_lifted(customers: Customers) -> None:
    held = await customers.command_on(await customers.register(), "PUT", "/legal-hold", {"reason": "a lawsuit"})
    assert (await customers.read(held))["legalHold"] == {}
    problem(await customers.send("POST", f"{held.path}/erasure", {"graceDays": 0}), 409, "legal-hold")
    lifted = await customers.command_on(held, "DELETE", "/legal-hold", status=204)
    assert "legalHold" not in await customers.read(lifted)
    erased = await customers.request_erasure(lifted, grace_days=0)
    await eventually(lambda: is_erased(customers, erased), within=10)


async def is_erased(customers: Customers, customer: Customer) -> None:
    told = problem(await customers.get(customer), 410, "customer-erased")
    assert told["id"] == customer.id
    assert told["erasedAt"]


@pytest.mark.parametrize("state", ["active", "suspended", "archived", "pending"])
async def test_a_customer_of_any_state_can_be_erased_and_what_it_held_is_free(customers: Customers, state: str) -> None:
    body = a_customer()
    customer = await customers.register(**body)
    match state:
        case "suspended":
            customer = await customers.suspend(customer)
        case "archived":
            customer = await customers.archive(customer)
        case "pending":
            customer = await customers.request_erasure(customer)
    erased = await customers.request_erasure(customer, grace_days=0)
    await eventually(lambda: is_erased(customers, erased), within=10)
    refused = await customers.send("PATCH", erased.path, {"name": "Too Late"}, if_match=erased.etag)
    assert problem(refused, 410, "customer-erased")["erasedAt"]
    assert (await customers.register(email=body["email"])).version == 1


async def test_an_erasure_that_falls_due_is_carried_out_by_itself(system: System, customers: Customers) -> None:
    """What takes a day at least is brought about by dating the request back, as the owner of the database."""
    pending = await customers.request_erasure(await customers.register(), grace_days=1)
    await customers.read(pending)
    of_customer = f"customer_id = 0x{pending.id.replace('-', '')}"
    async with database(system.mysql_owner) as owner:
        dated_back = "data = JSON_SET(data, '$.dueAt', '2026-01-01T00:00:00Z')"
        await owner.rows(f"UPDATE cf_events SET {dated_back} WHERE {of_customer} AND version = {pending.version}")
        await owner.rows(f"UPDATE cf_due SET due_at = '2026-01-01' WHERE {of_customer}")
    # a process remembers for a minute what it has read
    await eventually(lambda: is_erased(customers, pending), within=75)
