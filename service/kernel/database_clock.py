"""The database's clock: the one that all processes of an installation share, whatever those of their hosts say."""

from datetime import datetime

import sqlalchemy as sa

from service.kernel import clock
from service.kernel.work import Work

FAR_OFF_SECONDS = 60.0
"""A process whose clock differs by more is not ready, and deletes nothing."""

_NOW = sa.text("SELECT clock_timestamp()")


async def now(w: Work) -> datetime:
    """Tell the instant by the database's clock, in UTC; it moves within a transaction, too."""
    instant: datetime = (await w.sql(_NOW)).scalar_one()
    return instant


async def is_far_off(w: Work) -> bool:
    """Tell whether this process's clock differs from the database's by more than a minute."""
    offset = clock.wall() - await now(w)
    return abs(offset.total_seconds()) > FAR_OFF_SECONDS
