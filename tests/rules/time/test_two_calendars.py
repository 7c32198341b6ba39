"""One day of two people's time."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules.time import two_calendars
from service.rules.time.intervals import Interval
from service.rules.time.two_calendars import FIRST, ROWS, STEP

ON = date(2026, 12, 1)
PARIS = "Europe/Paris"
MIDNIGHT = datetime(2026, 11, 30, 23, tzinfo=UTC)  # in Paris
HALF = timedelta(minutes=30)
EARLY = MIDNIGHT - timedelta(days=1)


def between(start: float, end: float) -> Interval:
    return MIDNIGHT + timedelta(hours=start), MIDNIGHT + timedelta(hours=end)


def shown(
    mine: list[Interval], theirs: list[Interval] | None, now: datetime = EARLY, length: timedelta = HALF
) -> list[tuple[str, float, float]]:
    return [
        (each.whose, (each.starts_at - MIDNIGHT) / timedelta(hours=1), (each.ends_at - MIDNIGHT) / timedelta(hours=1))
        for each in two_calendars.day(ON, PARIS, now, length, mine, theirs)
    ]


def test_what_suits_both_is_free_and_the_rest_is_said_in_stretches() -> None:
    assert shown([between(9, 11)], [between(10, 20)]) == [
        ("mine", 7, 9),
        ("theirs", 9, 10),
        ("free", 10, 10.5),
        ("free", 10.5, 11),
        ("mine", 11, 22),
    ]


def test_a_longer_session_needs_more_room() -> None:
    assert ("free", 10, 10.5) in shown([between(9, 11)], [between(10, 20)], length=timedelta(hours=1))
    assert ("free", 10.5, 11) not in shown([between(9, 11)], [between(10, 20)], length=timedelta(hours=1))


def test_of_a_side_of_which_nothing_is_known_nothing_is_said() -> None:
    assert {whose for whose, _, _ in shown([between(9, 11)], None)} == {"mine", "free"}


def test_what_lies_behind_is_left_out() -> None:
    assert shown([between(7, 22)], None, now=MIDNIGHT + timedelta(hours=21)) == [("free", 21.5, 22)]
    assert shown([between(7, 22)], None, now=MIDNIGHT + timedelta(hours=22)) == []


def test_a_day_on_which_the_clocks_change_is_shown_by_the_clock() -> None:
    day = two_calendars.day(date(2027, 3, 28), PARIS, EARLY, HALF, [], None)
    assert [(each.row, each.rows, each.starts_at) for each in day] == [
        (0, ROWS, datetime(2027, 3, 28, 5, tzinfo=UTC)),
    ]


spans = st.lists(st.tuples(st.integers(0, 48), st.integers(1, 20)), max_size=4).map(
    lambda pairs: [between(start / 2, (start + length) / 2) for start, length in pairs]
)


@PROPERTY
@given(spans, st.one_of(st.none(), spans), st.integers(1, 4))
def test_every_half_hour_is_told_once_and_free_ones_are_free_for_both(
    mine: list[Interval], theirs: list[Interval] | None, halves: int
) -> None:
    found = two_calendars.day(ON, PARIS, EARLY, halves * HALF, mine, theirs)
    assert [row for each in found for row in range(each.row, each.row + each.rows)] == list(range(ROWS))
    for each in found:
        start = MIDNIGHT + timedelta(minutes=FIRST) + each.row * STEP
        assert each.starts_at == start
        fits = [
            side is None or any(a <= start and start + halves * HALF <= b for a, b in side) for side in (mine, theirs)
        ]
        assert (each.whose == "free") == all(fits)
