"""Once a day by somebody's clock: each date has exactly one, whatever the clocks do."""

import itertools
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.rules.time import availability, daily

ZONES = ("Europe/Kyiv", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_it_is_the_next_one_and_never_now() -> None:
    assert daily.next_at(at(2026, 11, 16, 4, 59), "Europe/Kyiv", 7) == at(2026, 11, 16, 5)
    assert daily.next_at(at(2026, 11, 16, 5), "Europe/Kyiv", 7) == at(2026, 11, 17, 5)


def test_where_the_clocks_change_it_stays_at_the_hour_that_they_show() -> None:
    assert daily.next_at(at(2027, 3, 27, 6), "Europe/Kyiv", 7) == at(2027, 3, 28, 4)
    assert daily.next_at(at(2026, 10, 24, 6), "Europe/Kyiv", 7) == at(2026, 10, 25, 5)


def test_an_hour_that_is_skipped_comes_an_hour_later_and_one_that_is_shown_twice_once() -> None:
    assert daily.next_at(at(2027, 3, 27, 12), "Europe/Kyiv", 3) == at(2027, 3, 28, 1)
    first = daily.next_at(at(2026, 10, 24, 12), "Europe/Kyiv", 3)
    assert first == at(2026, 10, 25, 0)
    assert daily.next_at(first, "Europe/Kyiv", 3) == at(2026, 10, 26, 1)


@given(st.integers(0, 3 * 366 * 1440), st.sampled_from(ZONES), st.integers(0, 23))
def test_each_date_of_a_zone_has_one(minutes: int, zone: str, hour: int) -> None:
    times = [at(2026, 1, 1) + timedelta(minutes=minutes)]
    for _ in range(5):
        times.append(daily.next_at(times[-1], zone, hour))
    dates: list[date] = [availability.local_date(each, zone) for each in times[1:]]
    assert all(later - earlier == timedelta(days=1) for earlier, later in itertools.pairwise(dates))
