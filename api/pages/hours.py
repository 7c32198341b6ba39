"""A mentor's own hours: the ordinary week, limits, absences and extra hours, and what such a week would offer.

The rows "from … until" of the form are the week; the script of the page only paints them. Nothing is overwritten
unseen: the week carries the version that its page was made of. An absence is added to what is there, so it needs none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import fields, frame
from service import vocabulary
from service.care import answers
from service.kernel import access, errors
from service.kernel.work import Work
from service.people import mentors
from service.rules.time import availability, typed_hours
from service.rules.time.availability import DatedHours, Weekly
from service.rules.time.intervals import Interval
from service.worklists import mentor_hours

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
MOST_ROWS = mentors.MOST_WEEKLY
MOST_CALLS, MOST_NOTICE, MOST_BUFFER = 100, 20160, 120
LONGEST_ABSENCE = timedelta(days=731)
"""What is longer is a typing error; the API takes any."""
USUAL_ABSENCES = (1, 7)
_ROW = re.compile(r"(?:day|from|until)_([1-9][0-9]{0,3})", re.ASCII)
"""A field of a row; its number is as short as the page writes it, since it is counted up to."""
_GRID = (7, 21)
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the form of the week asks for; `row_of` is the number of the form's row that each entry of it is of."""

    version: str
    zone: str
    weekly: tuple[Weekly, ...]
    row_of: tuple[int, ...]
    limits: Mapping[str, Any]
    buffer_minutes: int


@router.get("/hours")
async def show(visit: frame.Known) -> Response:
    """Show the hours as they are, and what the next week offers."""
    own = await _own(visit)
    if isinstance(own, Response):
        return own
    return await _page(visit, own, _stored(own), is_saved="saved" in visit.request.query_params)


@router.post("/hours")
async def save(visit: frame.Known) -> Response:
    """Store the week and the limits, unless somebody else has changed them since the page was made."""
    own = await _own(visit)
    if isinstance(own, Response):
        return own
    form = await fields.sent(visit.request)
    if form.has("add", "1"):
        return await _page(visit, own, form, more=True)
    wish = _read(form, own)
    if form.faults:
        return await _page(visit, own, form, 422)
    try:
        await visit.do(lambda w: _store(w, wish))
    except errors.StaleVersion as error:
        own = await visit.read(mentor_hours.own)
        form.values["version"] = [str(own.row.version)]
        return await _page(visit, own, form, problems.status_of(type(error)), stale=True)
    except errors.Invalid as error:
        _point(form, wish, error)
        return await _page(visit, own, form, 422)
    return frame.see("/hours?saved=1")


@router.post("/hours/preview")
async def preview(visit: frame.Known) -> Response:
    """Show what the week in the form would offer; nothing is stored."""
    own = await _own(visit)
    if isinstance(own, Response):
        return own
    return await _page(visit, own, await fields.sent(visit.request), previewed=True)


@router.post("/hours/absences")
async def be_away(visit: frame.Known) -> Response:
    """Be away then. What was agreed or waits there is named first; it stays, unless its offers are declined as well."""
    own = await _own(visit)
    if isinstance(own, Response):
        return own
    form = await fields.sent(visit.request)
    absence = read_absence(form, own.zone, visit.world.clock.now())
    if absence is None:
        return await _page(visit, own, _stored(own), 422, away=form)
    covered = await visit.read(lambda w: mentor_hours.covered(w, instants(absence, own.zone)))
    if covered and not form.has("sure", "yes"):
        form.values |= {"away_from": [absence.from_wall.date().isoformat()], "away_back": [_back(absence)]}
        return await _page(visit, own, _stored(own), 422, away=form, covered=covered)
    try:
        await visit.do(lambda w: _add(w, absence))
    except errors.Invalid as error:  # there are as many as are kept
        form.faults["away_back"] = str(error)
        return await _page(visit, own, _stored(own), 422, away=form)
    if form.has("decline", "yes"):
        for offer in covered.offers:
            await _decline(visit, offer)
    return frame.see("/hours?saved=1#away")


@router.post("/hours/extra")
async def be_there(visit: frame.Known) -> Response:
    """Be there beyond the ordinary week."""
    own = await _own(visit)
    if isinstance(own, Response):
        return own
    form = await fields.sent(visit.request)
    extra = _extra(form, own.zone, visit.world.clock.now())
    if extra is not None:
        try:
            await visit.do(lambda w: _add(w, extra))
        except errors.Invalid as error:
            faults = error.members["errors"]
            pointer = faults[0]["pointer"] if isinstance(faults, list) else ""
            form.faults["extra_until" if pointer.endswith("until") else "extra_from"] = "no_such_time"
    if form.faults:
        return await _page(visit, own, _stored(own), 422, extra=form)
    return frame.see("/hours?saved=1#extra")


@router.post("/hours/removal")
async def remove(visit: frame.Known) -> Response:
    """Take an absence or extra hours back; twice is once."""
    form = await fields.sent(visit.request)
    kind = form.one_of("kind", vocabulary.EXCEPTION_KINDS)
    since, until = form.wall("from"), form.wall("until")
    if not kind or since is None or until is None:
        raise errors.NotFound
    gone = DatedHours(kind, since, until)
    await visit.do(lambda w: _remove(w, gone))
    return frame.see(f"/hours?saved=1#{kind}")


async def _own(visit: frame.Visit) -> mentor_hours.MentorHours | Response:
    """Give the visitor's hours; to whoever is no mentor, the page that says whom this one is for."""
    try:
        return await visit.read(mentor_hours.own)
    except errors.NotFound:
        texts = visit.words.table["mentors_only"]
        return visit.show("message.html", 403, title=texts["title"], text=texts["text"])


def _me(w: Work) -> UUID:
    if w.actor.person_id is None:
        raise errors.Unauthenticated
    return w.actor.person_id


async def _store(w: Work, wish: _Wish) -> None:
    row = await access.visible_mentor(w, _me(w), lock=True)
    if str(row.version) != wish.version:
        raise errors.StaleVersion
    known = await mentors.hours(w, row)
    new_hours = replace(known, zone=wish.zone, weekly=tuple(sorted(wish.weekly)))
    if new_hours != known:
        await mentors.put_hours(w, row, replace(new_hours, weekly=wish.weekly))
    person = (await mentors.profiles(w, [row]))[0].person
    present = {name: getattr(row, name) for name in wish.limits}
    if present != wish.limits or person.buffer_minutes != wish.buffer_minutes:
        await mentors.put_limits(w, row, wish.limits, wish.buffer_minutes)


async def _add(w: Work, dated: DatedHours) -> None:
    row = await access.visible_mentor(w, _me(w), lock=True)
    await mentors.add_exception(w, row, dated)


async def _remove(w: Work, dated: DatedHours) -> None:
    row = await access.visible_mentor(w, _me(w), lock=True)
    await mentors.remove_exception(w, row, dated)


async def _decline(visit: frame.Visit, offer: mentor_hours.Waiting) -> None:
    """Decline the offer; one that somebody else has taken meanwhile, or whose time is over, needs no answer."""
    try:
        await visit.do(lambda w: answers.decline(w, offer.id, "busy"))
    except (errors.OfferClosed, errors.OfferExpired, errors.NotFound):
        return


def _stored(own: mentor_hours.MentorHours) -> fields.Fields:
    """Give the form filled with what is stored."""
    row = own.row
    pairs = [
        ("version", str(row.version)),
        ("max_sessions", str(row.sessions_per_week)),
        ("max_offers", str(row.offers_per_week)),
        ("notice", _clock(row.notice_minutes)),
        ("buffer", str(own.person.buffer_minutes)),
        ("quiet_from", _clock(row.quiet_from_minute)),
        ("quiet_until", _clock(row.quiet_until_minute)),
        *(("opt", priority) for priority in row.opt_ins),
    ]
    for number, stretch in enumerate(typed_hours.joined(own.hours.weekly), 1):
        pairs += [
            (f"day_{number}", vocabulary.WEEKDAYS[stretch.weekday]),
            (f"from_{number}", _clock(stretch.from_minute)),
            (f"until_{number}", _clock(stretch.until_minute)),
        ]
    return fields.Fields(pairs)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _rows(form: fields.Fields) -> int:
    """Give how many rows of hours the form has; empty ones between filled ones count."""
    numbers = [int(row[1]) for row in map(_ROW.fullmatch, form.values) if row]
    return max((number for number in numbers if number <= MOST_ROWS), default=0)


def _read(form: fields.Fields, own: mentor_hours.MentorHours) -> _Wish:
    """Read the form of the week, with a fault beside each field that cannot be read."""
    weekly: list[Weekly] = []
    row_of: list[int] = []
    for number in range(1, _rows(form) + 1):
        names = [f"{stem}_{number}" for stem in ("day", "from", "until")]
        if not any(form.typed(name) for name in names[1:]):
            continue  # a day alone asks for nothing: the empty row that is offered has one as well
        day = form.one_of(names[0], vocabulary.WEEKDAYS)
        start, end = form.clock(names[1]), form.clock(names[2])
        if not day or start is None or end is None:
            continue
        try:
            entries = typed_hours.split(typed_hours.Stretch(vocabulary.WEEKDAYS.index(day), start, end))
        except typed_hours.NoLength:
            form.faults[names[2]] = "no_length"
            continue
        weekly += entries
        row_of += [number] * len(entries)
    limits = {
        "sessions_per_week": form.number("max_sessions", 0, MOST_CALLS),
        "offers_per_week": form.number("max_offers", 0, MOST_CALLS),
        "notice_minutes": form.duration("notice", MOST_NOTICE),
        "opt_ins": sorted(form.some_of("opt", vocabulary.PRIORITIES, needed=False)),
        "quiet_from_minute": (form.clock("quiet_from") or 0) % availability.MINUTES_A_DAY,
        "quiet_until_minute": (form.clock("quiet_until") or 0) % availability.MINUTES_A_DAY,
    }
    zone = own.person.zone if form.has("own_zone", "yes") else own.zone
    buffer_minutes = form.number("buffer", 0, MOST_BUFFER)
    return _Wish(form.typed("version"), zone, tuple(weekly), tuple(row_of), limits, buffer_minutes)


def _point(form: fields.Fields, wish: _Wish, error: errors.Invalid) -> None:
    """Put each fault that the verb found beside the row that it is about."""
    faults = error.members["errors"]
    for fault in faults if isinstance(faults, list) else []:
        parts = str(fault["pointer"]).split("/")
        is_row = parts[1] == "weekly" and len(parts) > 2  # noqa: PLR2004 - "", "weekly", the place
        form.faults[f"from_{wish.row_of[int(parts[2])]}" if is_row else "day_1"] = fault["detail"]


def read_absence(form: fields.Fields, zone: str, now: datetime) -> DatedHours | None:
    """Read from when and until when somebody is away: from now `until` a day, or both days; None for a fault.

    The day until which is the first one back. It begins with its first moment, which on some days is not midnight.
    """
    wall = availability.to_wall(now, zone).replace(second=0, microsecond=0)
    until = "until" if form.typed("until") else "away_back"
    back = form.day(until)
    first = wall.date() if until == "until" else form.day("away_from")
    if back is None or first is None:
        return None
    if back <= max(first, wall.date()):
        form.faults[until] = "back_too_early"
    elif _begins(back, zone) - wall > LONGEST_ABSENCE:
        form.faults[until] = "away_too_long"
    return None if form.faults else DatedHours("away", max(_begins(first, zone), wall), _begins(back, zone))


def instants(dated: DatedHours, zone: str) -> Interval:
    """Give the instants at which the exception begins and ends."""
    since, until = (availability.to_instant(wall, zone, strict=False) for wall in (dated.from_wall, dated.until_wall))
    return since, until


def _begins(day: date, zone: str) -> datetime:
    return availability.to_wall(availability.day_start(day, zone), zone)


def _back(absence: DatedHours) -> str:
    return absence.until_wall.date().isoformat()


def _extra(form: fields.Fields, zone: str, now: datetime) -> DatedHours | None:
    day, start, end = form.day("extra_day"), form.clock("extra_from"), form.clock("extra_until")
    if day is None or start is None or end is None:
        return None
    midnight = datetime.combine(day, time())
    since, until = midnight + timedelta(minutes=start), midnight + timedelta(minutes=end)
    if since == until:
        form.faults["extra_until"] = "no_length"
    until += _A_DAY if until < since else timedelta()
    if until <= availability.to_wall(now, zone):
        form.faults.setdefault("extra_day", "a proposed time lies behind us")
    return None if form.faults else DatedHours("extra", since, until)


async def _page(  # noqa: PLR0913 - what may stand on the page, each by name
    visit: frame.Visit,
    own: mentor_hours.MentorHours,
    form: fields.Fields,
    status: int = 200,
    *,
    away: fields.Fields | None = None,
    extra: fields.Fields | None = None,
    covered: mentor_hours.Covered | None = None,
    more: bool = False,
    stale: bool = False,
    previewed: bool = False,
    is_saved: bool = False,
) -> Response:
    offered = await _offered(visit, own, form)
    wall = availability.to_wall(visit.world.clock.now(), own.zone)
    coming = [dated for dated in own.hours.exceptions if dated.until_wall > wall]
    if more:
        form.faults.clear()  # the rows are not finished yet
    at_fault = next((each for each in (away, extra) if each and each.faults), form)
    return visit.show(
        "hours.html",
        status,
        own=own,
        form=at_fault,
        week=form,
        away=away or fields.Fields([]),
        extra=extra or fields.Fields([]),
        covered=covered,
        rows=min(_rows(form) + (2 if more else 1), MOST_ROWS),
        is_stale=stale,
        is_previewed=previewed,
        is_saved=is_saved,
        offered=offered,
        absences=[dated for dated in coming if dated.kind == "away"],
        extras=[dated for dated in coming if dated.kind == "extra"],
        days=vocabulary.WEEKDAYS,
        grid=_grid(own.hours.weekly),
        priorities=vocabulary.PRIORITIES,
        quick=[(days, wall.date() + timedelta(days=days)) for days in USUAL_ABSENCES],
        wall=wall,
    )


async def _offered(
    visit: frame.Visit, own: mentor_hours.MentorHours, form: fields.Fields
) -> mentor_hours.OfferedWeek | None:
    """Give what the form's week would offer; None if it cannot be read, and the form says why."""
    wish = _read(form, own)
    if form.faults:
        return None
    wished = replace(own, hours=replace(own.hours, zone=wish.zone))
    try:
        return await visit.read(lambda w: mentor_hours.next_week(w, wished, wish.weekly, wish.limits))
    except errors.Invalid as error:
        _point(form, wish, error)
        return None


def _grid(weekly: Sequence[Weekly]) -> list[tuple[int, list[str]]]:
    """Give the hours of the picture of the week, each with how much of it is open on each day: open, half, or not."""
    first = min([_GRID[0], *(entry.from_minute // 60 for entry in weekly)])
    last = max([_GRID[1], *(-(-entry.until_minute // 60) for entry in weekly)])
    return [(hour, [_openness(weekly, day, hour) for day in range(7)]) for hour in range(first, last)]


def _openness(weekly: Sequence[Weekly], day: int, hour: int) -> str:
    start, end = hour * 60, hour * 60 + 60
    minutes = sum(
        max(0, min(end, entry.until_minute) - max(start, entry.from_minute)) for entry in weekly if entry.weekday == day
    )
    return "open" if minutes == end - start else "half" if minutes else ""
