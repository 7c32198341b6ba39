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
from service.kernel import access, audit, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events
from service.rules import policy
from service.rules.time import availability
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.intervals import Interval

LONGEST_SEARCH = timedelta(days=60)
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
    """A time that can be booked, as the mentor's clock shows it, and the asking person's if they are another."""

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
    seen = [access.mentors_seen(w.actor), mentor.in_(_active())]
    if specialty is not None:
        held = tables.MentorSpecialty
        seen.append(mentor.in_(sa.select(col(held.person_id)).where(col(held.specialty_code) == specialty)))
    if country is not None:
        there = sa.select(col(tables.Institution.id)).where(col(tables.Institution.country) == country)
        seen.append(col(tables.MentorProfile.institution_id).in_(there))
    if language is not None:
        spoken = tables.PersonLanguage
        seen.append(mentor.in_(sa.select(col(spoken.person_id)).where(col(spoken.code) == language)))
    rows = await paging.rows(w, tables.MentorProfile, sa.and_(*seen), after=after, limit=limit, key="person_id")
    return await profiles(w, rows)


async def profiles(w: Work, rows: Collection[tables.MentorProfile]) -> list[Profile]:
    """Give the mentors with what they offer, in few queries."""
    ids = [row.person_id for row in rows]
    people = await _by_id(w, tables.Person, ids)
    institutions = await _by_id(w, tables.Institution, {row.institution_id for row in rows})
    specialties: dict[UUID, list[str]] = {row_id: [] for row_id in ids}
    languages: dict[UUID, dict[str, vocabulary.LanguageLevel]] = {row_id: {} for row_id in ids}
    held, spoken = tables.MentorSpecialty, tables.PersonLanguage
    for code in (
        await w.sql(sa.select(held).where(col(held.person_id).in_(ids)).order_by(col(held.specialty_code)))
    ).scalars():
        specialties[code.person_id].append(code.specialty_code)
    for language in (
        await w.sql(sa.select(spoken).where(col(spoken.person_id).in_(ids)).order_by(col(spoken.code)))
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
    """Let the mentor offer this and nothing else; by themself or who keeps them.

    Their hospital's system fills in what it registered, until a person has verified it. Tags are checked unless
    `confirmed` is None: a file's, which the operator has looked at.
    """
    _requires_keeper(w, row, *(["partner_system"] if row.verified_until is None else []))
    if confirmed is not None:
        deidentification.check(w, deidentification.of_tags(fields["tags"]), confirmed)
    known = set(
        (
            await w.sql(
                sa.select(col(tables.Specialty.code)).where(
                    col(tables.Specialty.code).in_(specialties), col(tables.Specialty.is_bookable)
                )
            )
        ).scalars()
    )
    for place, code in enumerate(specialties):
        if code not in known:
            raise errors.Invalid(f"/specialties/{place}", "no such specialty that cases are about")
    person = await w.read(tables.Person, row.person_id)
    for kind in (tables.MentorSpecialty, tables.PersonLanguage):
        await w.sql(sa.delete(kind).where(col(kind.person_id) == row.person_id))
    w.add(*(tables.MentorSpecialty(person_id=row.person_id, specialty_code=code) for code in sorted(set(specialties))))
    w.add(
        *(
            tables.PersonLanguage(person_id=row.person_id, code=code, level=languages[code])
            for code in sorted(languages)
        )
    )
    for name, value in {**fields, "tags": sorted(set(fields["tags"]))}.items():
        setattr(row, name, value)
    person.buffer_minutes = buffer_minutes
    w.touch(row)
    w.touch(person)
    audit.record(w, "changed", "mentor_profile", row.person_id)
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
        tuple(Weekly(found.weekday, found.from_minute, found.until_minute) for found in weeks.scalars()),
        tuple(DatedHours(found.kind, found.from_wall, found.until_wall) for found in days.scalars()),
    )


async def put_hours(w: Work, row: tables.MentorProfile, wanted: Hours) -> Hours:
    """Let the mentor be there at these hours only; by themself, who keeps them, or their hospital's system."""
    _requires_keeper(w, row, "partner_system")
    _check_weekly(wanted)
    _check_exceptions(wanted)
    for kind in (tables.WeeklyHours, tables.AvailabilityException):
        await w.sql(sa.delete(kind).where(col(kind.person_id) == row.person_id))
    w.add(
        *(
            tables.WeeklyHours(
                id=clock.new_id(),
                person_id=row.person_id,
                weekday=found.weekday,
                from_minute=found.from_minute,
                until_minute=found.until_minute,
            )
            for found in wanted.weekly
        ),
        *(
            tables.AvailabilityException(
                id=clock.new_id(),
                person_id=row.person_id,
                kind=found.kind,
                from_wall=found.from_wall,
                until_wall=found.until_wall,
            )
            for found in wanted.exceptions
        ),
    )
    row.availability_zone = wanted.zone
    audience = events.Audience(institution_ids=(row.institution_id,), person_ids=(row.person_id,))
    state = "verified" if row.verified_until is not None and row.verified_until > w.now else "unverified"
    events.record(w, "mentor.availability_changed", row, row.person_id, audience, state=state)
    audit.record(w, "changed", "mentor_availability", row.person_id)
    return await hours(w, row)


async def slots(w: Work, row: tables.MentorProfile, during: Interval, minutes: int) -> list[Slot]:
    """Give the times at which a routine session of so many minutes can be booked, in order.

    Inside the hours, clear of quiet hours and of what is booked or held, with the notice that the mentor wants.
    """
    if not timedelta(0) < during[1] - during[0] <= LONGEST_SEARCH:
        raise errors.Invalid("/query/until", f"must follow `from` by {LONGEST_SEARCH.days} days at most")
    person = await w.read(tables.Person, row.person_id)
    notice = max(policy.DEFAULT.pace("routine").minimum_notice, timedelta(minutes=row.notice_minutes))
    window = (max(during[0], w.now + notice), during[1])
    verified_until = row.verified_until
    if window[0] >= window[1] or verified_until is None:
        return []
    worked = await hours(w, row)
    worked = replace(worked, exceptions=(*worked.exceptions, *_quiet(row, person, window, worked.zone)))
    taken = await _seats(w, row.person_id, window)
    found = availability.starts(worked, taken, window, minutes, person.buffer_minutes)
    asking = await w.find(tables.Person, w.actor.person_id) if w.actor.person_id != person.id else None
    length = timedelta(minutes=minutes)
    return [
        Slot(
            start,
            start + length,
            availability.to_wall(start, person.zone),
            availability.to_wall(start, asking.zone) if asking else None,
        )
        for start in found
        if start < verified_until
    ]


async def _seats(w: Work, person_id: UUID, window: Interval) -> list[Interval]:
    """Give when the person is occupied around the window, buffers included; a hold that is over occupies nobody."""
    seat = tables.Seat
    rows = await w.sql(
        sa.select(sa.func.lower(seat.during).label("start"), sa.func.upper(seat.during).label("end"))
        .where(col(seat.person_id) == person_id)
        .where(sa.func.lower(seat.during) < window[1] + timedelta(days=1), sa.func.upper(seat.during) > window[0])
        .where(sa.or_(col(seat.held_until).is_(None), col(seat.held_until) > w.now))
    )
    return [(found.start, found.end) for found in rows]


def _quiet(row: tables.MentorProfile, person: tables.Person, window: Interval, zone: str) -> list[DatedHours]:
    """Give the quiet hours, which are on the person's clock, as absences on the clock of `zone`."""
    if "routine" in row.opt_ins or row.quiet_from_minute == row.quiet_until_minute:
        return []
    stretches = [(row.quiet_from_minute, row.quiet_until_minute)]
    if row.quiet_from_minute > row.quiet_until_minute:
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


def _check_weekly(wanted: Hours) -> None:
    for place, found in enumerate(wanted.weekly):
        if found.until_minute <= found.from_minute:
            raise errors.Invalid(f"/weekly/{place}/until", "must be later than from, on the same day")
    placed = sorted((found.weekday, found.from_minute, found.until_minute, n) for n, found in enumerate(wanted.weekly))
    for before, after in itertools.pairwise(placed):
        if before[0] == after[0] and after[1] < before[2]:
            raise errors.Invalid(f"/weekly/{after[3]}", "overlaps other hours of the day")


def _check_exceptions(wanted: Hours) -> None:
    for place, found in enumerate(wanted.exceptions):
        for name, wall in (("from", found.from_wall), ("until", found.until_wall)):
            try:
                availability.to_instant(wall, wanted.zone, strict=True)
            except availability.NonexistentTime as error:
                raise errors.Invalid(f"/exceptions/{place}/{name}", str(error)) from error
        if found.until_wall <= found.from_wall:
            raise errors.Invalid(f"/exceptions/{place}/until", "must be later than from")


def _active() -> sa.Select[Any]:
    return sa.select(col(tables.Person.id)).where(col(tables.Person.state) == "active")


async def _by_id(w: Work, kind: type[Any], ids: Collection[UUID]) -> dict[UUID, Any]:
    rows = await w.sql(sa.select(kind).where(col(kind.id).in_(ids)))
    return {row.id: row for row in rows.scalars()}
