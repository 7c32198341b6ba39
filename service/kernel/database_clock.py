"""The database's clock: the one that all processes of an installation share, whatever those of their hosts say."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from service.kernel import clock
from service.kernel.work import Work

FAR_OFF_SECONDS = 60.0
"""A process whose clock differs by more is not ready, deletes nothing, and keeps no timers."""

_NOW = sa.text("SELECT clock_timestamp()")


async def now(w: Work) -> datetime:
    """Tell the instant by the database's clock, in UTC; it moves within a transaction, too."""
    instant: datetime = (await w.sql(_NOW)).scalar_one()
    return instant


async def is_far_off(w: Work) -> bool:
    """Tell whether this process's clock differs from the database's by more than a minute."""
    return is_far(clock.wall() - await now(w))


def is_far(offset: timedelta) -> bool:
    """Tell whether a clock that differs by this from the database's is too far off to act by."""
    return abs(offset.total_seconds()) > FAR_OFF_SECONDS
