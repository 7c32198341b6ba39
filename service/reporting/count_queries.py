"""The counts that reports are made of: SQL over consultations, offers, sessions and answers of one scope and period.

Read-only; it knows no figures (`rules.figures` does), and no visibility (`reports` does).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import vocabulary
from service.kernel.work import Work
from service.rules.figures import counts
from service.rules.time import periods
from service.rules.time.intervals import Interval

MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
"""Weeks are counted from here, in UTC."""

WEEK = timedelta(days=7)
_MORE_MEMORY = sa.text("SELECT set_config('work_mem', '64MB', true)")  # a year's rows are sorted in memory, not on disk
_SHORT = timedelta(days=14)
"""Of so much time a programme has few rows: what a report counts beside its rollups."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which consultations `c`, offers `o`, sessions `s`, memoranda `m` and activities `a` are of the subject `:id`.

    `linking` says which memoranda `m` let mentors of a `place` answer what the subject's report counts.
    """

    kind: str
    consultations: str
    offers: str
    sessions: str
    memoranda: str
    activities: str
    linking: str


MEMORANDUM = Scope(
    "memorandum",
    "c.id IN (SELECT consultation_id FROM offer WHERE memorandum_id = :id)",
    "o.memorandum_id = :id",
    "s.memorandum_id = :id",
    "m.id = :id",
    "a.memorandum_id = :id",
    "m.id = :id",
)
PROGRAMME = Scope(
    "programme",
    "c.programme_id = :id",
    "o.memorandum_id IN (SELECT id FROM memorandum WHERE programme_id = :id)",
    "s.programme_id = :id",
    "m.programme_id = :id",
    "a.programme_id = :id",
    "m.programme_id = :id",
)
INSTITUTION = Scope(
    "institution",
    "(c.institution_id = :id OR c.id IN (SELECT consultation_id FROM offer WHERE institution_id = :id))"
    " AND (:is_everywhere OR c.programme_id = ANY(:programmes))",
    "(o.institution_id = :id OR o.consultation_id IN (SELECT id FROM consultation WHERE institution_id = :id))"
    " AND (:is_everywhere OR o.memorandum_id IN (SELECT id FROM memorandum WHERE programme_id = ANY(:programmes)))",
    "(s.partner_institution_id = :id OR s.requesting_institution_id = :id)"
    " AND (:is_everywhere OR s.programme_id = ANY(:programmes))",
    "m.id IN (SELECT memorandum_id FROM memorandum_party WHERE institution_id = :id)"
    " AND (:is_everywhere OR m.programme_id = ANY(:programmes))",
    "(a.memorandum_id IN (SELECT memorandum_id FROM memorandum_party WHERE institution_id = :id)"
    " OR a.id IN (SELECT activity_id FROM activity_institution WHERE institution_id = :id))"
    " AND (:is_everywhere OR a.programme_id = ANY(:programmes))",
    # Its own mentors, and all that answer it: itself, or a network that it belongs to, is on the requesting side.
    "(place.institution_id = :id OR EXISTS (SELECT FROM memorandum_party r"
    " WHERE r.memorandum_id = m.id AND r.side = 'requesting' AND (r.institution_id = :id OR r.institution_id IN"
    " (SELECT network_id FROM membership WHERE institution_id = :id))))"
    " AND (:is_everywhere OR m.programme_id = ANY(:programmes))",
)

# LATERAL looks up the offers and sessions of each consultation, and the answers of each session: mostly few are
# counted, while the planner, expecting many, would read these tables whole.
_CONSULTATIONS = """
WITH cohort AS (
  SELECT c.id, priority, state, opened_at, answer_due_at, closed_at FROM consultation c
  WHERE {consultations} AND {opened}
),
timed AS (
  SELECT cohort.*, offered.*, answered_at,
         date_part('epoch', allocated_at - opened_at) / 3600 AS allocation,
         date_part('epoch', answered_at - opened_at) / 3600 AS answer,
         CASE state WHEN 'completed' THEN date_part('epoch', closed_at - opened_at) / 3600 END AS closing,
         CASE WHEN state <> 'cancelled' THEN date_part('epoch', answer_due_at) END AS due,
         allocated_at IS NOT NULL OR (answer_due_at <= :now AND state <> 'cancelled') AS allocation_decided,
         answered_at IS NOT NULL OR (answer_due_at <= :now AND state <> 'cancelled') AS answer_decided,
         answered_at IS NOT NULL OR (opened_at <= :day_ago AND state <> 'cancelled') AS day_decided
  FROM cohort
  LEFT JOIN LATERAL (
    SELECT consultation_id, count(DISTINCT wave) > 1 AS needs_backup,
           min(CASE WHEN o.state <> 'accepted' THEN NULL WHEN counter_starts = '{{}}' THEN answered_at
               ELSE greatest(answered_at, (SELECT a.created_at FROM appointment a
                                           JOIN participant p ON p.appointment_id = a.id
                                           WHERE a.consultation_id = o.consultation_id AND p.offer_id = o.id)) END
           ) AS allocated_at,
           bool_or(wave = 1)
           AND NOT bool_or(wave = 1 AND (o.state IN ('pending', 'countered') OR is_late)) AS first_over,
           bool_or(wave = 1 AND o.state = 'accepted') AS first_accepted
    FROM offer o WHERE consultation_id = cohort.id AND NOT is_undelivered GROUP BY consultation_id
  ) AS offered ON true
  CROSS JOIN LATERAL (
    SELECT min(CASE mode WHEN 'written' THEN ended_at ELSE started_at END) AS answered_at
    FROM session s
    WHERE consultation_id = cohort.id AND NOT is_corrected
    AND outcome NOT IN ('no_show_mentor', 'no_show_clinician', 'cancelled_late')
  ) AS answered
)
SELECT priority, count(*) AS filed,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       count(*) FILTER (WHERE state = 'unmatched') AS unmatched,
       count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE state = 'expired') AS expired,
       count(*) FILTER (WHERE allocation_decided) AS allocation_decided,
       count(*) FILTER (WHERE allocated_at <= answer_due_at) AS allocated_in_time,
       count(*) FILTER (WHERE answer_decided) AS answer_decided,
       count(*) FILTER (WHERE answered_at <= answer_due_at) AS answered_in_time,
       count(*) FILTER (WHERE day_decided) AS day_decided,
       count(*) FILTER (WHERE answer <= 24) AS answered_within_day,
       count(*) FILTER (WHERE first_over) AS first_wave_over,
       count(*) FILTER (WHERE first_over AND first_accepted) AS first_wave_accepted,
       count(*) FILTER (WHERE needs_backup) AS needing_backup,
       count(consultation_id) AS with_offers,
       array_agg(due ORDER BY due) FILTER (WHERE due > :now_epoch AND allocated_at IS NULL) AS allocation_decided_due,
       array_agg(due ORDER BY due) FILTER (WHERE due > :now_epoch AND answered_at IS NULL) AS answer_decided_due,
       array_agg(allocation ORDER BY allocation) FILTER (WHERE allocation IS NOT NULL) AS allocation,
       array_agg(answer ORDER BY answer) FILTER (WHERE answer IS NOT NULL) AS answer,
       array_agg(closing ORDER BY closing) FILTER (WHERE closing IS NOT NULL) AS closing
FROM timed GROUP BY priority
"""

_OFFERS = """
WITH weekly AS (
  SELECT mentor_id, CAST(floor(date_part('epoch', sent_at - CAST(:monday AS timestamptz)) / 604800) AS int) AS week,
         count(*) FILTER (WHERE NOT is_undelivered) AS sent,
         count(*) FILTER (WHERE is_undelivered) AS undelivered,
         count(*) FILTER (WHERE state = 'accepted') AS accepted,
         count(*) FILTER (WHERE state = 'declined') AS declined,
         count(*) FILTER (WHERE decline_reason = 'wrong_specialty') AS wrong_specialty
  FROM offer o WHERE {offers} AND {sent} GROUP BY 1, 2
)
SELECT coalesce(sum(sent), 0)::int AS sent, coalesce(sum(undelivered), 0)::int AS undelivered,
       coalesce(sum(accepted), 0)::int AS accepted,
       coalesce(sum(declined), 0)::int AS declined, coalesce(sum(wrong_specialty), 0)::int AS wrong_specialty,
       coalesce(max(sent) FILTER (WHERE week <> ALL(CAST(:shared AS int[]))), 0) AS most_in_week,
       coalesce(array_agg(DISTINCT mentor_id) FILTER (WHERE sent > 0), '{{}}') AS mentor_ids,
       coalesce(array_agg(week ORDER BY week, mentor_id) FILTER (WHERE {is_shared}), '{{}}') AS weeks,
       coalesce(array_agg(mentor_id ORDER BY week, mentor_id) FILTER (WHERE {is_shared}), '{{}}') AS week_mentor_ids,
       coalesce(array_agg(sent ORDER BY week, mentor_id) FILTER (WHERE {is_shared}), '{{}}') AS week_sent
FROM weekly
"""

_SESSIONS = """
SELECT mode, outcome, route, is_civil_for_requester, is_civil_for_mentor, mentor_id, partner_institution_id,
       specialty_code, requesting_institution_id, count(*) AS sessions, sum(minutes)::int AS minutes
FROM session s WHERE {sessions} AND NOT is_corrected AND {started}
GROUP BY GROUPING SETS ((mode, outcome, route, is_civil_for_requester, is_civil_for_mentor),
                        (mentor_id, partner_institution_id), (specialty_code), (requesting_institution_id))
"""

_ANSWERS = """
SELECT side, is_useful, patient_outcome, count(*) AS answers
FROM session s
CROSS JOIN LATERAL (SELECT side, is_useful, patient_outcome FROM feedback WHERE session_id = s.id OFFSET 0) AS f
WHERE {sessions} AND {started} GROUP BY 1, 2, 3
"""

_COUNTED = {"consultations": _CONSULTATIONS, "offers": _OFFERS, "sessions": _SESSIONS, "answers": _ANSWERS}
"""The statements of `tally` and no others: every rollup carries a digest of these (see `rollups`)."""

_MONTHS = """
SELECT width_bucket(started_at, CAST(:bounds AS timestamptz[])) AS place, mode,
       count(*) FILTER (WHERE mode = 'written'
                        OR outcome NOT IN ('no_show_mentor', 'no_show_clinician', 'cancelled_late')) AS counted,
       sum(minutes)::int AS minutes
FROM session s WHERE {sessions} AND NOT is_corrected AND started_at >= :since AND started_at < :till GROUP BY 1, 2
"""

_ACTIVITIES = """
SELECT kind, on_date, period, from_on, until_on, people_op, people_count FROM activity a
WHERE {activities} AND NOT is_corrected
"""

_FIRST = "SELECT min(started_at) FROM session s WHERE {sessions} AND NOT is_corrected"

# OFFSET 0, so that the last session of each memorandum is looked up once, however often it is named.
_MEMORANDA = """
SELECT status, count(*) AS memoranda, count(*) FILTER (WHERE last_at IS NULL OR last_at <= :idle_since) AS idle,
       min(first_on) AS first_on, max(last_at) AS last_at
FROM (SELECT m.status, coalesce(m.valid_from, m.signed_on) AS first_on,
             (SELECT max(started_at) FROM session s WHERE s.memorandum_id = m.id AND NOT is_corrected) AS last_at
      FROM memorandum m WHERE {memoranda} OFFSET 0) AS used
GROUP BY status
"""

_PLACES = sa.text(
    "SELECT CAST(id AS text) AS id, country, region FROM institution"
    " WHERE id = ANY(CAST(CAST(:ids AS text[]) AS uuid[]))"
)


@dataclass(frozen=True, slots=True)
class MemorandaOfStatus:
    """What a report says of the memoranda of one status: how many, how many of them idle, first day and last use."""

    status: str
    memoranda: int
    idle: int
    first_on: date | None
    last_at: datetime | None


def values(subject_id: UUID, programmes: Collection[UUID] | None = None) -> dict[str, Any]:
    """Give what the statements of a scope need; None for the programmes means all of them."""
    return {"id": subject_id, "is_everywhere": programmes is None, "programmes": sorted(programmes or ())}


def statements() -> list[str]:
    """Give the SQL that counts a programme's past."""
    return [_text(statement, PROGRAMME, 1).text for statement in _COUNTED.values()]


async def memoranda(w: Work, scope: Scope, subject: Mapping[str, Any], idle_since: datetime) -> list[MemorandaOfStatus]:
    """Count the memoranda of the scope by status; idle are those under which nothing began later than that."""
    rows = await run(w, _MEMORANDA, scope, {**subject, "idle_since": idle_since})
    return [MemorandaOfStatus(*row) for row in rows]


async def first_at(w: Work, scope: Scope, subject: Mapping[str, Any]) -> datetime | None:
    """Give when the first session of the scope began."""
    ((started_at,),) = await run(w, _FIRST, scope, subject)
    return cast("datetime | None", started_at)


async def tally(w: Work, scope: Scope, subject: Mapping[str, Any], spans: Sequence[Interval]) -> counts.Tally:
    """Count what was opened, sent and held in the stretches of time, as things stand now."""
    bound = {**subject, "now": w.now, "now_epoch": w.now.timestamp(), "day_ago": w.now - timedelta(days=1)}
    bound |= {"monday": MONDAY, "shared": _shared_weeks(spans)}
    for number, (since, till) in enumerate(spans):
        bound |= {f"since_{number}": since, f"till_{number}": till}
    if sum((min(till, w.now) - since for since, till in spans), timedelta()) > _SHORT:
        await w.fetch(_MORE_MEMORY, {})
    totals = counts.Tally()
    for row in await run(w, _COUNTED["consultations"], scope, bound, len(spans)):
        columns = row._asdict()
        hours = {name: [counts.histogram(columns.pop(name) or ())] for name in counts.HOURS}
        due = {name: columns.pop(f"{name}_due") or [] for name in counts.DUE}
        totals.consultations[columns.pop("priority")] = counts.PriorityTally(columns, hours, due)
    (row,) = await run(w, _COUNTED["offers"], scope, bound, len(spans))
    offers = row._asdict()
    totals.asked_mentors = {mentor.bytes for mentor in offers.pop("mentor_ids")}
    totals.mentor_minutes = dict.fromkeys(totals.asked_mentors, 0)
    totals.most_in_week = offers.pop("most_in_week")
    of_weeks = [offers.pop(name) for name in ("weeks", "week_mentor_ids", "week_sent")]
    for week, mentor, sent in zip(*of_weeks, strict=True):
        totals.shared_weeks.setdefault(week, {})[mentor.bytes] = sent
    totals.offers = offers
    for *key, mentor_id, partner_id, specialty, requester_id, sessions, minutes in await run(
        w, _COUNTED["sessions"], scope, bound, len(spans)
    ):
        if mentor_id:
            mentor, partner = mentor_id.bytes, str(partner_id)
            totals.mentor_minutes[mentor] = totals.mentor_minutes.get(mentor, 0) + minutes
            totals.partners[partner] = totals.partners.get(partner, 0) + sessions
        elif specialty:
            totals.areas[specialty] = sessions
        elif requester_id:
            totals.requesters[str(requester_id)] = sessions
        else:
            totals.sessions[tuple(key)] = (sessions, minutes)
    for row in await run(w, _COUNTED["answers"], scope, bound, len(spans)):
        totals.answers[row.side, row.is_useful, row.patient_outcome] = row.answers
    return totals


def _shared_weeks(spans: Sequence[Interval]) -> list[int]:
    """Number the weeks of which the spans may have a part only."""
    return sorted({(at - MONDAY) // WEEK for span in spans for at in span if (at - MONDAY) % WEEK})


async def months(
    w: Work, scope: Scope, subject: Mapping[str, Any], during: Interval, starts: Sequence[datetime]
) -> dict[int, dict[str, tuple[int, int]]]:
    """Count what was held or written, and all minutes, by mode and the stretch that begins at one of `starts`."""
    by_month: dict[int, dict[str, tuple[int, int]]] = {}
    bound = {**subject, "since": during[0], "till": during[1], "bounds": list(starts)}
    for row in await run(w, _MONTHS, scope, bound):
        by_month.setdefault(row.place - 1, {})[row.mode] = (row.counted, row.minutes)
    return by_month


async def report_counts(
    w: Work,
    totals: counts.Tally,
    during: Interval,
    activities: counts.ActivityCounts,
    askable_mentors: Collection[counts.Mentor],
) -> counts.ReportCounts:
    """Give the totals of the period as the numbers that figures are made of."""
    places = await w.fetch(_PLACES, {"ids": [*{*totals.partners, *totals.requesters}]})
    elapsed = min(during[1], w.now) - during[0]
    priorities = [priority for priority in vocabulary.PRIORITIES if priority in totals.consultations]
    return counts.ReportCounts(
        by_priority={key: counts.of_consultations([totals.consultations[key]]) for key in priorities},
        all_priorities=counts.of_consultations([totals.consultations[key] for key in priorities]),
        offers=counts.OfferCounts(
            **totals.offers,
            mentors=len(totals.asked_mentors),
            most_in_week=counts.most_in_week(totals),
            weeks=max(1.0, elapsed / WEEK),
        ),
        sessions=[counts.SessionCount(*key, *numbers) for key, numbers in totals.sessions.items()],
        answers=[counts.AnswerCount(*key, answers) for key, answers in totals.answers.items()],
        mentor_minutes=counts.shared_out(totals.mentor_minutes, askable_mentors),
        areas=totals.areas,
        partner_countries=_summed(totals.partners, {key: country for key, country, _ in places}),
        requesting_regions=_summed(totals.requesters, {key: region or country for key, country, region in places}),
        activities=activities,
    )


async def activities(
    w: Work, scope: Scope, subject: Mapping[str, Any], from_on: date, until_on: date
) -> counts.ActivityCounts:
    """Count the activities that began on the days, of whatever precision their dates are."""
    kinds: dict[str, int] = {}
    people: dict[str, int] = {}
    with_people = undated = 0
    for row in await run(w, _ACTIVITIES, scope, subject):
        began_on = periods.first_day(row.on_date, row.period, row.from_on, row.until_on)
        if began_on is None:
            undated += 1
        elif from_on <= began_on < until_on:
            kinds[row.kind] = kinds.get(row.kind, 0) + 1
            if row.people_op:
                with_people += 1
                people[row.people_op] = people.get(row.people_op, 0) + row.people_count
    return counts.ActivityCounts(kinds=kinds, people=people, counted=with_people, undated=undated)


async def run(w: Work, statement: str, scope: Scope, bound: Mapping[str, object], spans: int = 0) -> Sequence[Any]:
    """Run a statement about the scope, whose fragments are put in, and names of parameters: never input."""
    return await w.fetch(_text(statement, scope, spans), bound)


@lru_cache(maxsize=512)
def _text(statement: str, scope: Scope, spans: int) -> sa.TextClause:
    text = sa.text(
        statement.format(
            opened=_within("opened_at", spans),
            sent=_within("sent_at", spans),
            started=_within("started_at", spans),
            is_shared="sent > 0 AND week = ANY(CAST(:shared AS int[]))",
            consultations=scope.consultations,
            offers=scope.offers,
            sessions=scope.sessions,
            memoranda=scope.memoranda,
            activities=scope.activities,
            linking=scope.linking,
        )
    )
    if ":bounds" in text.text:
        text = text.bindparams(sa.bindparam("bounds", type_=ARRAY(sa.DateTime(timezone=True))))
    if ":programmes" in text.text:
        text = text.bindparams(sa.bindparam("programmes", type_=ARRAY(PG_UUID(as_uuid=True))))
    return text


def _within(column: str, spans: int) -> str:
    stretches = [f"{column} >= :since_{number} AND {column} < :till_{number}" for number in range(spans)]
    return f"({' OR '.join(stretches)})" if stretches else "false"


def _summed(sessions: Mapping[str, int], places: Mapping[str, str | None]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for institution_id, count in sessions.items():
        key = places[institution_id] or "unknown"
        summed[key] = summed.get(key, 0) + count
    return summed
