import json
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import (
    OFFICE,
    PROPERTY,
    WINDOWS,
    ZONES,
    calendars,
    oracle,
    pairs,
    plain_dated,
    plain_free_cells,
    plain_instant,
    plain_open,
    utc,
    wall,
)
from service.rules.time import availability, cells
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.cells import Frame
from service.rules.time.intervals import Interval

WINDOWS_OF_KYIV = json.loads((Path(__file__).parent / "data" / "kyiv_offset_windows.json").read_text("utf-8"))
EACH_WINDOW = [(zone, *row) for zone, rows in WINDOWS_OF_KYIV["zones"].items() for row in rows]
FIVE = timedelta(minutes=5)


def test_the_forced_zone_data_is_the_pinned_one() -> None:
    assert WINDOWS_OF_KYIV["tzdb"] == availability.TZDATA_VERSION
    assert zoneinfo.TZPATH == ()  # where an operating system's copy would be looked for


def test_winnipeg_no_longer_changes_its_clocks_in_2026() -> None:
    # An older copy of the zone data, as operating systems have it, says 09:00.
    assert availability.to_wall(utc(2026, 11, 21, 15), "America/Winnipeg") == wall(2026, 11, 21, 10)


@pytest.mark.parametrize(("zone", "since", "until", "ahead"), EACH_WINDOW)
def test_kyiv_is_ahead_by_the_published_hours_in_every_window(zone: str, since: str, until: str, ahead: int) -> None:
    first = datetime.fromisoformat(since)
    last = datetime.fromisoformat(until) - timedelta(seconds=1)
    for at in (first, first + (last - first) / 2, last):
        kyiv = availability.to_wall(at, "Europe/Kyiv")
        assert kyiv - availability.to_wall(at, zone) == timedelta(hours=ahead)


@pytest.mark.parametrize(("zone", "since", "until", "ahead"), EACH_WINDOW)
def test_hours_in_kyiv_are_bookable_at_the_published_difference(zone: str, since: str, until: str, ahead: int) -> None:
    first, last = datetime.fromisoformat(since), datetime.fromisoformat(until)
    window = (first, min(last, first + timedelta(days=9)))
    everyday = tuple(Weekly(day, 12 * 60, 13 * 60) for day in range(7))
    found = availability.starts(Hours(zone, everyday), (), window, 60, 0, 60)
    assert found or last - first < timedelta(days=2)
    for start in found:
        assert availability.to_wall(start, "Europe/Kyiv").hour == (12 + ahead) % 24


def test_inv_23_a_time_that_kyivs_clocks_skip_is_refused_when_typed() -> None:
    with pytest.raises(availability.NonexistentTime) as caught:
        availability.to_instant(wall(2026, 3, 29, 3, 30), "Europe/Kyiv", strict=True)
    assert (caught.value.wall, caught.value.zone) == (wall(2026, 3, 29, 3, 30), "Europe/Kyiv")


def test_inv_23_a_time_that_kyivs_clocks_skip_is_read_with_the_offset_before_in_weekly_hours() -> None:
    found = availability.to_instant(wall(2026, 3, 29, 3, 30), "Europe/Kyiv", strict=False)
    assert found == utc(2026, 3, 29, 1, 30)


@pytest.mark.parametrize("strict", [True, False])
def test_inv_23_of_a_repeated_hour_the_first_is_meant(strict: bool) -> None:
    found = availability.to_instant(wall(2026, 10, 25, 3, 30), "Europe/Kyiv", strict=strict)
    assert found == utc(2026, 10, 25, 0, 30)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("wall", "zone"), [(wall(1, 1, 1), "Europe/Kyiv"), (wall(9999, 12, 31, 23), "America/Toronto")]
)
def test_a_time_beyond_the_calendar_does_not_exist(wall: datetime, zone: str, strict: bool) -> None:
    with pytest.raises(availability.NonexistentTime):
        availability.to_instant(wall, zone, strict=strict)


@PROPERTY
@given(st.datetimes(wall(2020, 1, 1), wall(2030, 1, 1)), st.sampled_from(ZONES))
def test_an_instant_comes_back_from_the_wall_clock_unless_it_is_the_second_of_a_repeated_hour(
    naive: datetime, zone: str
) -> None:
    instant = naive.replace(tzinfo=UTC)
    back = availability.to_instant(availability.to_wall(instant, zone), zone, strict=True)
    assert back in (instant, instant - timedelta(hours=1))
    assert availability.to_wall(back, zone) == availability.to_wall(instant, zone)


def test_a_day_of_the_change_has_twenty_five_hours() -> None:
    start = availability.day_start(wall(2026, 10, 25).date(), "Europe/Kyiv")
    end = availability.day_start(wall(2026, 10, 26).date(), "Europe/Kyiv")
    assert (start, end - start) == (utc(2026, 10, 24, 21), timedelta(hours=25))


def test_the_week_of_an_instant_is_that_of_the_zone() -> None:
    late_sunday = utc(2026, 11, 22, 23)
    assert availability.iso_week(late_sunday, "Europe/Kyiv") == (2026, 48)
    assert availability.iso_week(late_sunday, "America/Toronto") == (2026, 47)
    assert availability.local_date(late_sunday, "Europe/Kyiv") == wall(2026, 11, 23).date()


@PROPERTY
@given(st.datetimes(wall(2024, 12, 20), wall(2027, 1, 10)), st.sampled_from(ZONES))
def test_an_instant_lies_within_the_bounds_of_its_week(naive: datetime, zone: str) -> None:
    instant = naive.replace(tzinfo=UTC)
    start, end = availability.week_bounds(availability.iso_week(instant, zone), zone)
    assert start <= instant < end
    assert availability.to_wall(start, zone).weekday() == 0


@pytest.mark.parametrize(
    ("start", "weekdays", "end"),
    [
        (utc(2026, 11, 20, 14), {0, 1, 2, 3, 4}, utc(2026, 11, 23, 14)),  # Friday afternoon: Monday afternoon
        (utc(2026, 11, 21, 14), {0, 1, 2, 3, 4}, utc(2026, 11, 23, 23)),  # Saturday: the whole of Monday
        (utc(2026, 11, 18, 14), {0, 1, 2, 3, 4}, utc(2026, 11, 19, 14)),
        (utc(2026, 11, 19, 14), {6, 0, 1, 2, 3}, utc(2026, 11, 22, 14)),  # Israel rests on Friday and Saturday
        (utc(2026, 11, 21, 14), set(), utc(2026, 11, 22, 14)),  # no days known: all count
    ],
)
def test_a_day_of_working_time_skips_the_days_of_rest(start: datetime, weekdays: set[int], end: datetime) -> None:
    assert availability.add_working_time(start, timedelta(days=1), "Europe/Paris", weekdays) == end


def test_working_time_that_ends_with_a_day_ends_before_the_days_of_rest() -> None:
    friday_noon, midnight = utc(2026, 11, 20, 11), utc(2026, 11, 20, 23)
    assert (
        availability.add_working_time(friday_noon, midnight - friday_noon, "Europe/Paris", {0, 1, 2, 3, 4}) == midnight
    )


@pytest.mark.slow
@PROPERTY
@given(calendars())
def test_free_time_is_the_same_as_the_plain_union_less_the_plain_rest(
    calendar: tuple[Hours, tuple[Interval, ...], Interval],
) -> None:
    hours, busy, window = calendar
    expected = oracle(plain_open(hours, window)) & oracle([window])
    expected -= oracle([*plain_dated(hours, "away"), *busy])
    assert availability.free(hours, busy, window) == pairs(expected)


@pytest.mark.slow
@PROPERTY
@given(calendars(), st.sampled_from([15, 20, 30, 60]), st.sampled_from([0, 10, 45]), st.sampled_from([5, 15, 30]))
def test_bookable_starts_are_the_same_as_tried_one_by_one(
    calendar: tuple[Hours, tuple[Interval, ...], Interval], minutes: int, buffer: int, step: int
) -> None:
    hours, busy, window = calendar
    worked = set(plain_free_cells(hours, (), window))
    expected = []
    at = window[0].replace(minute=0)
    while at < window[1]:
        session = {at + n * FIVE for n in range(minutes // 5)}
        end = at + timedelta(minutes=minutes + buffer)
        is_clear = not any(since < until and since < end and at < until for since, until in busy)
        if session <= worked and is_clear:
            expected.append(at)
        at += timedelta(minutes=step)
    assert availability.starts(hours, busy, window, minutes, buffer, step) == expected


@PROPERTY
@given(st.sampled_from(ZONES), st.integers(0, 1440), st.integers(0, 1440), WINDOWS)
def test_daily_hours_are_those_between_two_times_of_the_wall_clock(
    zone: str, low: int, high: int, window: Interval
) -> None:
    low, high = low - low % 5, high - high % 5
    frame = Frame.within(window)
    found = availability.daily_bits(zone, low, high, frame)
    for at in frame.instants(frame.full):
        wall = availability.to_wall(at, zone)
        minute = wall.hour * 60 + wall.minute
        if plain_instant(wall, zone) == at and wall.date() == availability.local_date(at + FIVE * 12, zone):
            is_inside = low <= minute < high if low < high else minute >= low or minute < high
            if abs(minute - low) > 120 and abs(minute - high) > 120:  # beside the edges a change of the clocks may lie
                assert bool(found >> (cells.floor(at) - frame.first) & 1) == is_inside


@PROPERTY
@given(WINDOWS, st.sampled_from((1, 5, 15, 30, 60)), st.integers(0, 2**4000))
def test_set_cells_of_a_grid_are_told_as_their_instants_in_order(window: Interval, step: int, dice: int) -> None:
    frame = Frame.within(window)
    bits = dice & frame.grid(step)
    expected = [cells.instant(frame.first + at) for at in range(frame.count) if bits >> at & 1]
    assert frame.instants(bits, step) == frame.instants(bits) == expected


def test_hours_up_to_midnight_reach_the_next_days_hours_without_a_gap() -> None:
    night = (Weekly(0, 20 * 60, 1440), Weekly(1, 0, 4 * 60))
    found = availability.free(Hours("Europe/Kyiv", night), (), (utc(2026, 11, 16), utc(2026, 11, 18)))
    assert found == [(utc(2026, 11, 16, 18), utc(2026, 11, 17, 2))]


@pytest.mark.parametrize(
    ("zone", "weekly", "first"),
    [
        ("America/Toronto", Weekly(6, 20 * 60, 1440), utc(2026, 11, 16, 1)),  # Sunday evening, Monday in UTC
        ("America/Toronto", Weekly(6, 20 * 60, 1440), utc(2026, 11, 2, 1)),  # on the day on which its clocks change
        ("Asia/Kathmandu", Weekly(0, 0, 4 * 60), utc(2026, 11, 15, 18, 15)),  # Monday night, Sunday in UTC
    ],
)
@pytest.mark.parametrize("from_hours", [-12, -2, 0])
@pytest.mark.parametrize("until_hours", [4, 24, 7 * 24 - 1])
def test_hours_of_one_week_that_lie_in_another_in_utc_are_found_wherever_the_window_begins_and_ends(
    zone: str, weekly: Weekly, first: datetime, from_hours: int, until_hours: int
) -> None:
    window = (first + timedelta(hours=from_hours), first + timedelta(hours=until_hours))
    found = availability.starts(Hours(zone, (weekly,)), (), window, 60, 0)
    assert (found[0], found[-1], len(found)) == (first, first + timedelta(hours=3), 13)


def test_an_absence_without_an_end_lasts_for_ever() -> None:
    away = DatedHours("away", wall(2026, 11, 17), wall(9999, 12, 31, 23, 59))
    found = availability.free(Hours("America/Toronto", OFFICE, (away,)), (), (utc(2026, 11, 16), utc(2026, 12, 16)))
    assert found == [(utc(2026, 11, 16, 14), utc(2026, 11, 16, 22))]


def test_absence_wins_over_extra_hours() -> None:
    both = tuple(DatedHours(kind, wall(2026, 11, 21, 9), wall(2026, 11, 21, 12)) for kind in ("extra", "away"))
    assert availability.free(Hours("Europe/Paris", (), both), (), (utc(2026, 11, 16), utc(2026, 11, 23))) == []


def test_weekly_hours_keep_their_wall_clock_over_both_changes() -> None:
    found = availability.free(Hours("America/Toronto", OFFICE[:1]), (), (utc(2026, 10, 19), utc(2026, 11, 9)))
    assert [start.hour for start, _ in found] == [13, 13, 14]
    assert [availability.to_wall(start, "Europe/Kyiv").hour for start, _ in found] == [16, 15, 16]


def test_a_zone_with_an_odd_offset_is_expanded_to_whole_cells() -> None:
    # Monrovia was 44 min 30 s behind UTC until 1972.
    found = availability.starts(Hours("Africa/Monrovia", OFFICE[:1]), (), (utc(1971, 3, 1), utc(1971, 3, 2)), 30, 0, 5)
    assert (found[0], found[-1]) == (utc(1971, 3, 1, 9, 45), utc(1971, 3, 1, 17, 10))


def test_more_weeks_than_are_kept_give_the_same_hours() -> None:
    hours = Hours("Europe/Vilnius", OFFICE[:1])
    mondays = [(utc(2026, 1, 5) + timedelta(weeks=n), utc(2026, 1, 6) + timedelta(weeks=n)) for n in range(140)]
    assert {len(availability.free(hours, (), day)) for day in mondays} == {1}
    assert {len(availability.starts(hours, (), day, 60, 0)) for day in mondays} == {29}


def test_a_window_that_ends_before_it_begins_holds_nothing() -> None:
    window = (utc(2026, 11, 17), utc(2026, 11, 16))
    assert availability.starts(Hours("Europe/Kyiv", OFFICE), (), window, 30, 10) == []
