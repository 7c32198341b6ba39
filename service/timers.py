"""What is due by the clock. Timers are columns on the rows they concern, so they survive restarts.

Each due row is dealt with in a transaction of its own, by a verb that locks it and looks again: two workers that
sweep at once, or an answer that arrives meanwhile, find the work done and do nothing.
"""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from service import digests
from service.care import (
    advice,
    appointments,
    beginnings,
    consultations,
    departures,
    offers,
    readdressing,
    uncoordinated,
    unlinked,
)
from service.kernel import actor, clock, database_clock, errors, installation
from service.kernel.work import Database, Work
from service.outbox import deliveries, news
from service.registry import memoranda, memorandum_reminders
from service.rules import lifecycle, policy


@dataclass(frozen=True, slots=True)
class Timer:
    """Which rows are due at :now, and what is done about each.

    `since` is what the rows have been due by for longest, as a partial index orders them: those come first. Where it is
    empty, all that is live is looked at anyway. So many rows as `at_once` says are dealt with side by side.
    """

    name: str
    due: str
    act: Callable[[Work, UUID], Awaitable[object]]
    since: str = ""
    at_once: int = 1


BATCH = 100
"""Rows of one timer and sweep; the rest follows at the next one."""
_WAVES_AT_ONCE = 4
"""A wave waits for PostgreSQL, above all at its commit; more of them would keep a worker's pool from its mails."""
TIMERS = (
    # Before whatever takes something out of a calendar: that goes to the address which is in it then.
    Timer("readdressed", readdressing.READDRESSED, readdressing.follow_address),
    Timer(
        "hold",
        "SELECT id FROM appointment WHERE status = 'pending' AND held_until <= :now",
        appointments.expire_hold,
        since="held_until",
    ),
    # Before the waves, so that whoever comes next is asked in the same sweep.
    Timer("booking_left", departures.BOOKED_LEFT, departures.follow_booking),
    Timer("offer_left", departures.OFFERS_LEFT, departures.follow_offer),
    Timer("promise_left", departures.PROMISES_LEFT, departures.follow_promise),
    Timer("zone_of_person", departures.IN_AN_OLD_ZONE, departures.follow_zone_of_person),
    Timer("clinician_left", departures.CLINICIANS_LEFT, departures.follow_clinician),
    Timer("clinician_back", departures.CLINICIANS_BACK, departures.follow_return),
    Timer("uncoordinated", uncoordinated.CHANGED, uncoordinated.follow),
    Timer("still_vacant", departures.STILL_VACANT, departures.follow_vacancy),
    Timer(
        "offer",
        "SELECT id FROM offer WHERE state = 'pending' AND answer_by <= :now",
        offers.expire,
        since="answer_by",
    ),
    Timer("ground_changed", offers.CHANGED, offers.look_again),
    Timer(
        "late_offer",
        "SELECT o.id FROM offer o JOIN consultation c ON c.id = o.consultation_id WHERE o.is_late"
        " AND (c.answer_due_at <= :now OR c.state NOT IN ('open', 'offered', 'unmatched'))",
        offers.expire,
    ),
    Timer(
        "wave",
        "SELECT id FROM consultation WHERE next_wave_at <= :now AND state IN ('open', 'offered', 'unmatched')",
        offers.wave_if_due,
        since="next_wave_at",
        at_once=_WAVES_AT_ONCE,
    ),
    Timer("alert", "SELECT id FROM consultation WHERE alert_at <= :now", consultations.alert, since="alert_at"),
    Timer(
        "expiry",
        "SELECT c.id FROM consultation c JOIN programme p ON p.id = c.programme_id"
        " WHERE c.state IN ('open', 'offered', 'unmatched') AND c.answer_due_at"
        " + make_interval(hours => coalesce(CAST(p.policy->>'expired_grace_hours' AS int), :grace_hours)) <= :now",
        consultations.expire,
        since="c.answer_due_at",
    ),
    Timer(
        "advice",
        "SELECT id FROM consultation"
        " WHERE state = 'scheduled' AND advice_due_at <= :now AND NOT is_advice_overdue_told",
        advice.overdue,
        since="advice_due_at",
    ),
    Timer(
        "reminder",
        "SELECT id FROM appointment WHERE remind_at <= :now AND status = 'booked'",
        appointments.remind,
        since="remind_at",
    ),
    Timer("call_begins", beginnings.NEAR, beginnings.tell),
    Timer("digest", digests.DUE, digests.send, since="next_at"),
    Timer(
        "zone_data",
        # Of two programs at once the newer data wins: each leaves alone what newer data than its own made.
        "SELECT id FROM appointment WHERE status = 'booked' AND starts_at > :now"
        ' AND tzdata_version COLLATE "C" < :tzdata_version'
        # Nor does it follow its own while a process with newer data runs, which would follow once more.
        " AND NOT EXISTS (SELECT FROM process WHERE beat_at > clock_timestamp() - interval '60 seconds'"
        ' AND tzdata COLLATE "C" > :tzdata_version)',
        appointments.follow_zone_data,
    ),
    Timer(
        "memorandum",
        "SELECT id FROM memorandum WHERE status = 'active' AND valid_until <= :tomorrow",
        memoranda.expire,
        since="valid_until",
    ),
    Timer(
        "memorandum_ending",
        "SELECT m.id FROM memorandum m JOIN programme p ON p.id = m.programme_id"
        " WHERE m.status = 'active' AND m.renewed_by IS NULL AND m.valid_until > :today AND EXISTS (SELECT 1"
        " FROM jsonb_array_elements_text(coalesce(p.policy->'end_reminder_days', CAST(:end_days AS jsonb))) AS days"
        " WHERE m.valid_until - CAST(:today AS date) <= CAST(days AS int)"
        " AND (m.end_told_days IS NULL OR CAST(days AS int) < m.end_told_days))",
        memorandum_reminders.remind_of_end,
    ),
    Timer(
        "budget",
        "SELECT id FROM memorandum WHERE status = 'active' AND budget_minutes IS NOT NULL"
        " AND (budget_seen_at IS NULL OR budget_seen_at <= :hour_ago)",
        memorandum_reminders.watch_budget,
    ),
    Timer(
        "memorandum_ended",
        appointments.NOT_TOLD_OF_END,
        appointments.follow_memorandum_end,
    ),
    Timer("offer_unlinked", unlinked.OFFERS_UNLINKED, unlinked.follow_offer),
    Timer("promise_unlinked", unlinked.PROMISES_UNLINKED, unlinked.follow_promise),
    Timer("booking_unlinked", unlinked.BOOKED_UNLINKED, unlinked.follow_booking),
    Timer(
        "retention",
        "SELECT c.id FROM consultation c JOIN programme p ON p.id = c.programme_id"
        " WHERE NOT c.is_forgotten AND coalesce(c.closed_at, CASE WHEN c.state = 'draft' THEN c.created_at END)"
        " + make_interval(days => coalesce(CAST(p.policy->>'case_text_days' AS int), :text_days)) <= :now"
        # Said once more for the programme that keeps them shortest, so that an index finds them.
        " AND coalesce(c.closed_at, CASE WHEN c.state = 'draft' THEN c.created_at END) <= CAST(:now AS timestamptz)"
        " - make_interval(days => (SELECT min(coalesce(CAST(policy->>'case_text_days' AS int), :text_days))"
        " FROM programme))",
        consultations.forget,
        since="coalesce(c.closed_at, CASE WHEN c.state = 'draft' THEN c.created_at END)",
    ),
)

_MAIL, _NEWS, _EVENT = "a mail", "news", "an event"
_WAITING = {timer.name: timer.due for timer in TIMERS} | {
    _MAIL: deliveries.MAIL_WAITS,
    _NEWS: news.WAITS,
    _EVENT: "SELECT FROM event WHERE position IS NULL",
}
_IS_DUE = sa.text(
    f"SELECT clock_timestamp() AS wall, {installation.HELD} AS is_held, "
    + ", ".join(f'EXISTS ({due}) AS "{name}"' for name, due in _WAITING.items())
)

_PLACED_AT_ONCE = 1000
_PLACE_EVENTS = sa.text(f"""
UPDATE event SET position = placed.position
FROM (SELECT id, greatest((SELECT max(position) FROM event), (SELECT floor - 1 FROM installation), 0)
             + row_number() OVER (ORDER BY id) AS position
      FROM event WHERE position IS NULL ORDER BY id LIMIT :count) placed
WHERE event.id = placed.id AND NOT {installation.HELD} RETURNING 1
""")  # noqa: S608 - a condition of our own


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that a timer could not deal with: the next sweep tries it again, and it must not stop the others."""

    timer: str
    row_id: UUID
    error: Exception


async def once(database: Database, moved: Callable[[], None] = lambda: None) -> list[Failure]:
    """Deal with everything that is due now, a batch of each kind; gives what failed. Nothing is, while all is held.

    Nor is anything while this process's clock is far from the database's, which `presence` tells: by a clock that is
    ahead offers would end and mails leave before their time, and others' workers do it at the right one. `moved` is
    called on the way. A row whose lock somebody else holds is no failure: the next sweep tries it again.
    """
    failures: list[Failure] = []
    is_due = await _ask(database)
    for timer in TIMERS:
        if not is_due[timer.name]:
            continue
        due = await _due(database, timer)
        failures += await _deal_with(database, timer, due, moved)
        if due:  # it may have made a later one due: an offer that expires makes a wave so, in the same sweep
            is_due = await _ask(database)
    if is_due[_MAIL]:
        async with database.work(actor.TIMER) as w:
            await deliveries.enqueue_due(w)
    if is_due[_NEWS]:
        async with database.work(actor.TIMER) as w:
            await news.enqueue_due(w)
    if is_due[_EVENT]:
        await place_events(database)
    return failures


async def _deal_with(
    database: Database, timer: Timer, due: Collection[UUID], moved: Callable[[], None]
) -> list[Failure]:
    """Deal with each of the rows in a transaction of its own; gives what failed.

    Side by side is no more than two workers that sweep at once. Where all share one connection, they take turns.
    """
    failures: list[Failure] = []
    turns = asyncio.Semaphore(timer.at_once if database.is_pooled else 1)

    async def deal_with(row_id: UUID) -> None:
        async with turns:
            moved()
            try:
                await database.run(actor.TIMER, functools.partial(_act, timer, row_id))
            except errors.Unavailable:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the others' timers go on
                failures.append(Failure(timer.name, row_id, error))
            else:
                database.counted["sweep_acted", timer.name] += 1

    async with asyncio.TaskGroup() as tasks:
        for row_id in due:
            tasks.create_task(deal_with(row_id))
    return failures


def acted(database: Database) -> int:
    """Count the rows that this process's sweeps have dealt with."""
    return sum(count for (what, _), count in database.counted.items() if what == "sweep_acted")


async def _ask(database: Database) -> Mapping[str, bool]:
    """Tell for which names something is due: one statement for all of them, as nearly always nothing is."""
    async with database.apart() as w:
        (found,) = await w.fetch(_IS_DUE, _instants(w, _IS_DUE.text))
    is_ours = not found.is_held and not database_clock.is_far(found.wall - clock.wall())
    # An event's place in the order has nothing to do with a clock.
    return {name: found[name] and (is_ours or (name == _EVENT and not found.is_held)) for name in _WAITING}


async def _due(database: Database, timer: Timer) -> list[UUID]:
    """Give the rows that a sweep deals with."""
    async with database.apart() as w:
        return [row[0] for row in await w.fetch(_batch(timer), _instants(w, timer.due))]


def batch_of(timer: Timer) -> str:
    """Give the SQL that finds what a sweep deals with."""
    if timer.since:
        return f"{timer.due} ORDER BY {timer.since} LIMIT {BATCH}"
    # Materialized, and so read only until there are enough: for the sake of a limit the planner would else walk through
    # a table by its key, past everything that is long over, to find the few that are due.
    return f"WITH due (id) AS MATERIALIZED ({timer.due}) SELECT id FROM due LIMIT {BATCH}"  # noqa: S608 - our own words


@functools.cache
def _batch(timer: Timer) -> sa.TextClause:
    return sa.text(batch_of(timer))


async def _act(timer: Timer, row_id: UUID, w: Work) -> None:
    await timer.act(w, row_id)


def _instants(w: Work, statement: str) -> dict[str, object]:
    values = {
        "now": w.now,
        "today": w.now.date(),
        "hour_ago": w.now - timedelta(hours=1),
        "room_opens_until": w.now + lifecycle.ROOM_OPENS_BEFORE,
        "end_days": json.dumps(policy.DEFAULT.end_reminder_days),
        "tomorrow": (w.now + timedelta(days=1)).date(),
        "grace_hours": policy.DEFAULT.expired_grace_hours,
        "text_days": policy.DEFAULT.case_text_days,
        "tzdata_version": w.tzdata_version,
    }
    return {name: value for name, value in values.items() if f":{name}" in statement}


async def place_events(database: Database) -> None:
    """Give committed events their position, without gaps: one sequencer at a time, whatever order they committed in."""
    is_more = True
    while is_more:
        async with database.work(actor.TIMER) as w:
            await w.sql(installation.LOCK_POSITIONS)
            is_more = len((await w.sql(_PLACE_EVENTS, {"count": _PLACED_AT_ONCE})).all()) == _PLACED_AT_ONCE
