"""Erasures across restored backups: who was erased, and the command that erases again."""

from uuid import UUID

from customerflow_shared import database
from customerflow_shared.events import CustomerErased, event_name
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.commands import ReapplyErasure
from customerflow_command.mediator import Request, by_system


async def erased_customers(engine: AsyncEngine) -> list[UUID]:
    async with database.session(engine) as session:
        rows = await session.rows(
            "SELECT customer_id FROM cf_events WHERE type = %s ORDER BY position", (event_name(CustomerErased),)
        )
    return [UUID(bytes=customer_id) for (customer_id,) in rows]


def reapplied_erasure(customer_id: UUID) -> Request:
    return by_system(customer_id, ReapplyErasure())
