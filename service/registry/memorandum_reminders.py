"""Reminders before a memorandum ends or its budget is spent, and the memoranda that lie idle, with the reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access
from service.kernel.work import Work
from service.outbox import deliveries, events, hearers
from service.registry import agreements
from service.rules import policy
from service.rules.time import availability

IDLE_DAYS = 90
WHAT_TO_DO: Mapping[vocabulary.IdleReason, str] = {
    "not_in_force": "Its dates do not cover today: correct them, or let it end.",
    "budget_spent": "No minutes are left in this period: agree on more, or wait for the next one.",
    "no_mentors": "Ask the partner side to name mentors.",
    "no_verified_mentors": "Verify the mentors that the partner side has named.",
    "no_availability": "Ask the verified mentors for their weekly hours.",
    "no_clinicians": "Ask the requesting side to name clinicians.",
    "no_requests": "Nobody has asked: visit the requesting side, and show how a request is filed.",
    "offers_unanswered": "Mentors were asked and did not answer: ask them whether mails arrive and hours are right.",
    "offers_declined": "Mentors were asked and declined: compare their specialties with what is asked.",
    "asked_elsewhere": "Its requesting side asks, but under other memoranda: compare areas and languages.",
}
"""Why nothing happens under a memorandum, and what helps; the reasons in the order in which to deal with them."""


@dataclass(frozen=True, slots=True)
class Idle:
    """A memorandum under which nothing was logged for some days, and why, as far as the rows tell."""

    memorandum_id: UUID
    last_at: datetime | None
    idle_days: int
    reasons: tuple[vocabulary.IdleReason, ...]


_IDLE = sa.text("""
WITH quiet AS (
  SELECT m.id, m.valid_from, m.valid_until, m.created_at, m.programme_id,
         (SELECT max(started_at) FROM session s WHERE s.memorandum_id = m.id AND NOT is_corrected) AS last_at
  FROM memorandum m WHERE m.programme_id = :id AND m.status = 'active'
),
party AS (
  SELECT memorandum_id, institution_id, side FROM memorandum_party
  UNION
  SELECT p.memorandum_id, ms.institution_id, p.side FROM memorandum_party p
  JOIN membership ms ON ms.network_id = p.institution_id
    AND ms.from_on <= :today AND (ms.until_on IS NULL OR ms.until_on > :today)
)
SELECT q.id, q.last_at, q.valid_from, q.valid_until, q.created_at,
  count(DISTINCT mp.person_id) AS mentors,
  count(DISTINCT mp.person_id) FILTER (WHERE mp.verified_until > :now) AS verified,
  count(DISTINCT wh.person_id) FILTER (WHERE mp.verified_until > :now) AS available,
  (SELECT count(*) FROM role_grant g JOIN party r ON r.institution_id = g.institution_id AND r.side = 'requesting'
   WHERE r.memorandum_id = q.id AND g.role = 'clinician') AS clinicians,
  (SELECT count(*) FROM consultation c JOIN party r ON r.institution_id = c.institution_id AND r.side = 'requesting'
   WHERE r.memorandum_id = q.id AND c.programme_id = q.programme_id AND c.opened_at > :since) AS asked,
  sent.offers, sent.unanswered, sent.declined
FROM quiet q
CROSS JOIN LATERAL (SELECT count(*) AS offers, count(*) FILTER (WHERE state = 'expired') AS unanswered,
                           count(*) FILTER (WHERE state = 'declined') AS declined
                    FROM offer WHERE memorandum_id = q.id AND sent_at > :since) AS sent
LEFT JOIN party p ON p.memorandum_id = q.id AND p.side = 'partner'
LEFT JOIN mentor_profile mp ON mp.institution_id = p.institution_id
LEFT JOIN weekly_hours wh ON wh.person_id = mp.person_id
WHERE q.last_at IS NULL OR q.last_at <= :since
GROUP BY q.id, q.last_at, q.valid_from, q.valid_until, q.created_at, q.programme_id, sent.offers, sent.unanswered,
  sent.declined
ORDER BY q.last_at NULLS FIRST, q.id
""")


async def idle(w: Work, programme_id: UUID, days: int = IDLE_DAYS) -> list[Idle]:
    """Give the active memoranda of the programme under which nothing was logged for so many days; for its admins."""
    programme = await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme_id)
    today = availability.local_date(w.now, programme.zone)
    values = {"id": programme_id, "now": w.now, "since": w.now - timedelta(days=days), "today": today}
    idle_memoranda = []
    for row in (await w.sql(_IDLE, values)).all():
        memorandum = await w.read(tables.Memorandum, row.id)
        left = await agreements.minutes_left(w, memorandum, w.now)
        is_in_force = (row.valid_from is None or row.valid_from <= today) and (
            row.valid_until is None or row.valid_until > today
        )
        applies = {
            "not_in_force": not is_in_force,
            "budget_spent": left is not None and left <= 0,
            "no_mentors": not row.mentors,
            "no_verified_mentors": bool(row.mentors) and not row.verified,
            "no_availability": bool(row.verified) and not row.available,
            "no_clinicians": not row.clinicians,
            "no_requests": not row.asked,
            "offers_unanswered": row.unanswered > 0,
            "offers_declined": row.declined > 0,
            "asked_elsewhere": bool(row.asked) and not row.offers,
        }
        began = availability.day_start(row.valid_from, programme.zone) if row.valid_from else row.created_at
        idle_days = max(0, (w.now - (row.last_at or began)) // timedelta(days=1))
        if idle_days >= days:
            idle_memoranda.append(
                Idle(row.id, row.last_at, idle_days, tuple(name for name in WHAT_TO_DO if applies[name]))
            )
    return idle_memoranda


async def remind_of_end(w: Work, memorandum_id: UUID) -> None:
    """Mail both sides' coordinators and the admins that the memorandum ends soon; once for each of the policy's days.

    Nobody is told of a memorandum that another one renews.
    """
    row, programme = await _locked(w, memorandum_id)
    if row.status != "active" or row.valid_until is None or row.renewed_by:
        return
    days_left = (row.valid_until - availability.local_date(w.now, programme.zone)).days
    due_days = [days for days in policy.from_overrides(programme.policy).end_reminder_days if days_left <= days]
    if days_left <= 0 or not due_days or (row.end_told_days is not None and row.end_told_days <= min(due_days)):
        return
    row.end_told_days = min(due_days)
    ends_at = events.instant(availability.day_start(row.valid_until, programme.zone))
    await _tell(w, "memorandum_ending", row, expires_at=ends_at)


async def watch_budget(w: Work, memorandum_id: UUID) -> None:
    """Record an event of a budget that is nearly spent, and mail both sides and the admins; once a period."""
    row, programme = await _locked(w, memorandum_id)
    row.budget_seen_at = w.now
    left = await agreements.minutes_left(w, row, w.now)
    if left is None or row.budget_minutes is None or row.budget_per is None or row.status != "active":
        return
    since, _ = agreements.budget_period(row.budget_per, w.now, programme.zone)
    percent = policy.from_overrides(programme.policy).budget_low_percent
    if left * 100 > row.budget_minutes * percent or (row.budget_told_at and row.budget_told_at >= since):
        return
    row.budget_told_at = w.now
    parties = await _parties(w, row.id)
    audience = events.Audience(row.programme_id, row.id, parties)
    events.record(w, "memorandum.budget_low", row, row.id, audience, state=row.status)
    await _tell(w, "memorandum_budget_low", row)


async def _locked(w: Work, memorandum_id: UUID) -> tuple[tables.Memorandum, tables.Programme]:
    kind = tables.Memorandum
    query = sa.select(kind).where(col(kind.id) == memorandum_id).with_for_update(key_share=True)
    row = (await w.sql(query.execution_options(populate_existing=True))).scalar_one()
    return row, await w.read(tables.Programme, row.programme_id)


async def _parties(w: Work, memorandum_id: UUID) -> tuple[UUID, ...]:
    party = tables.MemorandumParty
    rows = await w.sql(sa.select(col(party.institution_id)).where(col(party.memorandum_id) == memorandum_id))
    return tuple(rows.scalars())


async def _tell(w: Work, template: str, row: tables.Memorandum, **values: object) -> None:
    grant, person = tables.RoleGrant, tables.Person
    admins = await w.sql(
        sa.select(person)
        .join(grant, col(grant.person_id) == col(person.id))
        .where(col(grant.programme_id) == row.programme_id, col(grant.role) == "programme_admin")
        .where(col(person.state) == "active")
    )
    receivers = {
        receiver.id: receiver
        for receiver in (*await hearers.coordinators(w, await _parties(w, row.id), row.programme_id), *admins.scalars())
    }
    for receiver in receivers.values():
        await deliveries.mail(w, template=template, person=receiver, values={"memorandum_id": str(row.id), **values})
