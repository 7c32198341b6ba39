"""What is promised at filing, from a programme's own rows; and how the promises fared (decision 0107).

A filing reads one row, `promise_record`, by its key, and a process keeps it for a minute. A worker counts that row anew
each hour, from the latest requests whose time was over long enough for a session to be logged. What was promised stands
with its request, whether the clinician was told or the sentence was switched off: so it can be judged, and come back.
It names no hospital: only counts of the whole programme.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import tables
from service.kernel import access, actor, clock
from service.kernel.work import Database, Work
from service.rules import lifecycle, promise
from service.rules.promise import Bin, Outcomes, Promise, Record, Stratum

LEARNED_FROM = timedelta(days=365)
MOST_REQUESTS = 20_000
"""Of the latest year the latest so many: to count them takes a tenth of a second."""
LOGGED_WITHIN = timedelta(days=2)
"""A session is logged after it was held: so much later it is known whether a request was answered in time."""
COUNTED_EVERY = timedelta(hours=1)
KEPT_SECONDS = 60
"""For how long a process takes a record to be what it was."""

_RECORD = sa.text("""
SELECT CAST(outcomes AS text) AS outcomes, CAST(bins AS text) AS bins FROM promise_record
WHERE programme_id = :programme
""")

# A request that was withdrawn by its own side counts as one that nobody answered: many give up because nobody comes. So
# it does in no report, which asks what became of it; but who is promised something asks what is ahead.
_COUNT = sa.text("""
WITH latest AS (
  SELECT id, priority, mode, eligible_mentors, promised_chance, promised_by, opened_at, cancel_reason FROM consultation
  WHERE programme_id = :programme AND opened_at > :since ORDER BY opened_at DESC LIMIT :most
),
timed AS (
  SELECT priority, mode, least(eligible_mentors, :most_eligible) AS eligible, promised_chance,
         CASE WHEN promised_chance IS NOT NULL
              THEN least(CAST(floor(promised_chance * CAST(:bins AS int)) AS int), CAST(:bins AS int) - 1) END AS bin,
         coalesce(answered_at <= promised_by, false) AS is_in_time,
         CASE WHEN answered_at <= promised_by THEN date_part('epoch', answered_at - opened_at) / 3600
              ELSE 'infinity' END AS hours
  FROM latest
  CROSS JOIN LATERAL (
    SELECT min(CASE mode WHEN 'written' THEN ended_at ELSE started_at END) AS answered_at
    FROM session s
    WHERE consultation_id = latest.id AND NOT is_corrected
    AND outcome NOT IN ('no_show_mentor', 'no_show_clinician', 'cancelled_late')
  ) AS answered
  WHERE eligible_mentors IS NOT NULL AND promised_by <= :settled AND cancel_reason IS DISTINCT FROM 'filed_by_mistake'
)
SELECT priority, eligible, mode, bin, count(*) AS requests, count(*) FILTER (WHERE is_in_time) AS in_time,
       avg(promised_chance) AS mean, percentile_disc(0.5) WITHIN GROUP (ORDER BY hours) AS half_hours
FROM timed GROUP BY GROUPING SETS ((priority, eligible, mode), (bin))
""")

_DUE = sa.text("""
SELECT p.id, p.code, r.is_off FROM programme p LEFT JOIN promise_record r ON r.programme_id = p.id
WHERE r.counted_at IS NULL OR r.counted_at NOT BETWEEN :hour_ago AND :now ORDER BY p.id
""")

_KEEP = sa.text("""
INSERT INTO promise_record (programme_id, counted_at, is_off, outcomes, bins)
VALUES (:programme, :now, :is_off, CAST(:outcomes AS jsonb), CAST(:bins AS jsonb))
ON CONFLICT (programme_id) DO UPDATE SET counted_at = excluded.counted_at, is_off = excluded.is_off,
  outcomes = excluded.outcomes, bins = excluded.bins
""")
_OFF = sa.text(
    "SELECT p.code FROM promise_record r JOIN programme p ON p.id = r.programme_id WHERE r.is_off ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Switched:
    """A programme whose promises are switched off from now on, as they proved wrong, or on again."""

    programme_code: str
    is_off: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a programme's promises fared, when that was counted, and whether they are switched off."""

    counted_at: datetime | None
    is_off: bool
    bins: Mapping[int, Bin]


_records: dict[UUID, tuple[float, Record]] = {}


async def make(w: Work, consultation: tables.Consultation, eligible: int) -> None:
    """Write down how many mentors are eligible for the request at its filing, and how surely it is answered in time."""
    record = await _record(w, consultation.programme_id)
    stratum = promise.stratum(consultation.priority, eligible, consultation.mode)
    consultation.eligible_mentors, consultation.promised_by = eligible, consultation.answer_due_at
    consultation.promised_chance = promise.chance(record.outcomes, stratum) if eligible else None


async def told(w: Work, row: tables.Consultation) -> Promise | None:
    """Give what the requesting side is told of a request that seeks its mentor; None where nothing is to be said."""
    is_ahead = row.state in lifecycle.SEEKING and row.promised_by is not None and row.promised_by > w.now
    if not is_ahead or row.eligible_mentors is None or not access.is_requesting_side(w, row):
        return None
    return await of_request(w, row.programme_id, row.priority, row.mode, row.eligible_mentors, row.opened_at or w.now)


async def of_request(
    w: Work, programme_id: UUID, priority: str, mode: str, eligible: int, filed_at: datetime
) -> Promise | None:
    """Give what is told of a request for which so many mentors are eligible, filed or not; None: nothing is said."""
    return promise.tell(await _record(w, programme_id), promise.stratum(priority, eligible, mode), filed_at)


async def _record(w: Work, programme_id: UUID) -> Record:
    read_at, record = _records.get(programme_id, (None, None))
    if record is None or read_at is None or clock.monotonic() - read_at > KEPT_SECONDS:
        with w.holding():
            rows = await w.fetch(_RECORD, {"programme": programme_id})
        record = _unpacked(rows[0]) if rows else Record()
        _records[programme_id] = (clock.monotonic(), record)
    return record


async def recount_due(database: Database) -> list[Switched]:
    """Count anew what was last counted an hour ago, programme by programme; gives those that are switched off or on."""
    switched = []
    async with database.work(actor.TIMER) as w:
        due = await w.fetch(_DUE, {"hour_ago": w.now - COUNTED_EVERY, "now": w.now})
    for programme_id, code, was_off in due:
        async with database.work(actor.TIMER) as w:
            record = await recount(w, programme_id)
        if record.is_off != bool(was_off):
            switched.append(Switched(code, record.is_off))
    return switched


async def recount(w: Work, programme_id: UUID) -> Record:
    """The programme's record says what its rows say now."""
    values = {
        "programme": programme_id,
        "since": w.now - LEARNED_FROM,
        "settled": w.now - LOGGED_WITHIN,
        "most": MOST_REQUESTS,
        "most_eligible": promise.MOST_ELIGIBLE,
        "bins": promise.BINS,
    }
    rows = await w.fetch(_COUNT, values)
    strata = [row for row in rows if row.priority is not None]
    record = Record(
        {Stratum(*row[:3]): Outcomes(row.requests, row.in_time, _finite(row.half_hours)) for row in strata},
        {row.bin: Bin(row.requests, row.mean, row.in_time) for row in rows if row.bin is not None},
    )
    packed = {
        "outcomes": json.dumps([[*which, *each] for which, each in record.outcomes.items()]),
        "bins": json.dumps([[number, *each] for number, each in sorted(record.bins.items())]),
    }
    await w.fetch(_KEEP, {"programme": programme_id, "now": w.now, "is_off": record.is_off, **packed})
    _records.pop(programme_id, None)
    return record


def _finite(hours: float) -> float | None:
    return hours if math.isfinite(hours) else None


def _unpacked(row: Any) -> Record:  # noqa: ANN401 - a row of `_RECORD`
    outcomes = {Stratum(*each[:3]): Outcomes(*each[3:]) for each in json.loads(row.outcomes)}
    return Record(outcomes, {number: Bin(*each) for number, *each in json.loads(row.bins)})


async def calibration(w: Work, programme_id: UUID) -> Calibration:
    """Give how the programme's promises fared, to its admins; raises NotFound, Forbidden."""
    row = await access.visible_programme(w, programme_id)
    access.requires_admin(w, row.id)
    kept = await w.find(tables.PromiseRecord, row.id)
    if kept is None:
        return Calibration(None, is_off=False, bins={})
    return Calibration(kept.counted_at, kept.is_off, {number: Bin(*each) for number, *each in kept.bins})


async def switched_off(w: Work) -> list[str]:
    """Name the programmes whose promises are switched off, by their codes."""
    return [row.code for row in await w.fetch(_OFF, {})]
