"""All webhooks, by any number of workers: each webhook is leased by one of them at a time."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from customerflow_shared import messaging, telemetry
from customerflow_shared.database import DatabaseUnavailable, utc_now
from customerflow_shared.patience import Patience
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_partners.webhooks import queues, signing
from customerflow_partners.webhooks.sending import Outgoing
from customerflow_partners.webhooks.serving import Clock, Lease, Limits, Serving
from customerflow_partners.webhooks.store import LEASE_SECONDS, NoWebhook, Served, State, Store, Webhook

log = structlog.get_logger()

LOOK_EVERY = 1.0  # seconds, at the webhooks there are
DECLARE_EVERY = 10.0  # seconds, what should be there anyhow
RENEW_EVERY = 5.0  # seconds
MARGIN = 2.0  # seconds that a holder considers a lease lost before the database does
ABANDONED_AFTER = timedelta(minutes=1)  # a webhook whose creation has not been completed
FINISH_SECONDS = 20.0


class Worker:
    def __init__(
        self,
        engine: AsyncEngine,
        amqp_url: str,
        keys: signing.Keys,
        outgoing: Outgoing,
        limits: Limits,
        now: Clock = utc_now,
    ) -> None:
        self._engine = engine
        self._store = Store(engine)
        self._amqp_url = amqp_url
        self._keys = keys
        self._outgoing = outgoing
        self._limits = limits
        self._now = now
        self._holder = f"{socket.gethostname()[:80]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._patience = Patience("webhooks")
        self._connection: AbstractConnection | None = None
        self._renew_at = 0.0
        self._until = 0.0  # what is leased, as this process counts
        self._serving: dict[UUID, tuple[Serving, asyncio.Task[None]]] = {}
        self._declared: dict[UUID, tuple[int, float]] = {}  # which revision, and when
        self._refusing = set[UUID]()
        self._finishing = asyncio.Event()
        self._finished = asyncio.Event()

    async def check(self) -> None:
        """Raises ConnectionError unless the broker can be reached."""
        if self._connection is None or not self._connection.connected.is_set():
            raise ConnectionError("not connected")

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._patience.persist(self._work)

    async def finish(self) -> None:
        """Begin nothing more, end what has begun, and give the webhooks to other workers."""
        self._finishing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self._finished.wait()

    async def _work(self) -> None:
        """Raises whatever interrupts it."""
        try:
            async with messaging.connected(self._amqp_url, "webhooks") as self._connection:
                try:
                    while not self._finishing.is_set():
                        await self.check()
                        try:
                            await self._look(self._connection)
                            self._patience.rewarded()
                        except DatabaseUnavailable as error:
                            # what is leased is served as long as the lease lasts
                            await self._patience.after(error)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_EVERY):
                                await self._finishing.wait()
                finally:
                    await self._stop()
        finally:
            if self._finishing.is_set():
                self._finished.set()
        await asyncio.Event().wait()

    async def _look(self, connection: AbstractConnection) -> None:
        tokens = await self._tokens()
        rows = {row.id: row for row in await self._store.all()}
        for webhook, (serving, _) in self._serving.items():
            row = rows.get(webhook)
            mine = tokens.get(webhook) == serving.lease.token
            if not mine or row is None or row.state is not State.ACTIVE or row.revision != serving.webhook.revision:
                serving.stop()
        self._serving = {webhook: one for webhook, one in self._serving.items() if not one[1].done()}
        for row in rows.values():
            if row.state is State.CREATING:
                if self._now() - row.created_at > ABANDONED_AFTER:
                    with suppress(NoWebhook):
                        await self._store.change(row.id, {"state": State.DELETING})
            elif (token := tokens.get(row.id)) is not None:
                await self._keep(connection, row, token)
            else:
                await self._store.take(row.id, self._holder)

    async def _tokens(self) -> Mapping[UUID, int]:
        """Of what is leased here; the leases are renewed if it is time."""
        asked = time.monotonic()
        if asked < self._renew_at:
            return await self._store.tokens(self._holder)
        tokens = await self._store.renew(self._holder)
        self._renew_at, self._until = asked + RENEW_EVERY, asked + LEASE_SECONDS - MARGIN
        return tokens

    async def _keep(self, connection: AbstractConnection, row: Webhook, token: int) -> None:
        """What is at the broker is as the row says, and it is served if it is to be."""
        running = row.id in self._serving
        try:
            if row.state is State.DELETING:
                if not running:
                    await self._delete(connection, row)
                return
            await self._declare(connection, row)
        except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
            if row.id not in self._refusing:
                log.error("the broker refuses a webhook's queue", webhook=str(row.id), error=telemetry.describe(error))
            self._refusing.add(row.id)
            return
        self._refusing.discard(row.id)
        if row.state is State.ACTIVE and not running:
            lease = Lease(token, lambda: self._until - time.monotonic())
            served = Served(self._engine, row.id, token)
            serving = Serving(row, lease, served, self._outgoing, self._keys, self._limits, self._now)
            task = asyncio.create_task(serving.run(connection), name=f"webhook {row.id}")
            task.add_done_callback(partial(_ended, row.id))
            self._serving[row.id] = (serving, task)

    async def _declare(self, connection: AbstractConnection, row: Webhook) -> None:
        now = time.monotonic()
        revision, at = self._declared.get(row.id, (-1, 0.0))
        if revision == row.revision and now - at < DECLARE_EVERY:
            return
        async with connection.channel(publisher_confirms=False) as channel:
            await queues.declare(channel, row.id, row.routing_keys, row.stale_keys)
        if row.stale_keys:
            await self._store.unbound(row)
        self._declared[row.id] = (row.revision, now)

    async def _delete(self, connection: AbstractConnection, row: Webhook) -> None:
        async with connection.channel(publisher_confirms=False) as channel:
            await queues.delete(channel, row.id)
        await self._store.delete(row.id)
        self._declared.pop(row.id, None)
        log.info("webhook deleted", webhook=str(row.id))

    async def _stop(self) -> None:
        """All that is served; the leases are given back."""
        stopped, self._serving = self._serving, {}
        for serving, _ in stopped.values():
            serving.stop()
        tasks = [task for _, task in stopped.values()]
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        # should the database be away, the leases expire by themselves
        with suppress(DatabaseUnavailable):
            for webhook, token in (await self._store.renew(self._holder)).items():
                await self._store.give_back(webhook, token)


def _ended(webhook: UUID, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("webhook interrupted", webhook=str(webhook), exc_info=error)
