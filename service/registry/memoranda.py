"""The agreements: what they say, who signed them, and the steps of their life.

Suspending or ending a memorandum changes the memorandum only; the sweep deals with its appointments. Which memoranda
link two institutions is the business of `agreements`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events
from service.registry import agreements
from service.rules import chain, lifecycle
from service.rules.time import availability

_EVENTS: Mapping[vocabulary.MemorandumStatus, vocabulary.EventType] = {
    "active": "memorandum.activated",
    "suspended": "memorandum.suspended",
    "expired": "memorandum.expired",
    "terminated": "memorandum.expired",
}
_BILATERAL = 2


@dataclass(frozen=True, slots=True)
class Party:
    """An institution and the side it signed on."""

    institution_id: UUID
    side: vocabulary.Side


@dataclass(frozen=True, slots=True)
class MemorandumView:
    """A memorandum with its parties and areas, and what is left of its budget in the present period."""

    row: tables.Memorandum
    parties: tuple[Party, ...]
    areas: tuple[str, ...]
    minutes_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a new memorandum says."""

    programme_id: UUID
    kind: vocabulary.MemorandumKind
    parties: Sequence[Party]
    fields: Mapping[str, Any]  # columns of the memorandum, and `areas`


async def create(w: Work, draft: Draft, confirmed: Collection[ConfirmedSpan] = ()) -> MemorandumView:
    """Make a draft of a memorandum, with the empty log that its chain grows from; for the programme's admins."""
    access.requires_admin(w, draft.programme_id)
    _check_parties(draft)
    _check_texts(w, draft.fields, confirmed)
    await _check_known(w, draft)
    return (await views(w, [add(w, draft)]))[0]


def add(w: Work, draft: Draft) -> tables.Memorandum:
    """As `create`, but without a query: the caller has checked that institutions and areas exist."""
    access.requires_admin(w, draft.programme_id)
    _check_parties(draft)
    fields = dict(draft.fields)
    areas = fields.pop("areas", ())
    defaults: dict[str, Any] = {
        "id": clock.new_id(),
        "status": "draft",
        "created_at": w.now,
        "signed_precision": "unknown",
    }
    row = tables.Memorandum(programme_id=draft.programme_id, kind=draft.kind, **(defaults | fields))
    _check_dates(row)
    w.add(row, tables.LogHead(memorandum_id=row.id, position=0, hash=chain.GENESIS))
    w.add(
        *(
            tables.MemorandumParty(memorandum_id=row.id, institution_id=party.institution_id, side=party.side)
            for party in draft.parties
        )
    )
    _add_areas(w, row.id, areas)
    return row


def take_over(
    w: Work,
    draft: Draft,
    status: vocabulary.MemorandumStatus,
    today: date,
    confirmed: Collection[ConfirmedSpan] | None = None,
) -> tables.Memorandum:
    """Make a memorandum whose life began elsewhere, with the steps that lead to its status.

    An active one needs `valid_from`, an ended one `valid_until`; a signature whose day is unknown stays unknown. Like
    `add`, it makes no query. Its texts are checked as in `change`.
    """
    _check_texts(w, draft.fields, confirmed)
    row = add(w, draft)
    if status == "active" and row.valid_from is None:
        raise errors.Invalid("/valid_from", "an active memorandum says since when")
    if status in vocabulary.ENDED_MEMORANDUM and (row.valid_until is None or row.valid_until > today):
        raise errors.Invalid("/valid_until", "an ended memorandum says since when")
    days = {"signed": row.signed_on, "active": row.valid_from} | dict.fromkeys(
        vocabulary.ENDED_MEMORANDUM, row.valid_until
    )
    steps = lifecycle.path("memorandum", row.status, status)
    ids = sorted(clock.new_id() for _ in steps)  # ids of one instant may be in any order, but the steps have one
    for to, step_id in zip(steps, ids, strict=True):
        on = min(days.get(to) or today, today)
        _add_step(w, row, to, on, "taken over from elsewhere", step_id=step_id)
        row.status = to
    if status in _EVENTS:
        institutions = tuple(party.institution_id for party in draft.parties)
        events.record(
            w, _EVENTS[status], row, row.id, events.Audience(row.programme_id, row.id, institutions), state=status
        )
    return row


async def change(
    w: Work, row: tables.Memorandum, changes: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None = None
) -> MemorandumView:
    """Change the memorandum's columns and `areas`; its parties never change, as they have signed. For admins.

    Texts are checked unless `confirmed` is None: those of a file, which the operator has looked at.
    """
    access.requires_admin(w, row.programme_id)
    _check_texts(w, changes, confirmed)
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
    if "valid_until" in changes:
        row.end_told_days = None  # another end, other reminders
    if "budget_minutes" in changes:
        row.budget_told_at = row.budget_seen_at = None
    _check_dates(row)
    w.touch(row)
    return (await views(w, [row]))[0]


async def transition(
    w: Work,
    row: tables.Memorandum,
    to: vocabulary.MemorandumStatus,
    on: date,
    reason: str | None,
    *,
    is_demo: bool = False,
    confirmed: Collection[ConfirmedSpan] = (),
) -> MemorandumView:
    """Take the memorandum one step along its life, as of the day `on`; raises IllegalTransition. For admins.

    The first activation begins its validity if no date was known, an end ends it, and signing dates the signature.
    """
    access.requires_admin(w, row.programme_id)
    deidentification.check(w, {"reason": reason}, confirmed)
    from_status = row.status
    try:
        lifecycle.step("memorandum", from_status, to)
    except lifecycle.IllegalTransition as error:
        raise errors.IllegalTransition("memorandum", from_status, to) from error
    programme = await w.read(tables.Programme, row.programme_id)
    today = availability.local_date(w.now, programme.zone)
    if on > today:
        raise errors.Invalid("/on", "a step is recorded once its day has come")
    _add_step(w, row, to, on, reason, is_demo=is_demo)
    row.status = to
    if to == "signed" and row.signed_precision == "unknown":
        row.signed_on, row.signed_precision = on, "on"
    if to == "active" and row.valid_from is None:
        row.valid_from = on
    if to in vocabulary.ENDED_MEMORANDUM and (row.valid_until is None or on < row.valid_until):
        row.valid_until = on if row.valid_from is None else max(on, row.valid_from + timedelta(days=1))
    _check_dates(row)
    view = (await views(w, [row]))[0]
    if to in _EVENTS:
        parties = [party.institution_id for party in view.parties]
        audience = events.Audience(row.programme_id, row.id, (*parties, *await _members(w, parties, today)))
        events.record(w, _EVENTS[to], row, row.id, audience, state=to)
    else:
        w.touch(row)
    return view


def _add_step(
    w: Work,
    row: tables.Memorandum,
    to: vocabulary.MemorandumStatus,
    on: date,
    reason: str | None,
    *,
    is_demo: bool = False,
    step_id: UUID | None = None,
) -> None:
    w.add(
        tables.MemorandumTransition(
            id=step_id or clock.new_id(),
            memorandum_id=row.id,
            from_status=row.status,
            to_status=to,
            on_date=on,
            reason=reason,
            is_demo=is_demo,
            actor_id=w.actor.person_id,
            created_at=w.now,
        )
    )


async def _members(w: Work, networks: Collection[UUID], today: date) -> list[UUID]:
    """Name the institutions that belong to these networks today: a network's memorandum is theirs too."""
    membership = tables.Membership
    statement = sa.select(col(membership.institution_id)).where(
        col(membership.network_id).in_(networks),
        col(membership.from_on) <= today,
        sa.or_(col(membership.until_on).is_(None), col(membership.until_on) > today),
    )
    return list((await w.sql(statement)).scalars())


async def expire(w: Work, memorandum_id: UUID) -> None:
    """Expire an active memorandum whose `valid_until` has come in its programme's zone; otherwise change nothing."""
    query = (
        sa.select(tables.Memorandum).where(col(tables.Memorandum.id) == memorandum_id).with_for_update(key_share=True)
    )
    row = (await w.sql(query.execution_options(populate_existing=True))).scalar_one()
    programme = await w.read(tables.Programme, row.programme_id)
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
) -> list[MemorandumView]:
    """Give the memoranda that the actor sees, oldest first; one more than `limit` if others follow."""
    conditions: list[sa.ColumnElement[bool]] = []
    if status is not None:
        conditions.append(col(tables.Memorandum.status) == status)
    if programme_id is not None:
        conditions.append(col(tables.Memorandum.programme_id) == programme_id)
    if institution_id is not None:
        parties = sa.select(col(tables.MemorandumParty.memorandum_id)).where(
            col(tables.MemorandumParty.institution_id) == institution_id
        )
        conditions.append(col(tables.Memorandum.id).in_(parties))
    return await views(w, await paging.rows(w, tables.Memorandum, *conditions, after=after, limit=limit))


async def views(w: Work, rows: Sequence[tables.Memorandum]) -> list[MemorandumView]:
    """Give the memoranda with their parties, areas and minutes left, in few queries."""
    ids = [row.id for row in rows]
    parties: dict[UUID, list[Party]] = {row_id: [] for row_id in ids}
    areas: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    party, area = tables.MemorandumParty, tables.MemorandumArea
    for row in (
        await w.sql(
            sa.select(party)
            .where(col(party.memorandum_id).in_(ids))
            .order_by(col(party.side).desc(), col(party.institution_id))
        )
    ).scalars():
        parties[row.memorandum_id].append(Party(row.institution_id, row.side))
    for row in (
        await w.sql(sa.select(area).where(col(area.memorandum_id).in_(ids)).order_by(col(area.specialty_code)))
    ).scalars():
        areas[row.memorandum_id].append(row.specialty_code)
    left = {row.id: await agreements.minutes_left(w, row, w.now) for row in rows}
    return [MemorandumView(row, tuple(parties[row.id]), tuple(areas[row.id]), left[row.id]) for row in rows]


async def transitions(w: Work, memorandum_id: UUID) -> list[tables.MemorandumTransition]:
    """Give the steps of the memorandum's life, oldest first."""
    kind = tables.MemorandumTransition
    rows = await w.sql(sa.select(kind).where(col(kind.memorandum_id) == memorandum_id).order_by(col(kind.id)))
    return list(rows.scalars())


def _check_parties(draft: Draft) -> None:
    institutions = [party.institution_id for party in draft.parties]
    if len(set(institutions)) < len(institutions):
        raise errors.Invalid("/parties", "an institution is there twice")
    if {party.side for party in draft.parties} != set(vocabulary.SIDES):
        raise errors.Invalid("/parties", "there must be a party on each side: requesting and partner")
    if draft.kind == "bilateral" and len(institutions) != _BILATERAL:
        raise errors.Invalid("/parties", "a bilateral memorandum has two parties")


async def _check_known(w: Work, draft: Draft) -> None:
    institution_ids = [party.institution_id for party in draft.parties]
    existing = set(
        (
            await w.sql(sa.select(col(tables.Institution.id)).where(col(tables.Institution.id).in_(institution_ids)))
        ).scalars()
    )
    for place, institution_id in enumerate(institution_ids):
        if institution_id not in existing:
            raise errors.Invalid(f"/parties/{place}/institution_id", "no such institution")
    await _check_areas(w, draft.fields.get("areas", ()))


async def _check_areas(w: Work, areas: Iterable[str]) -> None:
    codes = list(areas)
    existing = set(
        (await w.sql(sa.select(col(tables.Specialty.code)).where(col(tables.Specialty.code).in_(codes)))).scalars()
    )
    for place, code in enumerate(codes):
        if code not in existing:
            raise errors.Invalid(f"/areas/{place}", "no such specialty")


def _check_dates(row: tables.Memorandum) -> None:
    if row.valid_from and row.valid_until and row.valid_until <= row.valid_from:
        fault = "must be later than the day from which it is valid: it is the first day without validity"
        raise errors.Invalid("/valid_until", fault)
    if (row.signed_on is None) != (row.signed_precision == "unknown"):
        raise errors.Invalid("/signed", "a date goes with the precision on or by, no date with unknown")


def _check_texts(w: Work, fields: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None) -> None:
    if confirmed is not None:
        deidentification.check(w, {name: fields.get(name) for name in ("note", "source")}, confirmed)


def _add_areas(w: Work, memorandum_id: UUID, areas: Iterable[str]) -> None:
    w.add(*(tables.MemorandumArea(memorandum_id=memorandum_id, specialty_code=code) for code in sorted(set(areas))))
