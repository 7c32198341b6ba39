"""The health of a receiver of webhooks: when sending pauses, when a warning is due, when it is given up (invariant W4).

It also decides how much a receiver gets at a time. A quick one gets large lots, a slow one small ones: what is claimed
must be done within its lease. A very slow one gets one call at a time, or the slow receivers of one hospital would take
every place. An answer that has no end, or is broken off, costs a connection and a full read on every call, while it
counts as delivered and no breaker opens: such a receiver gets a few calls one by one and then a pause.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=5)
FEWEST = 10
WORST_SHARE = 0.7
BREAK = timedelta(seconds=60)
GIVEN_UP_AFTER = timedelta(days=5)
WARNINGS = (50, 70, 90)
EACH = 4
LARGEST_LOT = 64
QUICK_SECONDS = 1.0
SLOW_SECONDS = 5.0
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of a receiver: since when it only fails, and how the last minutes went."""

    failing_since: datetime | None = None
    warned_percent: int = 0
    counted_from: datetime | None = None
    counted: int = 0
    counted_failed: int = 0
    broken_until: datetime | None = None


def after(health: Health, now: datetime, delivered: int, failed: int) -> Health:
    """Give the health after some attempts: one success ends a row of failures and closes the breaker.

    The breaker opens at 70 % failures of at least 10 attempts in five minutes. When its minute is over, the next
    failure opens it again.
    """
    if delivered:
        health = replace(health, failing_since=None, warned_percent=0)
        if health.broken_until is not None:
            health = replace(health, broken_until=None, counted_from=None)
    elif failed and health.failing_since is None:
        health = replace(health, failing_since=now)
    if health.counted_from is None or (now - health.counted_from >= WINDOW and health.broken_until is None):
        health = replace(health, counted_from=now, counted=0, counted_failed=0)
    health = replace(health, counted=health.counted + delivered + failed, counted_failed=health.counted_failed + failed)
    if failed and health.counted >= FEWEST and health.counted_failed >= WORST_SHARE * health.counted:
        return replace(health, broken_until=now + BREAK)
    return health


@dataclass(frozen=True, slots=True)
class SendingPace:
    """How many webhooks are claimed next, how many of them are under way at a time, and the pause before."""

    size: int = EACH
    width: int = EACH
    pause_seconds: float = 0.0

    def after(self, seconds: float, *, slowest_seconds: float, is_whole: bool) -> "SendingPace":
        """Give the pace after a lot that took `seconds`; `is_whole` means that every answer came to its end."""
        if not is_whole:
            return SendingPace(EACH, 1, PAUSE_SECONDS)
        size = min(2 * self.size, LARGEST_LOT) if seconds < QUICK_SECONDS else EACH
        return SendingPace(size, 1 if slowest_seconds >= SLOW_SECONDS else EACH)


def is_given_up(health: Health, now: datetime) -> bool:
    """Tell whether it has only failed for five days."""
    return health.failing_since is not None and now - health.failing_since >= GIVEN_UP_AFTER


def warning(health: Health, now: datetime) -> int | None:
    """Give the warning now due, in percent of the time until it is given up; None when there is none or it was sent."""
    if health.failing_since is None:
        return None
    passed = 100 * (now - health.failing_since) / GIVEN_UP_AFTER
    due = [percent for percent in WARNINGS if health.warned_percent < percent <= passed]
    return due[-1] if due else None
