"""Entity tags are versions: whoever changes a customer says which one, and whoever holds one is told so."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from blackbox.customers import Customer, Customers, version_of
from blackbox.feed import Feed
from blackbox.problems import problem

CHANGES = [("PATCH", "", {"name": "Another Name"}), ("DELETE", "", None), ("POST", "/restore", None)]


@pytest.fixture
async def changed_once(customers: Customers, feed: Feed) -> AsyncIterator[Customer]:
    """A customer at version 2, which the test must not change."""
    customer = await customers.patch(await customers.register(), name="Changed Once")
    before = await feed.head()
    yield customer
    assert await feed.head() == before


@pytest.mark.parametrize(("method", "to", "body"), CHANGES)
async def test_a_change_must_say_which_version_it_changes(
    customers: Customers, changed_once: Customer, method: str, to: str, body: object
) -> None:
    answer = await customers.send(method, changed_once.path + to, body)
    problem(answer, 428, "precondition-required")


@pytest.mark.parametrize(
    "if_match", ['"1"', '"99"', '"18446744073709551616"', 'W/"2"', '"two"', '"1", "3"', '""', '"02"']
)
@pytest.mark.parametrize(("method", "to", "body"), CHANGES)
async def test_a_change_of_another_version_is_refused_and_told_the_current_one(
    customers: Customers, changed_once: Customer, method: str, to: str, body: object, if_match: str
) -> None:
    answer = await customers.send(method, changed_once.path + to, body, if_match=if_match)
    document = problem(answer, 412, "version-mismatch")
    assert document["currentVersion"] == 2
    assert version_of(answer) == 2


@pytest.mark.parametrize(
    "if_match", ["2", "2.0", '"2', '2"', "'2'", '"2" x', '"2""2"', "**", '*, "2"', 'w/"2"', "W/2", ",", "\xa02"]
)
@pytest.mark.parametrize(("method", "to", "body"), CHANGES)
async def test_an_if_match_that_is_none_is_refused(
    customers: Customers, changed_once: Customer, method: str, to: str, body: object, if_match: str
) -> None:
    answer = await customers.command.request(
        method,
        changed_once.path + to,
        json=body,
        headers=[(b"If-Match", if_match.encode("latin-1")), (b"Content-Type", b"application/merge-patch+json")],
    )
    problem(answer, 400, "if-match-invalid")


@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', '"7","1"', '"1",', ', "1"', "*"])
async def test_every_form_that_names_the_current_version_is_taken(customers: Customers, if_match: str) -> None:
    registered = await customers.register()
    answer = await customers.send("PATCH", registered.path, {"name": "Another Name"}, if_match=if_match)
    assert (answer.status_code, version_of(answer)) == (200, 2)


async def test_two_if_match_headers_are_one_list(customers: Customers) -> None:
    registered = await customers.register()
    answer = await customers.command.request(
        "DELETE", registered.path, headers=[("If-Match", '"9"'), ("If-Match", '"1"')]
    )
    assert (answer.status_code, version_of(answer)) == (204, 2)


async def test_who_holds_the_current_version_is_told_so_without_a_body(customers: Customers) -> None:
    registered = await customers.register()
    await customers.read(registered)
    for if_none_match in ('"1"', 'W/"1"', '"0", "1"', "*"):
        for method in ("GET", "HEAD"):
            answer = await customers.query.request(method, registered.path, headers={"If-None-Match": if_none_match})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')


async def test_who_holds_another_version_is_given_the_current_one(customers: Customers) -> None:
    registered = await customers.register()
    await customers.read(registered)
    for if_none_match in ('"2"', "1", "garbage", '"'):
        answer = await customers.query.get(registered.path, headers={"If-None-Match": if_none_match})
        assert answer.status_code == 200, if_none_match
        assert answer.json()["version"] == 1


async def test_a_reader_is_never_shown_less_than_the_version_it_asks_for(customers: Customers) -> None:
    registered = await customers.register()
    await customers.read(registered)
    for method in ("GET", "HEAD"):
        answer = await customers.get(registered, at_least=2, wait=1, method=method)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    document = problem(await customers.get(registered, at_least=2, wait=1), 503, "projection-behind")
    assert document["currentVersion"] == 1


async def test_a_version_of_a_customer_that_nobody_has_seen_yet_is_waited_for(customers: Customers) -> None:
    problem(await customers.get(uuid4(), at_least=1, wait=1), 503, "projection-behind")
