"""Tells whether this process can do its work, and how much waits."""

import asyncio
import hmac
import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel import col

from integrations.runtime import replicas
from integrations.runtime.settings import Settings
from integrations.runtime.world import World
from service import housekeeping, tables, vocabulary
from service.care import promises
from service.kernel import actor, database_clock, errors, installation, partitions, processes
from service.kernel.work import Work
from service.outbox import attempt_counts, mail_server

_ANSWER_SECONDS = 1.0
CLOCK_OFF = "clock_off"
UNKNOWN = "notices_unknown"
UNSEEN = "restore_unseen"
"""A worker could not look whether the database was restored: nothing leaves before it has."""
LATE_SECONDS = 900
"""A delivery that is due for longer than this means that no worker runs, or none gets on."""


@dataclass(frozen=True, slots=True)
class Process:
    """What this process did so far, by what and which kind of it, how its pool is used now, and who follows changes."""

    counted: Counter[tuple[str, str]]
    streams: int
    pool_in_use: int
    pool_waiting: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits or failed by (kind, state), for how long the oldest due one waits, and how the mail server stands.

    The age of the oldest that has not left, by kind, begins when it was recorded: it grows while a server is away.
    None of it reads what is settled, however much that is.
    """

    deliveries: dict[tuple[str, str], int]
    oldest_due_seconds: float
    oldest_undelivered_seconds: dict[str, float]
    attempts: Mapping[tuple[str, str], int]  # that were ever made, by (kind, outcome)
    mail_server: mail_server.Standing
    unmatched: int  # consultations for which nobody is left to be asked
    promises_off: Sequence[str]  # programmes in which nothing is promised at filing, as the promises proved wrong
    house: housekeeping.Standing
    partition_ends: Mapping[str, datetime]  # table -> when its last part ends
    process: Process
    running: Sequence[processes.Running]
    is_restore_held: bool
    replica_lag_seconds: float  # without end when it cannot be read
    now: datetime


async def notices(world: World) -> list[str]:
    """Name what this process cannot mend and can work without: mail waits meanwhile, and the API serves."""
    own = {CLOCK_OFF: world.presence.is_off(), "pool_exhausted": _is_exhausted(world)}
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), world.watching.work(actor.TIMER) as w:
            named = await _shared_notices(w) | {UNSEEN: world.presence.is_kept_from(installation.LOOP)}
    except (SQLAlchemyError, PoolTimeout, OSError, errors.DomainError):
        named = {UNKNOWN: True}
    return [name for name, is_so in (named | own).items() if is_so]


async def _shared_notices(w: Work) -> dict[str, bool]:
    standing = await mail_server.standing(w)
    house = await housekeeping.standing(w)
    due_seconds = await _oldest_due_seconds(w)
    workers = await processes.workers(w)
    is_missed = workers.is_known or due_seconds > processes.LIVE_SECONDS
    return {
        "restored_held": await installation.is_held(w),
        "mail_server_away": standing.away_since is not None,
        "mail_held": standing.held_at is not None,
        "deliveries_late": due_seconds > LATE_SECONDS,
        "no_worker": is_missed and not workers.lives,
        "housekeeping_late": house.is_late or bool(house.failing),
        "month_without_part": await partitions.is_late(w),
    }


def _is_exhausted(world: World) -> bool:
    """Tell whether requests hold every connection of the pool: whoever comes next waits."""
    pool = world.engine.pool
    return isinstance(pool, AsyncAdaptedQueuePool) and pool.checkedout() >= pool.size()


def may_see_figures(settings: Settings, address: str, authorization: str) -> bool:
    """Tell whether whoever asks from there may see the figures: by the token, or the machine itself where none is set.

    Behind a proxy that adds to `X-Forwarded-For`, a caller can look like the machine itself: a token ends that.
    """
    token = settings.metrics_token
    if token is None:
        return is_local(address)
    sent = authorization.removeprefix("Bearer ").encode()
    return hmac.compare_digest(sent, token.get_secret_value().encode())


def is_local(address: str) -> bool:
    """Tell whether the machine itself asks."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def faults(world: World) -> list[str]:
    """Give the names of what keeps this process from its work; none when it is ready.

    What it does not do itself is no reason: a worker that is away makes mail late, and taking the API out as well
    would not send it.
    """
    reasons = await world.presence.faults(world.watching)
    if world.presence.is_off(database_clock.FAR_OFF_SECONDS):  # its ids may have no place in the audit's parts
        reasons.append(CLOCK_OFF)
    if world.presence.identity.kind == "worker" and not reasons and world.presence.is_kept_from(installation.LOOP):
        reasons.append(UNSEEN)
    return reasons


async def backlog(world: World) -> Backlog:
    """Count what waits and what was done; raises Unavailable."""
    async with world.database.work(actor.TIMER) as w:
        rows = (await w.sql(_COUNTED)).all()
        undelivered = (await w.sql(_UNDELIVERED)).all()
        attempts = await attempt_counts.totals(w)
        standing = await mail_server.standing(w)
        unmatched = (await w.sql(_UNMATCHED)).scalar_one()
        promises_off = await promises.switched_off(w)
        house = await housekeeping.standing(w)
        running = await processes.running(w)
        is_held = await installation.is_held(w)
        partition_ends = await partitions.ends(w)
        oldest_due_seconds = await _oldest_due_seconds(w)
    return Backlog(
        {(row.kind, row.state): row.number for row in rows},
        oldest_due_seconds,
        {row.kind: max(0.0, (w.now - row.since).total_seconds()) if row.since else 0.0 for row in undelivered},
        attempts,
        standing,
        unmatched,
        promises_off,
        house,
        partition_ends,
        _process(world),
        running,
        is_held,
        await replicas.lag_seconds(world.database, world.replica),
        w.now,
    )


def _process(world: World) -> Process:
    pool = world.engine.pool
    if not isinstance(pool, AsyncAdaptedQueuePool):
        return Process(world.database.counted, len(world.streams), 0, 0)
    waiting = pool._pool._queue._getters  # type: ignore[attr-defined] # noqa: SLF001 - nobody else counts them
    return Process(world.database.counted, len(world.streams), pool.checkedout(), len(waiting))


_KINDS = ", ".join(f"('{kind}')" for kind in vocabulary.DELIVERY_KINDS)
# Each count is of an index that has these rows only.
_COUNTED = sa.text(f"""
SELECT kind, 'pending' AS state, (SELECT count(*) FROM delivery d WHERE d.kind = k.kind AND state = 'pending') AS number
FROM (VALUES {_KINDS}) AS k (kind)
UNION ALL
SELECT kind, s.state, (SELECT count(*) FROM delivery d WHERE d.kind = k.kind AND d.state = s.state
                       AND (d.state = 'dead' OR d.state = 'refused'))
FROM (VALUES {_KINDS}) AS k (kind) CROSS JOIN (VALUES ('dead'), ('refused')) AS s (state)
""")  # noqa: S608 - our own words
_UNMATCHED = sa.text("SELECT count(*) FROM consultation WHERE state = 'unmatched'")
# A webhook whose endpoint its own keepers have paused waits for them.
_UNDELIVERED = sa.text("""
SELECT 'mail' AS kind, (SELECT created_at FROM delivery WHERE kind = 'mail' AND state = 'pending'
                        ORDER BY created_at LIMIT 1) AS since
UNION ALL
SELECT 'webhook', (SELECT d.created_at FROM delivery d JOIN webhook_endpoint p ON p.id = d.endpoint_id
                   WHERE d.kind = 'webhook' AND d.state = 'pending' AND p.state = 'active'
                   ORDER BY d.created_at LIMIT 1)
UNION ALL
SELECT kind, (SELECT created_at FROM delivery d WHERE d.kind = k.kind AND state = 'pending' ORDER BY created_at LIMIT 1)
FROM (VALUES ('push'), ('sms')) AS k (kind)
""")


async def _oldest_due_seconds(w: Work) -> float:
    """Tell for how long the oldest mail, news, or event without a position, waits for a worker.

    A webhook may wait for its receiver, which says nothing of us; that its event has no position yet does. Mail waits
    for a server that is away, too: then a worker has to look for that. In a restored database that nobody has released
    no worker has to do anything.
    """
    event = sa.select(sa.func.min(col(tables.Event.occurred_at))).where(col(tables.Event.position).is_(None))
    if await installation.is_held(w):
        return 0.0
    waiting = [(await w.sql(event)).scalar_one(), await _mail_due(w), (await w.sql(_NEWS_DUE)).scalar_one()]
    ages: list[float] = [(w.now - since).total_seconds() for since in waiting if since]
    return max([0.0, *ages])


_NEWS_DUE = sa.text("SELECT min(next_attempt_at) FROM delivery WHERE state = 'pending' AND kind IN ('push', 'sms')")


async def _mail_due(w: Work) -> datetime | None:
    """Give since when a worker should have done something about mail."""
    standing = await mail_server.standing(w)
    if standing.away_since:
        return standing.probe_at
    if standing.held_at:
        return None
    mail = sa.select(sa.func.min(col(tables.Delivery.next_attempt_at))).where(
        col(tables.Delivery.state) == "pending",
        col(tables.Delivery.kind) == "mail",
        col(tables.Delivery.held_at).is_(None),
    )
    since: datetime | None = (await w.sql(mail)).scalar_one()
    return since
