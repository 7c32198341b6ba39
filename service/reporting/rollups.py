"""A programme's past, counted once: whole weeks and blocks of weeks, kept until a row in them changes.

A report over years would count every row each time; it adds up pieces instead, and counts only what lies beside them.
A piece holds as long as no mark lies in it. Triggers set marks in the transaction of the change, whatever made it, so
who sees a change sees its mark. `fold` takes the marks first and counts afterwards: a change that comes between is
counted and its mark stays, which costs a count and never a figure.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import actor
from service.kernel.work import Database, Work
from service.reporting import count_queries
from service.rules.figures import counts
from service.rules.time import intervals
from service.rules.time.intervals import Interval

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
_WEEK = timedelta(days=7)
_BLOCK = 16 * _WEEK
_SETTLED = timedelta(days=1)  # a share within a day of opening is decided then
_AT_ONCE = 200
_LOCK = 0x70696563
_WIDTH = 16

_CLEAN = sa.text("""
WITH clean AS MATERIALIZED (
  SELECT from_at, until_at FROM report_piece p
  WHERE programme_id = :id AND from_at >= :since AND until_at <= :till AND made_at <= :now
  AND NOT EXISTS (SELECT 1 FROM report_mark m WHERE m.programme_id = :id AND m.at >= p.from_at AND m.at < p.until_at)
)
SELECT p.from_at, p.until_at, counted, hours, asked_mentors, mentors, minutes
FROM clean JOIN report_piece p ON p.programme_id = :id AND p.from_at = clean.from_at
                                         AND p.until_at = clean.until_at
WHERE NOT EXISTS (SELECT 1 FROM clean wider WHERE wider.from_at <= clean.from_at AND wider.until_at >= clean.until_at
                  AND wider.until_at - wider.from_at > clean.until_at - clean.from_at)
ORDER BY p.until_at - p.from_at DESC, p.from_at
""")

_BEGAN = sa.text("""
SELECT p.id, least((SELECT min(opened_at) FROM consultation WHERE programme_id = p.id),
                   (SELECT min(started_at) FROM session WHERE programme_id = p.id AND NOT is_corrected)) AS at
FROM programme p ORDER BY p.id
""")

_HELD_UP = sa.text("""
SELECT 1 FROM consultation
WHERE programme_id = :id AND opened_at >= :since AND opened_at < :till AND answer_due_at > :now LIMIT 1
""")


async def cover(w: Work, programme_id: UUID, during: Interval) -> tuple[counts.Tally, list[Interval]]:
    """Give the sum of the pieces that hold within the period, not to be written to, and what of it they leave out."""
    rows = await w.fetch(_CLEAN, {"id": programme_id, "since": during[0], "till": during[1], "now": w.now})
    rest = intervals.subtract([during], [(row.from_at, row.until_at) for row in rows])
    return _sum(*[_Packed(*row[2:]) for row in rows]), rest


async def fold(database: Database) -> int:
    """Every week and block that is over and settled has its piece; gives how many were made, of 200 at most."""
    async with database.work(actor.TIMER) as w:
        began = [(row.id, row.at) for row in await w.sql(_BEGAN) if row.at]
        wanted = [each for programme_id, at in began for each in await _missing(w, programme_id, at)]
    made = 0
    for programme_id, unit in wanted[:_AT_ONCE]:
        async with database.work(actor.TIMER) as w:
            made += await _fold(w, programme_id, unit)
    return made


async def wrong(w: Work) -> list[tuple[UUID, Interval]]:
    """Name the pieces that should hold and do not say what their rows say: none, or there is a fault of ours."""
    found = []
    for programme_id in (await w.sql(sa.text("SELECT id FROM programme ORDER BY id"))).scalars().all():
        bound = {"id": programme_id, "since": _MONDAY, "till": w.now, "now": w.now}
        for row in await w.fetch(_CLEAN, bound):
            unit = (row.from_at, row.until_at)
            if _unpacked(_Packed(*row[2:])) != await count_queries.tally(
                w, count_queries.PROGRAMME, count_queries.values(programme_id), [unit]
            ):
                found.append((programme_id, unit))
    return found


async def _missing(w: Work, programme_id: UUID, began: datetime) -> list[tuple[UUID, Interval]]:
    """Name the units of the programme's past that have no piece, or one that holds no more."""
    over = w.now - _SETTLED
    units = [unit for length in (_WEEK, _BLOCK) for unit in _units(length, began, over)]
    rows = await w.sql(
        sa.text(
            "SELECT from_at, until_at FROM report_piece p WHERE programme_id = :id AND NOT EXISTS (SELECT 1"
            " FROM report_mark m WHERE m.programme_id = :id AND m.at >= p.from_at AND m.at < p.until_at)"
        ),
        {"id": programme_id},
    )
    there = {(row.from_at, row.until_at) for row in rows}
    return [(programme_id, unit) for unit in units if unit not in there]


def _units(length: timedelta, began: datetime, over: datetime) -> Iterable[Interval]:
    start = _MONDAY + (began - _MONDAY) // length * length
    while start + length <= over:
        yield start, start + length
        start += length


async def _fold(w: Work, programme_id: UUID, unit: Interval) -> bool:
    bound = {"id": programme_id, "since": unit[0], "till": unit[1]}
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    if (await w.sql(_HELD_UP, bound | {"now": w.now})).first():
        return False  # in time or not: nobody knows yet
    if unit[1] - unit[0] == _WEEK:
        await _take_marks(w, bound, unit)
    elif (await w.sql(_MARKED, bound)).first():
        return False  # its week comes first: the marks are the week's
    made = await count_queries.tally(w, count_queries.PROGRAMME, count_queries.values(programme_id), [unit])
    await _keep(w, programme_id, unit, made)
    return True


_MARKED = sa.text("SELECT 1 FROM report_mark WHERE programme_id = :id AND at >= :since AND at < :till LIMIT 1")


async def _take_marks(w: Work, bound: dict[str, object], unit: Interval) -> None:
    """No mark that is seen lies in the unit, and no wider piece holds on to what the marks were about."""
    taken = await w.sql(
        sa.text("DELETE FROM report_mark WHERE programme_id = :id AND at >= :since AND at < :till RETURNING 1"), bound
    )
    if taken.first() is not None:
        piece = tables.ReportPiece
        await w.sql(
            sa.delete(piece).where(
                col(piece.programme_id) == bound["id"], col(piece.from_at) <= unit[0], col(piece.until_at) >= unit[1]
            )
        )


async def _keep(w: Work, programme_id: UUID, unit: Interval, made: counts.Tally) -> None:
    piece = tables.ReportPiece
    await w.sql(
        sa.delete(piece).where(
            col(piece.programme_id) == programme_id, col(piece.from_at) == unit[0], col(piece.until_at) == unit[1]
        )
    )
    w.add(piece(programme_id=programme_id, from_at=unit[0], until_at=unit[1], made_at=w.now, **_packed(made)._asdict()))


@lru_cache(maxsize=8)
def _sum(*pieces: "_Packed") -> counts.Tally:
    """Add the pieces up: kept under all that is in them, so it cannot be an old sum. Reports ask for the same again."""
    return counts.total([_unpacked(each) for each in pieces])


class _Packed(NamedTuple):
    """What a row of `report_piece` keeps of a tally: JSON, and arrays of ids and numbers as bytes."""

    counted: str
    hours: bytes
    asked_mentors: bytes
    mentors: bytes
    minutes: bytes


def _packed(made: counts.Tally) -> _Packed:
    hours = array("d")
    cohorts: dict[str, Any] = {}
    for priority, cohort in made.cohorts.items():
        cohorts[priority] = [cohort.counts, {name: len(each) for name, each in cohort.hours.items()}]
        for each in cohort.hours.values():
            hours.extend(each)
    counted = {
        "cohorts": cohorts,
        "offers": made.offers,
        "most_in_week": made.most_in_week,
        "happened": [[*key, *each] for key, each in made.happened.items()],
        "answers": [[*key, each] for key, each in made.answers.items()],
        "areas": made.areas,
        "partners": made.partners,
        "requesters": made.requesters,
    }
    return _Packed(
        json.dumps(counted, separators=(",", ":")),
        hours.tobytes(),
        b"".join(sorted(made.asked_mentors)),
        b"".join(made.mentor_minutes),
        array("i", made.mentor_minutes.values()).tobytes(),
    )


def _unpacked(packed: _Packed) -> counts.Tally:
    told = json.loads(packed.counted)
    hours = array("d", packed.hours).tolist()
    made = counts.Tally(
        offers=told["offers"],
        most_in_week=told["most_in_week"],
        happened={tuple(each[:5]): (each[5], each[6]) for each in told["happened"]},
        answers={tuple(each[:3]): each[3] for each in told["answers"]},
        asked_mentors=set(_cut(packed.asked_mentors)),
        mentor_minutes=dict(zip(_cut(packed.mentors), array("i", packed.minutes), strict=True)),
        areas=told["areas"],
        partners=told["partners"],
        requesters=told["requesters"],
    )
    place = 0
    for priority, (counted, lengths) in told["cohorts"].items():
        made.cohorts[priority] = counts.Cohort(counted)
        for name, length in lengths.items():
            made.cohorts[priority].hours[name] = hours[place : place + length]
            place += length
    return made


def _cut(packed: bytes) -> Sequence[bytes]:
    return [packed[place : place + _WIDTH] for place in range(0, len(packed), _WIDTH)]
