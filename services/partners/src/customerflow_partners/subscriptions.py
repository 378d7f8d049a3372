"""What a subscription consists of at the broker, what is missing of one, and the steps that complete or remove it.

    customerflow.integration --routing keys--> customerflow.partner.<name> --refused, dropped, too old-->
    customerflow.partner.<name>.dead; both may be read by the user partner-<name>, who may do nothing else

The queue's arguments say what was asked for, its routing keys too, so that what is missing can be told from what was
never wanted. Nothing of it is kept elsewhere. Here is nothing but data: what is found is compared, and steps are named.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from customerflow_contract.asyncapi import EXCHANGE
from customerflow_contract.events import ROUTING_KEYS

QUEUE_PREFIX = "customerflow.partner."
DEAD_SUFFIX = ".dead"
USER_PREFIX = "partner-"
NAME = r"[a-z0-9-]{1,40}"

EVENTS = frozenset(ROUTING_KEYS.values())

MAX_MESSAGES = 10_000_000
MAX_BYTES = 10_000_000_000
MAX_AGE = 90 * 86_400  # seconds
MAX_KEYS = 50
MAX_KEY = 255  # bytes, by the protocol

_MS = 1000
_NAME = re.compile(NAME)
_WORD = re.compile(r"[a-z0-9_]+|\*|#")
_QUEUE = re.compile(rf"{re.escape(QUEUE_PREFIX)}({NAME})({re.escape(DEAD_SUFFIX)})?")
_USER = re.compile(rf"{re.escape(USER_PREFIX)}({NAME})")
_KEYS = "customerflow-routing-keys"

# It comes back whenever its consumer dies, and that is no fault of the message; RabbitMQ 4 would say 20.
_DELIVERIES = 1000

_DEAD: Mapping[str, Any] = {
    "x-queue-type": "quorum",
    "x-max-length": 10_000,
    "x-max-length-bytes": 100_000_000,
    "x-message-ttl": 30 * 86_400 * _MS,
    "x-overflow": "drop-head",
    # to look at a message counts as a delivery before RabbitMQ 4.3, and is to lose none
    "x-delivery-limit": 1_000_000_000,
}


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a queue holds at most, in messages, in bytes and in seconds; beyond it the oldest messages are dropped."""

    messages: int = 1_000_000
    bytes: int = 1_000_000_000
    age: int = 7 * 86_400


class Wish(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is asked for. The routing keys are sorted, each is there once."""

    name: str
    routing_keys: tuple[str, ...]
    limits: Limits


class Queue(NamedTuple):
    """`bound` are the routing keys by which the exchange of integration events leads to it."""

    arguments: Mapping[str, Any]
    bound: frozenset[str] = frozenset()


class Permission(NamedTuple):
    """Patterns of names; in RabbitMQ the empty one fits none."""

    configure: str
    write: str
    read: str


class User(NamedTuple):
    """`permission` is that in our virtual host. `elsewhere`: there are others, or some of topics."""

    tags: frozenset[str] = frozenset()
    permission: Permission | None = None
    elsewhere: bool = False


class Found(NamedTuple):
    """What the broker has of one name."""

    queue: Queue | None = None
    dead: Queue | None = None
    user: User | None = None


# Steps. Each may be repeated without harm.


class DeclareExchange(NamedTuple):
    name: str


class DeclareQueue(NamedTuple):
    name: str
    arguments: Mapping[str, Any]


class Bind(NamedTuple):
    queue: str
    routing_key: str


class SetUser(NamedTuple):
    """With a new password, and without any tag."""

    name: str


class Permit(NamedTuple):
    user: str
    permission: Permission


class DeleteUser(NamedTuple):
    """Its permissions go with it, and its connections are closed."""

    name: str


class Unbind(NamedTuple):
    queue: str
    routing_key: str


class DeleteQueue(NamedTuple):
    name: str


Step: TypeAlias = DeclareExchange | DeclareQueue | Bind | SetUser | Permit | DeleteUser | Unbind | DeleteQueue


class Conflict(Exception):
    """There is something of this name that is not what was asked for."""

    def __init__(self, differs: Sequence[str]) -> None:
        super().__init__("It exists in another form; what differs: " + ", ".join(differs))
        self.differs = list(differs)


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def is_routing_key(text: str) -> bool:
    """That of an event, or a pattern of a topic exchange that fits at least one event."""
    words = text.split(".")
    return (
        len(text) <= MAX_KEY
        and all(map(_WORD.fullmatch, words))
        and any(matches(words, event.split(".")) for event in EVENTS)
    )


def matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a topic exchange sends this key there: `*` is one word, `#` any number of them."""
    reached = {0}  # how much of the words may be used up by what was read of the pattern
    for step in pattern:
        if step == "#":
            reached = set(range(min(reached, default=len(words) + 1), len(words) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(words) and step in ("*", words[at])}
    return len(words) in reached


def queue_of(name: str) -> str:
    return QUEUE_PREFIX + name


def dead_of(name: str) -> str:
    return QUEUE_PREFIX + name + DEAD_SUFFIX


def user_of(name: str) -> str:
    return USER_PREFIX + name


def named_by_queue(queue: str) -> tuple[str, bool] | None:
    """Whose it is, and whether it is the one of dead letters."""
    match = _QUEUE.fullmatch(queue)
    return (match[1], match[2] is not None) if match else None


def named_by_user(user: str) -> str | None:
    match = _USER.fullmatch(user)
    return match[1] if match else None


def arguments(wish: Wish) -> Mapping[str, Any]:
    """Full means that the oldest messages go: a queue that refuses would hold up everybody else."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-max-length": wish.limits.messages,
        "x-max-length-bytes": wish.limits.bytes,
        "x-message-ttl": wish.limits.age * _MS,
        "x-overflow": "drop-head",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_of(wish.name),
        "x-delivery-limit": _DELIVERIES,
        _KEYS: " ".join(wish.routing_keys),
    }


def permission(name: str) -> Permission:
    """To read these two queues, and nothing else."""
    escaped = queue_of(name).replace(".", r"\.")
    dead = DEAD_SUFFIX.replace(".", r"\.")
    return Permission("", "", f"^{escaped}({dead})?$")


def asked_for(name: str, queue: Queue) -> Wish | None:
    """What a queue was made for; None if it was not made here, or not so."""
    told = queue.arguments
    keys, age = told.get(_KEYS), told.get("x-message-ttl")
    if not isinstance(keys, str) or not isinstance(age, int):
        return None
    try:
        limits = Limits(messages=told["x-max-length"], bytes=told["x-max-length-bytes"], age=age // _MS)
    except KeyError:
        return None
    wish = Wish(name=name, routing_keys=tuple(keys.split()), limits=limits)
    return wish if dict(told) == arguments(wish) else None


def differences(wish: Wish, found: Found) -> list[str]:
    """What is there in another form, which cannot be changed without losing something, or is somebody else's."""
    differs = list[str]()
    if found.queue and (present := asked_for(wish.name, found.queue)) != wish:
        differs += ["queue"] if present is None else _members_that_differ(wish, present)
    if found.queue and found.queue.bound - {*wish.routing_keys}:
        differs.append("bindings")
    if found.dead and dict(found.dead.arguments) != _DEAD:
        differs.append("dead-letter queue")
    if found.user and _is_of_others(wish.name, found.user):
        differs.append("user")
    return list(dict.fromkeys(differs))


def faults(name: str, found: Found) -> list[str]:
    """Why a subscription cannot be used as it is; nothing: it is complete."""
    told = []
    if found.queue is None:
        told.append("the queue is missing")
    elif (wish := asked_for(name, found.queue)) is None:
        told.append("the queue has other arguments")
    else:
        wanted = frozenset(wish.routing_keys)
        told += [f"the binding of {key} is missing" for key in sorted(wanted - found.queue.bound)]
        told += [f"the binding of {key} was not asked for" for key in sorted(found.queue.bound - wanted)]
    if found.dead is None:
        told.append("the dead-letter queue is missing")
    elif dict(found.dead.arguments) != _DEAD:
        told.append("the dead-letter queue has other arguments")
    if found.user is None:
        told.append("the user is missing")
    elif _is_of_others(name, found.user):
        told.append("the user may do other things")
    elif found.user.permission is None:
        told.append("the user may not read the queue yet")
    return told


def is_ours(found: Found) -> bool:
    """Not if there is nothing but an account that is used in another virtual host."""
    user = found.user
    return bool(found.queue or found.dead or (user and (user.permission or not user.elsewhere)))


def creation(wish: Wish, found: Found) -> list[Step]:
    """What completes it, in this order; nothing if it is complete. Raises Conflict.

    Dropped messages have a place to go before the first can be dropped. Credentials come last: nobody can use what is
    incomplete, so whoever completes it may set a new password.
    """
    if differs := differences(wish, found):
        raise Conflict(differs)
    if not faults(wish.name, found):
        return []
    queue, user = queue_of(wish.name), user_of(wish.name)
    bound = found.queue.bound if found.queue else frozenset[str]()
    steps: list[Step] = []
    if found.dead is None:
        steps.append(DeclareQueue(dead_of(wish.name), _DEAD))
    if found.queue is None:
        steps.append(DeclareQueue(queue, arguments(wish)))
    missing = [key for key in wish.routing_keys if key not in bound]
    if missing:
        steps += [DeclareExchange(EXCHANGE), *(Bind(queue, key) for key in missing)]
    if found.user is None or found.user.permission is None:
        steps += [SetUser(user), Permit(user, permission(wish.name))]
    return steps


def removal(name: str, found: Found) -> list[Step]:
    """Nobody reads any more, then nothing comes in any more, then it goes."""
    queue, steps = queue_of(name), list[Step]()
    if found.user:
        steps.append(DeleteUser(user_of(name)))
    if found.queue:
        steps += [*(Unbind(queue, key) for key in sorted(found.queue.bound)), DeleteQueue(queue)]
    if found.dead:
        steps.append(DeleteQueue(dead_of(name)))
    return steps


def _is_of_others(name: str, user: User) -> bool:
    """An account that was made by hand, or changed: it is not to be taken over, nor its password changed."""
    foreign = user.permission is not None and user.permission != permission(name)
    return bool(user.tags) or user.elsewhere or foreign


def _members_that_differ(wish: Wish, present: Wish) -> Iterable[str]:
    if wish.routing_keys != present.routing_keys:
        yield "routingKeys"
    for limit in Limits.__struct_fields__:
        if getattr(wish.limits, limit) != getattr(present.limits, limit):
            yield f"limits.{limit}"
