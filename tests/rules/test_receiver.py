"""When a receiver of webhooks is left alone, warned of, given up."""

from datetime import UTC, datetime, timedelta

import pytest

from service.rules import receiver

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)
FRESH = receiver.Health()


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


@pytest.mark.parametrize(
    ("delivered", "failed", "is_open"), [(0, 9, False), (0, 10, True), (3, 7, True), (4, 6, False), (30, 0, False)]
)
def test_the_breaker_opens_at_seventy_percent_of_at_least_ten(delivered: int, failed: int, is_open: bool) -> None:
    health = receiver.after(FRESH, NOON, delivered, failed)
    assert health.broken_until == (minutes(1) if is_open else None)


def test_attempts_of_five_minutes_are_counted_together_and_then_anew() -> None:
    health = receiver.after(FRESH, NOON, 0, 9)
    assert receiver.after(health, minutes(4.9), 0, 1).broken_until is not None
    assert receiver.after(health, minutes(5), 0, 1).broken_until is None


def test_after_its_minute_the_breaker_opens_again_with_the_next_failure_however_late() -> None:
    broken = receiver.after(FRESH, NOON, 0, 10)
    assert receiver.after(broken, minutes(30), 0, 1).broken_until == minutes(31)


def test_a_success_closes_the_breaker_and_counts_from_one() -> None:
    healed = receiver.after(receiver.after(FRESH, NOON, 0, 10), minutes(1), 1, 0)
    assert (healed.broken_until, healed.counted, healed.counted_failed) == (None, 1, 0)


def test_failing_since_is_the_first_failure_until_a_success() -> None:
    health = receiver.after(receiver.after(FRESH, NOON, 0, 1), minutes(9), 0, 1)
    assert health.failing_since == NOON
    assert receiver.after(health, minutes(10), 1, 5).failing_since is None


def test_nothing_tried_changes_nothing_of_a_fresh_receiver() -> None:
    health = receiver.after(FRESH, NOON, 0, 0)
    assert (health.failing_since, health.broken_until, health.counted) == (None, None, 0)


@pytest.mark.parametrize(
    ("hours", "warned", "due"),
    [(59, 0, None), (60, 0, 50), (83, 50, None), (84, 50, 70), (108, 70, 90), (119, 90, None), (110, 0, 90)],
)
def test_warnings_come_at_half_seven_tenths_and_nine_tenths_of_the_time(hours: int, warned: int, due: int) -> None:
    health = receiver.Health(failing_since=NOON, warned_percent=warned)
    assert receiver.warning(health, NOON + timedelta(hours=hours)) == due


def test_who_does_not_fail_is_not_warned_of_and_not_given_up() -> None:
    assert receiver.warning(FRESH, NOON) is None
    assert not receiver.is_given_up(FRESH, NOON)


@pytest.mark.parametrize(("hours", "is_given_up"), [(119.9, False), (120, True)])
def test_a_receiver_is_given_up_after_five_days(hours: float, is_given_up: bool) -> None:
    health = receiver.Health(failing_since=NOON)
    assert receiver.is_given_up(health, NOON + timedelta(hours=hours)) is is_given_up
