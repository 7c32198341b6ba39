"""A programme's past, counted once: whole weeks and blocks of weeks, kept until a row in them changes.

A report over years would count every row each time. Instead the past is cut into weeks (UTC) and blocks of sixteen
weeks, what `count_queries` tallies of each is kept as a row, its rollup, and a report adds up the widest rollups within
its period and counts only what lies beside them. Two things may make such a row wrong:

- **The rows change that it counted.** Triggers write a mark, the instant at which the changed row counts, in the
  transaction of the change: who sees a change sees its mark. A rollup with a mark in it is not used. `fold` takes
  the marks of a week first and counts it afterwards: a change that comes between is counted and its mark stays, which
  costs a count and never a figure. With the marks go, by a trigger too, all rollups in which they lay, whoever made
  them and whoever takes the marks.
- **The program changes that counted it.** Each rollup carries the `DIGEST` of the statements and definitions that made
  it, as part of its key, and a program reads and makes those of its own digest only. So two versions that run at once
  keep their rollups beside each other, count none of each other's, and end with a full set each. The sets of programs
  that are gone are dropped when nothing was added to them for thirty days.

Everything here can be counted again: to lose a rollup costs time only.
"""

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
_UNUSED = timedelta(days=30)  # a program that folds adds a rollup every week
_AT_ONCE = 200
_LOCK = 0x70696563  # every version's: they take the marks one after the other
_ID_BYTES = 16

_THAT_HOLD = sa.text("""
WITH held AS MATERIALIZED (
  SELECT from_at, until_at FROM report_rollup r
  WHERE programme_id = :id AND digest = :digest AND from_at >= :since AND until_at <= :till AND made_at <= :now
  AND NOT EXISTS (SELECT 1 FROM report_mark m WHERE m.programme_id = :id AND m.at >= r.from_at AND m.at < r.until_at)
)
SELECT r.from_at, r.until_at, counted, hours, asked_mentors, mentors, minutes
FROM held JOIN report_rollup r ON r.programme_id = :id AND r.digest = :digest AND r.from_at = held.from_at
                                  AND r.until_at = held.until_at
WHERE CAST(:with_narrower AS boolean)
OR NOT EXISTS (SELECT 1 FROM held wider WHERE wider.from_at <= held.from_at AND wider.until_at >= held.until_at
               AND wider.until_at - wider.from_at > held.until_at - held.from_at)
ORDER BY r.until_at - r.from_at DESC, r.from_at
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

_MARKED = sa.text("SELECT 1 FROM report_mark WHERE programme_id = :id AND at >= :since AND at < :till LIMIT 1")
_TAKE_MARKS = sa.text("DELETE FROM report_mark WHERE programme_id = :id AND at >= :since AND at < :till")

_DROP_UNUSED = sa.text("""
DELETE FROM report_rollup WHERE digest <> :digest
AND digest NOT IN (SELECT digest FROM report_rollup WHERE made_at > :unused_since)
""")

_SNAPSHOT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def cover(w: Work, programme_id: UUID, during: Interval) -> tuple[counts.Tally, list[Interval]]:
    """Give the sum of the valid rollups within the period (read-only), and the stretches that they leave out."""
    rows = await _that_hold(w, programme_id, during, with_narrower=False)
    rest = intervals.subtract([during], [(row.from_at, row.until_at) for row in rows])
    return _sum(*[_Packed(*row[2:]) for row in rows]), rest


async def fold(database: Database) -> int:
    """Every week and block that is over and settled has its rollup; gives how many were made, of 200 at most.

    Each is a transaction of its own: a run that is killed is continued by the next one.
    """
    async with database.work(actor.TIMER) as w:
        await _lock(w)
        await w.sql(_DROP_UNUSED, {"digest": DIGEST, "unused_since": w.now - _UNUSED})
    async with database.work(actor.TIMER) as w:
        programme_starts = [(row.id, row.at) for row in await w.sql(_BEGAN) if row.at]
        missing = [
            programme_unit
            for programme_id, at in programme_starts
            for programme_unit in await _missing(w, programme_id, at)
        ]
    made_count = 0
    for programme_id, unit in missing[:_AT_ONCE]:
        async with database.work(actor.TIMER) as w:
            made_count += await _fold(w, programme_id, unit)
    return made_count


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many rollups of a programme are valid, and the weeks or blocks of weeks that differ from the rows."""

    programme_code: str
    rollups: int
    differing: list[Interval]


async def compare(database: Database) -> list[Comparison]:
    """Count anew everything that rollups hold, programme by programme: a difference is a fault, or was made by hand.

    A programme's rows are read in one snapshot, so that a change made meanwhile does not look like a difference.
    """
    async with database.work(actor.TIMER) as w:
        programmes = (await w.sql(sa.text("SELECT id, code FROM programme ORDER BY code"))).all()
    comparisons = []
    for programme_id, code in programmes:
        async with database.work(actor.TIMER) as w:
            await w.sql(_SNAPSHOT)
            rows = await _that_hold(w, programme_id, (_MONDAY, w.now), with_narrower=True)
            differing = [(row.from_at, row.until_at) for row in rows if not await _says_the_truth(w, programme_id, row)]
        comparisons.append(Comparison(code, len(rows), differing))
    return comparisons


async def _that_hold(w: Work, programme_id: UUID, during: Interval, *, with_narrower: bool) -> Sequence[Any]:
    """List the rollups of this program within the period in which no mark lies, the widest first."""
    bound = {"id": programme_id, "digest": DIGEST, "since": during[0], "till": during[1], "now": w.now}
    return await w.fetch(_THAT_HOLD, bound | {"with_narrower": with_narrower})


async def _says_the_truth(w: Work, programme_id: UUID, row: Any) -> bool:  # noqa: ANN401 - of the database
    try:
        stored = _unpacked(_Packed(*row[2:]))
    except (ValueError, TypeError, LookupError):
        return False  # not written by this program
    return stored == await _counted(w, programme_id, (row.from_at, row.until_at))


async def _counted(w: Work, programme_id: UUID, unit: Interval) -> counts.Tally:
    return await count_queries.tally(w, count_queries.PROGRAMME, count_queries.values(programme_id), [unit])


async def _missing(w: Work, programme_id: UUID, began_at: datetime) -> list[tuple[UUID, Interval]]:
    """Name the units of the programme's past that have no rollup, or one that holds no more."""
    settled_until = w.now - _SETTLED
    units = [unit for length in (_WEEK, _BLOCK) for unit in _units(length, began_at, settled_until)]
    rows = await w.sql(
        sa.text(
            "SELECT from_at, until_at FROM report_rollup r WHERE programme_id = :id AND digest = :digest AND NOT EXISTS"
            " (SELECT 1 FROM report_mark m WHERE m.programme_id = :id AND m.at >= r.from_at AND m.at < r.until_at)"
        ),
        {"id": programme_id, "digest": DIGEST},
    )
    rolled_up = {(row.from_at, row.until_at) for row in rows}
    return [(programme_id, unit) for unit in units if unit not in rolled_up]


def _units(length: timedelta, began_at: datetime, settled_until: datetime) -> Iterable[Interval]:
    start = _MONDAY + (began_at - _MONDAY) // length * length
    while start + length <= settled_until:
        yield start, start + length
        start += length


async def _fold(w: Work, programme_id: UUID, unit: Interval) -> bool:
    bound = {"id": programme_id, "since": unit[0], "till": unit[1]}
    await _lock(w)
    if (await w.sql(_HELD_UP, bound | {"now": w.now})).first():
        return False  # whether it will be answered in time is still open
    if unit[1] - unit[0] == _WEEK:
        await w.sql(_TAKE_MARKS, bound)
    elif (await w.sql(_MARKED, bound)).first():
        return False  # its week comes first, and takes the marks
    await _keep(w, programme_id, unit, await _counted(w, programme_id, unit))
    return True


async def _lock(w: Work) -> None:
    """Be the only one that writes rollups or takes marks, until the transaction ends."""
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


async def _keep(w: Work, programme_id: UUID, unit: Interval, tally: counts.Tally) -> None:
    rollup = tables.ReportRollup
    await w.sql(
        sa.delete(rollup).where(
            col(rollup.programme_id) == programme_id,
            col(rollup.digest) == DIGEST,
            col(rollup.from_at) == unit[0],
            col(rollup.until_at) == unit[1],
        )
    )
    row = rollup(
        programme_id=programme_id,
        digest=DIGEST,
        from_at=unit[0],
        until_at=unit[1],
        made_at=w.now,
        **_packed(tally)._asdict(),
    )
    w.add(row)


@lru_cache(maxsize=8)
def _sum(*rollups: "_Packed") -> counts.Tally:
    """Give the sum of the rollups; it is cached by their whole content, so it is never stale."""
    return counts.total([_unpacked(packed) for packed in rollups])


class _Packed(NamedTuple):
    """What a row of `report_rollup` keeps of a tally: JSON, and arrays of ids and numbers as bytes.

    Hours, mentors and their minutes are many, and JSON would take most of a report's time to read them. The lengths of
    the runs of hours, one after another in one array, stand in the JSON.
    """

    counted: str
    hours: bytes
    asked_mentors: bytes
    mentors: bytes
    minutes: bytes


def _packed(tally: counts.Tally) -> _Packed:
    hours = array("d")
    consultations: dict[str, Any] = {}
    for priority, of_priority in tally.consultations.items():
        lengths = {name: len(run) for name, run in of_priority.hours.items()}
        consultations[priority] = [of_priority.counts, lengths]
        for run in of_priority.hours.values():
            hours.extend(run)
    counted = {
        "consultations": consultations,
        "offers": tally.offers,
        "most_in_week": tally.most_in_week,
        "sessions": [[*key, *numbers] for key, numbers in tally.sessions.items()],
        "answers": [[*key, number] for key, number in tally.answers.items()],
        "areas": tally.areas,
        "partners": tally.partners,
        "requesters": tally.requesters,
    }
    return _Packed(
        json.dumps(counted, separators=(",", ":")),
        hours.tobytes(),
        b"".join(sorted(tally.asked_mentors)),
        b"".join(tally.mentor_minutes),
        array("i", tally.mentor_minutes.values()).tobytes(),
    )


def _unpacked(packed: _Packed) -> counts.Tally:
    counted = json.loads(packed.counted)
    hours = array("d", packed.hours).tolist()
    tally = counts.Tally(
        offers=counted["offers"],
        most_in_week=counted["most_in_week"],
        sessions={tuple(row[:5]): (row[5], row[6]) for row in counted["sessions"]},
        answers={tuple(row[:3]): row[3] for row in counted["answers"]},
        asked_mentors=set(_ids(packed.asked_mentors)),
        mentor_minutes=dict(zip(_ids(packed.mentors), array("i", packed.minutes), strict=True)),
        areas=counted["areas"],
        partners=counted["partners"],
        requesters=counted["requesters"],
    )
    place = 0
    for priority, (numbers, lengths) in counted["consultations"].items():
        tally.consultations[priority] = counts.PriorityTally(numbers)
        for name, length in lengths.items():
            tally.consultations[priority].hours[name] = hours[place : place + length]
            place += length
    return tally


def _ids(packed: bytes) -> Sequence[bytes]:
    return [packed[place : place + _ID_BYTES] for place in range(0, len(packed), _ID_BYTES)]


def _logic(definition: Callable[..., object]) -> str:
    """Give the source of a function or class as Python itself would write it: no comments, no layout, no docstring."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(definition))).body
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(tree):
        tree.body = tree.body[1:]
    return ast.unparse(tree)


def _digest() -> str:
    """Give a hash of what decides a rollup's content: its statements, how rows are counted and packed, and when.

    Two programs with the same digest count the same. The converse is not true, and costs a count only: another Python
    may write the same source in another way.
    """
    made_by = (counts.Tally, counts.PriorityTally, count_queries.tally, _packed, _unpacked, _ids, _Packed)
    decides = [
        *count_queries.statements(),
        *(_logic(definition) for definition in made_by),
        repr((counts.HOURS, _MONDAY, _WEEK, _BLOCK, _SETTLED, _HELD_UP.text, _ID_BYTES, sys.byteorder)),
    ]
    return hashlib.sha256("\0".join(decides).encode()).hexdigest()


DIGEST = _digest()
"""The digest of how this program counts, taken when it starts: the files may soon be a newer program's."""
