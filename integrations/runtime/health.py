"""Tells whether this process can do its work, and how much waits."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import col

from integrations.runtime import migrate
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, errors

_ANSWER_SECONDS = 5
LATE_SECONDS = 900
"""A delivery that is due for longer than this means that no worker runs."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries by (kind, state), and for how long the oldest due one waits."""

    deliveries: dict[tuple[str, str], int]
    oldest_due_seconds: float


async def faults(world: World) -> list[str]:
    """Give the names of what keeps this process from its work; none when it is ready."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # a server that hangs answers nothing, not even a refusal
            fault_names = [] if migrate.serves(await migrate.present(world.engine)) else ["schema_outdated"]
            if not fault_names and await _oldest_due_seconds(world) > LATE_SECONDS:
                fault_names.append("deliveries_late")
    except (SQLAlchemyError, PoolTimeout, OSError, CommandError, errors.DomainError):
        return ["database_unreachable"]
    return fault_names


async def backlog(world: World) -> Backlog:
    """Count what waits and what was done; raises Unavailable."""
    count = sa.select(col(tables.Delivery.kind), col(tables.Delivery.state), sa.func.count().label("number"))
    async with world.database.work(actor.TIMER) as w:
        rows = (await w.sql(count.group_by(col(tables.Delivery.kind), col(tables.Delivery.state)))).all()
    return Backlog({(row.kind, row.state): row.number for row in rows}, await _oldest_due_seconds(world))


async def _oldest_due_seconds(world: World) -> float:
    """Tell for how long the oldest mail, or event without a position, waits for a worker.

    A webhook may wait for its receiver, which says nothing of us; that its event has no position yet does.
    """
    mail = sa.select(sa.func.min(col(tables.Delivery.next_attempt_at))).where(
        col(tables.Delivery.state) == "pending", col(tables.Delivery.kind) == "mail"
    )
    event = sa.select(sa.func.min(col(tables.Event.occurred_at))).where(col(tables.Event.position).is_(None))
    async with world.database.work(actor.TIMER) as w:
        waiting = [(await w.sql(oldest)).scalar_one() for oldest in (mail, event)]
        ages: list[float] = [(w.now - since).total_seconds() for since in waiting if since]
        return max([0.0, *ages])
