"""When a receiver of webhooks is left alone, warned of, given up."""

from datetime import UTC, datetime, timedelta

import pytest

from service.rules.delivery import receiver

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


def test_a_success_never_opens_the_breaker() -> None:
    health = receiver.after(FRESH, NOON, 0, 9)
    assert receiver.after(health, minutes(1), 1, 0).broken_until is None


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


def test_who_has_recovered_and_fails_again_is_warned_from_the_beginning() -> None:
    warned = receiver.Health(failing_since=NOON, warned_percent=70)
    failing_again = receiver.after(receiver.after(warned, minutes(1), 1, 0), minutes(2), 0, 1)
    assert failing_again.warned_percent == 0
    assert receiver.warning(failing_again, minutes(2) + timedelta(hours=60)) == 50


def test_nothing_tried_changes_nothing_of_a_fresh_receiver() -> None:
    health = receiver.after(FRESH, NOON, 0, 0)
    assert (health.failing_since, health.broken_until, health.counted) == (None, None, 0)


@pytest.mark.parametrize(
    ("hours", "warned", "due"),
    [(59.9, 0, None), (60, 0, 50), (83.9, 50, None), (84, 50, 70), (107.9, 70, None), (108, 70, 90), (119, 90, None),
     (110, 0, 90)],
)  # fmt: skip
def test_warnings_come_at_half_seven_tenths_and_nine_tenths_of_the_time(hours: float, warned: int, due: int) -> None:
    health = receiver.Health(failing_since=NOON, warned_percent=warned)
    assert receiver.warning(health, NOON + timedelta(hours=hours)) == due


def test_who_does_not_fail_is_not_warned_of_and_not_given_up() -> None:
    assert receiver.warning(FRESH, NOON) is None
    assert not receiver.is_given_up(FRESH, NOON)


@pytest.mark.parametrize(("hours", "is_given_up"), [(119.9, False), (120, True)])
def test_a_receiver_is_given_up_after_five_days(hours: float, is_given_up: bool) -> None:
    health = receiver.Health(failing_since=NOON)
    assert receiver.is_given_up(health, NOON + timedelta(hours=hours)) is is_given_up


# --- how much it gets at a time ---------------------------------------------------------------------------------


def test_a_quick_receiver_gets_twice_as_much_each_time_up_to_the_largest_lot() -> None:
    sizes, pace = list[int](), receiver.SendingPace()
    for _ in range(6):
        sizes.append(pace.size)
        pace = pace.after(0.9, slowest_seconds=0.5, is_whole=True)
    assert sizes == [4, 8, 16, 32, 64, 64]
    assert (pace.width, pace.pause_seconds) == (4, 0.0)


def test_a_lot_that_took_a_second_makes_the_next_one_small() -> None:
    assert receiver.SendingPace(size=64).after(1.0, slowest_seconds=0.5, is_whole=True) == receiver.SendingPace()


@pytest.mark.parametrize(("slowest_seconds", "width"), [(4.9, 4), (5.0, 1)])
def test_a_call_of_five_seconds_makes_it_one_call_at_a_time(slowest_seconds: float, width: int) -> None:
    assert receiver.SendingPace().after(6.0, slowest_seconds=slowest_seconds, is_whole=True) == receiver.SendingPace(
        4, width
    )


def test_an_answer_that_came_to_no_end_costs_a_pause_however_quick_it_was() -> None:
    slow_down = receiver.SendingPace(size=64).after(0.1, slowest_seconds=0.1, is_whole=False)
    assert slow_down == receiver.SendingPace(4, 1, receiver.PAUSE_SECONDS)
    assert slow_down.after(0.1, slowest_seconds=0.1, is_whole=True) == receiver.SendingPace(8)
