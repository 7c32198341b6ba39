"""Mentors: what they offer, when they are there, when they can be booked."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import access, errors
from service.people import mentors
from service.rules.time.availability import DatedHours, Hours, Weekly

router = APIRouter(tags=["mentors"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_PROFILE = {
    "specialties": ["ped.general", "obp.neonatology"],
    "languages": [{"code": "en", "level": "C1"}, {"code": "fr", "level": "native"}],
    "caps": {"sessions_per_week": 3, "offers_per_week": 5},
    "notice_minutes": 720,
    "buffer_minutes": 10,
    "treats_children": True,
    "opt_ins": ["urgent"],
    "tags": ["device"],
    "quiet_hours": {"from": "22:00", "until": "07:00"},
}
_AVAILABILITY = {
    "zone": "Europe/Paris",
    "weekly": [{"day": "mon", "from": "16:00", "until": "19:00"}],
    "exceptions": [{"from": "2026-12-24T00:00", "until": "2026-12-27T00:00", "kind": "away"}],
}


class Language(shapes.Shape):
    """A language and how well it is spoken (CEFR)."""

    code: shapes.Language
    level: vocabulary.LanguageLevel


class Caps(shapes.Shape):
    """How much a week is welcome."""

    sessions_per_week: Annotated[int, Field(ge=0, le=100)]
    offers_per_week: Annotated[int, Field(ge=0, le=100)]


class QuietHours(shapes.Shape):
    """When nothing is to happen, on the mentor's own clock; over midnight if `until` is not later than `from`."""

    from_: Annotated[shapes.Clock, Field(alias="from")]
    until: shapes.Clock


class Profile(shapes.Shape):
    """What a mentor offers."""

    model_config = bodies.like(_PROFILE)
    specialties: Annotated[list[shapes.Code], Field(max_length=50)]
    languages: Annotated[list[Language], Field(max_length=30)]
    caps: Caps
    notice_minutes: Annotated[int, Field(ge=0, le=20160, description="Counts for routine consultations.")]
    buffer_minutes: Annotated[int, Field(ge=0, le=120, description="Kept free after each session.")]
    treats_children: bool
    opt_ins: Annotated[
        list[vocabulary.Priority], Field(max_length=4, description="Priorities for which quiet hours do not count.")
    ]
    tags: Annotated[list[shapes.Code], Field(max_length=50, default_factory=list)]
    quiet_hours: QuietHours = QuietHours(**{"from": "22:00", "until": "07:00"})


class ProfileWish(Profile):
    """What a mentor is to offer, and what in its tags names nobody although it seems to."""

    confirmed_spans: shapes.Spans = []


class Mentor(shapes.Shape):
    """A mentor, as far as you may see them."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            "display_name": "Mentor, Lille",
            "institution_id": _EXAMPLE_ID,
            "country": "FR",
            "zone": "Europe/Paris",
            "verified_until": "2027-12-31T23:00:00Z",
            "profile": _PROFILE,
        }
    )
    id: shapes.Id
    display_name: str
    institution_id: shapes.Id
    country: str | None
    zone: str
    verified_until: shapes.Instant | None
    profile: Profile


class WeeklyHours(shapes.Shape):
    """Hours of one day, half-open; `until` may be 24:00."""

    day: vocabulary.Weekday
    from_: Annotated[shapes.Clock, Field(alias="from")]
    until: shapes.ClockEnd


class DatedException(shapes.Shape):
    """Away although the week says otherwise, or there beyond it; away wins."""

    from_: Annotated[shapes.Wall, Field(alias="from")]
    until: shapes.Wall
    kind: vocabulary.ExceptionKind


class Availability(shapes.Shape):
    """When a mentor is there, on the wall clock of `zone`."""

    model_config = bodies.like(_AVAILABILITY)
    zone: shapes.Zone
    weekly: Annotated[list[WeeklyHours], Field(max_length=mentors.MOST_WEEKLY)]
    exceptions: Annotated[list[DatedException], Field(max_length=mentors.MOST_EXCEPTIONS)]


class Slot(shapes.Shape):
    """A time that can be booked."""

    model_config = bodies.like(
        {
            "starts_at": "2026-11-21T15:00:00Z",
            "ends_at": "2026-11-21T15:30:00Z",
            "mentor_local": "2026-11-21T16:00",
            "requester_local": "2026-11-21T17:00",
        }
    )
    starts_at: shapes.Instant
    ends_at: shapes.Instant
    mentor_local: shapes.Wall
    requester_local: shapes.Wall | None


@router.get("/v1/mentors")
async def listed(
    w: deps.R,
    page: deps.Paging,
    specialty: shapes.Code | None = None,
    country: shapes.Country | None = None,
    language: shapes.Language | None = None,
) -> shapes.Listing[Mentor]:
    """List the mentors of your own side, and those whom an active memorandum links with your institution."""
    profiles = await mentors.page(
        w, after=page.after_id(), limit=page.limit, specialty=specialty, country=country, language=language
    )
    items, following = page.cut(profiles, lambda mentor: (mentor.row.person_id,))
    return shapes.Listing[Mentor](items=[_mentor(mentor) for mentor in items], next=following)


@router.get("/v1/mentors/{mentor_id}/profile")
async def profile(mentor_id: shapes.Id, w: deps.R, response: Response) -> Profile:
    """Read what a mentor offers."""
    row = await access.visible_mentor(w, mentor_id)
    deps.etag(response, row.version)
    return _profile((await mentors.profiles(w, [row]))[0])


@router.put("/v1/mentors/{mentor_id}/profile", responses=problems.of(errors.Forbidden, errors.PersonalDataFound))
async def put_profile(
    mentor_id: shapes.Id, body: ProfileWish, w: deps.W, expect: deps.IfMatch, response: Response
) -> Profile:
    """Say what a mentor offers; the mentor's own business, or that of who keeps them."""
    row = await access.visible_mentor(w, mentor_id, lock=True)
    expect(row)
    languages = {language.code: language.level for language in body.languages}
    if len(languages) < len(body.languages):
        raise errors.Invalid("/languages", "a language is there twice")
    changed = await mentors.put_profile(
        w,
        row,
        specialties=body.specialties,
        languages=languages,
        buffer_minutes=body.buffer_minutes,
        fields={
            "sessions_per_week": body.caps.sessions_per_week,
            "offers_per_week": body.caps.offers_per_week,
            "notice_minutes": body.notice_minutes,
            "treats_children": body.treats_children,
            "opt_ins": sorted(set(body.opt_ins)),
            "tags": body.tags,
            "quiet_from_minute": _minute(body.quiet_hours.from_),
            "quiet_until_minute": _minute(body.quiet_hours.until),
        },
        confirmed=shapes.confirmed(body.confirmed_spans),
    )
    deps.etag(response, row.version)
    return _profile(changed)


@router.get("/v1/mentors/{mentor_id}/availability")
async def hours(mentor_id: shapes.Id, w: deps.R, response: Response) -> Availability:
    """Read a mentor's hours."""
    row = await access.visible_mentor(w, mentor_id)
    deps.etag(response, row.version)
    return _availability(await mentors.hours(w, row))


@router.put("/v1/mentors/{mentor_id}/availability", responses=problems.of(errors.Forbidden))
async def put_hours(
    mentor_id: shapes.Id, body: Availability, w: deps.W, expect: deps.IfMatch, response: Response
) -> Availability:
    """Replace a mentor's hours. A wall time that the clocks of the zone skip is refused."""
    row = await access.visible_mentor(w, mentor_id, lock=True)
    expect(row)
    changed = await mentors.put_hours(w, row, _hours(body))
    deps.etag(response, row.version)
    return _availability(changed)


@router.get("/v1/mentors/{mentor_id}/slots")
async def slots(
    mentor_id: shapes.Id,
    w: deps.R,
    page: deps.Paging,
    from_: Annotated[shapes.Instant, Query(alias="from")],
    until: shapes.Instant,
    minutes: Annotated[int, Query(ge=15, le=240)] = 30,
) -> shapes.Listing[Slot]:
    """List when a routine session with the mentor can start, on a grid of 15 minutes; 60 days at a time at most."""
    row = await access.visible_mentor(w, mentor_id)
    after = page.after_number()
    bookable = await mentors.slots(w, row, (from_, until), minutes)
    bookable = [slot for slot in bookable if after is None or _seconds(slot.starts_at) > after]
    items, following = page.cut(bookable[: page.limit + 1], lambda slot: (_seconds(slot.starts_at),))
    return shapes.Listing[Slot](
        items=[Slot.model_validate(slot, from_attributes=True) for slot in items], next=following
    )


def _mentor(profile: mentors.Profile) -> Mentor:
    return Mentor(
        id=profile.row.person_id,
        display_name=profile.person.display_name,
        institution_id=profile.row.institution_id,
        country=profile.institution.country,
        zone=profile.person.zone,
        verified_until=profile.row.verified_until,
        profile=_profile(profile),
    )


def _profile(profile: mentors.Profile) -> Profile:
    row = profile.row
    return Profile.model_validate(
        {
            "specialties": list(profile.specialties),
            "languages": [{"code": code, "level": level} for code, level in profile.languages.items()],
            "caps": {"sessions_per_week": row.sessions_per_week, "offers_per_week": row.offers_per_week},
            "notice_minutes": row.notice_minutes,
            "buffer_minutes": profile.person.buffer_minutes,
            "treats_children": row.treats_children,
            "opt_ins": row.opt_ins,
            "tags": row.tags,
            "quiet_hours": {
                "from": _clock(row.quiet_from_minute % 1440),
                "until": _clock(row.quiet_until_minute % 1440),
            },
        }
    )


def _availability(hours: Hours) -> Availability:
    return Availability.model_validate(
        {
            "zone": hours.zone,
            "weekly": [
                {
                    "day": vocabulary.WEEKDAYS[day.weekday],
                    "from": _clock(day.from_minute),
                    "until": _clock(day.until_minute),
                }
                for day in hours.weekly
            ],
            "exceptions": [
                {"from": dated.from_wall, "until": dated.until_wall, "kind": dated.kind} for dated in hours.exceptions
            ],
        }
    )


def _hours(body: Availability) -> Hours:
    weekly = [Weekly(vocabulary.WEEKDAYS.index(day.day), _minute(day.from_), _minute(day.until)) for day in body.weekly]
    exceptions = [DatedHours(exception.kind, exception.from_, exception.until) for exception in body.exceptions]
    return Hours(body.zone, tuple(weekly), tuple(exceptions))


def _minute(clock: str) -> int:
    hours_, minutes = clock.split(":")
    return int(hours_) * 60 + int(minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
