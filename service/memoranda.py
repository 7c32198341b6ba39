"""The agreements: their life, their parties, and by which of them two institutions are linked.

A memorandum's dates are days in its programme's zone; whatever leaves this module as a `rules.case.Link` is instants.
Suspending or ending one changes the memorandum only: its appointments are the sweep's work.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import access, clock, deidentification, errors, events, paging, tables
from service.rules import availability, chain, lifecycle
from service.rules.case import Link
from service.work import Work

_EVENTS = {
    "active": "memorandum.activated",
    "suspended": "memorandum.suspended",
    "expired": "memorandum.expired",
    "terminated": "memorandum.expired",
}
_ENDING = frozenset({"expired", "terminated"})
_BILATERAL = 2
_QUARTER = 3
_EVER = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
_NOTHING = UUID(int=0)
_IDS = ARRAY(PG_UUID(as_uuid=True))

_BETWEEN = sa.text("""
WITH asking AS (
  SELECT CAST(:requesting AS uuid) AS party_id, CAST(NULL AS date) AS from_on, CAST(NULL AS date) AS until_on,
         false AS by_member
  UNION ALL
  SELECT network_id, from_on, until_on, true FROM membership WHERE institution_id = :requesting
),
agreed AS (
  SELECT m.*, asking.from_on AS asking_from_on, asking.until_on AS asking_until_on, asking.by_member,
         p.institution_id AS party_id
  FROM asking
  JOIN memorandum_party r ON r.institution_id = asking.party_id AND r.side = 'requesting'
  JOIN memorandum m ON m.id = r.memorandum_id AND m.programme_id = :programme
  JOIN memorandum_party p ON p.memorandum_id = m.id AND p.side = 'partner'
),
reached AS (
  SELECT agreed.*, party_id AS partner_id, CAST(NULL AS date) AS partner_from_on, CAST(NULL AS date) AS partner_until_on
  FROM agreed
  UNION ALL
  SELECT agreed.*, ms.institution_id, ms.from_on, ms.until_on
  FROM agreed JOIN membership ms ON ms.network_id = agreed.party_id
)
SELECT id, partner_id, kind, status, signed_on, activities, budget_minutes, budget_per,
       by_member OR partner_id <> party_id AS is_indirect,
       greatest(valid_from, asking_from_on, partner_from_on) AS from_on,
       least(valid_until, asking_until_on, partner_until_on) AS until_on,
       (SELECT coalesce(array_agg(specialty_code), '{}') FROM memorandum_area WHERE memorandum_id = id) AS areas
FROM reached
WHERE partner_id <> :requesting AND (:is_everywhere OR partner_id = ANY(:partners))
ORDER BY partner_id, is_indirect, id
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
              JOIN offer o ON o.consultation_id = c.id AND o.state = 'accepted' AND o.memorandum_id = m.id
              WHERE c.state = 'scheduled'
              AND c.advice_due_at >= period.from_at AND c.advice_due_at < period.until_at), 0)
  AS integer) AS minutes
FROM memorandum m
JOIN unnest(CAST(:kinds AS text[]), CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[]))
     AS period (per, from_at, until_at) ON period.per = m.budget_per
WHERE m.id = ANY(:ids)
""").bindparams(sa.bindparam("ids", type_=_IDS))


@dataclass(frozen=True, slots=True)
class Party:
    """An institution and the side it signed on."""

    institution_id: UUID
    side: str


@dataclass(frozen=True, slots=True)
class View:
    """A memorandum with its parties and areas, and what is left of its budget in the present period."""

    row: tables.Memorandum
    parties: tuple[Party, ...]
    areas: tuple[str, ...]
    minutes_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a new memorandum says."""

    programme_id: UUID
    kind: str
    parties: Sequence[Party]
    fields: Mapping[str, Any]  # columns of the memorandum, and `areas`


async def links(
    w: Work,
    requesting_institution_id: UUID,
    partner_institution_ids: Collection[UUID] | None,
    programme_id: UUID,
    *,
    at: datetime | None = None,
    but_appointment: UUID | None = None,
) -> dict[UUID, list[Link]]:
    """Give every memorandum of whatever status that links the institutions, by partner; direct ones first.

    None for the partners means all there are. Minutes are those left in the budget period of `at` (now, unless told
    otherwise); the minutes of `but_appointment`, which is being moved, do not count as booked.
    """
    programme = await w.session.get_one(tables.Programme, programme_id)
    parameters = {
        "requesting": requesting_institution_id,
        "programme": programme_id,
        "is_everywhere": partner_institution_ids is None,
        "partners": list(partner_institution_ids or ()),
    }
    rows = (await w.sql(_BETWEEN, parameters)).all()
    budgets = {row.id: row.budget_minutes for row in rows if row.budget_minutes is not None}
    left = await _left(w, budgets, programme.zone, at or w.now, but_appointment)
    found: dict[UUID, list[Link]] = {}
    for row in rows:
        if row.from_on is None or row.until_on is None or row.from_on < row.until_on:
            found.setdefault(row.partner_id, []).append(_as_link(row, programme.zone, left.get(row.id)))
    return found


async def minutes_left(w: Work, memorandum: tables.Memorandum, at: datetime) -> int | None:
    """Give budget - logged - booked in the budget's period that contains `at`; None without a budget."""
    if memorandum.budget_minutes is None:
        return None
    programme = await w.session.get_one(tables.Programme, memorandum.programme_id)
    return (await _left(w, {memorandum.id: memorandum.budget_minutes}, programme.zone, at, None))[memorandum.id]


async def lock_budget(w: Work, memorandum_id: UUID) -> None:
    """Let nobody else book under the memorandum until the end, if it has a budget: two bookings would overspend it."""
    await w.sql(
        sa.select(col(tables.Memorandum.id))
        .where(col(tables.Memorandum.id) == memorandum_id, col(tables.Memorandum.budget_minutes).is_not(None))
        .with_for_update(key_share=True)
    )


async def create(w: Work, draft: Draft) -> View:
    """Make a draft of a memorandum, with the empty log that its chain grows from; for the programme's admins."""
    access.requires_admin(w, draft.programme_id)
    _check_parties(draft)
    await _check_known(w, draft)
    fields = dict(draft.fields)
    areas = fields.pop("areas", ())
    row = tables.Memorandum(
        id=clock.new_id(),
        programme_id=draft.programme_id,
        kind=draft.kind,
        status="draft",
        created_at=w.now,
        **({"signed_precision": "unknown"} | fields),
    )
    _check_dates(row)
    w.add(row, tables.LogHead(memorandum_id=row.id, position=0, hash=chain.GENESIS))
    w.add(
        *(
            tables.MemorandumParty(memorandum_id=row.id, institution_id=party.institution_id, side=party.side)
            for party in draft.parties
        )
    )
    _add_areas(w, row.id, areas)
    return (await views(w, [row]))[0]


async def change(w: Work, row: tables.Memorandum, changes: Mapping[str, Any]) -> View:
    """Change what the memorandum says (its columns, and `areas`); its parties are what was signed. For admins."""
    access.requires_admin(w, row.programme_id)
    changes = dict(changes)
    areas = changes.pop("areas", None)
    if areas is not None:
        await _check_areas(w, areas)
        await w.sql(sa.delete(tables.MemorandumArea).where(col(tables.MemorandumArea.memorandum_id) == row.id))
        _add_areas(w, row.id, areas)
    if changes.get("renewed_by") is not None:
        await access.visible_memorandum(w, changes["renewed_by"])
    for name, value in changes.items():
        setattr(row, name, value)
    _check_dates(row)
    w.touch(row)
    return (await views(w, [row]))[0]


async def transition(
    w: Work, row: tables.Memorandum, to: str, on: date, reason: str | None, *, is_demo: bool = False
) -> View:
    """Take the memorandum one step along its life, as of the day `on`; raises IllegalTransition. For admins.

    The first activation begins its validity if no date was known, an end ends it, and signing dates the signature.
    """
    access.requires_admin(w, row.programme_id)
    deidentification.check(w, {"reason": reason})
    from_status = row.status
    try:
        lifecycle.step("memorandum", from_status, to)
    except lifecycle.IllegalTransition as error:
        raise errors.IllegalTransition("memorandum", from_status, to) from error
    programme = await w.session.get_one(tables.Programme, row.programme_id)
    if on > availability.local_date(w.now, programme.zone):
        raise errors.Invalid("/on", "a step is recorded once its day has come")
    row.status = to
    if to == "signed" and row.signed_precision == "unknown":
        row.signed_on, row.signed_precision = on, "on"
    if to == "active" and row.valid_from is None:
        row.valid_from = on
    if to in _ENDING and (row.valid_until is None or on < row.valid_until):
        row.valid_until = on if row.valid_from is None else max(on, row.valid_from + timedelta(days=1))
    _check_dates(row)
    w.add(
        tables.MemorandumTransition(
            id=clock.new_id(),
            memorandum_id=row.id,
            from_status=from_status,
            to_status=to,
            on_date=on,
            reason=reason,
            is_demo=is_demo,
            actor_id=w.actor.person_id,
            created_at=w.now,
        )
    )
    view = (await views(w, [row]))[0]
    if to in _EVENTS:
        audience = events.Audience(row.programme_id, row.id, tuple(party.institution_id for party in view.parties))
        events.record(w, _EVENTS[to], row, row.id, audience, state=to)
    else:
        w.touch(row)
    return view


async def expire(w: Work, memorandum_id: UUID) -> None:
    """Let a memorandum end on the first day it no longer holds, in its programme's zone; not before, not twice."""
    query = (
        sa.select(tables.Memorandum).where(col(tables.Memorandum.id) == memorandum_id).with_for_update(key_share=True)
    )
    row = (await w.sql(query.execution_options(populate_existing=True))).scalar_one()
    programme = await w.session.get_one(tables.Programme, row.programme_id)
    today = availability.local_date(w.now, programme.zone)
    if row.status == "active" and row.valid_until is not None and row.valid_until <= today:
        await transition(w, row, "expired", row.valid_until, None)


async def page(
    w: Work,
    *,
    after: UUID | None,
    limit: int,
    status: str | None = None,
    programme_id: UUID | None = None,
    institution_id: UUID | None = None,
) -> list[View]:
    """Give the memoranda that the actor sees, oldest first; one more than `limit` if others follow."""
    seen = [access.memoranda_seen(w.actor)]
    if status is not None:
        seen.append(col(tables.Memorandum.status) == status)
    if programme_id is not None:
        seen.append(col(tables.Memorandum.programme_id) == programme_id)
    if institution_id is not None:
        parties = sa.select(col(tables.MemorandumParty.memorandum_id)).where(
            col(tables.MemorandumParty.institution_id) == institution_id
        )
        seen.append(col(tables.Memorandum.id).in_(parties))
    return await views(w, await paging.rows(w, tables.Memorandum, sa.and_(*seen), after=after, limit=limit))


async def views(w: Work, rows: Sequence[tables.Memorandum]) -> list[View]:
    """Give the memoranda with their parties, areas and minutes left, in few queries."""
    ids = [row.id for row in rows]
    parties: dict[UUID, list[Party]] = {row_id: [] for row_id in ids}
    areas: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    party, area = tables.MemorandumParty, tables.MemorandumArea
    for found in (
        await w.sql(
            sa.select(party)
            .where(col(party.memorandum_id).in_(ids))
            .order_by(col(party.side).desc(), col(party.institution_id))
        )
    ).scalars():
        parties[found.memorandum_id].append(Party(found.institution_id, found.side))
    for found in (
        await w.sql(sa.select(area).where(col(area.memorandum_id).in_(ids)).order_by(col(area.specialty_code)))
    ).scalars():
        areas[found.memorandum_id].append(found.specialty_code)
    left = {row.id: await minutes_left(w, row, w.now) for row in rows}
    return [View(row, tuple(parties[row.id]), tuple(areas[row.id]), left[row.id]) for row in rows]


async def transitions(w: Work, memorandum_id: UUID) -> list[tables.MemorandumTransition]:
    """Give the steps of the memorandum's life, first one first."""
    kind = tables.MemorandumTransition
    rows = await w.sql(sa.select(kind).where(col(kind.memorandum_id) == memorandum_id).order_by(col(kind.id)))
    return list(rows.scalars())


def budget_period(per: str, at: datetime, zone: str) -> tuple[datetime, datetime]:
    """Give the calendar month, quarter or year around `at` in the zone as instants, half-open; `total` is all time."""
    if per == "total":
        return _EVER
    months = {"month": 1, "quarter": _QUARTER, "year": 12}[per]
    today = availability.local_date(at, zone)
    month = (today.month - 1) // months * months
    first = date(today.year, month + 1, 1)
    over, following = divmod(month + months, 12)
    return (
        availability.day_start(first, zone),
        availability.day_start(date(today.year + over, following + 1, 1), zone),
    )


async def _left(w: Work, budgets: Mapping[UUID, int], zone: str, at: datetime, but: UUID | None) -> dict[UUID, int]:
    if not budgets:
        return {}
    periods = {per: budget_period(per, at, zone) for per in tables.registry.BUDGET_PERIODS}
    rows = await w.sql(
        _SPENT,
        {
            "ids": list(budgets),
            "kinds": list(periods),
            "froms": [start for start, _ in periods.values()],
            "untils": [end for _, end in periods.values()],
            "now": w.now,
            "but": but or _NOTHING,
        },
    )
    return {row.id: budgets[row.id] - row.minutes for row in rows}


def _as_link(row: Any, zone: str, left: int | None) -> Link:  # noqa: ANN401 - a row of _BETWEEN
    route = "direct" if not row.is_indirect else "umbrella" if row.kind == "umbrella" else "network"
    return Link(
        memorandum_id=row.id,
        route=route,
        status=row.status,
        valid_from=row.from_on and availability.day_start(row.from_on, zone),
        valid_until=row.until_on and availability.day_start(row.until_on, zone),
        areas=frozenset(row.areas),
        activities=frozenset(row.activities),
        minutes_left=left,
        signed_on=row.signed_on,
    )


def _check_parties(draft: Draft) -> None:
    institutions = [party.institution_id for party in draft.parties]
    if len(set(institutions)) < len(institutions):
        raise errors.Invalid("/parties", "an institution is there twice")
    if {party.side for party in draft.parties} != set(tables.registry.SIDES):
        raise errors.Invalid("/parties", "there must be a party on each side: requesting and partner")
    if draft.kind == "bilateral" and len(institutions) != _BILATERAL:
        raise errors.Invalid("/parties", "a bilateral memorandum has two parties")


async def _check_known(w: Work, draft: Draft) -> None:
    wanted = [party.institution_id for party in draft.parties]
    known = set(
        (await w.sql(sa.select(col(tables.Institution.id)).where(col(tables.Institution.id).in_(wanted)))).scalars()
    )
    for place, institution_id in enumerate(wanted):
        if institution_id not in known:
            raise errors.Invalid(f"/parties/{place}/institution_id", "no such institution")
    await _check_areas(w, draft.fields.get("areas", ()))


async def _check_areas(w: Work, areas: Iterable[str]) -> None:
    wanted = list(areas)
    known = set(
        (await w.sql(sa.select(col(tables.Specialty.code)).where(col(tables.Specialty.code).in_(wanted)))).scalars()
    )
    for place, code in enumerate(wanted):
        if code not in known:
            raise errors.Invalid(f"/areas/{place}", "no such specialty")


def _check_dates(row: tables.Memorandum) -> None:
    if row.valid_from and row.valid_until and row.valid_until <= row.valid_from:
        raise errors.Invalid("/valid_until", "must be later than valid_from: it is the first day without validity")
    if (row.signed_on is None) != (row.signed_precision == "unknown"):
        raise errors.Invalid("/signed", "a date goes with the precision on or by, no date with unknown")


def _add_areas(w: Work, memorandum_id: UUID, areas: Iterable[str]) -> None:
    w.add(*(tables.MemorandumArea(memorandum_id=memorandum_id, specialty_code=code) for code in sorted(set(areas))))
