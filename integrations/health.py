"""Whether this process can do its work, and how much waits."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import col

from integrations import migrate
from integrations.world import World
from service import actor, errors, tables

_ANSWER_SECONDS = 5
LATE_SECONDS = 900
"""A delivery that is due for longer than this means that no worker runs."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries by (kind, state), and for how long the oldest due one waits."""

    deliveries: dict[tuple[str, str], int]
    oldest_due_seconds: float


async def faults(world: World) -> list[str]:
    """Name what keeps this process from its work; nothing when it is ready."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # a server that hangs answers nothing, not even a refusal
            found = [] if await migrate.present(world.engine) == migrate.head() else ["schema_outdated"]
            if not found and await _oldest_due_seconds(world) > LATE_SECONDS:
                found.append("deliveries_late")
    except (SQLAlchemyError, PoolTimeout, OSError, CommandError, errors.DomainError):
        return ["database_unreachable"]
    return found


async def backlog(world: World) -> Backlog:
    """Count what waits and what was done; raises Unavailable."""
    count = sa.select(col(tables.Delivery.kind), col(tables.Delivery.state), sa.func.count().label("number"))
    async with world.database.work(actor.TIMER) as w:
        rows = (await w.sql(count.group_by(col(tables.Delivery.kind), col(tables.Delivery.state)))).all()
    return Backlog({(row.kind, row.state): row.number for row in rows}, await _oldest_due_seconds(world))


async def _oldest_due_seconds(world: World) -> float:
    """Tell for how long the oldest mail waits: a webhook may wait for its receiver, which says nothing of us."""
    waiting = (col(tables.Delivery.state) == "pending", col(tables.Delivery.kind) == "mail")
    oldest = sa.select(sa.func.min(col(tables.Delivery.next_attempt_at))).where(*waiting)
    async with world.database.work(actor.TIMER) as w:
        due = (await w.sql(oldest)).scalar_one()
        return max(0.0, (w.now - due).total_seconds()) if due else 0.0
