"""What it costs to record each choice of mentors: of a filing's time, and in bytes of a year."""

import time
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime, timedelta
from statistics import median
from unittest import mock

import asyncpg

from bench import data
from bench.scratch import Site
from bench.table import Line, at_most, ms
from service.care import candidates, casefile, consultations, decisions, promises
from service.care.casefile import CaseFile
from service.kernel import actor, clock
from service.people import logins
from service.rules.case import Mentor
from service.rules.matching import ranking, waves
from service.rules.time import availability

COSTS, YEAR_BYTES = 1.05, 25_000_000
CASES, WAVES, MENTORS = 3_000, 4, 30
_PART = 20
"""So many times less than a year's choices are written."""
_CHOICES_A_CHANGE = 2
_WRITTEN, _ONCE = ("decision", "mentor_fact"), ("memoranda_fact", "rulebook")
_LAST = "SELECT id FROM consultation WHERE state = 'offered' ORDER BY id DESC LIMIT 1"
_SIZE = "SELECT pg_total_relation_size(CAST($1 AS regclass))"


async def lines(site: Site, rounds: int) -> list[Line]:
    """Give filings of this process with and without the record, with and without a promise, and a year's bytes."""
    with_it, without, unpromised = await _filings(site, 40 * rounds)
    size = await _year(site)
    return [
        at_most("A5 a request filed with its choice recorded", ms(with_it), ms(without), with_it / without, COSTS),
        at_most("A7 a request filed with its promise", ms(with_it), ms(unpromised), with_it / unpromised, COSTS),
        Line(
            f"A5 a year of {CASES:,} cases, {WAVES} waves, {MENTORS} mentors", f"{size / 1e6:.1f} MB", "", None,
            f"<= {YEAR_BYTES / 1e6:.0f} MB", size <= YEAR_BYTES,
        ),
    ]  # fmt: skip


def _wish(site: Site) -> consultations.NewRequest:
    body = data.wish(site.now)
    consent = consultations.ConsentGiven("general", date.fromisoformat(body["consent"]["given_on"]))
    own = {name: body[name] for name in ("specialty", "priority", "mode", "question", "age_band", "duration_minutes")}
    return consultations.NewRequest(**own, languages=tuple(body["languages"]), consent=consent)


async def _filings(site: Site, count: int) -> list[float]:
    """Give the median seconds of filings as they are, with no record, and with nothing promised, all in turns."""
    async with site.world.database.work(actor.TIMER) as w:
        who = await logins.caller(w, data.uid("clinician 1001"), clock.new_id())
    wish = _wish(site)

    async def one() -> float:
        began = time.perf_counter()
        async with site.world.database.work(who) as w:
            await consultations.request(w, wish)
        return time.perf_counter() - began

    unrecorded = mock.patch.object(decisions, "record_wave")
    unpromised = mock.patch.multiple(promises, make=mock.AsyncMock(), told=mock.AsyncMock(return_value=None))
    ways: tuple[AbstractContextManager[object], ...] = (nullcontext(), unrecorded, unpromised)
    taken: list[list[float]] = [[], [], []]
    for _ in range(count):
        for seconds, without in zip(taken, ways, strict=True):
            with without:
                seconds.append(await one())
    return [median(seconds) for seconds in taken]


async def _year(site: Site) -> float:
    """Write a part of a year's choices for the case that was filed last, of the first 30 mentors; gives a year's bytes.

    Each choice reads other counts and appointments, and before each second one a mentor has changed: as often a year as
    if each of 300 changed 20 times.
    """
    connection = await asyncpg.connect(site.dsn)
    for table in _WRITTEN:
        await connection.execute(f"DELETE FROM {table}")
        await connection.execute(f"VACUUM FULL {table}")
    site.world.database.facts_seen.clear()
    count = CASES * WAVES // _PART
    for first in range(0, count, 100):
        async with site.world.database.work(actor.TIMER) as w:
            case = await casefile.open_case(w, await connection.fetchval(_LAST))
            for number in range(first, min(first + 100, count)):
                await _record(case, number)
    choices, facts, *rest = [float(await connection.fetchval(_SIZE, name)) for name in (*_WRITTEN, *_ONCE)]
    await connection.close()
    return (choices + facts) * _PART + sum(rest)


async def _record(case: CaseFile, number: int) -> None:
    ranked = await candidates.ranked(case.w, case.consultation)
    roster = [_busier(mentor, number + at, case.w.now) for at, mentor in enumerate(ranked.inputs.roster[:MENTORS])]
    if number % _CHOICES_A_CHANGE == 0:
        roster[number % MENTORS] = roster[number % MENTORS]._replace(notice_minutes=number)
    inputs = ranked.inputs._replace(roster=roster)
    order = ranking.rank(inputs.case, roster, case.w.now, inputs.book, limit=2)
    decision = waves.decide(inputs.case, (), order, case.w.now, inputs.book)
    if isinstance(decision, waves.Wait):  # nobody was asked for it here
        raise TypeError
    decisions.record_wave(case, ranked._replace(ranking=order, inputs=inputs), decision, {})


def _busier(mentor: Mentor, number: int, now: datetime) -> Mentor:
    """Give the mentor with counts that differ; one in five has two appointments ahead, one in three is known."""
    since = now + timedelta(minutes=15 * (number % 400))
    return mentor._replace(
        offers_30d=number % 3,
        asked_180d=number % 11,
        offers_180d=number % 9,
        answered_in_time_180d=number % 7,
        busy=((since, since + timedelta(minutes=40)),) * 2 if number % 5 == 0 else (),
        sessions_by_week={availability.iso_week(since, mentor.zone): 2} if number % 5 == 0 else {},
        continuity="hospital" if number % 3 == 0 else None,
    )
