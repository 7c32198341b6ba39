from datetime import datetime, timedelta

import pytest

from service.kernel import errors, limits
from service.kernel.work import Work


async def let_in(w: Work, at: datetime, bucket: str = "person:a", per_minute: int = 6) -> int | None:
    """Give None when the call is let in, else the seconds to wait."""
    try:
        await limits.take(w, bucket, at, per_minute)
    except errors.TooManyRequests as error:
        return error.retry_after_seconds
    return None


async def test_a_minutes_share_is_let_in_at_once_and_not_one_more(w: Work) -> None:
    assert [await let_in(w, w.now) for _ in range(7)] == [None] * 6 + [10]


@pytest.mark.parametrize(("seconds", "waits"), [(9.9, 1), (10, None)])
async def test_the_next_is_let_in_when_its_share_of_the_minute_has_passed(
    w: Work, seconds: float, waits: int | None
) -> None:
    for _ in range(6):
        await let_in(w, w.now)

    assert await let_in(w, w.now + timedelta(seconds=seconds)) == waits


async def test_who_keeps_to_the_rate_is_never_refused(w: Work) -> None:
    assert {await let_in(w, w.now + timedelta(seconds=10 * call)) for call in range(30)} == {None}


async def test_a_refused_call_costs_nothing(w: Work) -> None:
    for _ in range(20):
        await let_in(w, w.now)

    assert await let_in(w, w.now + timedelta(seconds=10)) is None


async def test_a_quiet_hour_earns_no_more_than_a_minutes_share(w: Work) -> None:
    await let_in(w, w.now)
    later = w.now + timedelta(hours=1)

    assert [await let_in(w, later) for _ in range(7)] == [None] * 6 + [10]


async def test_one_caller_does_not_use_up_anothers_share(w: Work) -> None:
    for _ in range(6):
        await let_in(w, w.now)

    assert await let_in(w, w.now, bucket="person:b") is None
