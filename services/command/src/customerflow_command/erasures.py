"""Erasures across restored backups: who was erased, and the command that erases again."""

from uuid import UUID

from customerflow_shared.events import CustomerErased, event_name
from customerflow_shared.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import database
from customerflow_command.customer.commands import ReapplyErasure
from customerflow_command.mediator import SYSTEM, Request


async def erased_customers(engine: AsyncEngine) -> list[UUID]:
    async with database.session(engine) as session:
        rows = await session.rows(
            "SELECT customer_id FROM cf_events WHERE type = %s ORDER BY position", (event_name(CustomerErased),)
        )
    return [UUID(bytes=customer_id) for (customer_id,) in rows]


def reapplied_erasure(customer_id: UUID) -> Request:
    return Request(
        target=customer_id,
        command=ReapplyErasure,
        read=lambda _: ReapplyErasure(),
        correlation_id=uuid7(),
        actor=SYSTEM,
    )
