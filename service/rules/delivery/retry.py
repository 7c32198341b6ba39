"""When a delivery that failed is tried again (invariant E4): ten attempts over 75.6 hours."""

from datetime import datetime, timedelta

GAPS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # fmt: skip
MAX_ATTEMPTS = len(GAPS) + 1
_JITTER = 0.2
_LONGEST_WAIT = timedelta(hours=24)


def next_attempt(attempt: int, now: datetime, jitter: float, retry_after: float | None = None) -> datetime | None:
    """Give when to try again after the failed attempt number `attempt` (1 is the first); None when it was the last.

    `jitter` in 0..1 spreads the gap by ±20 %. The receiver's Retry-After (seconds) is honoured up to 24 h, and never
    shortens the gap.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    gap = GAPS[max(attempt, 1) - 1] * (1 - _JITTER + 2 * _JITTER * jitter)
    if retry_after is not None and retry_after > 0:
        gap = max(gap, timedelta(seconds=min(retry_after, _LONGEST_WAIT.total_seconds())))
    return now + gap
