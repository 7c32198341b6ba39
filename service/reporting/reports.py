"""The reports of a memorandum, a programme and an institution: read-only, one function each.

`count_queries` counts, `rollups` keeps what was counted of a programme's past, `rules.figures` says what the counts
mean. Periods are days in a zone, turned into instants before SQL sees them: the database's zone data is not ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, errors
from service.kernel.work import Work
from service.registry import agreements
from service.reporting import askable_mentors, count_queries, report_rows, rollups
from service.rules.figures import counts, figures
from service.rules.figures.figures import Figure, Month, Part, Published
from service.rules.time import availability, periods
from service.rules.time.intervals import Interval

IDLE = timedelta(days=90)
_DAY = timedelta(days=1)
_BESIDE = {
    "clinicians_trained_abroad": "activity_people",
    "oncologists_internship_france": "activity_people",
    "joint_operations": "activities",
    "international_visits": "activities",
}
"""Beside which figure a published count is shown."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one period, which is days in `zone`: `from_on` inclusive, `until_on` exclusive."""

    kind: str
    subject_id: UUID
    from_on: date
    until_on: date
    zone: str
    made_at: datetime
    as_of: datetime  # what it counts was so then
    idle_since: datetime | None
    figures: tuple[Figure, ...]
    previous: tuple[date, date] | None = None  # the days that the figures' `previous` values are of
    months: tuple[Month, ...] | None = None


@dataclass(frozen=True, slots=True)
class Titles:
    """The names of the report's subject and specialties by language; `locale` is the reader's, None for an operator."""

    subject: Mapping[str, str]
    specialties: Mapping[str, Mapping[str, str]]
    locale: str | None


PeriodWish = tuple[date | None, date | None, str | None]
"""First day, first day not counted, zone, as far as they are asked for."""


@dataclass(frozen=True, slots=True)
class _Request:
    scope: count_queries.Scope
    subject: Mapping[str, Any]
    created_at: datetime
    from_on: date | None
    until_on: date | None
    zone: str


async def memorandum(
    w: Work,
    memorandum_id: UUID,
    from_on: date | None = None,
    until_on: date | None = None,
    zone: str | None = None,
    *,
    compare: bool = False,
    by_month: bool = False,
) -> Report:
    """Give the memorandum's report to the coordinators and systems of its parties and the programme's admins.

    Without dates, from its first day until tomorrow; without a zone, in its programme's.
    """
    row, request = await _of_memorandum(w, memorandum_id, (from_on, until_on, zone))
    programme = await w.read(tables.Programme, row.programme_id)
    report = await _made(w, request, compare=compare, by_month=by_month)
    minutes_left = await agreements.minutes_left(w, row, w.now)
    hours = Figure(
        "hours_left",
        None if minutes_left is None else minutes_left / 60,
        "hours",
        "Hours of the budget's present period that are neither logged nor booked; none without a budget.",
        of="memoranda",
    )
    since = report.idle_since or (
        availability.day_start(row.valid_from, programme.zone) if row.valid_from else row.created_at
    )
    idle = Figure(
        "idle_days",
        max(0, (w.now - since) // _DAY),
        "days",
        "Whole days since the last session or advice under it, or since its first day.",
        of="memoranda",
    )
    return replace(report, idle_since=since, figures=(*report.figures, hours, idle))


async def programme(
    w: Work,
    programme_id: UUID,
    from_on: date | None = None,
    until_on: date | None = None,
    zone: str | None = None,
    *,
    compare: bool = False,
    by_month: bool = False,
) -> Report:
    """Give the programme's report to its admins, with what was published about it."""
    request = await _of_programme(w, programme_id, (from_on, until_on, zone))
    report = await _made(w, request, compare=compare, by_month=by_month)
    published = await _published(w, programme_id)
    return replace(
        report,
        figures=tuple(
            replace(figure, published=(*figure.published, *published.get(figure.name, ()))) for figure in report.figures
        ),
    )


async def institution(
    w: Work,
    institution_id: UUID,
    from_on: date | None = None,
    until_on: date | None = None,
    zone: str | None = None,
    *,
    compare: bool = False,
    by_month: bool = False,
) -> Report:
    """Give the institution's report, both sides together, to its coordinators and systems; to an admin for theirs."""
    return await _made(
        w, await _of_institution(w, institution_id, (from_on, until_on, zone)), compare=compare, by_month=by_month
    )


async def titles(w: Work, report: Report) -> Titles:
    """Give the names of the report's subject and of its specialties, and the reader's language."""
    codes = [part.key for figure in report.figures if figure.name == "areas" for part in figure.parts]
    specialty = tables.Specialty
    rows = await w.sql(sa.select(specialty).where(col(specialty.code).in_(codes)))
    specialties = {row.code: {"uk": row.name_uk, "en": row.name_en} for row in rows.scalars()}
    reader = await w.find(tables.Person, w.actor.person_id) if w.actor.person_id else None
    return Titles(await _subject(w, report), specialties, reader.locale if reader else None)


async def _subject(w: Work, report: Report) -> dict[str, str]:
    if report.kind == count_queries.PROGRAMME.kind:
        programme_row = await w.read(tables.Programme, report.subject_id)
        return {"uk": programme_row.name, "en": programme_row.name_en}
    place, party = tables.Institution, tables.MemorandumParty
    statement = sa.select(place).where(col(place.id) == report.subject_id)
    if report.kind == count_queries.MEMORANDUM.kind:
        parties = sa.select(place).join(party, col(party.institution_id) == col(place.id))
        order = col(party.side).desc(), col(place.id)  # the requesting side first
        statement = parties.where(col(party.memorandum_id) == report.subject_id).order_by(*order)
    places = list((await w.sql(statement)).scalars())
    unnamed = str(report.subject_id)
    return {
        "uk": " — ".join(row.name or row.name_en or unnamed for row in places),
        "en": " — ".join(row.name_en or row.name or unnamed for row in places),
    }


async def rows(
    w: Work, kind: str, subject_id: UUID, period: PeriodWish, of: str, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Give the rows that a report (of a `memorandum`, `programme` or `institution`) counts, to its readers."""
    if kind == count_queries.MEMORANDUM.kind:
        request = (await _of_memorandum(w, subject_id, period))[1]
    elif kind == count_queries.PROGRAMME.kind:
        request = await _of_programme(w, subject_id, period)
    else:
        request = await _of_institution(w, subject_id, period)
    days, during = await _period(w, request, await _memoranda(w, request))
    return await report_rows.rows(w, request.scope, request.subject, of, during, days, after=after, limit=limit)


async def _of_memorandum(w: Work, memorandum_id: UUID, period: PeriodWish) -> tuple[tables.Memorandum, _Request]:
    row = await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *vocabulary.OVERSEEING_ROLES)
    programme = await w.read(tables.Programme, row.programme_id)
    subject = count_queries.values(row.id)
    return row, _Request(count_queries.MEMORANDUM, subject, row.created_at, *period[:2], period[2] or programme.zone)


async def _of_programme(w: Work, programme_id: UUID, period: PeriodWish) -> _Request:
    row = await access.visible_programme(w, programme_id)
    access.requires_admin(w, row.id)
    return _Request(
        count_queries.PROGRAMME, count_queries.values(row.id), row.created_at, *period[:2], period[2] or row.zone
    )


async def _of_institution(w: Work, institution_id: UUID, period: PeriodWish) -> _Request:
    row = await access.visible_institution(w, institution_id)
    programmes: frozenset[UUID] | None = None
    if row.id not in w.actor.institutions("coordinator", "partner_system") and not w.actor.is_timer:
        programmes = w.actor.programmes("programme_admin")
        access.requires_admin(w)
    subject = count_queries.values(row.id, programmes)
    return _Request(count_queries.INSTITUTION, subject, row.created_at, *period[:2], period[2] or row.zone or "UTC")


async def _published(w: Work, programme_id: UUID) -> dict[str, tuple[Published, ...]]:
    """Give the numbers published about the programme, with operator and source, by the figure they are shown beside."""
    published: dict[str, list[Published]] = {}
    milestone, statistic = tables.Milestone, tables.Statistic
    milestones = await w.sql(
        sa.select(milestone)
        .where(col(milestone.programme_id) == programme_id, col(milestone.total_memoranda).is_not(None))
        .order_by(col(milestone.on_text))
    )
    for milestone_row in milestones.scalars():
        note = f"memoranda, {milestone_row.precision} {milestone_row.on_text}: {milestone_row.event}"
        published.setdefault("memoranda", []).append(
            Published(milestone_row.citation, milestone_row.total_memoranda, note)
        )
    statistics = await w.sql(
        sa.select(statistic)
        .where(col(statistic.programme_id) == programme_id, col(statistic.key).in_(_BESIDE))
        .order_by(col(statistic.key))
    )
    for statistic_row in statistics.scalars():
        note = f"{statistic_row.key.replace('_', ' ')}, by {statistic_row.as_of}"
        published.setdefault(_BESIDE[statistic_row.key], []).append(
            Published(statistic_row.citation, statistic_row.value, note, statistic_row.op)
        )
    return {name: tuple(counts_beside) for name, counts_beside in published.items()}


async def _memoranda(w: Work, request: _Request) -> list[count_queries.MemorandaOfStatus]:
    return await count_queries.memoranda(w, request.scope, request.subject, w.now - IDLE)


async def _period(
    w: Work, request: _Request, memoranda: Sequence[count_queries.MemorandaOfStatus]
) -> tuple[tuple[date, date], Interval]:
    """Give the period in days and in instants; raises Invalid."""
    until_on = request.until_on or availability.local_date(w.now, request.zone) + _DAY
    from_on = request.from_on or min(await _first_day(w, request, memoranda), until_on - _DAY)
    if from_on >= until_on:
        raise errors.Invalid("/query/until", "must be later than from: it is the first day not counted")
    return (from_on, until_on), _instants((from_on, until_on), request.zone)


async def _first_day(w: Work, request: _Request, memoranda: Sequence[count_queries.MemorandaOfStatus]) -> date:
    """Give the earliest day of the subject's own row, of its memoranda and of its sessions, imported ones included."""
    first_at = await count_queries.first_at(w, request.scope, request.subject)
    instants = [at for at in (request.created_at, first_at) if at]
    first_days = [each.first_on for each in memoranda if each.first_on]
    return min([*first_days, *(availability.local_date(at, request.zone) for at in instants)])


def _instants(days: tuple[date, date], zone: str) -> Interval:
    return availability.day_start(days[0], zone), availability.day_start(days[1], zone)


async def _made(w: Work, request: _Request, *, compare: bool, by_month: bool) -> Report:
    memoranda = await _memoranda(w, request)
    days, during = await _period(w, request, memoranda)
    report_figures = await _figures(w, request, days, during)
    previous_days = None
    if compare:
        previous_days = periods.previous(*days)
        values = {
            figure.name: figure.value
            for figure in await _figures(w, request, previous_days, _instants(previous_days, request.zone))
        }
        report_figures = [replace(figure, previous=values[figure.name]) for figure in report_figures]
    if request.scope.kind != count_queries.MEMORANDUM.kind:
        report_figures += _agreements(memoranda)
    last_used_at = max((each.last_at for each in memoranda if each.last_at), default=None)
    return Report(
        request.scope.kind,
        request.subject["id"],
        *days,
        request.zone,
        w.now,
        w.as_of or w.now,
        last_used_at,
        tuple(report_figures),
        previous_days,
        await _months(w, request, days) if by_month else None,
    )


async def _months(w: Work, request: _Request, days: tuple[date, date]) -> tuple[Month, ...]:
    firsts = periods.months(*days)
    starts = [availability.day_start(first, request.zone) for first in firsts]
    by_month = await count_queries.months(w, request.scope, request.subject, _instants(days, request.zone), starts)
    months = []
    for place, first in enumerate(firsts):
        (sessions, minutes), (advices, advice_minutes) = (
            by_month.get(place, {}).get(mode, (0, 0)) for mode in vocabulary.SESSION_MODES
        )
        months.append(Month(first, sessions, advices, minutes + advice_minutes))
    return tuple(months)


async def _figures(w: Work, request: _Request, days: tuple[date, date], during: Interval) -> list[Figure]:
    tally = await _tally(w, request.scope, request.subject, during)
    activities = await count_queries.activities(w, request.scope, request.subject, *days)
    mentors = await askable_mentors.ids(w, request.scope, request.subject, days, during)
    return figures.all_of(await count_queries.report_counts(w, tally, during, activities, mentors))


async def _tally(w: Work, scope: count_queries.Scope, subject: Mapping[str, Any], during: Interval) -> counts.Tally:
    """Count the period; of a programme, only what no rollup holds."""
    if scope.kind != count_queries.PROGRAMME.kind:
        return await count_queries.tally(w, scope, subject, [during])
    rolled_up, spans = await rollups.cover(w, subject["id"], during)
    return counts.total([rolled_up, await count_queries.tally(w, scope, subject, spans)])


def _agreements(memoranda: Sequence[count_queries.MemorandaOfStatus]) -> list[Figure]:
    by_status = {each.status: each for each in memoranda}
    active = by_status.get("active")
    parts = tuple(
        Part(status, by_status[status].memoranda) for status in vocabulary.MEMORANDUM_STATUSES if status in by_status
    )
    return [
        Figure(
            "memoranda",
            sum(each.memoranda for each in memoranda),
            "memoranda",
            "Memoranda in the registry now, by status.",
            parts=parts,
            of="memoranda",
        ),
        Figure(
            "memoranda_idle_90_days",
            active.idle if active else 0,
            "memoranda",
            "Active memoranda under which nothing was logged in the last 90 days.",
            rows=active.memoranda if active else 0,
            of="memoranda",
        ),
    ]
