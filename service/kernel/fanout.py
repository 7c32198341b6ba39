"""Writes a transaction's webhooks just before it commits: one row for each event and each endpoint that may see it.

The rows are the truth (invariant E3). PostgreSQL's NOTIFY, which leaves with the commit, wakes the workers that listen;
a worker that did not listen finds the rows because they are due. An endpoint that is paused or disabled gets no rows
and can recover what it missed from the events.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel.ext.asyncio.session import AsyncSession

CHANNEL = "pobratym_webhooks"

IS_FREE = "(leased_until IS NULL OR leased_until < clock_timestamp())"
"""Whether a delivery is no worker's: by the one clock that all of them share (OPS-08), never a simulated one.

`next_attempt_at`, by the domain's clock, goes a minute on with each claim as well: the release before this one knows no
lease, and works beside it during an upgrade (decision 0052).
"""
IS_FREE = "(leased_until IS NULL OR leased_until < clock_timestamp())"
"""Whether nobody is trying the delivery now: leases go by the database's clock (`service.outbox.deliveries`)."""

VISIBLE = """\
(p.institution_id = ANY (e.institution_ids) OR EXISTS (
    SELECT FROM memorandum_party m WHERE m.memorandum_id = e.memorandum_id AND m.institution_id = p.institution_id))"""
"""Whether institution `p` may see event `e`: it takes part, or it is a party to the memorandum, ended or not."""

SUBSCRIBED = """\
(p.types = '{}' OR e.type = ANY (p.types)) AND (p.memoranda = '{}' OR e.memorandum_id = ANY (p.memoranda))"""
"""Whether endpoint `p` has subscribed to event `e`."""

# A row's id has the instant of its event's: all digits up to the version are the same, the rest is random.
_INSERT = f"""\
INSERT INTO delivery
    (id, kind, event_id, endpoint_id, body, state, attempt, next_attempt_at, created_at, request_id, traceparent)
SELECT CAST(left(CAST(e.id AS text), 15) || substr(CAST(gen_random_uuid() AS text), 16) AS uuid), 'webhook', e.id, p.id,
    e.body, 'pending', 0, :now, :now, CAST(:request_id AS text), CAST(:traceparent AS text)
FROM event e JOIN webhook_endpoint p ON p.state = 'active' AND p.deleted_at IS NULL AND {VISIBLE} AND {SUBSCRIBED}
"""  # noqa: S608 - two conditions of our own

_PUT_ALL = f"""
WITH inserted AS ({_INSERT} WHERE e.id = ANY (:events) RETURNING endpoint_id)
SELECT pg_notify('{CHANNEL}', CAST(endpoint_id AS text)) FROM (SELECT DISTINCT endpoint_id FROM inserted) endpoints
"""  # noqa: S608 - as above
_PUT = sa.text(_PUT_ALL).bindparams(sa.bindparam("events", type_=ARRAY(PG_UUID)))

_RECOVER = f"""
WITH missing AS ({_INSERT} WHERE p.id = :endpoint AND e.occurred_at >= :since
                 ON CONFLICT (endpoint_id, event_id) WHERE kind = 'webhook' DO NOTHING RETURNING id),
failed AS (UPDATE delivery d
           SET state = 'pending', next_attempt_at = :now, attempts_before = d.attempt, settled_at = NULL
           FROM event e WHERE e.id = d.event_id AND e.occurred_at >= :since AND d.endpoint_id = :endpoint
           AND d.kind = 'webhook' AND (d.state IN ('refused', 'dead', 'dropped')
             OR d.state = 'pending' AND d.next_attempt_at > :now AND {IS_FREE}) RETURNING d.id)
SELECT (SELECT count(*) FROM missing) + (SELECT count(*) FROM failed) AS count
"""  # noqa: S608 - as above
RECOVER = sa.text(_RECOVER)
"""Sends what an endpoint missed since an instant: events without a row, and deliveries that failed or wait."""

NOTIFY = sa.text(f"SELECT pg_notify('{CHANNEL}', :endpoint)")
"""Tells the workers that listen that something of this endpoint is due."""


async def put(
    session: AsyncSession, events: Collection[UUID], now: datetime, origin: tuple[str | None, str | None]
) -> None:
    """Insert a delivery of each of these events to each active endpoint that may see it and has subscribed to it.

    `origin` is the id of the request that brought them about, and its `traceparent`.
    """
    if events:
        request_id, traceparent = origin
        values = {"events": list(events), "now": now, "request_id": request_id, "traceparent": traceparent}
        await session.exec(_PUT, params=values)  # type: ignore[call-overload]
