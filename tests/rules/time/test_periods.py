from datetime import date

import pytest

from service.rules.time import periods


@pytest.mark.parametrize(
    ("period", "day"),
    [("2026", date(2026, 1, 1)), ("2026-10", date(2026, 10, 1)), ("2026-Q4", date(2026, 10, 1)),
     ("2026-Q1", date(2026, 1, 1))],
)  # fmt: skip
def test_a_period_begins_on_its_first_day(period: str, day: date) -> None:
    assert periods.first_day(None, period, None, None) == day


@pytest.mark.parametrize("period", ["", "26", "2026-13", "2026-Q5", "2026-1", "2026-10-01"])
def test_what_is_no_period_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match=r"^" + period):
        periods.first_day_of(period)


def test_a_day_a_first_day_or_else_the_last_one_is_when_it_began() -> None:
    one, other = date(2026, 10, 5), date(2026, 10, 9)
    assert periods.first_day(one, None, None, None) == one
    assert periods.first_day(None, None, one, other) == one
    assert periods.first_day(None, None, None, other) == date(2026, 10, 8)
    assert periods.first_day(None, None, None, None) is None


@pytest.mark.parametrize(
    ("days", "before"),
    [
        ((date(2026, 10, 1), date(2026, 11, 1)), date(2026, 9, 1)),
        ((date(2026, 1, 1), date(2026, 4, 1)), date(2025, 10, 1)),
        ((date(2026, 1, 1), date(2027, 1, 1)), date(2025, 1, 1)),
        ((date(2024, 3, 1), date(2024, 4, 1)), date(2024, 2, 1)),
        ((date(2026, 10, 5), date(2026, 10, 12)), date(2026, 9, 28)),
        ((date(2026, 10, 1), date(2026, 10, 31)), date(2026, 9, 1)),
    ],
)
def test_the_period_before_has_as_many_whole_months_or_else_days(days: tuple[date, date], before: date) -> None:
    assert periods.previous(*days) == (before, days[0])


@pytest.mark.parametrize(
    ("from_on", "until_on", "firsts"),
    [
        (date(2026, 10, 1), date(2026, 11, 1), [date(2026, 10, 1)]),
        (date(2026, 10, 1), date(2026, 11, 2), [date(2026, 10, 1), date(2026, 11, 1)]),
        (date(2026, 10, 31), date(2026, 12, 1), [date(2026, 10, 31), date(2026, 11, 1)]),
        (
            date(2026, 11, 15),
            date(2027, 2, 3),
            [date(2026, 11, 15), date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1)],
        ),
        (date(2026, 12, 1), date(2027, 1, 1), [date(2026, 12, 1)]),
    ],
)
def test_the_months_of_a_period_begin_on_their_first_day_and_the_first_one_with_it(
    from_on: date, until_on: date, firsts: list[date]
) -> None:
    assert periods.months(from_on, until_on) == firsts
