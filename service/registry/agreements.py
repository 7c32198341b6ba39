"""Which memoranda link two institutions, and how many minutes are left under each.

The dates of a memorandum are days in its programme's zone. What this module gives is instants.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.kernel.work import Work
from service.rules.case import MemorandumLink
from service.rules.time import availability

_QUARTER = 3
_EVER = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
_NOTHING = UUID(int=0)
_IDS = ARRAY(PG_UUID(as_uuid=True))

# As in `candidates`: the planner does not see the values, so that it makes one plan and keeps it.
_BETWEEN = sa.text("""
WITH given AS MATERIALIZED (
  SELECT CAST(:requesting AS uuid) AS requesting, CAST(:programme AS uuid) AS programme,
         CAST(:partners AS uuid[]) AS partners
),
asking AS (
  SELECT requesting AS party_id, CAST(NULL AS date) AS from_on, CAST(NULL AS date) AS until_on, false AS by_member
  FROM given
  UNION ALL
  SELECT network_id, from_on, until_on, true FROM given JOIN membership ON institution_id = requesting
),
agreed AS (
  SELECT m.*, asking.from_on AS asking_from_on, asking.until_on AS asking_until_on, asking.by_member,
         p.institution_id AS party_id
  FROM asking
  JOIN memorandum_party r ON r.institution_id = asking.party_id AND r.side = 'requesting'
  JOIN memorandum m ON m.id = r.memorandum_id
  JOIN memorandum_party p ON p.memorandum_id = m.id AND p.side = 'partner'
),
reached AS (
  SELECT agreed.*, party_id AS partner_id, CAST(NULL AS date) AS partner_from_on, CAST(NULL AS date) AS partner_until_on
  FROM agreed
  UNION ALL
  SELECT agreed.*, ms.institution_id, ms.from_on, ms.until_on
  FROM agreed JOIN membership ms ON ms.network_id = agreed.party_id
)
SELECT reached.id, partner_id, kind, status, signed_on, activities, budget_minutes, budget_per, pr.zone,
       by_member OR partner_id <> party_id AS is_indirect,
       greatest(valid_from, asking_from_on, partner_from_on) AS from_on,
       least(valid_until, asking_until_on, partner_until_on) AS until_on,
       ARRAY(SELECT specialty_code FROM memorandum_area WHERE memorandum_id = reached.id) AS areas
FROM reached JOIN given ON programme_id = given.programme JOIN programme pr ON pr.id = given.programme
WHERE partner_id <> requesting AND (partners IS NULL OR partner_id = ANY(partners))
ORDER BY partner_id, is_indirect, reached.id
""").bindparams(sa.bindparam("partners", type_=_IDS))

_SPENT = sa.text("""
SELECT m.id, CAST(
    coalesce((SELECT sum(s.minutes) FROM session s WHERE s.memorandum_id = m.id AND NOT s.is_corrected
              AND s.started_at >= period.from_at AND s.started_at < period.until_at), 0)
  + coalesce((SELECT sum(extract(epoch FROM a.ends_at - a.starts_at) / 60) FROM appointment a
              WHERE a.memorandum_id = m.id AND a.status IN ('pending', 'booked') AND a.id <> :but
              AND (a.held_until IS NULL OR a.held_until > :now)
              AND a.starts_at >= period.from_at AND a.starts_at < period.until_at), 0)
  + coalesce((SELECT sum(c.duration_minutes) FROM consultation c
              JOIN offer o ON o.consultation_id = c.id AND o.state = 'accepted' AND o.ended_at IS NULL
                AND o.memorandum_id = m.id
              WHERE c.state = 'scheduled'
              AND c.advice_due_at >= period.from_at AND c.advice_due_at < period.until_at), 0)
  AS integer) AS minutes
FROM memorandum m
JOIN unnest(CAST(:kinds AS text[]), CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[]))
     AS period (per, from_at, until_at) ON period.per = m.budget_per
WHERE m.id = ANY(:ids)
""").bindparams(sa.bindparam("ids", type_=_IDS))


@dataclass(frozen=True, slots=True)
class LinkedMemoranda:
    """The memoranda that link an institution with others, whatever was used of their budgets."""

    zone: str
    links: Mapping[UUID, tuple[MemorandumLink, ...]]  # by partner, direct ones first; no minutes are counted yet
    budgets: Mapping[UUID, int]  # minutes, of the memoranda that have one


async def agreed(
    w: Work, requesting_institution_id: UUID, partner_institution_ids: Collection[UUID] | None, programme_id: UUID
) -> LinkedMemoranda:
    """Load every memorandum of whatever status that links the institutions; None for the partners means all."""
    partners = None if partner_institution_ids is None else list(partner_institution_ids)
    values = {"requesting": requesting_institution_id, "programme": programme_id, "partners": partners}
    links: dict[UUID, list[MemorandumLink]] = {}
    rows = await w.fetch(_BETWEEN, values)
    for row in rows:
        if row.from_on is None or row.until_on is None or row.from_on < row.until_on:
            links.setdefault(row.partner_id, []).append(_as_link(row))
    budgets = {row.id: row.budget_minutes for row in rows if row.budget_minutes is not None}
    zone = rows[0].zone if rows else ""
    return LinkedMemoranda(zone, {partner: tuple(partner_links) for partner, partner_links in links.items()}, budgets)


async def with_minutes_left(
    w: Work, agreed: LinkedMemoranda, *, at: datetime | None = None, but_appointment: UUID | None = None
) -> Mapping[UUID, tuple[MemorandumLink, ...]]:
    """Give the links with the minutes left in the budget period of `at` (now by default), by partner.

    The minutes of `but_appointment`, which is being moved, do not count as booked.
    """
    if not agreed.budgets:
        return agreed.links
    minutes = await _left(w, agreed.budgets, agreed.zone, at or w.now, but_appointment)
    return {
        partner: tuple([replace(link, minutes_left=minutes.get(link.memorandum_id)) for link in links])
        for partner, links in agreed.links.items()
    }


async def minutes_left(w: Work, memorandum: tables.Memorandum, at: datetime) -> int | None:
    """Give budget - logged - booked in the budget's period that contains `at`; None without a budget."""
    if memorandum.budget_minutes is None:
        return None
    programme = await w.read(tables.Programme, memorandum.programme_id)
    return (await _left(w, {memorandum.id: memorandum.budget_minutes}, programme.zone, at, None))[memorandum.id]


async def lock_budget(w: Work, memorandum_id: UUID) -> None:
    """Let nobody else book under a memorandum with a budget until the end: two bookings at once would overspend it."""
    await w.sql(
        sa.select(col(tables.Memorandum.id))
        .where(col(tables.Memorandum.id) == memorandum_id, col(tables.Memorandum.budget_minutes).is_not(None))
        .with_for_update(key_share=True)
    )


def budget_period(per: str, at: datetime, zone: str) -> tuple[datetime, datetime]:
    """Give the calendar month, quarter or year around `at` in the zone as instants, half-open; `total` is all time."""
    if per == "total":
        return _EVER
    months = {"month": 1, "quarter": _QUARTER, "year": 12}[per]
    today = availability.local_date(at, zone)
    month = (today.month - 1) // months * months
    first = date(today.year, month + 1, 1)
    years, next_month = divmod(month + months, 12)
    return (
        availability.day_start(first, zone),
        availability.day_start(date(today.year + years, next_month + 1, 1), zone),
    )


async def _left(
    w: Work, budgets: Mapping[UUID, int], zone: str, at: datetime, but_appointment: UUID | None
) -> dict[UUID, int]:
    periods = {per: budget_period(per, at, zone) for per in vocabulary.BUDGET_PERIODS}
    rows = await w.fetch(
        _SPENT,
        {
            "ids": list(budgets),
            "kinds": list(periods),
            "froms": [start for start, _ in periods.values()],
            "untils": [end for _, end in periods.values()],
            "now": w.now,
            "but": but_appointment or _NOTHING,
        },
    )
    return {row.id: budgets[row.id] - row.minutes for row in rows}


def _as_link(row: Any) -> MemorandumLink:  # noqa: ANN401 - a row of _BETWEEN
    route = "direct" if not row.is_indirect else "umbrella" if row.kind == "umbrella" else "network"
    return MemorandumLink(
        memorandum_id=row.id,
        route=route,
        status=row.status,
        valid_from=row.from_on and availability.day_start(row.from_on, row.zone),
        valid_until=row.until_on and availability.day_start(row.until_on, row.zone),
        areas=frozenset(row.areas),
        activities=frozenset(row.activities),
        signed_on=row.signed_on,
    )
