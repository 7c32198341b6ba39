"""Rehearsals: what a programme's recorded choices of mentors come to under other numbers; asked for, made, read.

A worker makes one, a lot of choices at a time, under a lease by the database's clock: one whose worker was killed is
taken up again from its beginning, and is told as failed once that has happened too often. What it comes to are counts
(`rehearsal_tally`): no person, no word of a case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.care import decisions
from service.kernel import access, audit, clock, errors, paging, visibility
from service.kernel.work import Work
from service.rules import policy
from service.rules.policy import Policy

MOST_DECISIONS = 20_000
LEASE_SECONDS = 120
MOST_ATTEMPTS = 5
"""So often a worker takes one up; who was killed at it so often would be so again."""
LEFT_SECONDS = 60
"""So long a worker leaves one to others whose choices it has other rules than: two versions run in an upgrade."""

_COUNT = sa.text("""
SELECT count(*) AS decisions,
       max(d.at) FILTER (WHERE r.rules_version <> :rules OR r.tzdata_version <> :tzdata) AS others_until
FROM decision d LEFT JOIN rulebook r ON r.id = d.rulebook_id
WHERE d.programme_id = :programme AND d.at >= :since AND d.at < :until AND d.body IS NOT NULL
""")
_CLAIM = sa.text("""
UPDATE rehearsal
SET state = 'running', attempts = attempts + 1, decisions_done = 0,
    lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE id = (SELECT id FROM rehearsal WHERE state IN ('waiting', 'running')
            AND (lease_until IS NULL OR lease_until < clock_timestamp()) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, attempts
""")
_IS_OURS = "id = :id AND attempts = :attempts AND state = 'running'"
_GO_ON = sa.text(f"""
UPDATE rehearsal SET decisions_done = :done, lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE {_IS_OURS} RETURNING id
""")  # noqa: S608 - our own words
_PUT_BACK = sa.text(f"""
UPDATE rehearsal
SET state = 'waiting', attempts = :attempts_after, decisions_done = 0,
    lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE {_IS_OURS}
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Claim:
    """A rehearsal that a worker has taken up; `attempt` tells its lease from that of whoever takes it up later."""

    id: UUID
    attempt: int

    @property
    def is_hopeless(self) -> bool:
        """Tell whether it was taken up too often."""
        return self.attempt > MOST_ATTEMPTS


class Lost(Exception):
    """Another worker has taken the rehearsal up meanwhile, or it was settled: what comes of it is theirs to tell."""


async def submit(
    w: Work, programme_id: UUID, overrides: Mapping[str, Any], since: datetime, until: datetime
) -> tables.Rehearsal:
    """Have the choices from `since` until (not including) `until`, but none to come, rehearsed; for admins.

    Raises NotFound, Forbidden; Invalid for numbers that cannot be used; Exists while one of the programme goes on;
    TooManyDecisions; NotComparable if other rules made some of the choices.
    """
    programme = await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme.id)
    numbers(overrides)
    if until <= since:
        raise errors.Invalid("/until", "a time ends after its start")
    until = min(until, w.now)
    if until <= since:
        raise errors.Invalid("/from", "this lies ahead of us")
    going = await _going(w, programme.id)
    if going is not None:
        message = "A rehearsal of this programme is under way: wait until it is done."
        raise errors.Exists(message, going)
    found = await _count(w, programme.id, since, until)
    if found.decisions > MOST_DECISIONS:
        raise errors.TooManyDecisions(found.decisions, MOST_DECISIONS)
    if found.others_until is not None:
        raise errors.NotComparable(found.others_until)
    row = tables.Rehearsal(
        id=clock.new_id(), programme_id=programme.id, by=w.actor.person_id, policy=dict(overrides),
        compared_with=programme.policy, from_at=since, until_at=until, state="waiting", decisions=found.decisions,
        created_at=w.now,
    )  # fmt: skip
    w.add(row)
    audit.record(w, "created", "rehearsal", row.id, programme_id=str(programme.id))
    return row


def numbers(overrides: Mapping[str, Any]) -> Policy:
    """Read the numbers; raises Invalid for an unknown key or a bad value."""
    try:
        return policy.from_overrides(overrides)
    except policy.InvalidPolicy as error:
        raise errors.Invalid("/policy", error.args[0]) from error


async def _going(w: Work, programme_id: UUID) -> UUID | None:
    row = tables.Rehearsal
    going = sa.select(col(row.id)).where(
        col(row.programme_id) == programme_id, col(row.state).in_(vocabulary.REHEARSAL_GOING)
    )
    found: UUID | None = (await w.sql(going)).scalar_one_or_none()
    return found


async def _count(w: Work, programme_id: UUID, since: datetime, until: datetime) -> Any:  # noqa: ANN401 - a row
    values = {"programme": programme_id, "since": since, "until": until}
    (found,) = await w.fetch(_COUNT, values | {"rules": decisions.rules_version(), "tzdata": w.tzdata_version})
    return found


async def read(w: Work, programme_id: UUID, rehearsal_id: UUID) -> tables.Rehearsal:
    """Give a rehearsal of the programme to its admins; raises NotFound, Forbidden."""
    await _must_administer(w, programme_id)
    row = await access.visible_rehearsal(w, rehearsal_id)
    if row.programme_id != programme_id:
        raise errors.NotFound
    return row


async def page(w: Work, programme_id: UUID, *, after: UUID | None, limit: int) -> list[tables.Rehearsal]:
    """Give the programme's rehearsals, oldest first, to its admins; raises NotFound, Forbidden."""
    await _must_administer(w, programme_id)
    row = tables.Rehearsal
    return await paging.rows(w, row, col(row.programme_id) == programme_id, after=after, limit=limit)


async def latest(w: Work, programme_id: UUID, limit: int) -> Sequence[tables.Rehearsal]:
    """Give the programme's latest rehearsals, newest first, to its admins; raises NotFound, Forbidden."""
    await _must_administer(w, programme_id)
    row = tables.Rehearsal
    keys = visibility.keys(
        row, w.actor, col(row.programme_id) == programme_id, order=("id",), limit=limit, is_backwards=True
    )
    query = sa.select(row).where(visibility.is_among(row.id, keys)).order_by(sa.desc(col(row.id)))
    return list((await w.sql(query)).scalars())


async def _must_administer(w: Work, programme_id: UUID) -> None:
    programme = await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme.id)


# The worker's part.


async def claim(w: Work) -> Claim | None:
    """Take a rehearsal up, for as long as the lease lasts: one that waits, or whose worker is gone."""
    rows = await w.fetch(_CLAIM, {"seconds": LEASE_SECONDS})
    return Claim(rows[0].id, rows[0].attempts) if rows else None


async def has_other_rules(w: Work, row: tables.Rehearsal) -> bool:
    """Tell whether other rules or zone data than this worker's made some of the choices."""
    return (await _count(w, row.programme_id, row.from_at, row.until_at)).others_until is not None


async def go_on(w: Work, claimed: Claim, done: int) -> None:
    """Say how many choices are done, and keep the lease; raises Lost."""
    values = {"id": claimed.id, "attempts": claimed.attempt, "done": done, "seconds": LEASE_SECONDS}
    if not await w.fetch(_GO_ON, values):
        raise Lost


async def put_back(w: Work, claimed: Claim, *, seconds: int = 0, counts: bool) -> None:
    """Leave it to another worker, in so many seconds; whether it `counts` as one of the times it was taken up."""
    after = claimed.attempt if counts else claimed.attempt - 1
    values = {"id": claimed.id, "attempts": claimed.attempt, "attempts_after": after, "seconds": seconds}
    await w.sql(_PUT_BACK, values)


async def settle(
    w: Work, claimed: Claim, result: Mapping[str, Any] | None, problem: vocabulary.RehearsalProblem | None = None
) -> None:
    """Record what it came to, or, without a result, that it failed; raises Lost."""
    row = (
        await w.sql(sa.select(tables.Rehearsal).where(col(tables.Rehearsal.id) == claimed.id).with_for_update())
    ).scalar_one()
    if (row.attempts, row.state) != (claimed.attempt, "running"):
        raise Lost
    row.state, row.problem, row.result = "failed" if result is None else "done", problem, result and dict(result)
    row.lease_until, row.settled_at = None, w.now
