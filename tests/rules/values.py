"""Values for the tests of the rules, with defaults that pass the gate; and slow, plain versions of what is fast."""

# ruff: noqa: ANN401 - the builders take any field of what they build

import csv
import json
import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import portion
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from service.rules import policy, transfer
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.matching import ranking
from service.rules.matching.ranking import Candidate, Ranking
from service.rules.specialties import Tree
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.intervals import Interval

DATA = Path(__file__).parents[2] / "service" / "data"
PROPERTY = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("DRILLS") != "1",
)
"""A duration is no test; and `make test` says the same of the same code every time: `make drills` tries its luck."""
NOW = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)  # a Monday, 10:00 in Kyiv, 09:00 in Paris
CLINICIAN, HOSPITAL, MENTOR, PARTNER, CASE, MEMORANDUM = (UUID(int=n) for n in range(1, 7))
OFFICE = tuple(Weekly(day, 9 * 60, 17 * 60) for day in range(5))
ZONES = ("Europe/Kyiv", "Europe/Paris", "America/Toronto", "Asia/Jerusalem", "Europe/Istanbul", "Asia/Kathmandu", "UTC")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def wall(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """Give what a clock on a wall shows: no zone is meant."""
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - naive on purpose


def tree() -> Tree:
    with (DATA / "specialties.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Tree((row["code"], row["parent"] or None, row["also_parents"].split(";")) for row in rows)


def basis() -> transfer.TransferBasis:
    return transfer.parse(json.loads((DATA / "transfer_basis.json").read_text("utf-8")))


BOOK = Rulebook(policy.DEFAULT, tree(), basis())


def case(**fields: Any) -> Case:
    defaults: dict[str, Any] = {
        "consultation_id": CASE,
        "requester_id": CLINICIAN,
        "institution_id": HOSPITAL,
        "country": "UA",
        "zone": "Europe/Kyiv",
        "specialty": "sur.neuro",
        "priority": "routine",
        "mode": "live",
        "languages": frozenset({"en"}),
        "minutes": 30,
        "opened_at": NOW,
        "answer_due_at": NOW + timedelta(days=7),
        "consent": transfer.Consent("general"),
    }
    return Case(**(defaults | fields))


def link(**fields: Any) -> MemorandumLink:
    defaults: dict[str, Any] = {"memorandum_id": MEMORANDUM, "signed_on": date(2024, 5, 1)}
    return MemorandumLink(**(defaults | fields))


def mentor(**fields: Any) -> Mentor:
    defaults: dict[str, Any] = {
        "person_id": MENTOR,
        "institution_id": PARTNER,
        "country": "FR",
        "zone": "Europe/Paris",
        "specialties": frozenset({"sur.neuro"}),
        "languages": {"en": "C1"},
        "hours": Hours(fields.get("zone", "Europe/Paris"), OFFICE),
        "verified_until": NOW + timedelta(days=365),
        "links": (link(),),
    }
    return Mentor(**(defaults | fields))


def rank(asked: Case, *mentors: Mentor, now: datetime = NOW, limit: int = 10) -> Ranking:
    return ranking.rank(asked, mentors, now, BOOK, limit=limit)


def first(asked: Case, *mentors: Mentor, now: datetime = NOW) -> Candidate:
    return rank(asked, *mentors, now=now).candidates[0]


# Strategies. Times are on whole minutes and near the changes of the clocks, where mistakes are.

WINDOWS = st.sampled_from(
    [utc(2026, 3, 5), utc(2026, 3, 26), utc(2026, 10, 23), utc(2026, 10, 30), utc(2027, 3, 12), utc(2026, 7, 1)]
).flatmap(
    lambda day: st.tuples(st.integers(0, 2000), st.integers(0, 6 * 1440)).map(
        lambda pair: (day + timedelta(minutes=pair[0]), day + timedelta(minutes=sum(pair)))
    )
)
WEEKLY = st.builds(
    lambda day, low, length: Weekly(day, low * 5, min(1440, low * 5 + length * 5)),
    st.integers(0, 6),
    st.integers(0, 287),
    st.integers(1, 288),
)


def around(window: Interval, longest: int = 600) -> st.SearchStrategy[tuple[Interval, ...]]:
    start = window[0] - timedelta(days=1)
    one = st.tuples(st.integers(0, 9 * 1440), st.integers(0, longest)).map(
        lambda pair: (start + timedelta(minutes=pair[0]), start + timedelta(minutes=sum(pair)))
    )
    return st.lists(one, max_size=8).map(tuple)


def dated(window: Interval) -> st.SearchStrategy[tuple[DatedHours, ...]]:
    naive = around((window[0].replace(tzinfo=None), window[1].replace(tzinfo=None)), 3000)
    return st.tuples(st.permutations(["away", "extra", "away"]), naive).map(
        lambda drawn: tuple(DatedHours(kind, *pair) for kind, pair in zip(*drawn, strict=False))
    )


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Hours, tuple[Interval, ...], Interval]:
    window = draw(WINDOWS)
    hours = Hours(draw(st.sampled_from(ZONES)), tuple(draw(st.lists(WEEKLY, max_size=6))), draw(dated(window)))
    return hours, draw(around(window)), window


# The plain twins: cell after cell, with nothing but datetime and zoneinfo.


def plain_instant(wall: datetime, zone: str) -> datetime:
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def plain_open(hours: Hours, window: Interval) -> list[Interval]:
    """Give the open stretches of weekly and extra hours around the window."""
    found = []
    day = window[0].date() - timedelta(days=9)
    while day <= window[1].date() + timedelta(days=9):
        for weekly in hours.weekly:
            if weekly.weekday == day.weekday():
                midnight = datetime.combine(day, time.min)
                found.append(
                    (
                        plain_instant(midnight + timedelta(minutes=weekly.from_minute), hours.zone),
                        plain_instant(midnight + timedelta(minutes=weekly.until_minute), hours.zone),
                    )
                )
        day += timedelta(days=1)
    return found + plain_dated(hours, "extra")


def plain_dated(hours: Hours, kind: str) -> list[Interval]:
    return [
        (plain_instant(e.from_wall, hours.zone), plain_instant(e.until_wall, hours.zone))
        for e in hours.exceptions
        if e.kind == kind
    ]


def plain_free_cells(hours: Hours, busy: tuple[Interval, ...], window: Interval) -> list[datetime]:
    """Give the five-minute cells, by their start, that are whole in the window and in hours, and touch nothing else."""
    opened, taken = plain_open(hours, window), [*plain_dated(hours, "away"), *busy]
    five = timedelta(minutes=5)
    at = window[0] - timedelta(minutes=window[0].minute % 5)
    cells = []
    while at + five <= window[1]:
        is_open = at >= window[0] and any(start <= at and at + five <= end for start, end in opened)
        if is_open and not any(start < end and start < at + five and at < end for start, end in taken):
            cells.append(at)
        at += five
    return cells


def oracle(pairs: list[Interval]) -> portion.Interval:
    whole = portion.empty()
    for start, end in pairs:
        whole |= portion.closedopen(start, end)
    return whole


def pairs(whole: portion.Interval) -> list[Interval]:
    return [(atom.lower, atom.upper) for atom in whole if not atom.empty]
