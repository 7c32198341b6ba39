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
    """What is said of an activity. What nobody knows is None; `until_on` is the first day after it."""

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


async def log(w: Work, memorandum_id: UUID, done: ActivityEntry) -> ActivityView:
    """The activity is the newest entry of the memorandum's chain; by a coordinator of a party or an admin."""
    memorandum = await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *vocabulary.OVERSEEING_PEOPLE)
    return await _added(w, memorandum.programme_id, memorandum_id, done)


async def log_of_programme(w: Work, programme_id: UUID, done: ActivityEntry) -> ActivityView:
    """The activity, which names no memorandum, is kept with its programme; by its admins."""
    await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme_id)
    return await _added(w, programme_id, None, done)


async def correct(w: Work, activity_id: UUID, done: ActivityEntry) -> ActivityView:
    """A new activity stands in the place of the old one, which stays; by its author, a coordinator or an admin.

    An activity of a memorandum's: a coordinator of a party. Raises Exists for one that was corrected before.
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
    return await _added(w, old.programme_id, old.memorandum_id, done, corrects=old)


async def one(w: Work, activity_id: UUID) -> ActivityView:
    """Give one activity, corrected or not."""
    return (await _views(w, [await access.visible_activity(w, activity_id)]))[0]


async def of_memorandum(w: Work, memorandum_id: UUID, *, after: UUID | None, limit: int) -> list[ActivityView]:
    """Give the memorandum's activities as they stand, in the order in which they were logged."""
    await access.visible_memorandum(w, memorandum_id)
    return await _page(w, col(tables.Activity.memorandum_id) == memorandum_id, after, limit)


async def of_programme(w: Work, programme_id: UUID, *, after: UUID | None, limit: int) -> list[ActivityView]:
    """Give the programme's activities that name no memorandum, as they stand, as far as the actor sees them."""
    await access.visible_programme(w, programme_id)
    named = sa.and_(col(tables.Activity.programme_id) == programme_id, col(tables.Activity.memorandum_id).is_(None))
    return await _page(w, named, after, limit)


async def _page(w: Work, rule: sa.ColumnElement[bool], after: UUID | None, limit: int) -> list[ActivityView]:
    seen = sa.and_(rule, col(tables.Activity.is_corrected).is_(False), access.activities_seen(w.actor))
    return await _views(w, await paging.rows(w, tables.Activity, seen, after=after, limit=limit))


async def _added(
    w: Work,
    programme_id: UUID,
    memorandum_id: UUID | None,
    done: ActivityEntry,
    corrects: tables.Activity | None = None,
) -> ActivityView:
    programme = await w.read(tables.Programme, programme_id)
    check(w, done, programme.zone)
    await _check_known(w, done)
    row = build(w, programme_id, memorandum_id, done, corrects=corrects.id if corrects else None)
    row.published_kind = corrects.published_kind if corrects and corrects.kind == done.kind else None
    await add(w, row, done.specialties, done.places)
    parties = await _parties(w, memorandum_id)
    audience = events.Audience(
        programme_id, memorandum_id, (*parties, *(place.institution_id for place in done.places))
    )
    events.record(w, "activity.logged", None, row.id, audience, state=row.kind, corrects=row.corrects)
    return ActivityView(row, tuple(sorted(set(done.specialties))), tuple(done.places), done.note)


def build(
    w: Work,
    programme_id: UUID,
    memorandum_id: UUID | None,
    done: ActivityEntry,
    *,
    row_id: UUID | None = None,
    corrects: UUID | None = None,
) -> tables.Activity:
    """Give the activity's row, its note sealed, to be kept; how others name it is the caller's to add."""
    row_id = row_id or clock.new_id()
    return tables.Activity(
        id=row_id,
        programme_id=programme_id,
        memorandum_id=memorandum_id,
        kind=done.kind,
        on_date=done.on,
        period=done.period,
        from_on=done.from_on,
        until_on=done.until_on,
        days=done.days,
        people_op=done.people[0] if done.people else None,
        people_count=done.people[1] if done.people else None,
        note=w.seal(done.note, row_id),
        source=done.source,
        corrects=corrects,
        logged_by=w.actor.person_id,
        created_at=w.now,
    )


async def add(w: Work, row: tables.Activity, specialties: Sequence[str], places: Sequence[Place]) -> None:
    """The activity is there; one that names a memorandum is at the end of its chain, whose head is locked last."""
    fact = record(w, row, specialties, places)
    if row.memorandum_id:
        await memorandum_log.append(w, row.memorandum_id, [fact])


def record(
    w: Work, row: tables.Activity, specialties: Sequence[str], places: Sequence[Place]
) -> memorandum_log.EntryFacts:
    """Keep the activity's rows, and give what its entry is to seal, if it names a memorandum."""
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


def check(w: Work, done: ActivityEntry, zone: str) -> None:
    """Go on only if the texts seem to name nobody and the days make sense; raises PersonalDataFound, Invalid."""
    deidentification.check(w, {"note": done.note, "source": done.source}, done.confirmed_spans)
    _check_dates(done, availability.local_date(w.now, zone))


def _check_dates(done: ActivityEntry, today: date) -> None:
    """A day, or a period, or first and last day; and nothing that has not begun."""
    if done.on and (done.period or done.from_on or done.until_on):
        raise errors.Invalid("/on", "a day goes without period, from and until")
    if done.period and (done.from_on or done.until_on):
        raise errors.Invalid("/period", "a period goes without from and until")
    if done.from_on and done.until_on and done.until_on <= done.from_on:
        raise errors.Invalid("/until", "must be later than from: it is the first day after the activity")
    if done.days and done.from_on and done.until_on and done.days > (done.until_on - done.from_on).days:
        raise errors.Invalid("/days", "there are fewer days between from and until")
    began = periods.first_day(done.on, done.period, done.from_on, None)
    if began and began > today:
        raise errors.Invalid(
            "/on" if done.on else "/period" if done.period else "/from", "an activity is logged once it has begun"
        )


async def _check_known(w: Work, done: ActivityEntry) -> None:
    known = await _among(w, tables.Specialty.code, done.specialties)
    for number, code in enumerate(done.specialties):
        if code not in known:
            raise errors.Invalid(f"/specialties/{number}", "no such specialty")
    places = [place.institution_id for place in done.places]
    if len(set(places)) < len(places):
        raise errors.Invalid("/institutions", "an institution is there twice")
    there = await _among(w, tables.Institution.id, places)
    for number, institution_id in enumerate(places):
        if institution_id not in there:
            raise errors.Invalid(f"/institutions/{number}/institution_id", "no such institution")


async def _among(w: Work, column: Any, wanted: Sequence[Any]) -> set[Any]:  # noqa: ANN401 - a class attribute of a table
    return set((await w.sql(sa.select(col(column)).where(col(column).in_(wanted)))).scalars()) if wanted else set()


async def _parties(w: Work, memorandum_id: UUID | None) -> list[UUID]:
    party = tables.MemorandumParty
    rows = await w.sql(sa.select(col(party.institution_id)).where(col(party.memorandum_id) == memorandum_id))
    return list(rows.scalars())


async def _views(w: Work, rows: Sequence[tables.Activity]) -> list[ActivityView]:
    area, place = tables.ActivitySpecialty, tables.ActivityInstitution
    ids = [row.id for row in rows]
    areas: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    places: dict[UUID, list[Place]] = {row_id: [] for row_id in ids}
    for found in (
        await w.sql(sa.select(area).where(col(area.activity_id).in_(ids)).order_by(col(area.specialty_code)))
    ).scalars():
        areas[found.activity_id].append(found.specialty_code)
    for found in (
        await w.sql(
            sa.select(place)
            .where(col(place.activity_id).in_(ids))
            .order_by(col(place.direction), col(place.institution_id))
        )
    ).scalars():
        places[found.activity_id].append(Place(found.institution_id, found.direction))
    return [ActivityView(row, tuple(areas[row.id]), tuple(places[row.id]), w.unseal(row.note, row.id)) for row in rows]
