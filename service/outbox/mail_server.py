"""How the one mail server stands, as all workers see it: there, away, or held back by an operator (decision 0035).

A fault of the line is no fault of the letter: while the server is away the queue waits as a whole, and no mail's own
schedule is spent. One worker at a time looks whether it is back, and then everything is due at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from service.kernel import audit, outcomes
from service.kernel.work import Work
from service.rules.delivery import refusals

PROBE_GAP = timedelta(seconds=30)
"""Between two looks at a server that is away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when the server is away, and what it said or what broke; since when an operator holds all mail back."""

    away_since: datetime | None = None
    phase: str | None = None
    status: int | None = None
    error: str | None = None
    probe_at: datetime | None = None
    held_at: datetime | None = None

    @property
    def takes_mail(self) -> bool:
        """Whether mail is handed over at present."""
        return self.away_since is None and self.held_at is None


_STANDING = sa.text("SELECT away_since, phase, status, error, probe_at, held_at FROM mail_server")


async def standing(w: Work) -> Standing:
    """Tell how the server stands."""
    row = (await w.sql(_STANDING, after_changes=False)).one_or_none()
    return Standing(*row) if row else Standing()


_OPEN = sa.text("""
INSERT INTO mail_server (id, away_since, failing_since, probe_at, phase, status, error)
VALUES (1, :now, :began, :probe_at, :phase, :status, :error)
ON CONFLICT (id) DO UPDATE
SET away_since = :now, failing_since = coalesce(mail_server.failing_since, :began), probe_at = :probe_at,
    phase = :phase, status = :status, error = :error
WHERE mail_server.away_since IS NULL RETURNING id
""")
_CUT = sa.text("""
INSERT INTO mail_server (id, cuts, last_cut_id, failing_since) VALUES (1, 1, :id, :began)
ON CONFLICT (id) DO UPDATE
SET cuts = mail_server.cuts + CASE WHEN mail_server.last_cut_id IS DISTINCT FROM :id THEN 1 ELSE 0 END,
    last_cut_id = :id, failing_since = coalesce(mail_server.failing_since, :began)
RETURNING cuts
""").bindparams(sa.bindparam("id", type_=sa.Uuid))
_ANSWERS = sa.text("""
UPDATE mail_server SET cuts = 0, last_cut_id = NULL, failing_since = NULL WHERE cuts > 0 AND away_since IS NULL
""")


async def note(w: Work, delivery_id: UUID, outcome: outcomes.Outcome, began_at: datetime) -> bool:
    """Remember what an attempt says of the server; True when it counts as away from now on, and did not before."""
    if isinstance(outcome, outcomes.Away):
        return await _open(w, outcome, began_at)
    if not isinstance(outcome, outcomes.Cut):
        await w.sql(_ANSWERS)
        return False
    cuts = (await w.sql(_CUT, {"id": delivery_id, "began": began_at})).scalar_one()
    return cuts >= refusals.CUTS_IN_A_ROW and await _open(w, outcome, began_at)


async def _open(w: Work, outcome: outcomes.Retry, began_at: datetime) -> bool:
    values = {
        "now": w.now,
        "began": began_at,
        "probe_at": w.now + PROBE_GAP,
        "phase": outcome.phase,
        "status": outcome.status,
        "error": outcome.error[:200],
    }
    return (await w.sql(_OPEN, values)).one_or_none() is not None


# The lease is by the database's clock, as hosts' clocks differ; it is longer than a look may take.
_TAKE_PROBE = sa.text("""
UPDATE mail_server SET probe_leased_until = clock_timestamp() + interval '30 seconds'
WHERE away_since IS NOT NULL AND probe_at <= :now
  AND (probe_leased_until IS NULL OR probe_leased_until < clock_timestamp())
RETURNING 1
""")
_STILL_AWAY = sa.text("""
UPDATE mail_server
SET probe_at = :probe_at, probe_leased_until = NULL, phase = :phase, status = :status, error = :error
WHERE away_since IS NOT NULL
""")
_BACK = sa.text("""
UPDATE mail_server
SET away_since = NULL, probe_at = NULL, probe_leased_until = NULL, phase = NULL, status = NULL, error = NULL,
    cuts = 0, last_cut_id = NULL, failing_since = NULL
FROM (SELECT away_since, failing_since FROM mail_server FOR UPDATE) AS before
WHERE before.away_since IS NOT NULL RETURNING before.away_since, before.failing_since
""")
# What was cut off when the server went need not wait for its own schedule: that was the server's fault, too.
_DUE_NOW = sa.text("""
UPDATE delivery SET next_attempt_at = :now
WHERE kind = 'mail' AND state = 'pending' AND next_attempt_at > :now AND EXISTS (
  SELECT FROM delivery_attempt t WHERE t.delivery_id = delivery.id AND t.attempt = delivery.attempt
  AND t.outcome = 'cut' AND t.at >= :since)
""")
_WAITING = sa.text(
    "SELECT count(*) FROM delivery WHERE kind = 'mail' AND state = 'pending' AND next_attempt_at <= :now"
)


async def take_probe(w: Work) -> bool:
    """Tell whether this worker is to look at the server now: it is away, a look is due, and nobody else is at it."""
    return bool(await w.fetch(_TAKE_PROBE, {"now": w.now}))


async def still_away(w: Work, outcome: outcomes.Away) -> None:
    """Have the next look due a little later."""
    values = {"phase": outcome.phase, "status": outcome.status, "error": outcome.error[:200]}
    await w.sql(_STILL_AWAY, values | {"probe_at": w.now + PROBE_GAP})


@dataclass(frozen=True, slots=True)
class Back:
    """A server that is back: for how long it was away, and how many mails have waited for it."""

    away_seconds: int
    waiting: int


async def back(w: Work) -> Back | None:
    """Have everything that waited due at once; None if the server does not count as away."""
    row = (await w.sql(_BACK)).one_or_none()
    if row is None:
        return None
    await w.sql(_DUE_NOW, {"now": w.now, "since": row.failing_since})
    waiting = (await w.sql(_WAITING, {"now": w.now})).scalar_one()
    return Back(round((w.now - row.away_since).total_seconds()), waiting)


_HOLD = sa.text("""
INSERT INTO mail_server (id, held_at) VALUES (1, :now)
ON CONFLICT (id) DO UPDATE SET held_at = :now WHERE mail_server.held_at IS NULL RETURNING id
""")
_RELEASE = sa.text("UPDATE mail_server SET held_at = NULL WHERE held_at IS NOT NULL RETURNING id")


async def hold(w: Work) -> bool:
    """Hold all mail back until `release`; False if it is held already."""
    is_changed = (await w.sql(_HOLD, {"now": w.now})).one_or_none() is not None
    if is_changed:
        audit.record(w, "held", "mail_server", None)
    return is_changed


async def release(w: Work) -> bool:
    """Let mail leave again; False if it was not held."""
    is_changed = (await w.sql(_RELEASE)).one_or_none() is not None
    if is_changed:
        audit.record(w, "released", "mail_server", None)
    return is_changed
