"""What an operator does about a restored database: sees what waits in it, and lets it work again.

While it is held, people work in it and nothing leaves. Mails and webhooks that were pending at the restore's target may
have left afterwards, in the time that was lost: so whoever releases it says what becomes of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service import tables
from service.kernel import audit, installation, partitions
from service.kernel.work import Work
from service.outbox import events
from service.registry import memorandum_log
from service.rules import restores


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries of a kind were pending when the restore was noticed, and the age of the oldest."""

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """How a database stands; `mails` and `webhooks` are what the restore brought back as pending.

    News need no word: what is told at once is told only while it is still true.
    """

    standing: installation.Standing
    epochs: tuple[restores.Epoch, ...]
    position: int
    mails: Waiting
    webhooks: Waiting


@dataclass(frozen=True, slots=True)
class Released:
    """The epoch that has begun, and how many of what was pending were dropped."""

    epoch: restores.Epoch
    mails_dropped: int
    webhooks_dropped: int


_WAITING = sa.text("""
SELECT count(*) AS count, min(created_at) AS oldest_at FROM delivery
WHERE kind = :kind AND state = 'pending' AND (CAST(:until AS timestamptz) IS NULL OR created_at < :until)
""")
_DROP = sa.text("""
UPDATE delivery SET state = 'dropped', next_attempt_at = NULL, settled_at = :now, error = 'dropped after a restore'
WHERE kind = :kind AND state = 'pending' AND created_at < :until RETURNING id
""")
_EVERYBODY = sa.text("""
SELECT ARRAY(SELECT id FROM institution ORDER BY id) AS institution_ids,
       ARRAY(SELECT DISTINCT person_id FROM role_grant WHERE role = 'programme_admin' ORDER BY person_id) AS person_ids
""")


async def status(w: Work) -> Status:
    """Tell how the database stands, and what waits in it since before the restore."""
    standing = await installation.standing(w)
    position = (await installation.present(w)).position
    waiting = [
        Waiting(*(await w.sql(_WAITING, {"kind": kind, "until": standing.held_since})).one())
        for kind in ("mail", "webhook")
    ]
    return Status(standing, tuple(await installation.epochs(w)), position, *waiting)


async def release(w: Work, *, drop_mails_before: timedelta | None, drop_webhooks: bool) -> Released | None:
    """Let the database work again, in a new epoch, whose first event tells everybody so; None if it was not held.

    Of what was pending when the restore was noticed, mails are dropped that were recorded longer ago than
    `drop_mails_before` (None: none), and webhooks as said; the rest leaves.
    """
    await partitions.make_all(w)  # the last part of what it was restored from may be over: then `audit` took no row
    row = await installation.known(w)
    if row.held_since is None:
        return None
    mails_before = row.held_since if drop_mails_before is None else min(row.held_since, w.now - drop_mails_before)
    mails = 0 if drop_mails_before is None else await _drop(w, "mail", mails_before)
    webhooks = await _drop(w, "webhook", row.held_since) if drop_webhooks else 0
    reason, row.held_since, row.held_reason = row.held_reason, None, None
    begun = await installation.begin_epoch(w, row)
    await tell(w, begun)
    await _anchor_logs(w, begun.epoch.number)
    audit.record(
        w, "released", "installation", begun.row.id,
        reason=reason, epoch=begun.epoch.number, mails_dropped=mails, webhooks_dropped=webhooks,
    )  # fmt: skip
    return Released(begun.epoch, mails, webhooks)


async def _drop(w: Work, kind: str, until: datetime) -> int:
    return len((await w.sql(_DROP, {"kind": kind, "until": until, "now": w.now})).all())


async def tell(w: Work, begun: installation.Begun) -> None:
    """Record the epoch's first event, for every institution and every admin.

    It stands at the floor, so that an older program, which knows of no epochs, goes on above it, too.
    """
    await w.flush()
    everybody = (await w.sql(_EVERYBODY)).one()
    epoch = begun.epoch
    start = restores.Cursor(epoch.number, epoch.floor - 1, epoch.branch)
    events.record(
        w,
        "installation.restored",
        None,
        begun.row.id,
        events.Audience(institution_ids=tuple(everybody.institution_ids), person_ids=tuple(everybody.person_ids)),
        state="restored",
        position=epoch.floor,
        more={"epoch": epoch.number, "lost_after": epoch.lost_after, "resync_from": str(start)},
    )


async def _anchor_logs(w: Work, epoch: int) -> None:
    """Note where every log ends now: an anchor that was taken of it before may lie further, and was lost."""
    for end in await memorandum_log.anchors(w):
        w.write(
            tables.LogAnchor,
            {
                "memorandum_id": end.memorandum_id,
                "epoch": epoch,
                "position": end.head.position,
                "hash": end.head.hash,
                "made_at": w.now,
            },
        )
