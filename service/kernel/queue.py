"""Words the statement that puts jobs into the queue (pgqueuer), for the caller's transaction (`closing`).

pgqueuer's own driver would run it on a raw asyncpg connection. SQLAlchemy begins the transaction with the session's
first statement, and jobs that the raw driver puts before that would stay although the transaction rolls back.
A job carries an id only; the row with that id is the truth (invariant E3).

The library is imported by whoever puts the first job: it takes a tenth of the time of a whole start
(`integrations.runtime.warming` has it there before).
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import UUID

if TYPE_CHECKING:
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
    from pgqueuer.adapters.persistence import qb, queries
    from pgqueuer.domain.settings import DBSettings

SCHEMA = "queue"
DELIVER, TELL = "deliver", "tell"
"""What is done about a delivery: a mail is handed over, news is told. Whatever holds up the one, the other goes on."""


class Job(NamedTuple):
    """A delivery, the number of the attempt before, how urgent it is, and what is done about it."""

    delivery_id: UUID
    attempt: int
    urgency: int
    entrypoint: str = DELIVER


class Enqueueing(NamedTuple):
    """A statement with its values, as the driver takes them."""

    text: str
    values: tuple[object, ...]


def settings() -> "DBSettings":
    """Name the queue's tables: in a schema of their own, so that our migrations do not see them."""
    from pgqueuer.domain.settings import DBSettings  # noqa: PLC0415 - see above

    return DBSettings(db_schema=SCHEMA)


def on(driver: "AsyncpgDriver") -> "queries.Queries":
    """Give the queue's statements, run by any driver."""
    from pgqueuer.adapters.persistence import queries  # noqa: PLC0415 - see above

    environment, of_queue, of_scheduler = _builders()
    return queries.Queries(driver, qbe=environment, qbq=of_queue, qbs=of_scheduler)


@cache  # they read the environment each time, which takes longer than putting a job
def _builders() -> "tuple[qb.QueryBuilderEnvironment, qb.QueryQueueBuilder, qb.QuerySchedulerBuilder]":
    from pgqueuer.adapters.persistence import qb  # noqa: PLC0415 - see above

    names = settings()
    return qb.QueryBuilderEnvironment(names), qb.QueryQueueBuilder(names), qb.QuerySchedulerBuilder(names)


class _Noting:
    """As much of a driver as putting jobs calls: it notes a statement and its values instead of running it."""

    def __init__(self) -> None:
        self.noted = Enqueueing("", ())

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        self.noted = Enqueueing(query.strip(), args)
        return []


async def enqueueing(jobs: Sequence[Job]) -> Enqueueing:
    """Give the queue's own statement that puts these jobs; one that is in the queue already is not put twice.

    The most urgent are taken first.
    """
    driver = _Noting()
    await on(cast("AsyncpgDriver", driver)).enqueue(
        [job.entrypoint for job in jobs],
        [job.delivery_id.bytes for job in jobs],
        [job.urgency for job in jobs],
        [None] * len(jobs),
        [f"{job.delivery_id}:{job.attempt}" for job in jobs],
        on_conflict="skip",
    )
    return driver.noted
