"""What a memorandum, a programme or an institution can read of the log: read-only, one function a report.

`tallies` counts, `rules.figures` says what the counts mean. Periods are days in a zone, turned into instants before SQL
sees them: the database's zone data is not ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import access, errors, pieces, routes, tables, tallies
from service.rules import availability, counts, figures
from service.rules.figures import Figure, Part, Published
from service.rules.intervals import Interval
from service.work import Work

IDLE = timedelta(days=90)
_DAY = timedelta(days=1)
_READERS = ("coordinator", "programme_admin", "partner_system")


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one period, which is days in `zone`: `from_on` inclusive, `until_on` exclusive."""

    kind: str
    subject_id: UUID
    from_on: date
    until_on: date
    zone: str
    made_at: datetime
    idle_since: datetime | None
    figures: tuple[Figure, ...]


async def memorandum(
    w: Work, memorandum_id: UUID, from_on: date | None = None, until_on: date | None = None, zone: str | None = None
) -> Report:
    """Give the memorandum's report to the coordinators and systems of its parties and the programme's admins.

    Without dates, from its first day until tomorrow; without a zone, in its programme's.
    """
    row = await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *_READERS)
    programme = await w.session.get_one(tables.Programme, row.programme_id)
    made = await _made(w, tallies.MEMORANDUM, row.id, row.created_at, (from_on, until_on, zone or programme.zone))
    left = await routes.minutes_left(w, row, w.now)
    hours = Figure(
        "hours_left",
        None if left is None else left / 60,
        "hours",
        "Hours of the budget's present period that are neither logged nor booked; none without a budget.",
    )
    since = made.idle_since or (
        availability.day_start(row.valid_from, programme.zone) if row.valid_from else row.created_at
    )
    idle = Figure(
        "idle_days",
        max(0, (w.now - since) // _DAY),
        "days",
        "Whole days since the last session or advice under it, or since its first day.",
    )
    return replace(made, idle_since=since, figures=(*made.figures, hours, idle))


async def programme(
    w: Work, programme_id: UUID, from_on: date | None = None, until_on: date | None = None, zone: str | None = None
) -> Report:
    """Give the programme's report to its admins."""
    row = await access.visible_programme(w, programme_id)
    access.requires_admin(w, row.id)
    made = await _made(w, tallies.PROGRAMME, row.id, row.created_at, (from_on, until_on, zone or row.zone))
    published = await w.sql(
        sa.select(tables.Milestone)
        .where(col(tables.Milestone.programme_id) == row.id, col(tables.Milestone.total_memoranda).is_not(None))
        .order_by(col(tables.Milestone.on_text))
    )
    milestones = tuple(
        Published(f"published {each.on_text}", each.total_memoranda, each.event) for each in published.scalars()
    )
    return replace(
        made,
        figures=tuple(
            replace(each, published=milestones) if each.name == "memoranda" else each for each in made.figures
        ),
    )


async def institution(
    w: Work, institution_id: UUID, from_on: date | None = None, until_on: date | None = None, zone: str | None = None
) -> Report:
    """Give the institution's report, both sides together, to its coordinators and systems; to an admin for theirs."""
    row = await access.visible_institution(w, institution_id)
    programmes: frozenset[UUID] | None = None
    if row.id not in w.actor.institutions("coordinator", "partner_system") and not w.actor.is_timer:
        programmes = w.actor.programmes("programme_admin")
        access.requires_admin(w)
    return await _made(
        w, tallies.INSTITUTION, row.id, row.created_at, (from_on, until_on, zone or row.zone or "UTC"), programmes
    )


async def _made(
    w: Work,
    scope: tallies.Scope,
    subject_id: UUID,
    created_at: datetime,
    wanted: tuple[date | None, date | None, str],
    programmes: frozenset[UUID] | None = None,
) -> Report:
    subject = tallies.values(subject_id, programmes)
    agreed = await tallies.agreed(w, scope, subject)
    from_on, until_on, zone = wanted
    until_on = until_on or availability.local_date(w.now, zone) + _DAY
    began = [each.first_on for each in agreed if each.first_on]
    from_on = from_on or min([*began, availability.local_date(created_at, zone), until_on - _DAY])
    if from_on >= until_on:
        raise errors.Invalid("/query/until", "must be later than from: it is the first day not counted")
    during = (availability.day_start(from_on, zone), availability.day_start(until_on, zone))
    made = await _tally(w, scope, subject, during)
    activities = await tallies.activities(w, scope, subject, from_on, until_on)
    told = figures.all_of(await tallies.numbers(w, made, during, activities))
    if scope.kind != tallies.MEMORANDUM.kind:
        told += _agreements(agreed, w.now)
    last = max((each.last_at for each in agreed if each.last_at), default=None)
    return Report(scope.kind, subject_id, from_on, until_on, zone, w.now, last, tuple(told))


async def _tally(w: Work, scope: tallies.Scope, subject: Mapping[str, Any], during: Interval) -> counts.Tally:
    """Count the period; of a programme, only what is not folded."""
    if scope.kind != tallies.PROGRAMME.kind:
        return await tallies.tally(w, scope, subject, [during])
    folded, spans = await pieces.cover(w, subject["id"], during)
    return counts.total([*folded, await tallies.tally(w, scope, subject, spans)])


def _agreements(agreed: Sequence[tallies.Agreed], now: datetime) -> list[Figure]:
    statuses: dict[str, int] = {}
    for row in agreed:
        statuses[row.status] = statuses.get(row.status, 0) + 1
    active = [row for row in agreed if row.status == "active"]
    parts = tuple(
        Part(status, statuses[status]) for status in tables.registry.MEMORANDUM_STATUSES if status in statuses
    )
    idle = sum(1 for row in active if row.last_at is None or row.last_at <= now - IDLE)
    return [
        Figure("memoranda", len(agreed), "memoranda", "Memoranda in the registry now, by status.", parts=parts),
        Figure(
            "memoranda_idle_90_days",
            idle,
            "memoranda",
            "Active memoranda under which nothing was logged in the last 90 days.",
            rows=len(active),
        ),
    ]
