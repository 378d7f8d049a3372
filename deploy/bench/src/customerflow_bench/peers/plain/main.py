"""Customers behind Litestar, SQLAlchemy's ORM and redis-py: what a good developer writes in a day.

python main.py serve --mysql-url mysql://... --redis-url redis://... --port 8000
python main.py check --mysql-url mysql://...
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec
import uvicorn
from litestar import Litestar, Response, get, patch, post
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath, HeaderParameter, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType
from redis.asyncio import BlockingConnectionPool, Redis
from sqlalchemy import JSON, BigInteger, ForeignKey, String, UniqueConstraint, Uuid, func, select
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

# What is sent

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Short = Annotated[str, Meta(min_length=1, max_length=100)]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]
Phone = Annotated[str, Meta(pattern=r"^\+?[0-9 ()./-]{5,30}$")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,99}$")]


class Body(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    pass


class TaxId(Body):
    type: Slug
    value: Short


class Address(Body):
    country: Country
    line1: Name
    label: Short | None = None
    roles: list[Literal["billing", "shipping", "home", "work", "other"]] = []
    postal_code: Short | None = None
    number: Short | None = None
    line2: Name | None = None
    district: Short | None = None
    city: Short | None = None
    region: Short | None = None
    recipient: Name | None = None


class Consent(Body):
    purpose: Slug
    channel: Slug
    state: Literal["granted", "withdrawn", "pending"]
    captured_at: Annotated[datetime, Meta(tz=True)]
    source: Short
    legal_basis: Slug | None = None
    opt_in_level: Slug | None = None
    policy_version: Short | None = None
    evidence_ref: Name | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class ExternalId(Body):
    source: Slug
    value: Short


class Registration(Body):
    type: Literal["person", "company"]
    name: Name
    given_name: Name | None = None
    family_name: Name | None = None
    social_name: Name | None = None
    legal_name: Name | None = None
    trade_name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    phone_country: Country | None = None
    phone_extension: Short | None = None
    birth_date: date | None = None
    locale: Short | None = None
    timezone: Short | None = None
    lifecycle_stage: Slug | None = None
    tax_ids: Annotated[list[TaxId], Meta(max_length=20)] = []
    addresses: Annotated[list[Address], Meta(max_length=20)] = []
    consents: Annotated[list[Consent], Meta(max_length=100)] = []
    tags: Annotated[list[Slug], Meta(max_length=100)] = []
    external_ids: Annotated[list[ExternalId], Meta(max_length=20)] = []
    attributes: dict[Short, str | int | float | bool | None] = {}


class Change(Body):
    """A merge patch: what is absent stays, null removes."""

    name: Name | UnsetType = UNSET
    given_name: Name | UnsetType | None = UNSET
    family_name: Name | UnsetType | None = UNSET
    social_name: Name | UnsetType | None = UNSET
    legal_name: Name | UnsetType | None = UNSET
    trade_name: Name | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    phone_country: Country | UnsetType | None = UNSET
    phone_extension: Short | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    locale: Short | UnsetType | None = UNSET
    timezone: Short | UnsetType | None = UNSET
    lifecycle_stage: Slug | UnsetType | None = UNSET


class Done(Body):
    id: UUID
    version: int


# What is kept


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "plain_customers"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column()
    email: Mapped[str | None] = mapped_column(String(254), unique=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    changed_at: Mapped[datetime] = mapped_column(DATETIME(fsp=3))

    # every UPDATE is `WHERE id = ... AND version = ...`
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # SQLAlchemy's own way


class Event(Base):
    """The history of a customer."""

    __tablename__ = "plain_events"
    __table_args__ = (UniqueConstraint("customer_id", "version"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("plain_customers.id"))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    occurred_at: Mapped[datetime] = mapped_column(DATETIME(fsp=3))


class OutboxMessage(Base):
    __tablename__ = "plain_outbox"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    topic: Mapped[str] = mapped_column(String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


def open_engine(url: str, connections: int) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="mysql+asyncmy"),
        pool_size=connections,
        max_overflow=0,
        pool_recycle=900,
        isolation_level="READ COMMITTED",
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )


# What is done


class Customers:
    def __init__(self, sessions: async_sessionmaker[AsyncSession], redis: Redis) -> None:
        self._sessions = sessions
        self._redis = redis

    async def register(self, registration: Registration) -> Done:
        document = msgspec.to_builtins(registration)
        customer = Customer(id=uuid4(), email=_email_key(registration.email), document=document, changed_at=_now())
        async with self._sessions() as session:
            session.add(customer)
            self._record(session, customer, 1, "CustomerRegistered", document)
            await self._commit(session)
        await self._cache(customer)
        return Done(id=customer.id, version=customer.version)

    async def change(self, customer_id: UUID, expected: int, change: Change) -> Done:
        changes = msgspec.to_builtins(change)
        async with self._sessions() as session:
            customer = await session.get(Customer, customer_id)
            if customer is None:
                raise NotFoundException(f"There is no customer {customer_id}.")
            if customer.version != expected:
                raise HTTPException(f"The customer is at version {customer.version}.", status_code=412)
            customer.document = {**customer.document, **changes}
            customer.email = _email_key(customer.document["email"])
            customer.changed_at = _now()
            self._record(session, customer, expected + 1, "CustomerChanged", changes)
            await self._commit(session)
        await self._cache(customer)
        return Done(id=customer.id, version=customer.version)

    async def read(self, customer_id: UUID) -> bytes:
        """From Redis; from the database, if it is not there."""
        cached: Any = await self._redis.get(_key(customer_id))
        if cached is not None:
            return bytes(cached)
        async with self._sessions() as session:
            customer = await session.get(Customer, customer_id)
        if customer is None:
            raise NotFoundException(f"There is no customer {customer_id}.")
        return await self._cache(customer)

    async def healthy(self) -> None:
        async with self._sessions() as session:
            await session.scalar(select(1))
        await self._redis.ping()

    def _record(self, session: AsyncSession, customer: Customer, version: int, kind: str, data: dict[str, Any]) -> None:
        event = {"kind": kind, "customerId": str(customer.id), "version": version, "data": data}
        session.add(
            Event(customer_id=customer.id, version=version, kind=kind, data=data, occurred_at=customer.changed_at)
        )
        session.add(OutboxMessage(topic=f"customer.{kind}", payload=event))

    async def _commit(self, session: AsyncSession) -> None:
        try:
            await session.commit()
        except StaleDataError:
            raise HTTPException("Somebody else has changed the customer.", status_code=412) from None
        except IntegrityError:
            raise HTTPException("The e-mail address is taken.", status_code=409) from None

    async def _cache(self, customer: Customer) -> bytes:
        view = {
            "id": customer.id,
            "version": customer.version,
            "changedAt": customer.changed_at,
            **customer.document,
        }
        encoded = msgspec.json.encode(view)
        await self._redis.set(_key(customer.id), encoded)
        return encoded


def _key(customer_id: UUID) -> str:
    return f"plain:customer:{customer_id}"


def _email_key(email: str | None) -> str | None:
    return None if email is None else email.lower()


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000, tzinfo=None)


# How it is asked


@post("/customers")
async def register_customer(data: JSONBody[Registration], state: State) -> Response[Done]:
    done = await _customers(state).register(data)
    return Response(done, status_code=201, headers={"Location": f"/customers/{done.id}", "ETag": f'"{done.version}"'})


@patch("/customers/{customer_id:uuid}")
async def change_customer(
    customer_id: FromPath[UUID],
    data: JSONBody[Change],
    state: State,
    if_match: Annotated[str, HeaderParameter(name="If-Match")],
) -> Response[Done]:
    version = if_match.strip('"')
    if not version.isdecimal():
        raise ClientException("If-Match must be the version of the customer.")
    done = await _customers(state).change(customer_id, int(version), data)
    return Response(done, headers={"ETag": f'"{done.version}"'})


@get("/customers/{customer_id:uuid}")
async def get_customer(customer_id: FromPath[UUID], state: State) -> Response[bytes]:
    return Response(await _customers(state).read(customer_id), media_type="application/json")


@get("/health")
async def health(state: State) -> dict[str, str]:
    await _customers(state).healthy()
    return {"status": "ok"}


def _customers(state: State) -> Customers:
    customers: Customers = state.customers
    return customers


def create_app(mysql_url: str, redis_url: str, connections: int) -> Litestar:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        engine = open_engine(mysql_url, connections)
        pool = BlockingConnectionPool.from_url(redis_url, max_connections=64)
        redis = Redis(connection_pool=pool)
        app.state.customers = Customers(async_sessionmaker(engine, expire_on_commit=False), redis)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await redis.aclose()
        await pool.disconnect()
        await engine.dispose()

    return Litestar(
        [register_customer, change_customer, get_customer, health], lifespan=[lifespan], openapi_config=None
    )


async def check(mysql_url: str) -> bool:
    """Every command has left one version, one event and one outbox row."""
    engine = open_engine(mysql_url, 1)
    async with AsyncSession(engine) as session:
        counts = {
            "customers": await session.scalar(select(func.count()).select_from(Customer)),
            "versions": int(await session.scalar(select(func.coalesce(func.sum(Customer.version), 0))) or 0),
            "events": await session.scalar(select(func.count()).select_from(Event)),
            "outbox": await session.scalar(select(func.count()).select_from(OutboxMessage)),
        }
    await engine.dispose()
    print(msgspec.json.encode(counts).decode())
    return counts["versions"] == counts["events"] == counts["outbox"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["serve", "check"])
    parser.add_argument("--mysql-url", required=True)
    parser.add_argument("--redis-url", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    if given.what == "check":
        sys.exit(0 if asyncio.run(check(given.mysql_url)) else 1)
    uvicorn.run(
        create_app(given.mysql_url, given.redis_url, given.connections),
        port=given.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
