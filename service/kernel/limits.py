"""How often somebody may call, by the generic cell rate algorithm (GCRA): one row for a bucket, one statement a call.

It follows the system's time and not the domain's clock, because a jump of a simulated clock must lock nobody out.
"""

import math
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.kernel import errors
from service.kernel.work import Work

_TAKE = sa.text("""
    INSERT INTO rate_limit AS r (bucket, arrives_at) VALUES (:bucket, :now + :gap)
    ON CONFLICT (bucket) DO UPDATE SET arrives_at = greatest(r.arrives_at, :now) + :gap
    WHERE greatest(r.arrives_at, :now) + :gap <= :now + :room
    RETURNING arrives_at""").bindparams(
    sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True)),
    sa.bindparam("gap", type_=sa.Interval()),
    sa.bindparam("room", type_=sa.Interval()),
)
_LOOK = sa.text("SELECT arrives_at FROM rate_limit WHERE bucket = :bucket")


async def take(w: Work, bucket: str, at: datetime, calls: int, span: timedelta = timedelta(minutes=1)) -> None:
    """Count a call: so many `calls` may come at once, then one for each `1 / calls` of the `span` that passes.

    Raises TooManyRequests, saying when the next one is let in.
    """
    gap = span / calls
    room = gap * calls
    values = {"bucket": bucket, "now": at, "gap": gap, "room": room}
    if await w.fetch(_TAKE, values):
        return
    ((arrives_at,),) = await w.fetch(_LOOK, {"bucket": bucket})
    wait = arrives_at + gap - at - room
    raise errors.TooManyRequests(max(1, math.ceil(wait.total_seconds())))
