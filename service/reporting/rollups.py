"""A programme's past, counted once: days, weeks and blocks of weeks, kept until a row in them changes.

A report over years would count every row each time. Instead the past is cut into days (UTC), what `count_queries`
tallies of each is kept as a row, its rollup, and so is the sum of the days of each week and of the weeks of each block
of sixteen. A report adds up the widest rollups within its period and counts only what lies beside them. Two things may
make such a row wrong:

- **The rows change that it counted.** Triggers write a mark, the instant at which the changed row counts, in the
  transaction of the change: who sees a change sees its mark. A rollup with a mark in it is not used. `fold` takes
  the marks of a day first and counts it afterwards: a change that comes between is counted and its mark stays, which
  costs a count and never a figure. With the marks go, by a trigger too, all rollups in which they lay, whoever made
  them and whoever takes the marks.
- **The program changes that counted it.** Each rollup carries the `DIGEST` of the statements and definitions that made
  it, as part of its key, and a program reads and makes those of its own digest only. So two versions that run at once
  keep their rollups beside each other, count none of each other's, and end with a full set each. The sets of programs
  that are gone are dropped when nothing was added to them for thirty days.

What the clock alone changes is kept as the instants at which it will (`counts.decided`), so a day is counted although
something in it is still due. Everything here can be counted again: to lose a rollup costs time only.
"""

import ast
import hashlib
import json
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from service.kernel import actor, clock, database_errors, errors
from service.kernel.work import Database, Work
from service.reporting import count_queries
from service.rules.figures import counts
from service.rules.time import intervals
from service.rules.time.intervals import Interval

_DAY = timedelta(days=1)
_BLOCK = 16 * count_queries.WEEK
_LENGTHS = (_DAY, count_queries.WEEK, _BLOCK)  # each is made of those before it
_SETTLED = timedelta(days=1)  # a share within a day of opening is decided then
_UNUSED = timedelta(days=30)  # a program that folds adds a rollup every day
_AT_ONCE = 1_000
_STEP_SECONDS = 1  # and what is under way then
_LOCK = 0x70696563  # every version's: they take the marks one after the other
_ID_BYTES, _VALUE_BYTES = 16, 8
_TOOK_TOO_LONG = "57014"

# The widest are few, the others many: a narrower one is read only where no wider one holds. Any two have no instant in
# common, or one lies within the other; so it is within one that begins no later exactly if that ends no earlier.
_THAT_HOLD = sa.text("""
WITH held AS (
  SELECT id, from_at, until_at,
         max(until_at) OVER (ORDER BY from_at, until_at DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended
  FROM report_rollup r
  WHERE programme_id = :id AND digest = :digest AND from_at >= :since AND until_at <= :till AND made_at <= :now
  AND NOT EXISTS (SELECT 1 FROM report_mark m WHERE m.programme_id = :id AND m.at >= r.from_at AND m.at < r.until_at)
)
SELECT id, from_at, until_at FROM held
WHERE CAST(:with_narrower AS boolean) OR ended IS NULL OR ended < until_at
ORDER BY until_at - from_at DESC, from_at
""")

_CONTENTS = sa.text("""
SELECT id, from_at, until_at, counted, hours, asked_mentors, mentors, minutes FROM report_rollup
WHERE programme_id = :id AND digest = :digest AND id = ANY(CAST(CAST(:ids AS text[]) AS uuid[]))
""")

_BEGAN = sa.text("""
SELECT p.id, least((SELECT min(opened_at) FROM consultation WHERE programme_id = p.id),
                   (SELECT min(started_at) FROM session WHERE programme_id = p.id AND NOT is_corrected)) AS at
FROM programme p ORDER BY p.id
""")

_TAKE_MARKS = sa.text("DELETE FROM report_mark WHERE programme_id = :id AND at >= :since AND at < :till")

_KEEP = sa.text("""
INSERT INTO report_rollup (id, programme_id, digest, from_at, until_at, made_at, counted, hours, asked_mentors, mentors,
                           minutes)
VALUES (:id, :programme_id, :digest, :from_at, :until_at, :made_at, :counted, :hours, :asked_mentors, :mentors,
        :minutes)
ON CONFLICT (programme_id, digest, from_at, until_at) DO UPDATE
SET id = EXCLUDED.id, made_at = EXCLUDED.made_at, counted = EXCLUDED.counted, hours = EXCLUDED.hours,
    asked_mentors = EXCLUDED.asked_mentors, mentors = EXCLUDED.mentors, minutes = EXCLUDED.minutes
""")

_DROP_UNUSED = sa.text("""
DELETE FROM report_rollup WHERE digest <> :digest
AND digest NOT IN (SELECT digest FROM report_rollup WHERE made_at > :unused_since)
""")

_SNAPSHOT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def cover(w: Work, programme_id: UUID, during: Interval) -> tuple[counts.Tally, list[Interval]]:
    """Give the sum of the valid rollups within the period (read-only), and the stretches that they leave out."""
    held = await _that_hold(w, programme_id, during, with_narrower=False)
    ids = tuple(row.id for row in held)
    summed = _sums.pop(ids, None)
    if summed is None:
        contents = await _contents(w, programme_id, ids)
        held = [row for row in held if row.id in contents]  # one may have become void meanwhile
        ids = tuple(row.id for row in held)
        summed = counts.compact(counts.total([counts.Tally(), *(_unpacked(contents[each]) for each in ids)]))
    _sums[ids] = summed
    while len(_sums) > _MOST_SUMS:
        del _sums[next(iter(_sums))]
    rest = intervals.subtract([during], [(row.from_at, row.until_at) for row in held])
    return counts.decided(summed, w.now.timestamp()), rest


_MOST_SUMS = 8
_sums: dict[tuple[UUID, ...], counts.Tally] = {}
"""The sums last asked for. A rollup is never changed, only made anew with another id: so no sum is ever stale."""


async def fold(database: Database) -> int:
    """Every day, week and block that is over and settled has its rollup; gives how many were made, of 1,000 at most.

    It goes in steps of about a second, each a transaction of its own: a run that is killed is continued by the next
    one. What the database breaks off, because it took too long, holds up no other; it is raised at the end.
    """
    async with database.work(actor.TIMER) as w:
        await _lock(w)
        await w.sql(_DROP_UNUSED, {"digest": digest(), "unused_since": w.now - _UNUSED})
    async with database.work(actor.TIMER) as w:
        programme_starts = [(row.id, row.at) for row in await w.sql(_BEGAN) if row.at]
        missing = [
            programme_unit
            for programme_id, at in programme_starts
            for programme_unit in await _missing(w, programme_id, at)
        ]
    made_count, failures, waiting = 0, [], missing[:_AT_ONCE]
    while waiting:
        step: list[tuple[UUID, Interval]] = []
        try:
            async with database.work(actor.TIMER) as w:
                made = await _fold_step(w, waiting, step)
        except errors.Unavailable as error:
            if database_errors.sqlstate(error) != _TOOK_TOO_LONG:
                raise
            failures.append(error)
            waiting = [*step[:-1], *waiting[len(step) :]]  # without the one at which it was broken off
        else:
            made_count += made
            waiting = waiting[len(step) :]
    if failures:
        raise failures[0]
    return made_count


async def _fold_step(w: Work, waiting: Sequence[tuple[UUID, Interval]], step: list[tuple[UUID, Interval]]) -> int:
    """Fold the first of those that wait, which go into `step`; gives how many were made."""
    await _lock(w)
    until, made_count = clock.monotonic() + _STEP_SECONDS, 0
    for programme_id, unit in waiting:
        if step and clock.monotonic() > until:
            break
        step.append((programme_id, unit))
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
            rows = await _that_hold(w, programme_id, (count_queries.MONDAY, w.now), with_narrower=True)
            differing = await _differing(w, programme_id, rows)
        comparisons.append(Comparison(code, len(rows), differing))
    return comparisons


async def _that_hold(w: Work, programme_id: UUID, during: Interval, *, with_narrower: bool) -> Sequence[Any]:
    """List the rollups of this program within the period in which no mark lies, the widest first."""
    bound = {"id": programme_id, "digest": digest(), "since": during[0], "till": during[1], "now": w.now}
    return await w.fetch(_THAT_HOLD, bound | {"with_narrower": with_narrower})


async def _contents(w: Work, programme_id: UUID, ids: Sequence[UUID]) -> "dict[UUID, _Packed]":
    bound = {"id": programme_id, "digest": digest(), "ids": [*map(str, ids)]}
    return {row.id: _Packed(*row[3:]) for row in await w.fetch(_CONTENTS, bound)}


async def _differing(w: Work, programme_id: UUID, held: Sequence[Any]) -> list[Interval]:
    """Name those of the rollups that do not say what the days say of which they are, each counted anew once."""
    days: dict[Interval, counts.Tally] = {}
    differing = []
    for row in held:
        unit = (row.from_at, row.until_at)
        for day in _units(_DAY, *unit):
            if day not in days:
                days[day] = await _counted(w, programme_id, day)
        anew = _summed([days[day] for day in _units(_DAY, *unit)], unit)
        packed = (await _contents(w, programme_id, [row.id]))[row.id]
        try:
            stored = counts.decided(_unpacked(packed), w.now.timestamp())
        except (ValueError, TypeError, LookupError):  # not written by this program
            differing.append(unit)
            continue
        if stored != anew:
            differing.append(unit)
    return differing


async def _counted(w: Work, programme_id: UUID, unit: Interval) -> counts.Tally:
    return await count_queries.tally(w, count_queries.PROGRAMME, count_queries.values(programme_id), [unit])


def _summed(parts: Sequence[counts.Tally], unit: Interval) -> counts.Tally:
    """Give what was counted in all parts of the unit, as it is kept."""
    tally = counts.compact(counts.total([counts.Tally(), *parts]))
    return tally if unit[1] - unit[0] == _DAY else counts.whole_weeks(tally)


async def _missing(w: Work, programme_id: UUID, began_at: datetime) -> list[tuple[UUID, Interval]]:
    """Name the units of the programme's past that have no rollup, or one that holds no more: the days first."""
    monday = count_queries.MONDAY
    during = (monday + (began_at - monday) // _BLOCK * _BLOCK, w.now - _SETTLED)
    held = {(row.from_at, row.until_at) for row in await _that_hold(w, programme_id, during, with_narrower=True)}
    units = [unit for length in _LENGTHS for unit in _units(length, *during)]
    return [(programme_id, unit) for unit in units if unit not in held]


def _units(length: timedelta, since: datetime, till: datetime) -> Iterable[Interval]:
    while since + length <= till:
        yield since, since + length
        since += length


async def _fold(w: Work, programme_id: UUID, unit: Interval) -> bool:
    """Keep what was counted of the unit; tells whether that was wanted, and could be done."""
    held = {(row.from_at, row.until_at): row.id for row in await _that_hold(w, programme_id, unit, with_narrower=True)}
    if unit in held:
        return False  # another worker came before
    length = unit[1] - unit[0]
    if length == _DAY:
        await w.fetch(_TAKE_MARKS, {"id": programme_id, "since": unit[0], "till": unit[1]})
        parts = [await _counted(w, programme_id, unit)]
    else:
        narrower = _LENGTHS[_LENGTHS.index(length) - 1]
        ids = [held.get(part) for part in _units(narrower, *unit)]
        contents = await _contents(w, programme_id, [each for each in ids if each])
        if len(contents) < len(ids):
            return False  # something in it has changed just now
        parts = [_unpacked(each) for each in contents.values()]
    await _keep(w, programme_id, unit, _summed(parts, unit))
    return True


async def _lock(w: Work) -> None:
    """Be the only one that writes rollups or takes marks, until the transaction ends."""
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


async def _keep(w: Work, programme_id: UUID, unit: Interval, tally: counts.Tally) -> None:
    key = {
        "id": clock.new_id(),
        "programme_id": programme_id,
        "digest": digest(),
        "from_at": unit[0],
        "until_at": unit[1],
    }
    await w.fetch(_KEEP, key | {"made_at": w.now} | _packed(tally)._asdict())


class _Packed(NamedTuple):
    """What a row of `report_rollup` keeps of a tally: JSON, and arrays of ids and numbers as bytes.

    Hours, mentors and their minutes are many, and JSON would take most of a report's time to read them. Of the
    histograms of hours all values come first, then all counts; how many are each one's stands in the JSON.
    """

    counted: str
    hours: bytes
    asked_mentors: bytes
    mentors: bytes
    minutes: bytes


def _packed(tally: counts.Tally) -> _Packed:
    values, upto = array("d"), array("I")
    consultations: dict[str, Any] = {}
    for priority, of_priority in tally.consultations.items():
        lengths = {}
        for name, (histogram,) in of_priority.hours.items():
            lengths[name] = len(histogram.values)
            values.extend(histogram.values)
            upto.extend(histogram.upto)
        consultations[priority] = [of_priority.counts, lengths, of_priority.due]
    counted = {
        "consultations": consultations,
        "offers": tally.offers,
        "most_in_week": tally.most_in_week,
        "shared_weeks": [
            [week, [[each.hex(), sent] for each, sent in sorted(of_mentors.items())]]
            for week, of_mentors in tally.shared_weeks.items()
        ],
        "sessions": [[*key, *numbers] for key, numbers in tally.sessions.items()],
        "answers": [[*key, number] for key, number in tally.answers.items()],
        "areas": tally.areas,
        "partners": tally.partners,
        "requesters": tally.requesters,
    }
    return _Packed(
        json.dumps(counted, separators=(",", ":")),
        values.tobytes() + upto.tobytes(),
        b"".join(sorted(tally.asked_mentors)),
        b"".join(tally.mentor_minutes),
        array("i", tally.mentor_minutes.values()).tobytes(),
    )


def _unpacked(packed: _Packed) -> counts.Tally:
    counted = json.loads(packed.counted)
    tally = counts.Tally(
        offers=counted["offers"],
        most_in_week=counted["most_in_week"],
        shared_weeks={
            week: {bytes.fromhex(mentor): sent for mentor, sent in of_mentors}
            for week, of_mentors in counted["shared_weeks"]
        },
        sessions={tuple(row[:5]): (row[5], row[6]) for row in counted["sessions"]},
        answers={tuple(row[:3]): row[3] for row in counted["answers"]},
        asked_mentors=set(_ids(packed.asked_mentors)),
        mentor_minutes=dict(zip(_ids(packed.mentors), array("i", packed.minutes), strict=True)),
        areas=counted["areas"],
        partners=counted["partners"],
        requesters=counted["requesters"],
    )
    length = sum(sum(lengths.values()) for _, lengths, _ in counted["consultations"].values())
    values, upto = array("d", packed.hours[: length * _VALUE_BYTES]), array("I", packed.hours[length * _VALUE_BYTES :])
    place = 0
    for priority, (numbers, lengths, due) in counted["consultations"].items():
        tally.consultations[priority] = counts.PriorityTally(numbers, due=due)
        for name, count in lengths.items():
            part = slice(place, place + count)
            tally.consultations[priority].hours[name] = [counts.Histogram(values[part], upto[part])]
            place += count
    return tally


def _ids(packed: bytes) -> Sequence[bytes]:
    return [packed[place : place + _ID_BYTES] for place in range(0, len(packed), _ID_BYTES)]


def _logic(source: str) -> Iterator[tuple[str, str]]:
    """Give each function and class of a module by name, as Python itself would write it: no comments, no docstring."""
    for tree in ast.parse(source).body:
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(tree):
                tree.body = tree.body[1:]
            yield tree.name, ast.unparse(tree)


_MODULES = (counts, count_queries, sys.modules[__name__])
_SOURCES = tuple(Path(module.__file__ or "").read_text("utf-8") for module in _MODULES)
"""How this program counts, as it is when it starts: the files may soon be a newer program's."""


@cache  # and only when something is counted: to parse it takes a twentieth of the time of a start
def digest() -> str:
    """Give a hash of what decides a rollup's content: its statements, how rows are counted and packed, and when.

    Two programs with the same digest count the same. The converse is not true, and costs a count only: another Python
    may write the same source in another way.
    """
    made_by = (
        *(counts.Histogram, counts.PriorityTally, counts.Tally, counts.histogram, counts.merged, counts.total),
        *(counts.compact, counts.whole_weeks, counts.most_in_week, count_queries.tally, _summed),
        *(_packed, _unpacked, _ids, _Packed),
    )
    logic = {name: text for source in _SOURCES for name, text in _logic(source)}
    decides = [
        *count_queries.statements(),
        *(logic[definition.__name__] for definition in made_by),
        repr(
            (counts.HOURS, counts.DUE, count_queries.MONDAY, _LENGTHS, _SETTLED, _ID_BYTES, _VALUE_BYTES, sys.byteorder)
        ),
    ]
    return hashlib.sha256("\0".join(decides).encode()).hexdigest()
