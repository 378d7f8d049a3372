"""RabbitMQ's management interface, as far as subscriptions need it: what there is, one step, numbers, dead letters."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import msgspec
from customerflow_contract.asyncapi import EXCHANGE
from msgspec import UNSET, Struct, UnsetType

from customerflow_partners.ages import Sample
from customerflow_partners.subscriptions import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteQueue,
    DeleteUser,
    Found,
    Permission,
    Permit,
    Queue,
    SetUser,
    Step,
    Unbind,
    User,
    named_by_queue,
    named_by_user,
)

T = TypeVar("T")

# how far back, and by what steps, in seconds: what RabbitMQ keeps unless it is told otherwise
SAMPLED = ((600, 5), (3600, 60))

TIMEOUT = httpx.Timeout(10.0, connect=3.0)  # seconds

_MS = 1000


class Unavailable(Exception):
    """RabbitMQ's management interface does not answer."""


class AccountRefused(Exception):
    """RabbitMQ refuses this service's account, or it is no administrator's."""


class NoVirtualHost(Exception):
    """RabbitMQ has no such virtual host."""


class Refused(Exception):
    """RabbitMQ refuses a step: somebody else has changed something meanwhile."""


class Numbers(NamedTuple):
    """Of a queue, some seconds old; None: RabbitMQ does not know yet."""

    ready: int | None
    unacknowledged: int | None
    consumers: int | None


class Length(NamedTuple):
    """Of a queue, some seconds old: what is in it, taken or not, and which share of its limits that
    is; None: RabbitMQ does not know yet, or there is no limit.
    """

    messages: int | None
    share: float | None
    consumers: int | None


class History(NamedTuple):
    """Of a queue: how many messages had come in, ever, and how many were there."""

    came_in: Sequence[Sample]
    lengths: Sequence[Sample]


class Snapshot(NamedTuple):
    """What there is of each name, and the numbers of each queue by its full name."""

    found: Mapping[str, Found]
    numbers: Mapping[str, Numbers]


class DeadLetter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One that was dropped (`maxlen`), too old (`expired`), or refused (`rejected`, `delivery_limit`), `at` seconds
    since 1970. Nothing of its content.
    """

    message_id: str | None = None
    routing_key: str | None = None
    reason: str | None = None
    count: int | None = None
    at: int | None = None


# what RabbitMQ answers, as far as it is read


class _Queue(Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None


class _Filled(Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}
    messages: int | None = None
    message_bytes: int | None = None
    consumers: int | None = None

    @property
    def share(self) -> float | None:
        held = (("x-max-length", self.messages), ("x-max-length-bytes", self.message_bytes))
        limited = [(limit, some) for name, some in held if isinstance(limit := self.arguments.get(name), int)]
        return max((some / max(1, limit) for limit, some in limited if some is not None), default=None)


class _Binding(Struct, frozen=True):
    destination: str
    destination_type: str
    routing_key: str
    properties_key: str
    arguments: dict[str, Any] = {}


class _User(Struct, frozen=True):
    name: str
    tags: list[str] | str = ""
    password_hash: str = ""


class _Permission(Struct, frozen=True):
    user: str
    vhost: str
    configure: str = ""
    write: str = ""
    read: str = ""


class _Sample(Struct, frozen=True):
    sample: int
    timestamp: int


class _Rate(Struct, frozen=True):
    samples: list[_Sample] = []

    def in_seconds(self) -> Iterator[Sample]:
        return (Sample(one.timestamp / _MS, one.sample) for one in self.samples)


class _Stats(Struct, frozen=True):
    publish_details: _Rate = _Rate()


class _Sampled(Struct, frozen=True):
    # an empty list stands for an object without members
    message_stats: _Stats | list[Any] = _Stats()
    messages_details: _Rate = _Rate()


class _Connection(Struct, frozen=True):
    user: str = ""
    connected_at: int | None = None


class _Death(Struct, frozen=True):
    reason: str | UnsetType = UNSET
    count: int | UnsetType = UNSET
    time: int | UnsetType = UNSET
    routing_keys: list[str] = msgspec.field(default_factory=list, name="routing-keys")


class _Headers(Struct, frozen=True):
    deaths: list[_Death] = msgspec.field(default_factory=list, name="x-death")


class _Properties(Struct, frozen=True):
    message_id: str | None = None
    headers: _Headers = _Headers()


class _Got(Struct, frozen=True):
    properties: _Properties | list[Any] = _Properties()


class _WhoAmI(Struct, frozen=True):
    tags: list[str] | str = ""


class _Named(Struct, frozen=True):
    name: str


class Management:
    """All may raise Unavailable and AccountRefused."""

    def __init__(self, client: httpx.AsyncClient, vhost: str) -> None:
        self._client = client
        self._vhost = vhost

    async def check(self) -> None:
        """Raises also NoVirtualHost."""
        me = _read(await self._ask("GET", "whoami"), _WhoAmI)
        if "administrator" not in _tags(me.tags):
            raise AccountRefused("the account is no administrator's")
        answer = await self._ask("GET", "vhosts", self._vhost)
        if answer.status_code == 404:
            raise NoVirtualHost
        _read(answer, _Named)

    async def snapshot(self) -> Snapshot:
        """Raises also NoVirtualHost."""
        columns = "name,arguments,messages_ready,messages_unacknowledged,consumers"
        answers = await asyncio.gather(
            self._ask("GET", "queues", self._vhost, columns=columns),
            self._ask("GET", "exchanges", self._vhost, EXCHANGE, "bindings", "source"),
            self._ask("GET", "users", columns="name,tags"),
            self._ask("GET", "permissions"),
            self._ask("GET", "topic-permissions"),
        )
        if answers[0].status_code == 404:
            raise NoVirtualHost
        # without an exchange there are no bindings
        bindings = [] if answers[1].status_code == 404 else _read(answers[1], list[_Binding])
        queues = _read(answers[0], list[_Queue])
        users = _read(answers[2], list[_User])
        permissions = _read(answers[3], list[_Permission])
        topics = {one.user for one in _read(answers[4], list[_Permission])}
        numbers = {
            one.name: Numbers(one.messages_ready, one.messages_unacknowledged, one.consumers)
            for one in queues
            if named_by_queue(one.name)
        }
        return Snapshot(self._joined(queues, bindings, users, permissions, topics), numbers)

    async def lengths(self) -> Mapping[str, Length]:
        """Of all queues, by their full names. Raises also NoVirtualHost."""
        columns = "name,arguments,messages,message_bytes,consumers"
        answer = await self._ask("GET", "queues", self._vhost, columns=columns)
        if answer.status_code == 404:
            raise NoVirtualHost
        return {one.name: Length(one.messages, one.share, one.consumers) for one in _read(answer, list[_Filled])}

    async def perform(self, step: Step, password: str) -> None:
        """Of the password only a salted hash is sent. Raises also Refused."""
        match step:
            case DeclareExchange(name):
                await self._change("PUT", "exchanges", self._vhost, name, body={"type": "topic", "durable": True})
            case DeclareQueue(name, arguments):
                body = {"durable": True, "auto_delete": False, "arguments": arguments}
                await self._change("PUT", "queues", self._vhost, name, body=body)
            case Bind(queue, key):
                path = ("bindings", self._vhost, "e", EXCHANGE, "q", queue)
                await self._change("POST", *path, body={"routing_key": key, "arguments": {}})
            case SetUser(name):
                await self.set_password(name, password)
            case Permit(user, permission):
                await self._change("PUT", "permissions", self._vhost, user, body=permission._asdict())
            case DeleteUser(name):
                await self._change("DELETE", "users", name)
            case Unbind(queue, key):
                await self._unbind(queue, key)
            case DeleteQueue(name):
                await self._change("DELETE", "queues", self._vhost, name)

    async def set_password(self, user: str, password: str) -> None:
        """Of a user without tags, who is made if there is none. Raises also Refused."""
        hashed = {"password_hash": hash_of(password), "hashing_algorithm": "rabbit_password_hashing_sha256"}
        await self._change("PUT", "users", user, body={**hashed, "tags": ""})

    async def has_password(self, user: str, password: str) -> bool:
        answer = await self._ask("GET", "users", user)
        return answer.status_code != 404 and is_hash_of(_read(answer, _User).password_hash, password)

    async def history(self, queue: str) -> History:
        """As far back as RabbitMQ remembers; nothing, if it does not."""
        came_in, lengths = list[Sample](), list[Sample]()
        # of an object without members it makes a list, so the name is asked for
        columns = "name,message_stats.publish_details.samples,messages_details.samples"
        for age, step in SAMPLED:
            answer = await self._ask(
                *("GET", "queues", self._vhost, queue),
                columns=columns,
                msg_rates_age=age,
                msg_rates_incr=step,
                lengths_age=age,
                lengths_incr=step,
            )
            if answer.status_code == 404:
                break
            told = _read(answer, _Sampled)
            lengths += told.messages_details.in_seconds()
            if isinstance(told.message_stats, _Stats):
                came_in += told.message_stats.publish_details.in_seconds()
        return History(came_in, lengths)

    async def connected_since(self, user: str) -> list[float]:
        """When each of the user's connections was made, in seconds since 1970."""
        answer = await self._ask("GET", "vhosts", self._vhost, "connections", columns="user,connected_at")
        connections = [] if answer.status_code == 404 else _read(answer, list[_Connection])
        return sorted(one.connected_at / _MS for one in connections if one.user == user and one.connected_at)

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """The oldest of a queue that nobody consumes. They are given back at once, in their order, and RabbitMQ counts
        a delivery of each; of what is in them one byte is asked for.
        """
        body = {"count": count, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1}
        answer = await self._ask("POST", "queues", self._vhost, queue, "get", body=body)
        return [] if answer.status_code == 404 else [_dead_letter(one) for one in _read(answer, list[_Got])]

    async def _unbind(self, queue: str, key: str) -> None:
        path = ("bindings", self._vhost, "e", EXCHANGE, "q", queue)
        answer = await self._ask("GET", *path)
        for one in [] if answer.status_code == 404 else _read(answer, list[_Binding]):
            if one.routing_key == key:
                await self._change("DELETE", *path, one.properties_key)

    async def _change(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> None:
        answer = await self._ask(method, *path, body=body)
        if answer.status_code not in (200, 201, 204) and not (method == "DELETE" and answer.status_code == 404):
            raise Refused(f"RabbitMQ answers {answer.status_code} to {method} {path[0]}")

    async def _ask(
        self, method: str, *path: str, body: Mapping[str, Any] | None = None, **parameters: str | int
    ) -> httpx.Response:
        """Whatever it answers, but for what it answers to everything."""
        url = "api/" + "/".join(quote(part, safe="") for part in path)
        ask = partial(self._client.request, method, url, json=body, params=parameters or None)
        try:
            try:
                answer = await ask()
            except httpx.RemoteProtocolError:
                # RabbitMQ closes a connection that has carried many requests, perhaps just as the next is on its way
                if method == "POST":
                    raise
                answer = await ask()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"RabbitMQ's management interface does not answer: {type(error).__name__}") from None
        if answer.status_code in (401, 403):
            raise AccountRefused("RabbitMQ's management interface refuses the account of this service")
        if answer.status_code >= 500 or answer.is_redirect:
            raise Unavailable(f"RabbitMQ's management interface answers {answer.status_code}")
        return answer

    def _joined(
        self,
        queues: Iterable[_Queue],
        bindings: Iterable[_Binding],
        users: Iterable[_User],
        permissions: Iterable[_Permission],
        topics: set[str],
    ) -> dict[str, Found]:
        bound: dict[str, set[str]] = {}
        for one in bindings:
            if one.destination_type == "queue":
                bound.setdefault(one.destination, set()).add(one.routing_key)
        here, elsewhere = dict[str, Permission](), set(topics)
        for allowed in permissions:
            if allowed.vhost == self._vhost:
                here[allowed.user] = Permission(allowed.configure, allowed.write, allowed.read)
            else:
                elsewhere.add(allowed.user)
        found: dict[str, Found] = {}
        for queue in queues:
            if whose := named_by_queue(queue.name):
                name, dead = whose
                present = Queue(queue.arguments, frozenset(bound.get(queue.name, ())))
                others = found.get(name, Found())
                found[name] = others._replace(dead=present) if dead else others._replace(queue=present)
        for user in users:
            if name_of_user := named_by_user(user.name):
                present_user = User(_tags(user.tags), here.get(user.name), user.name in elsewhere)
                found[name_of_user] = found.get(name_of_user, Found())._replace(user=present_user)
        return found


def connect(url: str) -> httpx.AsyncClient:
    """The URL holds the account: what is logged of requests must not."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))
    auth = httpx.BasicAuth(unquote(parts.username or ""), unquote(parts.password or ""))
    return httpx.AsyncClient(base_url=address, auth=auth, timeout=TIMEOUT)


def hash_of(password: str, salt: bytes | None = None) -> str:
    """As RabbitMQ keeps it: base64 of a salt of four bytes and the SHA-256 of both."""
    salt = salt or secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def is_hash_of(told: str, password: str) -> bool:
    try:
        salt = base64.b64decode(told, validate=True)[:4]
    except ValueError:
        return False
    return secrets.compare_digest(told, hash_of(password, salt or None))


def _read(answer: httpx.Response, kind: type[T]) -> T:
    if answer.status_code != 200:
        raise Unavailable(f"this is not RabbitMQ's management interface: it answers {answer.status_code}")
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unavailable("this is not RabbitMQ's management interface: the answer has another form") from None


def _tags(told: list[str] | str) -> frozenset[str]:
    return frozenset(told.split(",") if isinstance(told, str) else told) - {""}


def _dead_letter(got: _Got) -> DeadLetter:
    if not isinstance(got.properties, _Properties):
        return DeadLetter()
    properties = got.properties
    if not properties.headers.deaths:
        return DeadLetter(message_id=properties.message_id)
    death = properties.headers.deaths[0]
    return DeadLetter(
        message_id=properties.message_id,
        routing_key=death.routing_keys[0] if death.routing_keys else None,
        reason=death.reason or None,
        count=death.count or None,
        at=death.time or None,
    )
