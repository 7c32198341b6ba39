"""What a mentor offers (specialties, languages, caps, hours), and when they can be booked.

`rules.time.availability` alone reads wall times, in the mentor's own zone. A wall time that does not exist is refused
when somebody types it (invariant T3).
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import audit, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events
from service.rules import policy
from service.rules.sentences import Sentence
from service.rules.time import availability, typed_hours
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.intervals import Interval

LONGEST_SEARCH = timedelta(days=60)
MOST_WEEKLY, MOST_EXCEPTIONS = 100, 500
_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Profile:
    """A mentor with what they offer."""

    row: tables.MentorProfile
    person: tables.Person
    institution: tables.Institution
    specialties: tuple[str, ...]
    languages: Mapping[str, vocabulary.LanguageLevel]


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that can be booked, also by the mentor's clock, and by the asking person's if that is somebody else."""

    starts_at: datetime
    ends_at: datetime
    mentor_local: datetime
    requester_local: datetime | None


async def page(
    w: Work,
    *,
    after: UUID | None,
    limit: int,
    specialty: str | None = None,
    country: str | None = None,
    language: str | None = None,
) -> list[Profile]:
    """Give the mentors that the actor sees, oldest first; one more than `limit` if others follow."""
    mentor = col(tables.MentorProfile.person_id)
    # Looked up row by row: as a join it would read all people for one page.
    state = sa.select(col(tables.Person.state)).where(col(tables.Person.id) == mentor).scalar_subquery()
    conditions: list[sa.ColumnElement[bool]] = [state == "active"]
    if specialty is not None:
        mentor_specialty = tables.MentorSpecialty
        conditions.append(
            mentor.in_(
                sa.select(col(mentor_specialty.person_id)).where(col(mentor_specialty.specialty_code) == specialty)
            )
        )
    if country is not None:
        institutions = sa.select(col(tables.Institution.id)).where(col(tables.Institution.country) == country)
        conditions.append(col(tables.MentorProfile.institution_id).in_(institutions))
    if language is not None:
        person_language = tables.PersonLanguage
        conditions.append(
            mentor.in_(sa.select(col(person_language.person_id)).where(col(person_language.code) == language))
        )
    rows = await paging.rows(w, tables.MentorProfile, *conditions, after=after, limit=limit, order=("person_id",))
    return await profiles(w, rows)


async def profiles(w: Work, rows: Collection[tables.MentorProfile]) -> list[Profile]:
    """Give the mentors with what they offer, in few queries."""
    ids = [row.person_id for row in rows]
    people = await _by_id(w, tables.Person, ids)
    institutions = await _by_id(w, tables.Institution, {row.institution_id for row in rows})
    specialties: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    languages: dict[UUID, dict[str, vocabulary.LanguageLevel]] = {row_id: {} for row_id in ids}
    mentor_specialty, person_language = tables.MentorSpecialty, tables.PersonLanguage
    for specialty in (
        await w.sql(
            sa.select(mentor_specialty)
            .where(col(mentor_specialty.person_id).in_(ids))
            .order_by(col(mentor_specialty.specialty_code))
        )
    ).scalars():
        specialties[specialty.person_id].append(specialty.specialty_code)
    for language in (
        await w.sql(
            sa.select(person_language)
            .where(col(person_language.person_id).in_(ids))
            .order_by(col(person_language.code))
        )
    ).scalars():
        languages[language.person_id][language.code] = language.level
    return [
        Profile(
            row,
            people[row.person_id],
            institutions[row.institution_id],
            tuple(specialties[row.person_id]),
            languages[row.person_id],
        )
        for row in rows
    ]


async def put_profile(
    w: Work,
    row: tables.MentorProfile,
    *,
    specialties: Sequence[str],
    languages: Mapping[str, vocabulary.LanguageLevel],
    buffer_minutes: int,
    fields: Mapping[str, Any],
    confirmed: Collection[ConfirmedSpan] | None = (),
) -> Profile:
    """Let the mentor offer this and nothing else; for the mentor or their keepers.

    Their hospital's system fills in a profile that it registered, until a person has verified it. Tags are checked
    unless `confirmed` is None: a file's, which the operator has looked at.
    """
    _requires_keeper(w, row, *(["partner_system"] if row.verified_until is None else []))
    if confirmed is not None:
        deidentification.check(w, deidentification.of_tags(fields["tags"]), confirmed)
    bookable = set(
        (
            await w.sql(
                sa.select(col(tables.Specialty.code)).where(
                    col(tables.Specialty.code).in_(specialties), col(tables.Specialty.is_bookable)
                )
            )
        ).scalars()
    )
    for place, code in enumerate(specialties):
        if code not in bookable:
            raise errors.Invalid(f"/specialties/{place}", "no such specialty that cases are about")
    for kind in (tables.MentorSpecialty, tables.PersonLanguage):
        await w.sql(sa.delete(kind).where(col(kind.person_id) == row.person_id))
    w.add(*(tables.MentorSpecialty(person_id=row.person_id, specialty_code=code) for code in sorted(set(specialties))))
    w.add(
        *(
            tables.PersonLanguage(person_id=row.person_id, code=code, level=languages[code])
            for code in sorted(languages)
        )
    )
    await _set_fields(w, row, {**fields, "tags": sorted(set(fields["tags"]))}, buffer_minutes)
    return (await profiles(w, [row]))[0]


async def hours(w: Work, row: tables.MentorProfile) -> Hours:
    """Give the mentor's weekly hours and dated exceptions, in order."""
    weekly, dated = tables.WeeklyHours, tables.AvailabilityException
    weeks = await w.sql(
        sa.select(weekly)
        .where(col(weekly.person_id) == row.person_id)
        .order_by(col(weekly.weekday), col(weekly.from_minute))
    )
    days = await w.sql(
        sa.select(dated).where(col(dated.person_id) == row.person_id).order_by(col(dated.from_wall), col(dated.id))
    )
    return Hours(
        row.availability_zone,
        tuple(Weekly(entry.weekday, entry.from_minute, entry.until_minute) for entry in weeks.scalars()),
        tuple(DatedHours(entry.kind, entry.from_wall, entry.until_wall) for entry in days.scalars()),
    )


async def put_hours(w: Work, row: tables.MentorProfile, new_hours: Hours) -> Hours:
    """Let the mentor be available at these hours only; for the mentor, their keepers, or their hospital's system."""
    _requires_keeper(w, row, "partner_system")
    _check_weekly(new_hours)
    _check_exceptions(new_hours)
    for kind in (tables.WeeklyHours, tables.AvailabilityException):
        await w.sql(sa.delete(kind).where(col(kind.person_id) == row.person_id))
    w.add(
        *(
            tables.WeeklyHours(
                id=clock.new_id(),
                person_id=row.person_id,
                weekday=entry.weekday,
                from_minute=entry.from_minute,
                until_minute=entry.until_minute,
            )
            for entry in new_hours.weekly
        ),
        *(
            tables.AvailabilityException(
                id=clock.new_id(),
                person_id=row.person_id,
                kind=entry.kind,
                from_wall=entry.from_wall,
                until_wall=entry.until_wall,
            )
            for entry in new_hours.exceptions
        ),
    )
    row.availability_zone = new_hours.zone
    audience = events.Audience(institution_ids=(row.institution_id,), person_ids=(row.person_id,))
    state = "verified" if row.verified_until is not None and row.verified_until > w.now else "unverified"
    events.record(w, "mentor.availability_changed", row, row.person_id, audience, state=state)
    audit.record(w, "changed", "mentor_availability", row.person_id)
    return await hours(w, row)


async def put_limits(
    w: Work, row: tables.MentorProfile, fields: Mapping[str, Any], buffer_minutes: int
) -> tables.MentorProfile:
    """Change how much the mentor takes and when they are asked, and nothing else of what they offer."""
    _requires_keeper(w, row)
    await _set_fields(w, row, fields, buffer_minutes)
    return row


async def _set_fields(w: Work, row: tables.MentorProfile, fields: Mapping[str, Any], buffer_minutes: int) -> None:
    person = await w.read(tables.Person, row.person_id)
    for name, value in fields.items():
        setattr(row, name, value)
    person.buffer_minutes = buffer_minutes
    w.touch(row)
    w.touch(person)
    audit.record(w, "changed", "mentor_profile", row.person_id)


async def add_exception(w: Work, row: tables.MentorProfile, new: DatedHours) -> Hours:
    """Let the mentor be away then, or there beyond their week, as well; one with what it overlaps of its kind."""
    known = await hours(w, row)
    return await put_hours(w, row, replace(known, exceptions=typed_hours.with_dated(known.exceptions, new)))


async def remove_exception(w: Work, row: tables.MentorProfile, gone: DatedHours) -> Hours:
    """Take the exception back; nothing happens if it is there no more."""
    known = await hours(w, row)
    if gone not in known.exceptions:
        return known
    return await put_hours(w, row, replace(known, exceptions=tuple(each for each in known.exceptions if each != gone)))


async def slots(w: Work, row: tables.MentorProfile, during: Interval, minutes: int) -> list[Slot]:
    """Give the times at which a routine session of `minutes` can be booked, in order.

    They lie in the hours, outside quiet hours, booked and held times, and after the notice that the mentor wants.
    """
    if not timedelta(0) < during[1] - during[0] <= LONGEST_SEARCH:
        raise errors.Invalid(
            "/query/until", Sentence("must follow `from` by {most} days at most", most=LONGEST_SEARCH.days)
        )
    person = await w.read(tables.Person, row.person_id)
    verified_until = row.verified_until if person.address_unconfirmed_since is None else None
    if verified_until is None:
        return []
    bookable = await _bookable(w, row, await hours(w, row), during, minutes)
    return [slot for slot in bookable if slot.starts_at < verified_until]


async def preview(
    w: Work, row: tables.MentorProfile, new_hours: Hours, fields: Mapping[str, Any], during: Interval, minutes: int
) -> list[Slot]:
    """Give the slots that there would be with these hours and fields, also of whom nobody has verified; stores nothing.

    Raises Invalid for hours that `put_hours` would refuse.
    """
    _requires_keeper(w, row)
    _check_weekly(new_hours)
    _check_exceptions(new_hours)
    wished = tables.MentorProfile(**row.model_dump() | dict(fields))  # a row of no session: nothing of it is stored
    return await _bookable(w, wished, new_hours, during, minutes)


async def _bookable(
    w: Work, row: tables.MentorProfile, working_hours: Hours, during: Interval, minutes: int
) -> list[Slot]:
    person = await w.read(tables.Person, row.person_id)
    notice = max(policy.DEFAULT.pace("routine").minimum_notice, timedelta(minutes=row.notice_minutes))
    window = (max(during[0], w.now + notice), during[1])
    if window[0] >= window[1]:
        return []
    working_hours = replace(
        working_hours, exceptions=(*working_hours.exceptions, *_quiet(row, person, window, working_hours.zone))
    )
    occupied = await _seats(w, row.person_id, window)
    starts = availability.starts(working_hours, occupied, window, minutes, person.buffer_minutes)
    requester = await w.find(tables.Person, w.actor.person_id) if w.actor.person_id != person.id else None
    length = timedelta(minutes=minutes)
    return [
        Slot(
            start,
            start + length,
            availability.to_wall(start, person.zone),
            availability.to_wall(start, requester.zone) if requester else None,
        )
        for start in starts
    ]


async def _seats(w: Work, person_id: UUID, window: Interval) -> list[Interval]:
    """Give when the person is occupied around the window, buffers included; a hold that has expired does not count."""
    seat = tables.Seat
    rows = await w.sql(
        sa.select(sa.func.lower(seat.during).label("start"), sa.func.upper(seat.during).label("end"))
        .where(col(seat.person_id) == person_id)
        .where(sa.func.lower(seat.during) < window[1] + timedelta(days=1), sa.func.upper(seat.during) > window[0])
        .where(sa.or_(col(seat.held_until).is_(None), col(seat.held_until) > w.now))
    )
    return [(row.start, row.end) for row in rows]


def _quiet(row: tables.MentorProfile, person: tables.Person, window: Interval, zone: str) -> list[DatedHours]:
    """Give the quiet hours, which are on the person's clock, as absences on the clock of `zone`."""
    if "routine" in row.opt_ins:
        return []
    stretches = [(row.quiet_from_minute, row.quiet_until_minute)]
    if row.quiet_from_minute >= row.quiet_until_minute:  # the whole day if both are the same, as the gate has it
        stretches = [(0, row.quiet_until_minute), (row.quiet_from_minute, _DAY_MINUTES)]
    weekly = tuple(Weekly(day, low, high) for day in range(7) for low, high in stretches if low < high)
    quiet = availability.free(Hours(person.zone, weekly), (), window)
    return [
        DatedHours("away", availability.to_wall(start, zone), availability.to_wall(end, zone)) for start, end in quiet
    ]


def _requires_keeper(w: Work, row: tables.MentorProfile, *others: str) -> None:
    """Go on only for the mentor, the coordinator of their institution (or these others there), an admin, the timer."""
    is_keeper = row.institution_id in w.actor.institutions("coordinator", *others)
    is_self = row.person_id == w.actor.person_id
    if not (is_self or is_keeper or w.actor.is_timer or w.actor.holds("programme_admin")):
        raise errors.Forbidden


def _check_weekly(new_hours: Hours) -> None:
    for place, entry in enumerate(new_hours.weekly):
        if entry.until_minute <= entry.from_minute:
            raise errors.Invalid(f"/weekly/{place}/until", "must be later than from, on the same day")
    placed = sorted(
        (entry.weekday, entry.from_minute, entry.until_minute, number) for number, entry in enumerate(new_hours.weekly)
    )
    for earlier, later in itertools.pairwise(placed):
        if earlier[0] == later[0] and later[1] < earlier[2]:
            raise errors.Invalid(f"/weekly/{later[3]}", "overlaps other hours of the day")


def _check_exceptions(new_hours: Hours) -> None:
    if len(new_hours.exceptions) > MOST_EXCEPTIONS:
        raise errors.Invalid("/exceptions", Sentence("there are {most} at most", most=MOST_EXCEPTIONS))
    for place, entry in enumerate(new_hours.exceptions):
        for name, wall in (("from", entry.from_wall), ("until", entry.until_wall)):
            try:
                availability.to_instant(wall, new_hours.zone, strict=True)
            except availability.NonexistentTime as error:
                raise errors.Invalid(f"/exceptions/{place}/{name}", error.args[0]) from error
        if entry.until_wall <= entry.from_wall:
            raise errors.Invalid(f"/exceptions/{place}/until", "must be later than from")


async def _by_id(w: Work, kind: type[Any], ids: Collection[UUID]) -> dict[UUID, Any]:
    rows = await w.sql(sa.select(kind).where(col(kind.id).in_(ids)))
    return {row.id: row for row in rows.scalars()}
