"""The account that the observer keeps finds whatever a broker could do wrong."""

import json
from dataclasses import replace
from typing import Any

from blackbox.account import MEDIA_TYPE, Delivery, Json, compare, unlike_commands

ANA, BIA = "0193f0a0-0000-7000-8000-00000000000a", "0193f0a0-0000-7000-8000-00000000000b"


def event(customer: str, version: int, kind: str = "customer.updated.v1", **data: Any) -> Json:
    return {
        "id": f"{customer}/{version}",
        "type": f"com.example.{kind}",
        "subject": customer,
        "sequence": f"{version:020}",
        "time": "2026-11-22T15:04:05.123Z",
        "data": {"customerId": customer, "version": version, **data},
    }


def delivered(told: Json) -> Delivery:
    key = told["type"].removeprefix("com.example.")
    return Delivery(0.0, json.dumps(told).encode(), told["id"], key, MEDIA_TYPE)


HAPPENED = [event(ANA, 1), event(BIA, 1), event(ANA, 2), event(BIA, 3), event(ANA, 4)]
TOLD = [delivered(one) for one in HAPPENED]


def test_what_is_told_as_it_happened_is_right_whoever_comes_first() -> None:
    account = compare(HAPPENED, TOLD)
    assert (account.violations, account.duplicates, account.firsts) == ([], 0, TOLD)
    with_schema = [{**one, "dataschema": "http://127.0.0.1/schemas/customer.updated.v1.json"} for one in HAPPENED]
    assert compare(HAPPENED, map(delivered, with_schema)).violations == []
    others_first = [TOLD[1], TOLD[3], TOLD[0], TOLD[2], TOLD[4]]
    assert compare(HAPPENED, others_first).violations == []


def test_every_dropped_message_is_found() -> None:
    for dropped in range(len(TOLD)):
        account = compare(HAPPENED, [*TOLD[:dropped], *TOLD[dropped + 1 :]])
        assert [HAPPENED[dropped]["id"] in one for one in account.missing] == [True]
        assert account.violations == account.missing


def test_an_invented_message_is_found() -> None:
    invented = event(ANA, 3)
    account = compare(HAPPENED, [*TOLD, delivered(invented)])
    assert [invented["id"] in one for one in account.phantom] == [True]
    assert account.violations == account.phantom


def test_swapped_messages_of_one_customer_are_found_at_any_distance() -> None:
    for one, other in ((0, 2), (2, 4), (0, 4), (1, 3)):
        swapped = list(TOLD)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        account = compare(HAPPENED, swapped)
        assert account.overtaken
        assert account.violations == account.overtaken


def test_two_messages_about_one_version_have_an_order_too() -> None:
    consent = {**event(ANA, 1, "customer.consent_changed.v1"), "id": "consent"}
    happened = [event(ANA, 1, "customer.registered.v1"), consent]
    told = [delivered(one) for one in happened]
    assert compare(happened, told).violations == []
    assert len(compare(happened, told[::-1]).overtaken) == 1


def test_what_is_delivered_again_is_counted_and_overtakes_nobody() -> None:
    account = compare(HAPPENED, [*TOLD, TOLD[0], TOLD[0], TOLD[2]])
    assert (account.violations, account.duplicates) == ([], 3)


def test_a_message_that_is_not_as_it_happened_is_found() -> None:
    moved = event(ANA, 2, changed=["email"])
    elsewhere = {**HAPPENED[2], "dataschema": "http://127.0.0.1/contract/schemas/customer.registered.v1.json"}
    for wrong in (
        delivered(moved),
        delivered(elsewhere),
        replace(TOLD[2], routing_key="customer.registered.v1"),
        replace(TOLD[2], message_id="another"),
        replace(TOLD[2], content_type="application/json"),
    ):
        account = compare(HAPPENED, [*TOLD[:2], wrong, *TOLD[3:]])
        assert len(account.altered) == 1
        assert account.violations == account.altered


def test_what_differs_from_what_clients_were_acknowledged_is_found() -> None:
    def command(kind: str, **data: Any) -> Json:
        return {"type": kind, "data": data}

    commands = {
        (ANA, 1): command("customer.registered.v1"),
        (ANA, 3): command("customer.updated.v1", changed=["email", "name"]),
    }
    told = [event(ANA, 1, "customer.registered.v1"), event(ANA, 3, changed=["name", "email"])]
    assert unlike_commands(commands, told) == []
    assert len(unlike_commands(commands, told[:1])) == 1
    assert len(unlike_commands(commands, [*told, event(BIA, 1)])) == 1
    assert len(unlike_commands(commands, [told[0], event(ANA, 3, changed=["name"])])) == 1
    assert len(unlike_commands(commands, [event(ANA, 1), told[1]])) == 1
    assert len(unlike_commands(commands, [*told, told[1]])) == 1
