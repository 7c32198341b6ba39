from datetime import timedelta

import pytest

from rules.values import NOW
from service.rules.delivery import retry

HOUR = 3600


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 5), (2, 300), (3, 1800), (4, 2 * HOUR), (5, 5 * HOUR), (6, 10 * HOUR), (7, 14 * HOUR), (8, 20 * HOUR),
     (9, 24 * HOUR)],
)  # fmt: skip
def test_the_gap_after_an_attempt_is_that_of_the_schedule(attempt: int, seconds: int) -> None:
    assert retry.next_attempt(attempt, NOW, 0.5) == NOW + timedelta(seconds=seconds)


def test_the_tenth_attempt_is_the_last() -> None:
    assert retry.next_attempt(retry.MAX_ATTEMPTS, NOW, 0.5) is None
    assert retry.MAX_ATTEMPTS == 10


def test_all_attempts_take_three_days() -> None:
    assert round(sum(retry.GAPS, timedelta()) / timedelta(hours=1), 1) == 75.6


def test_jitter_spreads_a_gap_by_a_fifth_to_both_sides() -> None:
    assert retry.next_attempt(2, NOW, 0.0) == NOW + timedelta(seconds=240)
    assert retry.next_attempt(2, NOW, 1.0) == NOW + timedelta(seconds=360)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 300), (0, 300), (-1, 300), (10, 300), (600, 600), (100 * HOUR, 24 * HOUR), (float("inf"), 24 * HOUR)],
)
def test_the_receivers_wish_is_honoured_up_to_a_day(retry_after: float | None, seconds: int) -> None:
    assert retry.next_attempt(2, NOW, 0.5, retry_after) == NOW + timedelta(seconds=seconds)
