"""A customer's past: who changed what, and what was shown at each version."""

import itertools
import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from blackbox.bad_inputs import CONSENT
from blackbox.customers import Customer, Customers, Json, an_address, version_of
from blackbox.problems import problem
from blackbox.questions import ask


@dataclass(frozen=True)
class Past:
    """A customer as it was shown at each version, and who changed it."""

    customer: Customer
    versions: dict[int, Json]
    actors: dict[int, str]


@pytest.fixture(scope="module")
async def past(customers: Customers) -> Past:
    token = secrets.token_hex(5)
    customer = await customers.register(name=f"First {token}", email=f"first.{token}@example.com", tags=["a"])
    versions, actors = {1: await customers.read(customer)}, {1: "system"}
    steps: list[tuple[str, str, object]] = [
        ("PATCH", "", {"name": f"Second {token}"}),
        ("PATCH", "", {"email": f"second.{token}@example.com", "locale": "pt-BR"}),
        ("PUT", "/tags/vip", None),
        ("POST", "/addresses", an_address()),
        ("PUT", "/consents/newsletter/email", CONSENT),
        ("DELETE", "/tags/a", None),
        ("POST", "/suspend", {"reason": "late"}),
        ("POST", "/reactivate", None),
        ("PATCH", "", {"attributes": {"shoe": 42}, "email": None}),
        *(("PATCH", "", {"attributes": {"shoe": number}}) for number in range(70)),
    ]
    for number, (method, to, body) in enumerate(steps):
        actor = f"user:{number}"
        answer = await customers.send(
            method, customer.path + to, body, if_match=customer.etag, headers={"CustomerFlow-Actor": actor}
        )
        assert answer.is_success, answer.text
        before, customer = customer.version, Customer(customer.id, version_of(answer))
        versions[customer.version] = await customers.read(customer)
        actors |= dict.fromkeys(range(before + 1, customer.version + 1), actor)
    return Past(customer, versions, actors)


async def timeline(customers: Customers, past: Past, limit: int, **parameters: Any) -> list[Json]:
    found: list[Json] = []
    more: Json = {}
    while True:
        told = (await ask(customers, f"{past.customer.path}/timeline", limit=limit, **parameters, **more)).json()
        found += told["data"]
        if "next" not in told:
            return found
        more = {"cursor": told["next"]}


async def test_a_timeline_tells_who_changed_what_and_when(customers: Customers, past: Past) -> None:
    told = await timeline(customers, past, 20)
    assert [entry["version"] for entry in told] == list(range(past.customer.version, 0, -1))
    for entry in told:
        kind, _, actor = past.actors[entry["version"]].partition(":")
        assert entry["actor"] == ({"type": kind, "id": actor} if actor else entry["actor"])
        if entry["version"] in past.versions:
            assert entry["recordedAt"] == past.versions[entry["version"]]["updatedAt"]
    renamed = next(entry for entry in told if entry["version"] == 2)
    assert renamed["type"] == "CustomerProfileChanged"
    assert renamed["changes"] == [{"path": "name", "from": past.versions[1]["name"], "to": past.versions[2]["name"]}]
    tagged = [entry for entry in told if entry["type"] == "CustomerTagged"]
    assert await timeline(customers, past, 1, type="CustomerTagged") == tagged
    assert [entry["changes"] for entry in tagged] == [[{"path": "tags/vip", "from": None, "to": "vip"}]]


async def test_a_field_has_a_history(customers: Customers, past: Past) -> None:
    told = (await ask(customers, f"{past.customer.path}/history", field="email")).json()["data"]
    first, second = (past.versions[version]["email"] for version in (1, 4))
    assert [(one["from"], one["to"]) for one in told] == [(second, None), (first, second), (None, first)]


async def test_every_version_is_shown_as_it_was(customers: Customers, past: Past) -> None:
    for version, shown in past.versions.items():
        assert (await ask(customers, past.customer.path, atVersion=version)).json() == shown
        assert (await ask(customers, past.customer.path, asOf=shown["updatedAt"])).json()["version"] >= version
    moments = {shown["updatedAt"]: shown for _, shown in sorted(past.versions.items())}
    for moment, shown in moments.items():
        assert (await ask(customers, past.customer.path, asOf=moment)).json() == shown
    early = await customers.query.get(past.customer.path, params={"asOf": "2020-01-01T00:00:00Z"})
    assert problem(early, 404, "not-yet-registered")["firstAt"] == past.versions[1]["createdAt"]


async def test_what_two_versions_differ_in_is_told(customers: Customers, past: Past) -> None:
    told = (await ask(customers, f"{past.customer.path}/diff", **{"from": 1, "to": 4})).json()
    changes = {one["path"]: (one["from"], one["to"]) for one in told["changes"]}
    first, then = past.versions[1], past.versions[4]
    assert changes == {
        "name": (first["name"], then["name"]),
        "email": (first["email"], then["email"]),
        "locale": (None, "pt-BR"),
    }
    for before, after in itertools.pairwise(sorted(past.versions)):
        told = (await ask(customers, f"{past.customer.path}/diff", **{"from": before, "to": after})).json()
        for change in told["changes"]:
            if "/" not in change["path"]:
                assert past.versions[before].get(change["path"]) == change["from"]
                assert past.versions[after].get(change["path"]) == change["to"]
