"""Activities: what a memorandum brings besides consultations.

They are logged and not scheduled, and nothing but a correction changes one (invariant L3). An activity of a memorandum
is an entry of that memorandum's chain. One that names no memorandum belongs to its programme, outside every chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events
from service.registry import memorandum_log
from service.rules.time import availability, periods


@dataclass(frozen=True, slots=True)
class Place:
    """An institution that took part, and on which end: `from` it people came, or `to` it they went."""

    institution_id: UUID
    direction: vocabulary.Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityEntry:
    """What is to be logged of an activity. None means unknown; `until_on` is the first day after it."""

    kind: vocabulary.ActivityKind
    on: date | None = None
    period: str | None = None
    from_on: date | None = None
    until_on: date | None = None
    days: int | None = None
    people: tuple[vocabulary.CountSign, int] | None = None  # operator and count, as they were given
    specialties: Sequence[str] = ()
    places: Sequence[Place] = ()
    note: str | None = None
    source: str | None = None
    confirmed_spans: tuple[ConfirmedSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivityView:
    """An activity with its specialties, its institutions and its note."""

    row: tables.Activity
    specialties: tuple[str, ...]
    places: tuple[Place, ...]
    note: str | None


async def log(w: Work, memorandum_id: UUID, entry: ActivityEntry) -> ActivityView:
    """Log the activity as the newest entry of the memorandum's chain; for a coordinator of a party or an admin."""
    memorandum = await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *vocabulary.OVERSEEING_PEOPLE)
    return await _added(w, memorandum.programme_id, memorandum_id, entry)


async def log_of_programme(w: Work, programme_id: UUID, entry: ActivityEntry) -> ActivityView:
    """Log an activity that names no memorandum with its programme; for the programme's admins."""
    await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme_id)
    return await _added(w, programme_id, None, entry)


async def correct(w: Work, activity_id: UUID, entry: ActivityEntry) -> ActivityView:
    """Log a new activity that replaces the old one, which is kept; for its author, a coordinator or an admin.

    For an activity of a memorandum: a coordinator of a party. Raises Exists for one that was corrected before.
    """
    old = await access.visible_activity(w, activity_id, lock=True)
    if old.logged_by is None or old.logged_by != w.actor.person_id:
        if old.memorandum_id:
            await access.requires_reader(w, old.memorandum_id, *vocabulary.OVERSEEING_PEOPLE)
        else:
            access.requires_admin(w, old.programme_id)
    if old.is_corrected:
        raise errors.Exists("This activity has been corrected: correct the newer one.")
    old.is_corrected = True
    return await _added(w, old.programme_id, old.memorandum_id, entry, corrects=old)


async def one(w: Work, activity_id: UUID) -> ActivityView:
    """Give one activity, corrected or not."""
    return (await _views(w, [await access.visible_activity(w, activity_id)]))[0]


async def of_memorandum(w: Work, memorandum_id: UUID, *, after: UUID | None, limit: int) -> list[ActivityView]:
    """Give the memorandum's activities without corrected ones, in the order in which they were logged."""
    await access.visible_memorandum(w, memorandum_id)
    return await _page(w, col(tables.Activity.memorandum_id) == memorandum_id, after, limit)


async def of_programme(w: Work, programme_id: UUID, *, after: UUID | None, limit: int) -> list[ActivityView]:
    """Give the programme's activities that name no memorandum and that the actor sees, without corrected ones."""
    await access.visible_programme(w, programme_id)
    without_memorandum = sa.and_(
        col(tables.Activity.programme_id) == programme_id, col(tables.Activity.memorandum_id).is_(None)
    )
    return await _page(w, without_memorandum, after, limit)


async def _page(w: Work, rule: sa.ColumnElement[bool], after: UUID | None, limit: int) -> list[ActivityView]:
    is_current = col(tables.Activity.is_corrected).is_(False)
    return await _views(w, await paging.rows(w, tables.Activity, rule, is_current, after=after, limit=limit))


async def _added(
    w: Work,
    programme_id: UUID,
    memorandum_id: UUID | None,
    entry: ActivityEntry,
    corrects: tables.Activity | None = None,
) -> ActivityView:
    programme = await w.read(tables.Programme, programme_id)
    check(w, entry, programme.zone)
    await _check_known(w, entry)
    row = build(w, programme_id, memorandum_id, entry, corrects=corrects.id if corrects else None)
    row.published_kind = corrects.published_kind if corrects and corrects.kind == entry.kind else None
    await add(w, row, entry.specialties, entry.places)
    parties = await _parties(w, memorandum_id)
    audience = events.Audience(
        programme_id, memorandum_id, (*parties, *(place.institution_id for place in entry.places))
    )
    events.record(w, "activity.logged", None, row.id, audience, state=row.kind, corrects=row.corrects)
    return ActivityView(row, tuple(sorted(set(entry.specialties))), tuple(entry.places), entry.note)


def build(
    w: Work,
    programme_id: UUID,
    memorandum_id: UUID | None,
    entry: ActivityEntry,
    *,
    row_id: UUID | None = None,
    corrects: UUID | None = None,
) -> tables.Activity:
    """Give the activity's row, note sealed, not yet stored; `code` and `published_kind` are for the caller to set."""
    row_id = row_id or clock.new_id()
    return tables.Activity(
        id=row_id,
        programme_id=programme_id,
        memorandum_id=memorandum_id,
        kind=entry.kind,
        on_date=entry.on,
        period=entry.period,
        from_on=entry.from_on,
        until_on=entry.until_on,
        days=entry.days,
        people_op=entry.people[0] if entry.people else None,
        people_count=entry.people[1] if entry.people else None,
        note=w.seal(entry.note, row_id),
        source=entry.source,
        corrects=corrects,
        logged_by=w.actor.person_id,
        created_at=w.now,
    )


async def add(w: Work, row: tables.Activity, specialties: Sequence[str], places: Sequence[Place]) -> None:
    """Store the activity; one that names a memorandum is appended to its chain, whose head is locked last."""
    fact = record(w, row, specialties, places)
    if row.memorandum_id:
        await memorandum_log.append(w, row.memorandum_id, [fact])


def record(
    w: Work, row: tables.Activity, specialties: Sequence[str], places: Sequence[Place]
) -> memorandum_log.EntryFacts:
    """Store the activity's rows, and give the facts that its entry seals if it names a memorandum."""
    w.add(
        row,
        *(tables.ActivitySpecialty(activity_id=row.id, specialty_code=code) for code in sorted(set(specialties))),
        *(
            tables.ActivityInstitution(
                activity_id=row.id, institution_id=place.institution_id, direction=place.direction
            )
            for place in places
        ),
    )
    body = memorandum_log.facts_of_activity(
        row, sorted(set(specialties)), [(place.institution_id, place.direction) for place in places]
    )
    return memorandum_log.EntryFacts("activity", row.id, body, row.corrects)


def check(w: Work, entry: ActivityEntry, zone: str) -> None:
    """Go on only if the texts seem to name nobody and the dates are possible; raises PersonalDataFound, Invalid."""
    deidentification.check(w, {"note": entry.note, "source": entry.source}, entry.confirmed_spans)
    _check_dates(entry, availability.local_date(w.now, zone))


def _check_dates(entry: ActivityEntry, today: date) -> None:
    """Go on only for a day, a period, or from and until, that has begun; raises Invalid."""
    if entry.on and (entry.period or entry.from_on or entry.until_on):
        raise errors.Invalid("/on", "a day goes without period, from and until")
    if entry.period and (entry.from_on or entry.until_on):
        raise errors.Invalid("/period", "a period goes without from and until")
    if entry.from_on and entry.until_on and entry.until_on <= entry.from_on:
        raise errors.Invalid("/until", "must be later than from: it is the first day after the activity")
    if entry.days and entry.from_on and entry.until_on and entry.days > (entry.until_on - entry.from_on).days:
        raise errors.Invalid("/days", "there are fewer days between from and until")
    first_day = periods.first_day(entry.on, entry.period, entry.from_on, None)
    if first_day and first_day > today:
        raise errors.Invalid(
            "/on" if entry.on else "/period" if entry.period else "/from", "an activity is logged once it has begun"
        )


async def _check_known(w: Work, entry: ActivityEntry) -> None:
    specialties = await _among(w, tables.Specialty.code, entry.specialties)
    for number, code in enumerate(entry.specialties):
        if code not in specialties:
            raise errors.Invalid(f"/specialties/{number}", "no such specialty")
    places = [place.institution_id for place in entry.places]
    if len(set(places)) < len(places):
        raise errors.Invalid("/institutions", "an institution is there twice")
    institutions = await _among(w, tables.Institution.id, places)
    for number, institution_id in enumerate(places):
        if institution_id not in institutions:
            raise errors.Invalid(f"/institutions/{number}/institution_id", "no such institution")


async def _among(w: Work, column: Any, values: Sequence[Any]) -> set[Any]:  # noqa: ANN401 - a class attribute of a table
    return set((await w.sql(sa.select(col(column)).where(col(column).in_(values)))).scalars()) if values else set()


async def _parties(w: Work, memorandum_id: UUID | None) -> list[UUID]:
    party = tables.MemorandumParty
    rows = await w.sql(sa.select(col(party.institution_id)).where(col(party.memorandum_id) == memorandum_id))
    return list(rows.scalars())


async def _views(w: Work, rows: Sequence[tables.Activity]) -> list[ActivityView]:
    area, place = tables.ActivitySpecialty, tables.ActivityInstitution
    ids = [row.id for row in rows]
    areas: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    places: dict[UUID, list[Place]] = {row_id: [] for row_id in ids}
    for row in (
        await w.sql(sa.select(area).where(col(area.activity_id).in_(ids)).order_by(col(area.specialty_code)))
    ).scalars():
        areas[row.activity_id].append(row.specialty_code)
    for row in (
        await w.sql(
            sa.select(place)
            .where(col(place.activity_id).in_(ids))
            .order_by(col(place.direction), col(place.institution_id))
        )
    ).scalars():
        places[row.activity_id].append(Place(row.institution_id, row.direction))
    return [ActivityView(row, tuple(areas[row.id]), tuple(places[row.id]), w.unseal(row.note, row.id)) for row in rows]
