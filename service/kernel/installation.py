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

_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

HELD = f"""EXISTS (SELECT FROM installation WHERE installation.held_since IS NOT NULL
    OR installation.system_identifier <> present_system_identifier()
    OR installation.database_oid <> {_DATABASE}
    OR installation.timeline <> present_timeline())"""
"""A condition: nothing may leave this database now, because it is held, or is not the one that a worker last saw."""

LOCK_POSITIONS = sa.text("SELECT pg_advisory_xact_lock(hashtext('pobratym event positions'))")
"""Held by whoever gives events their positions, or decides what the next one is."""

LOOP = "restore"
"""Of a worker: it looks, and its `position` in `process.loops` is the last that it has seen."""

_RECOVERY_TARGETS = [f"recovery_target{kind}" for kind in ("", "_lsn", "_name", "_time", "_xid")]
"""Settings of the server. One stays set after a recovery to it; no standby that follows to the end has any."""
_HELD = sa.text(f"SELECT {HELD}")
_PRESENT = sa.text(f"""
SELECT present_system_identifier() AS system_identifier,
       CAST({_DATABASE} AS bigint) AS database_oid, present_timeline() AS timeline,
       EXISTS (SELECT FROM pg_settings WHERE name = ANY (:targets) AND setting <> '') AS has_recovery_target,
       coalesce((SELECT max(position) FROM event), 0) AS position,
       coalesce((SELECT max(CAST(loops->'{LOOP}'->>'position' AS bigint)) FROM process), 0) AS position_seen
""")  # noqa: S608 - as above
_HAS_WORKED = "EXISTS (SELECT FROM event) OR EXISTS (SELECT FROM delivery)"
# The migration has made the row. A database that works already and lacks it is none that we know: none has number 0.
_KNOW = sa.text(f"""
INSERT INTO installation (id, system_identifier, database_oid, timeline)
VALUES (1, :system_identifier, CASE WHEN {_HAS_WORKED} THEN 0 ELSE :database_oid END, :timeline) ON CONFLICT DO NOTHING
""")  # noqa: S608 - as above
_IS_REMEMBERED = sa.text(f"""
SELECT ({_HAS_WORKED}) AND NOT EXISTS (SELECT FROM event_epoch WHERE began_at > :at)
""")  # noqa: S608 - as above
_RIGHTS = sa.text("""
SELECT f AS function, CAST(current_user AS text) AS role
FROM unnest(ARRAY['pg_control_system()', 'pg_current_wal_lsn()', 'pg_walfile_name(pg_lsn)']) WITH ORDINALITY AS t (f, n)
WHERE NOT has_function_privilege('pg_catalog.' || f, 'EXECUTE') ORDER BY n
""")
_KNOWN = sa.select(tables.Installation).with_for_update().execution_options(populate_existing=True)
_EPOCHS = sa.text("SELECT number, floor, lost_after, branch FROM event_epoch ORDER BY number")


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when nothing leaves, and why; None where no restore was noticed."""

    held_since: datetime | None = None
    held_reason: vocabulary.HeldReason | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An epoch that has begun, and the row that stands for it."""

    epoch: restores.Epoch
    row: tables.EventEpoch


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found: what to remember, whether it is held, and what is new of that."""

    seen: restores.Seen
    held_reason: vocabulary.HeldReason | None = None
    is_newly_held: bool = False
    begun: Begun | None = None


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
    """Which database this is now, the position of its last event, and the last that any worker says it has seen.

    With a recovery target, a new timeline is a recovery to a point in time, and not a standby that was promoted.
    """

    identity: restores.Identity
    position: int
    position_seen: int
    has_recovery_target: bool


async def present(w: Work) -> Present:
    """Tell how the database is now; this can be asked of a standby, too, which has no timeline of its own."""
    row = (await w.sql(_PRESENT, {"targets": _RECOVERY_TARGETS})).one()
    identity = restores.Identity(row.system_identifier, row.database_oid, row.timeline)
    return Present(identity, row.position, row.position_seen, row.has_recovery_target)


async def known(w: Work) -> tables.Installation:
    """Give the database as it was last seen, locked; one that was never seen and has done nothing is as it is now."""
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


async def missing_rights(w: Work) -> str | None:
    """Give the statement that lets this role read which database it is, if it may not."""
    rows = (await w.sql(_RIGHTS, after_changes=False)).all()
    functions = ", ".join(row.function for row in rows)
    return f'GRANT EXECUTE ON FUNCTION {functions} TO "{rows[0].role}"' if rows else None


async def look(w: Work, *, remembered: restores.Seen | None, holds_on_promotion: bool) -> Look:
    """See whether this is the database as it was; hold it, or begin an epoch after a promotion.

    `remembered` is what this worker, or one before it on this machine, has seen last, if any has.
    """
    row = await known(w)
    now = await present(w)
    seen = restores.Seen(now.identity, now.position, w.now)
    if row.held_reason is not None:
        return Look(seen, row.held_reason)
    before = restores.Identity(row.system_identifier, row.database_oid, row.timeline)
    elsewhere = restores.why_elsewhere(remembered.identity, now.identity) if remembered else None
    position_seen = max(now.position_seen, remembered.position if remembered and not elsewhere else 0)
    reason = restores.why_held(
        before,
        now.identity,
        position=now.position,
        position_seen=position_seen,
        holds_on_promotion=holds_on_promotion or now.has_recovery_target,
    )
    if reason is None and remembered and elsewhere and await _is_remembered(w, remembered):
        reason = elsewhere
    if reason is not None:
        row.held_since, row.held_reason = w.now, reason
        return Look(seen, reason, is_newly_held=True)
    if restores.is_other_timeline(before, now.identity):
        return Look(seen, begun=await begin_epoch(w, row))
    row.system_identifier = now.identity.system_identifier or row.system_identifier  # what was refused may be told now
    row.timeline = now.identity.timeline or row.timeline
    return Look(seen)


async def _is_remembered(w: Work, remembered: restores.Seen) -> bool:
    """Tell whether a memory of another database counts: not against a new one, nor one that was released since then."""
    return bool((await w.sql(_IS_REMEMBERED, {"at": remembered.at})).scalar_one())


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
