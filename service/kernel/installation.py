"""Whether this is the database that we know, or one that was restored: then nothing leaves until an operator says so.

A worker looks when it starts, when it has connected anew, and each minute (`look`). What lets something leave asks in
its own statement (`HELD`), so that nothing leaves between a restore and the next look either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import clock
from service.kernel.work import Work
from service.rules import restores

_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"  # the control file's own may lag behind
_WRITES = "NOT pg_is_in_recovery()"  # a server in recovery writes no log, and lets nothing be claimed
_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

HELD = f"""EXISTS (SELECT FROM installation WHERE installation.held_since IS NOT NULL
    OR installation.system_identifier <> (SELECT system_identifier FROM pg_control_system())
    OR installation.database_oid <> {_DATABASE}
    OR CASE WHEN {_WRITES} THEN installation.timeline <> {_TIMELINE} END)"""  # noqa: S608 - our own words
"""A condition: nothing may leave this database now, because it is held, or is not the one that a worker last saw."""

LOCK_POSITIONS = sa.text("SELECT pg_advisory_xact_lock(hashtext('pobratym event positions'))")
"""Held by whoever gives events their positions, or decides what the next one is."""

LOOP = "restore"
"""Of a worker: it looks, and its `position` in `process.loops` is the last that it has seen."""

_HELD = sa.text(f"SELECT {HELD}")
_PRESENT = sa.text(f"""
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
       CAST({_DATABASE} AS bigint) AS database_oid, {_TIMELINE} AS timeline,
       coalesce((SELECT max(position) FROM event), 0) AS position,
       coalesce((SELECT max(CAST(loops->'{LOOP}'->>'position' AS bigint)) FROM process), 0) AS position_seen
""")  # noqa: S608 - as above
_KNOW = sa.text("""
INSERT INTO installation (id, system_identifier, database_oid, timeline)
VALUES (1, :system_identifier, :database_oid, :timeline) ON CONFLICT DO NOTHING
""")
_KNOWN = sa.select(tables.Installation).with_for_update().execution_options(populate_existing=True)
_EPOCHS = sa.text("SELECT number, floor, lost_after, branch FROM event_epoch ORDER BY number")


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when nothing leaves, and why; None where no restore was noticed."""

    held_since: datetime | None = None
    held_reason: vocabulary.HeldReason | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found: which database, its last event's position, whether it is held, and what is new of that."""

    identity: restores.Identity
    position: int
    held_reason: vocabulary.HeldReason | None = None
    is_newly_held: bool = False
    new_epoch: restores.Epoch | None = None


async def is_held(w: Work) -> bool:
    """Tell whether nothing may leave now."""
    return bool((await w.sql(_HELD, after_changes=False)).scalar_one())


async def standing(w: Work) -> Standing:
    """Tell since when nothing leaves, as a worker has noticed it; this can be asked of a standby, too."""
    statement = sa.select(col(tables.Installation.held_since), col(tables.Installation.held_reason))
    row = (await w.sql(statement, after_changes=False)).one_or_none()
    return Standing(*row) if row else Standing()


async def epochs(w: Work) -> Sequence[restores.Epoch]:
    """Give the epochs of the events' positions, the first one first."""
    rows = (await w.sql(_EPOCHS, after_changes=False)).all()
    return [restores.FIRST, *(restores.Epoch(*row) for row in rows)]


@dataclass(frozen=True, slots=True)
class Present:
    """Which database this is now, the position of its last event, and the last that any worker says it has seen."""

    identity: restores.Identity
    position: int
    position_seen: int


async def present(w: Work) -> Present:
    """Tell how the database is now; its server must take changes."""
    row = (await w.sql(_PRESENT)).one()
    identity = restores.Identity(row.system_identifier, row.database_oid, row.timeline)
    return Present(identity, row.position, row.position_seen)


async def known(w: Work) -> tables.Installation:
    """Give the database as it was last seen, locked; one that was never seen is as it is now."""
    await w.sql(LOCK_POSITIONS)
    identity = (await present(w)).identity
    await w.sql(
        _KNOW,
        {
            "system_identifier": identity.system_identifier,
            "database_oid": identity.database_oid,
            "timeline": identity.timeline,
        },
    )
    row: tables.Installation = (await w.sql(_KNOWN)).scalar_one()
    return row


async def look(w: Work, *, position_seen: int, holds_on_promotion: bool) -> Look:
    """See whether this is the database as it was; hold it, or begin an epoch after a promotion.

    `position_seen` is the last position that this worker has seen in this very database, 0 if it has not.
    """
    row = await known(w)
    now = await present(w)
    identity, position = now.identity, now.position
    if row.held_reason is not None:
        return Look(identity, position, row.held_reason)
    before = restores.Identity(row.system_identifier, row.database_oid, row.timeline)
    seen = max(position_seen, now.position_seen)
    reason = restores.why_held(
        before, identity, position=position, position_seen=seen, holds_on_promotion=holds_on_promotion
    )
    if reason is not None:
        row.held_since, row.held_reason = w.now, reason
        return Look(identity, position, reason, is_newly_held=True)
    new_epoch = None if before == identity else (await begin_epoch(w, row)).epoch
    return Look(identity, position, new_epoch=new_epoch)


@dataclass(frozen=True, slots=True)
class Begun:
    """An epoch that has begun, and the row that stands for it."""

    epoch: restores.Epoch
    row: tables.EventEpoch


async def begin_epoch(w: Work, row: tables.Installation) -> Begun:
    """Have the next position lie above every earlier one, and know the database as it is now."""
    now = await present(w)
    last = (await epochs(w))[-1]
    branch = int.from_bytes(clock.random_bytes(4))
    epoch = restores.next_epoch(last, now.position, branch)
    begun = tables.EventEpoch(
        number=epoch.number,
        id=clock.new_id(),
        floor=epoch.floor,
        lost_after=epoch.lost_after,
        branch=branch,
        began_at=w.now,
    )
    w.add(begun)
    row.system_identifier, row.database_oid = now.identity.system_identifier, now.identity.database_oid
    row.timeline, row.epoch, row.floor = now.identity.timeline, epoch.number, epoch.floor
    return Begun(epoch, begun)
