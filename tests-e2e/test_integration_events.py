"""Other systems hear of every change as CloudEvents, in order, and are told no personal data."""

import asyncio
import json
import secrets
from collections.abc import Iterable

from aio_pika.abc import AbstractIncomingMessage
from blackbox.broker import Heard, listening, overtaken, reading_the_log
from blackbox.customers import Customer, Customers, Json, a_customer, an_address
from blackbox.system import System
from blackbox.waiting import eventually
from cloudevents.core.formats.json import JSONFormat


def cloud_event(message: AbstractIncomingMessage) -> Json:
    """The message, as the CloudEvents SDK reads it."""
    assert message.content_type == "application/cloudevents+json"
    event = JSONFormat().read(None, message.body)
    return {**event.get_attributes(), "data": event.get_data()}


async def heard_of(heard: Heard, customer: Customer) -> list[AbstractIncomingMessage]:
    """All messages about the customer, once its last version is among them."""

    async def complete() -> list[AbstractIncomingMessage]:
        about = [message for message in heard.messages if customer.id.encode() in message.body]
        assert versions(about)[-1:] == [customer.version]
        return about

    return await eventually(complete, within=10)


def versions(messages: Iterable[AbstractIncomingMessage]) -> list[int]:
    return [json.loads(message.body)["data"]["version"] for message in messages]


async def test_every_kind_of_change_is_told_as_a_cloud_event(system: System, customers: Customers) -> None:
    async with listening(system.amqp) as heard:
        customer = await customers.register()
        customer = await customers.patch(customer, name="Another Name")
        customer = await customers.patch(customer, email=a_customer()["email"])
        customer = await customers.restore(await customers.archive(customer))
        messages = await heard_of(heard, customer)

    assert [message.routing_key for message in messages] == [
        "customer.registered.v1",
        "customer.updated.v1",
        "customer.updated.v1",
        "customer.status_changed.v1",
        "customer.status_changed.v1",
    ]
    for message in messages:
        event = cloud_event(message)
        assert event["type"].endswith(f".{message.routing_key}")
        assert (event["specversion"], event["source"]) == ("1.0", "/customerflow")
        assert event["id"] == message.message_id
        assert event["subject"] == event["partitionkey"] == event["data"]["customerId"] == customer.id
        assert event["sequence"] == f"{event['data']['version']:020}"
        assert message.delivery_mode == 2
        assert len(message.body) < 64 * 1024
    registered, renamed, moved, archived, restored = (cloud_event(message)["data"] for message in messages)
    assert (registered["type"], registered["status"]) == ("person", "active")
    assert (renamed["changed"], moved["changed"]) == (["name"], ["email"])
    assert (archived["from"], archived["to"]) == ("active", "archived")
    assert (restored["from"], restored["to"]) == ("archived", "active")


async def test_every_event_of_a_life_is_told_under_its_name(system: System, customers: Customers) -> None:
    consent = {"state": "granted", "capturedAt": "2026-01-02T03:04:05.678Z", "source": "checkout"}
    loyalty, erp = (
        {"source": "loyalty", "value": secrets.token_hex(8)},
        {"source": "erp", "value": secrets.token_hex(8)},
    )
    async with listening(system.amqp) as heard:
        customer = await customers.register(
            addresses=[an_address()],
            consents=[{"purpose": "terms", "channel": "web", **consent}],
            externalIds=[loyalty, erp],
        )
        customer = await customers.consent(customer, "newsletter", "email", **consent)
        customer = await customers.tag(customer, "vip")
        customer = await customers.command_on(customer, "POST", "/email/verification-code", status=202)
        customer = await customers.reactivate(await customers.suspend(customer))
        customer = await customers.request_erasure(customer)
        customer = await customers.command_on(customer, "DELETE", "/erasure", status=204)
        customer = await customers.request_erasure(customer, grace_days=0)
        messages = await heard_of(heard, customer)

    told = [(message.routing_key, cloud_event(message)["data"]) for message in messages]
    assert [name for name, _ in told] == [
        "customer.registered.v1",
        "customer.consent_changed.v1",
        "customer.consent_changed.v1",
        "customer.updated.v1",
        "customer.email_verification_requested.v1",
        "customer.status_changed.v1",
        "customer.status_changed.v1",
        "customer.erasure_requested.v1",
        "customer.erasure_cancelled.v1",
        "customer.erasure_requested.v1",
        "customer.erased.v1",
    ]
    registered, terms, newsletter, tagged, code, *_, erased = (data for _, data in told)
    assert (registered["country"], registered["externalIds"]) == ("BR", [erp])
    assert [(one["version"], one["purpose"], one["state"]) for one in (terms, newsletter)] == [
        (1, "terms", "granted"),
        (2, "newsletter", "granted"),
    ]
    assert tagged["changed"] == ["tags"]
    assert code["links"] == {
        "delivery": f"/internal/customers/{customer.id}/email/verifications/{code['verificationId']}"
    }
    assert erased["externalIds"] == [erp]
    assert len({message.message_id for message in messages}) == len(messages)
    assert not any(loyalty["value"].encode() in message.body for message in messages)


async def test_a_command_that_records_two_events_is_told_once(system: System, customers: Customers) -> None:
    async with listening(system.amqp) as heard:
        customer = await customers.patch(await customers.register(), name="Another Name", email=None)
        registered, updated = await heard_of(heard, customer)
    told = cloud_event(updated)["data"]
    assert (cloud_event(registered)["data"]["version"], told["version"]) == (1, 3)
    assert sorted(told["changed"]) == ["email", "name"]


async def test_a_subscriber_may_choose_one_kind_of_event(system: System, customers: Customers) -> None:
    async with listening(system.amqp, routing_key="customer.status_changed.*") as heard:
        archived = await customers.archive(await customers.patch(await customers.register(), name="Another Name"))
        assert versions(await heard_of(heard, archived)) == [3]


async def test_a_registration_and_its_changes_tell_no_personal_data(system: System, customers: Customers) -> None:
    before, after = a_customer(), a_customer()
    async with listening(system.amqp) as heard:
        customer = await customers.register(**before)
        customer = await customers.patch(customer, name=after["name"], email=after["email"])
        messages = await heard_of(heard, customer)
    for message in messages:
        told = message.body.decode() + str(message.headers)
        for personal in (before["name"], before["email"], after["name"], after["email"]):
            assert personal not in told


async def test_the_log_tells_everything_from_the_first_event_on(system: System, customers: Customers) -> None:
    customer = await customers.archive(await customers.register())
    async with reading_the_log(system.amqp) as heard:
        assert versions(await heard_of(heard, customer)) == [1, 2]
        last = max(int(str(message.headers["x-stream-offset"])) for message in heard.messages)
        assert versions(heard.messages[:1]) == [1]

    customer = await customers.restore(customer)
    async with reading_the_log(system.amqp, offset=last + 1) as heard:
        assert versions(await heard_of(heard, customer)) == [3]


async def test_each_customer_is_told_of_in_version_order(system: System) -> None:
    """Over the whole log, with everything that was killed while it was written."""
    async with reading_the_log(system.amqp) as heard:

        async def quiet() -> None:
            before = len(heard.messages)
            await asyncio.sleep(0.5)
            assert len(heard.messages) == before

        await eventually(quiet, within=30)
    assert heard.messages
    assert overtaken(heard.messages) == []
