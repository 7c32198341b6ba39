"""Where reports are read: on the replica if one is named, is there and is not late, else on the primary.

The replica never has the last word. What it refuses or does not have, the primary is asked for; what it fails at, the
primary does. Which transactions it has is told by the primary's own log, never by the replica's clock: a replica that
lost its primary believes that nothing is missing.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from integrations.runtime.connector import Connector
from service import vocabulary
from service.kernel import actor as actors
from service.kernel import clock, errors, recent_changes, work
from service.kernel.work import Work

T = TypeVar("T")
MOST_LAG_SECONDS = 60.0
_ANSWER_SECONDS = 2.0
_CATCH_UP_SECONDS = 0.5  # a replica that is well has everything some milliseconds later
_LOOK_SECONDS = 0.02
_LEFT_ALONE_SECONDS = 5.0
_FAULTS = (
    errors.DomainError, SQLAlchemyError, OSError,
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError,
)  # fmt: skip
_log = structlog.get_logger(__name__)

_END = sa.text("""
SELECT present_system_identifier() AS system, clock_timestamp() AS at,
       CASE WHEN NOT pg_is_in_recovery() THEN CAST(pg_current_wal_flush_lsn() AS text) END AS lsn
""")
# A name of the primary's that stands for the replica as well is one that was promoted: it has what it has.
_HAS = sa.text("""
SELECT present_system_identifier() AS system,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END
       >= CAST(CAST(:lsn AS text) AS pg_lsn) AS has_all,
       CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END AS replayed_at
""")


class NotRead(Exception):
    """The replica cannot be read now; the primary can."""

    def __init__(self, reason: vocabulary.ReplicaFallback) -> None:
        """Say why, as the operators' figures name it."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _End:
    """Where the primary's log ended at `at`, by its own clock; no position when it is none any more.

    `system` is the cluster's identifier, None where the server does not tell it: then the replica's is not compared.
    """

    system: int | None
    lsn: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What the replica has: everything until `as_of`, which was `lag_seconds` ago by the primary's clock."""

    lag_seconds: float
    as_of: datetime | None


@dataclass(slots=True)
class Replica:
    """A database that is only read, and how late it may be."""

    database: work.Database
    connector: Connector
    most_lag_seconds: float = MOST_LAG_SECONDS
    left_alone_until: float = 0.0

    async def read(
        self, primary: work.Database, actor: actors.Actor, body: Callable[[Work], Awaitable[T]], request_id: str | None
    ) -> T:
        """Do `body` in one snapshot of the replica; raises NotRead."""
        standing = await self.standing(primary)
        if standing.lag_seconds > self.most_lag_seconds:
            raise NotRead("late")
        if standing.lag_seconds and await _must_see_everything(primary, actor):
            raise NotRead("changed")
        try:
            async with self.database.work(actor, request_id) as w:
                w.as_of = standing.as_of
                return await body(w)
        except errors.Unavailable as error:
            raise NotRead("ended") from error
        except errors.DomainError as error:
            raise NotRead("refused") from error
        except _FAULTS as error:
            raise NotRead("ended") from error

    async def standing(self, primary: work.Database) -> Standing:
        """Compare the replica with the primary, and give it a moment to catch up; raises NotRead."""
        if clock.monotonic() < self.left_alone_until:
            raise NotRead("unreachable")
        try:
            async with primary.apart() as w:
                (row,) = await w.sql(_END)
            async with asyncio.timeout(_ANSWER_SECONDS), self.database.apart() as w:
                return await _caught_up(w, _End(row.system, row.lsn, row.at))
        except _FAULTS as error:
            self.left_alone_until = clock.monotonic() + _LEFT_ALONE_SECONDS
            raise NotRead("unreachable") from error


async def read(
    primary: work.Database,
    replica: Replica | None,
    actor: actors.Actor,
    body: Callable[[Work], Awaitable[T]],
    request_id: str | None = None,
) -> T:
    """Do `body`, which reads only and may be done twice, on the replica, or on the primary where that cannot be."""
    if replica is not None:
        try:
            return await replica.read(primary, actor, body, request_id)
        except NotRead as fault:
            primary.counted["replica_fallbacks", fault.reason] += 1
            _log.info("replica_not_read", reason=fault.reason, error=type(fault.__cause__).__name__)

    async def attempt() -> T:
        async with primary.work(actor, request_id) as w:
            return await body(w)

    return await work.retrying(attempt)


async def lag_seconds(primary: work.Database, replica: Replica | None) -> float:
    """Tell how late the replica is: 0 if none is named, without end if it cannot be read."""
    if replica is None:
        return 0.0
    try:
        return (await replica.standing(primary)).lag_seconds
    except NotRead:
        return math.inf


async def _caught_up(w: Work, end: _End) -> Standing:
    """Wait until the replica has everything that the primary had, unless that will take long."""
    began = clock.monotonic()
    while True:
        (row,) = await w.sql(_HAS, {"lsn": end.lsn})
        if None not in (row.system, end.system) and row.system != end.system:
            raise NotRead("other_database")
        if row.has_all:
            return Standing(0.0, end.at)
        lag = max(0.001, (end.at - row.replayed_at).total_seconds()) if row.replayed_at else math.inf
        if end.lsn is None or clock.monotonic() - began >= _CATCH_UP_SECONDS:
            return Standing(lag, row.replayed_at)
        await asyncio.sleep(_LOOK_SECONDS)


async def _must_see_everything(primary: work.Database, actor: actors.Actor) -> bool:
    """Tell whether what is missing may be the caller's own; an operator's commands follow each other."""
    if actor.person_id is None:
        return True
    async with primary.apart() as w:
        return await recent_changes.has_any(w, actor.person_id, clock.wall())
