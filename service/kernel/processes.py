"""Which processes of this installation run: each says so every ten seconds, in a row of its own.

By the database's clock alone (rule of the leases): hosts' clocks differ, and a simulated clock moves no process.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import errors
from service.kernel.work import Work

BEAT_SECONDS = 10.0
LIVE_SECONDS = 60
"""A process that has said nothing for longer is taken for dead."""
MOVED_SECONDS = 60.0
"""A loop that has not moved for longer is stuck."""
_LONGER: Mapping[str, float] = {"housekeeping": 900.0, "partitions": 900.0}
"""Except these: they rest for a minute, and a task may take some; that it is late is told by itself."""
OFF_SECONDS = 5.0
"""A clock that differs from the database's by more is told of."""

# It waits for no standby: else one that is away would take every process out of service, though all they do is kept.
# A row that somebody deleted meanwhile comes back.
_BEAT = sa.text("""
WITH here AS MATERIALIZED (SELECT set_config('synchronous_commit', 'local', true))
INSERT INTO process AS p
    (id, kind, host, version, schema, tzdata, started_at, beat_at, loops, clock_offset_ms)
SELECT :id, :kind, :host, :version, :schema, :tzdata, clock_timestamp(), clock_timestamp(), CAST(:loops AS jsonb),
    CAST(:clock_offset_ms AS int)
FROM here
ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, loops = excluded.loops,
    clock_offset_ms = excluded.clock_offset_ms
RETURNING CAST(extract(epoch FROM clock_timestamp()) AS float8) AS epoch,
    (SELECT version_num FROM alembic_version) AS schema
""")

_WORKERS = sa.text("""
SELECT count(*) > 0 AS is_known,
    count(*) FILTER (WHERE beat_at >= clock_timestamp() - make_interval(secs => :seconds)) > 0 AS lives
FROM process WHERE kind = ANY (:kinds)
""")


def is_stuck(loop: str, moved_seconds: float) -> bool:
    """Tell whether the loop should have moved by now."""
    return moved_seconds > _LONGER.get(loop, MOVED_SECONDS)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process is, for as long as it runs."""

    id: UUID
    kind: vocabulary.ProcessKind
    host: str
    version: str
    schema: str
    tzdata: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the database answers to a beat: its clock, in seconds since 1970, and the version of its schema."""

    epoch: float
    schema: str | None


async def beat(w: Work, identity: Identity, loops: Mapping[str, Any], clock_offset_ms: int | None) -> Heard:
    """Say that the process lives; for a unit of work that is apart, as this waits for no standby.

    It is also the proof that the database takes changes.
    """
    values = asdict(identity) | {"loops": json.dumps(loops), "clock_offset_ms": clock_offset_ms}
    row = (await w.sql(_BEAT, values)).one()
    return Heard(row.epoch, row.schema)


@dataclass(frozen=True, slots=True)
class Running:
    """A process as the database last heard of it, and how long ago that was."""

    row: tables.Process
    silent_seconds: float

    @property
    def is_live(self) -> bool:
        """Whether it is taken for running."""
        return self.silent_seconds <= LIVE_SECONDS

    @property
    def works(self) -> bool:
        """Whether it delivers and keeps the timers."""
        return self.is_live and self.row.kind in vocabulary.WORKING_KINDS

    @property
    def is_clock_off(self) -> bool:
        """Whether its clock differs from the database's by more than is told of."""
        return abs(self.row.clock_offset_ms or 0) > OFF_SECONDS * 1000

    @property
    def failing(self) -> list[str]:
        """The loops that fail, or have not moved for a minute."""
        loops = sorted(self.row.loops.items())
        return [name for name, loop in loops if loop["failures"] or is_stuck(name, loop["moved_s"])]


@dataclass(frozen=True, slots=True)
class Workers:
    """Whether a process that delivers and keeps the timers lives, and whether one was heard of within the last day."""

    lives: bool
    is_known: bool


async def workers(w: Work) -> Workers:
    """Tell whether anybody works; for whoever watches this installation."""
    row = (await w.sql(_WORKERS, {"kinds": list(vocabulary.WORKING_KINDS), "seconds": LIVE_SECONDS})).one()
    return Workers(row.lives, row.is_known)


async def running(w: Work) -> Sequence[Running]:
    """Give the processes of the last day, those that were heard of last first; for admins. Raises Forbidden."""
    if not (w.actor.is_timer or w.actor.holds("programme_admin")):
        raise errors.Forbidden
    process = tables.Process
    silent = sa.func.extract("epoch", sa.func.clock_timestamp() - col(process.beat_at)).label("silent")
    rows = await w.sql(sa.select(process, silent).order_by(col(process.beat_at).desc(), col(process.id)))
    return [Running(row.Process, max(0.0, float(row.silent))) for row in rows]
