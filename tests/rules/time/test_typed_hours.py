"""Hours as people type them."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules.time import typed_hours
from service.rules.time.availability import DatedHours, Weekly
from service.rules.time.typed_hours import Stretch

DAY = 1440
FIRST = datetime(2026, 12, 1)  # noqa: DTZ001 - a wall time


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("9", 540),
        ("09", 540),
        ("930", 570),
        ("0930", 570),
        ("9:30", 570),
        ("09:30", 570),
        ("9.30", 570),
        ("9,30", 570),
        ("9-30", 570),
        ("9h30", 570),
        ("9H30", 570),
        ("9 : 30", 570),
        (" 9:30 ", 570),
        ("0", 0),
        ("000", 0),
        ("00:00", 0),
        ("24", DAY),
        ("24:00", DAY),
        ("2400", DAY),
        ("23:59", DAY - 1),
        ("٠٩:٣٠", 570),
    ],
)
def test_a_time_is_read_however_it_is_typed(text: str, minute: int) -> None:
    assert typed_hours.read_clock(text) == minute


@pytest.mark.parametrize(
    "text",
    ["", " ", "25:10", "25", "24:01", "9:60", "960", "9:3", "9:305", "93015", "-9", "nine", "9::30", "²", "9:30:00"],
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(typed_hours.UnreadableClock):
        typed_hours.read_clock(text)


def test_a_stretch_over_midnight_is_hours_of_two_days() -> None:
    assert typed_hours.split(Stretch(6, 1320, 120)) == (Weekly(6, 1320, DAY), Weekly(0, 0, 120))
    assert typed_hours.split(Stretch(6, 1320, 0)) == (Weekly(6, 1320, DAY),)
    assert typed_hours.split(Stretch(6, 1320, DAY)) == (Weekly(6, 1320, DAY),)
    assert typed_hours.split(Stretch(6, 0, DAY)) == (Weekly(6, 0, DAY),)


@pytest.mark.parametrize("stretch", [Stretch(0, 540, 540), Stretch(0, DAY, 60), Stretch(0, 0, 0)])
def test_a_stretch_without_length_is_refused(stretch: Stretch) -> None:
    with pytest.raises(typed_hours.NoLength):
        typed_hours.split(stretch)


def test_a_whole_week_stays_seven_days() -> None:
    week = [Weekly(day, 0, DAY) for day in range(7)]
    assert [Stretch(*entry) for entry in week] == typed_hours.joined(week)


weeks = st.lists(
    st.tuples(st.integers(0, 6), st.lists(st.integers(0, 96), min_size=2, max_size=6, unique=True)),
    max_size=7,
    unique_by=lambda day: day[0],
).map(
    lambda days: [
        Weekly(day, start * 15, end * 15)
        for day, marks in days
        for start, end in zip(sorted(marks)[::2], sorted(marks)[1::2], strict=False)
    ]
)


@PROPERTY
@given(weeks)
def test_what_is_shown_of_a_week_is_read_back_as_the_same_week(week: list[Weekly]) -> None:
    rows = typed_hours.joined(week)
    assert sorted(entry for row in rows for entry in typed_hours.split(row)) == sorted(week)
    assert len(rows) <= len(week)


def dated(kind: str, first: int, days: int) -> DatedHours:
    return DatedHours(kind, FIRST + timedelta(days=first), FIRST + timedelta(days=first + days))


def test_the_same_absence_twice_is_one() -> None:
    once = typed_hours.with_dated((), dated("away", 0, 3))
    assert typed_hours.with_dated(once, dated("away", 0, 3)) == once == (dated("away", 0, 3),)


def test_absences_that_overlap_or_touch_are_one_and_extra_hours_stay() -> None:
    known = (dated("away", 0, 5), dated("away", 4, 6), dated("extra", 9, 1), dated("away", 20, 1))
    assert typed_hours.with_dated(known, dated("away", 10, 2)) == (
        dated("away", 0, 12),
        dated("extra", 9, 1),
        dated("away", 20, 1),
    )


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=6), st.integers(0, 30), st.integers(1, 9))
def test_merging_takes_no_day_away_and_adds_none(known: list[tuple[int, int]], first: int, days: int) -> None:
    merged = typed_hours.with_dated([dated("away", *each) for each in known], dated("away", first, days))
    wanted = {day for start, length in [*known, (first, days)] for day in range(start, start + length)}
    covered = [day for each in merged for day in range((each.from_wall - FIRST).days, (each.until_wall - FIRST).days)]
    assert sorted(covered) == sorted(wanted)
