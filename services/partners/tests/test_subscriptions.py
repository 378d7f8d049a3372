"""What is missing of a subscription, and that each sequence of steps may be interrupted anywhere and begun again."""

import re
from collections.abc import Iterable
from itertools import product

import pytest
from customerflow_contract.asyncapi import EXCHANGE
from customerflow_partners.subscriptions import (
    EVENTS,
    Bind,
    Conflict,
    DeclareExchange,
    DeclareQueue,
    DeleteQueue,
    DeleteUser,
    Found,
    Limits,
    Permission,
    Permit,
    Queue,
    SetUser,
    Step,
    Unbind,
    User,
    Wish,
    arguments,
    asked_for,
    creation,
    dead_of,
    differences,
    faults,
    is_name,
    is_ours,
    is_routing_key,
    matches,
    named_by_queue,
    named_by_user,
    permission,
    queue_of,
    removal,
    user_of,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

ERP = Wish(name="erp", routing_keys=("customer.erased.v1", "customer.updated.v1"), limits=Limits())
NOTHING = Found()


def after(steps: Iterable[Step], found: Found = NOTHING) -> Found:
    """What RabbitMQ has then. A step that it would refuse fails here."""
    exchange = False
    for step in steps:
        match step:
            case DeclareExchange(name):
                assert name == EXCHANGE
                exchange = True
            case DeclareQueue(name, given) if name == queue_of("erp"):
                assert found.queue is None or found.queue.arguments == given
                found = found._replace(queue=found.queue or Queue(given))
            case DeclareQueue(name, given):
                assert name == dead_of("erp")
                found = found._replace(dead=Queue(given))
            case Bind(_, key):
                assert exchange
                assert found.queue
                found = found._replace(queue=found.queue._replace(bound=found.queue.bound | {key}))
            case Unbind(_, key):
                assert found.queue
                found = found._replace(queue=found.queue._replace(bound=found.queue.bound - {key}))
            case SetUser(name):
                assert name == user_of("erp")
                found = found._replace(user=User(permission=found.user.permission if found.user else None))
            case Permit(_, allowed):
                assert found.user
                found = found._replace(user=found.user._replace(permission=allowed))
            case DeleteUser(_):
                assert found.user
                found = found._replace(user=None)
            case DeleteQueue(name):
                found = found._replace(**{"queue" if name == queue_of("erp") else "dead": None})
    return found


COMPLETE = after(creation(ERP, NOTHING))
assert COMPLETE.queue
assert COMPLETE.dead
assert COMPLETE.user
PARTS = [
    Found(queue, dead, user)
    for queue, dead, user in product(
        [None, Queue(arguments(ERP)), Queue(arguments(ERP), frozenset(ERP.routing_keys[:1])), COMPLETE.queue],
        [None, COMPLETE.dead],
        [None, User(), COMPLETE.user],
    )
]


def test_what_is_created_is_complete() -> None:
    assert faults("erp", COMPLETE) == []
    assert asked_for("erp", COMPLETE.queue or Queue({})) == ERP
    assert (COMPLETE.queue or Queue({})).bound == {*ERP.routing_keys}


def test_what_is_complete_is_not_touched_again() -> None:
    assert creation(ERP, COMPLETE) == []


def test_a_creation_that_was_interrupted_anywhere_is_completed_by_the_next() -> None:
    steps = creation(ERP, NOTHING)
    for done in range(len(steps)):
        interrupted = after(steps[:done])
        assert faults("erp", interrupted)
        assert after(creation(ERP, interrupted), interrupted) == COMPLETE


@pytest.mark.parametrize("found", PARTS)
def test_whatever_is_there_of_it_is_completed_and_shown_as_incomplete_until_then(found: Found) -> None:
    assert (faults("erp", found) == []) == (found == COMPLETE)
    assert after(creation(ERP, found), found) == COMPLETE


@pytest.mark.parametrize("found", PARTS)
def test_whatever_is_there_of_it_is_removed(found: Found) -> None:
    steps = removal("erp", found)
    for done in range(len(steps) + 1):
        interrupted = after(steps[:done], found)
        assert after(removal("erp", interrupted), interrupted) == NOTHING


def test_a_password_is_set_only_while_nobody_can_use_it() -> None:
    for found in PARTS:
        usable = found.user is not None and found.user.permission is not None
        assert any(isinstance(step, SetUser) for step in creation(ERP, found)) == (not usable)


def test_credentials_come_last_and_go_first() -> None:
    *others, user, permit = creation(ERP, NOTHING)
    assert (user, permit) == (SetUser("partner-erp"), Permit("partner-erp", permission("erp")))
    assert not any(isinstance(step, SetUser | Permit) for step in others)
    assert removal("erp", COMPLETE) == [
        DeleteUser("partner-erp"),
        Unbind("customerflow.partner.erp", "customer.erased.v1"),
        Unbind("customerflow.partner.erp", "customer.updated.v1"),
        DeleteQueue("customerflow.partner.erp"),
        DeleteQueue("customerflow.partner.erp.dead"),
    ]


def test_a_full_queue_drops_and_never_refuses() -> None:
    for step in creation(ERP, NOTHING):
        if isinstance(step, DeclareQueue):
            assert step.arguments["x-overflow"] == "drop-head"
            assert {"x-max-length", "x-max-length-bytes", "x-message-ttl", "x-delivery-limit"} <= step.arguments.keys()


def test_limits_are_what_the_queue_is_told_in_its_units() -> None:
    told = arguments(replace(ERP, limits=Limits(messages=5, bytes=6, age=7)))
    assert (told["x-max-length"], told["x-max-length-bytes"], told["x-message-ttl"]) == (5, 6, 7000)


@pytest.mark.parametrize(
    ("wish", "differs"),
    [
        (replace(ERP, routing_keys=("customer.#",)), ["routingKeys", "bindings"]),
        (replace(ERP, routing_keys=(*ERP.routing_keys, "customer.registered.v1")), ["routingKeys"]),
        (replace(ERP, limits=Limits(messages=1)), ["limits.messages"]),
        (replace(ERP, limits=Limits(bytes=1, age=1)), ["limits.bytes", "limits.age"]),
    ],
)
def test_what_was_asked_for_otherwise_is_a_conflict_that_says_where(wish: Wish, differs: list[str]) -> None:
    with pytest.raises(Conflict) as raised:
        creation(wish, COMPLETE)
    assert raised.value.differs == differs


@pytest.mark.parametrize(
    ("found", "fault", "differs"),
    [
        (
            COMPLETE._replace(queue=Queue({**arguments(ERP), "x-overflow": "reject-publish"}, COMPLETE.queue.bound)),
            "the queue has other arguments",
            "queue",
        ),
        (COMPLETE._replace(queue=Queue({}, COMPLETE.queue.bound)), "the queue has other arguments", "queue"),
        (
            COMPLETE._replace(queue=COMPLETE.queue._replace(bound=COMPLETE.queue.bound | {"#"})),
            "the binding of # was not asked for",
            "bindings",
        ),
        (COMPLETE._replace(dead=Queue({})), "the dead-letter queue has other arguments", "dead-letter queue"),
        *(
            (COMPLETE._replace(user=user), "the user may do other things", "user")
            for user in (
                COMPLETE.user._replace(tags=frozenset({"monitoring"})),
                COMPLETE.user._replace(elsewhere=True),
                User(elsewhere=True),
                User(tags=frozenset({"administrator"})),
                User(permission=Permission("", "", ".*")),
                User(permission=permission("erp")._replace(write=".*")),
                User(permission=permission("erp2")),
            )
        ),
    ],
)
def test_what_others_have_made_or_changed_is_shown_and_not_taken_over(found: Found, fault: str, differs: str) -> None:
    assert faults("erp", found) == [fault]
    assert differences(ERP, found) == [differs]
    with pytest.raises(Conflict):
        creation(ERP, found)


def test_a_binding_that_was_taken_away_is_shown_and_comes_back_without_a_new_password() -> None:
    found = COMPLETE._replace(queue=COMPLETE.queue and COMPLETE.queue._replace(bound=frozenset()))
    assert faults("erp", found) == [f"the binding of {key} is missing" for key in ERP.routing_keys]
    assert [type(step) for step in creation(ERP, found)] == [DeclareExchange, Bind, Bind]


@pytest.mark.parametrize("readable", ["customerflow.partner.erp", "customerflow.partner.erp.dead"])
def test_its_own_queues_can_be_read(readable: str) -> None:
    assert re.search(permission("erp").read, readable)


@pytest.mark.parametrize(
    "other",
    [
        "customerflow.partner.erp2",
        "customerflow.partner.erp-2",
        "customerflow.partner.erp.dead2",
        "xcustomerflow.partner.erp",
        "customerflowxpartner.erp",
        "customerflow.partnerxerp",
        "customerflow.partner.erpxdead",
        "customerflow.partner.",
        "customerflow.integration",
        "customerflow.integration.log",
        "customerflow.projector.00",
        "",
        "amq.gen-x",
    ],
)
def test_nothing_else_can_be_read_or_written_or_made(other: str) -> None:
    """An empty pattern fits nothing in RabbitMQ, which is tried on a real one."""
    assert not re.search(permission("erp").read, other)
    assert (permission("erp").configure, permission("erp").write) == ("", "")


@pytest.mark.parametrize("name", ["a", "erp", "erp-2", "0", "-", "a" * 40])
def test_a_name(name: str) -> None:
    assert is_name(name)
    assert named_by_queue(queue_of(name)) == (name, False)
    assert named_by_queue(dead_of(name)) == (name, True)
    assert named_by_user(user_of(name)) == name


@pytest.mark.parametrize("text", ["", "a" * 41, "Erp", "erp.dead", "erp_2", "erp\n", "\u00e9", "erp ", "a/b", "%2e"])
def test_no_name(text: str) -> None:
    assert not is_name(text)
    assert named_by_queue(queue_of(text)) != (text, False)
    assert named_by_user(user_of(text)) is None


@pytest.mark.parametrize(
    "foreign", ["customerflow.projector.00", "customerflow.dead", "customerflow.partner", "partner-erp"]
)
def test_queues_of_others_are_nobodys(foreign: str) -> None:
    assert named_by_queue(foreign) is None


@pytest.mark.parametrize(
    "key",
    [*sorted(EVENTS), "#", "customer.#", "customer.*.v1", "*.*.*", "#.v1", "customer.#.updated.v1", "#.#", "*.#"],
)
def test_a_routing_key_that_fits_an_event(key: str) -> None:
    assert is_routing_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "customer",
        "customer.updated",
        "customer.updated.v2",
        "customer.updated.v1.",
        "customer.update*.v1",
        "customer.*",
        "customer.*.*.*",
        "orders.#",
        "customer.# ",
        "customer.#\n",
        "Customer.#",
        "customer..v1",
        "#." * 127 + "##",
        "#." * 128,
    ],
)
def test_a_routing_key_that_fits_none(key: str) -> None:
    assert not is_routing_key(key)


@given(st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=6), st.lists(st.sampled_from(["a", "b"]), max_size=6))
def test_patterns_fit_what_a_topic_exchange_says(pattern: list[str], words: list[str]) -> None:
    """A regular expression says the same of words written with a dot after each."""
    steps = {"*": r"[ab]\.", "#": r"(?:[ab]\.)*"}
    expression = "".join(steps.get(step, rf"{step}\.") for step in pattern)
    assert matches(pattern, words) == bool(re.fullmatch(expression, "".join(f"{word}." for word in words)))


def test_an_account_alone_is_ours_unless_it_is_used_elsewhere_only() -> None:
    assert not is_ours(NOTHING)
    assert not is_ours(Found(user=User(elsewhere=True)))
    for user in (User(), User(permission=permission("erp")), User(permission=permission("erp"), elsewhere=True)):
        assert is_ours(Found(user=user))
    assert is_ours(Found(queue=Queue({}), user=User(elsewhere=True)))
    assert is_ours(Found(dead=Queue({}), user=User(elsewhere=True)))
