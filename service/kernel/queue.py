"""Puts jobs into the queue (pgqueuer) in the caller's transaction.

pgqueuer's own driver takes a raw asyncpg connection. SQLAlchemy begins the transaction with the session's first
statement, and jobs that the raw driver puts before that would stay although the transaction rolls back. The driver here
goes through the session. A job carries an id only; the row with that id is the truth (invariant E3).
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence import qb, queries
from pgqueuer.domain.settings import DBSettings
from sqlmodel.ext.asyncio.session import AsyncSession

SCHEMA = "queue"
DELIVER = "deliver"


def settings() -> DBSettings:
    """Name the queue's tables: in a schema of their own, so that our migrations do not see them."""
    return DBSettings(db_schema=SCHEMA)


def on(driver: AsyncpgDriver) -> queries.Queries:
    """Give the queue's statements, run by any driver."""
    environment, of_queue, of_scheduler = _builders()
    return queries.Queries(driver, qbe=environment, qbq=of_queue, qbs=of_scheduler)


@cache  # they read the environment each time, which takes longer than putting a job
def _builders() -> tuple[qb.QueryBuilderEnvironment, qb.QueryQueueBuilder, qb.QuerySchedulerBuilder]:
    names = settings()
    return qb.QueryBuilderEnvironment(names), qb.QueryQueueBuilder(names), qb.QuerySchedulerBuilder(names)


class _InTransaction(AsyncpgDriver):
    """A driver whose statements belong to the session's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        connection = await self._session.connection()
        result = await connection.exec_driver_sql(query, args)
        return [dict(row._mapping) for row in result]  # noqa: SLF001 - SQLAlchemy's public name for it

    async def execute(self, query: str, *args: object) -> str:
        connection = await self._session.connection()
        await connection.exec_driver_sql(query, args)
        return ""


async def put(session: AsyncSession, deliveries: Sequence[tuple[UUID, int, int]]) -> None:
    """Queue a job for each (delivery, attempt, urgency); one that is in the queue already is not put twice.

    The most urgent are taken first.
    """
    if not deliveries:
        return
    count = len(deliveries)
    await on(_InTransaction(session)).enqueue(
        [DELIVER] * count,
        [delivery.bytes for delivery, _, _ in deliveries],
        [urgency for _, _, urgency in deliveries],
        [None] * count,
        [f"{delivery}:{attempt}" for delivery, attempt, _ in deliveries],
        on_conflict="skip",
    )
