"""Writes a transaction's webhooks just before it commits: one row for each event and each endpoint that may see it.

The rows are the truth (invariant E3). PostgreSQL's NOTIFY, which leaves with the commit, wakes the workers that listen;
a worker that did not listen finds the rows because they are due. An endpoint that is paused or disabled gets no rows
and can recover what it missed from the events.
"""

import sqlalchemy as sa

CHANNEL = "pobratym_webhooks"

IS_FREE = "(leased_until IS NULL OR leased_until < clock_timestamp())"
"""Whether a delivery is no worker's: by the one clock that all of them share (OPS-08), never a simulated one.

`next_attempt_at`, by the domain's clock, goes a minute on with each claim as well: the release before this one knows no
lease, and works beside it during an upgrade (decision 0052).
"""

VISIBLE = """\
(p.institution_id = ANY (e.institution_ids) OR EXISTS (
    SELECT FROM memorandum_party m WHERE m.memorandum_id = e.memorandum_id AND m.institution_id = p.institution_id))"""
"""Whether institution `p` may see event `e`: it takes part, or it is a party to the memorandum, ended or not."""

SUBSCRIBED = """\
(p.types = '{}' OR e.type = ANY (p.types)) AND (p.memoranda = '{}' OR e.memorandum_id = ANY (p.memoranda))"""
"""Whether endpoint `p` has subscribed to event `e`."""

READ = "id, type, memorandum_id, institution_ids, occurred_at, body"
"""The columns of an event that are read here."""


def _insert(events: str, now: str, request_id: str, traceparent: str) -> str:
    """Write the INSERT of a delivery of each of the `events` to each endpoint that may see it and has subscribed to it.

    A row's id has the instant of its event's: all digits up to the version are the same, the rest is random.
    """
    return f"""\
INSERT INTO delivery
    (id, kind, event_id, endpoint_id, body, state, attempt, next_attempt_at, created_at, request_id, traceparent)
SELECT CAST(left(CAST(e.id AS text), 15) || substr(CAST(gen_random_uuid() AS text), 16) AS uuid), 'webhook', e.id, p.id,
    e.body, 'pending', 0, {now}, {now}, CAST({request_id} AS text), CAST({traceparent} AS text)
FROM {events} e JOIN webhook_endpoint p ON p.state = 'active' AND p.deleted_at IS NULL AND {VISIBLE} AND {SUBSCRIBED}
"""  # noqa: S608 - conditions and names of our own


def insert(events: str, request_id: str, traceparent: str) -> str:
    """Write the INSERT for events of now, which also tells the workers that listen, once for each endpoint.

    `events` names rows with the columns `READ`; the others are SQL of what brought them about. PostgreSQL tells the
    same thing once for each transaction, however often it is said.
    """
    returning = f"RETURNING pg_notify('{CHANNEL}', CAST(endpoint_id AS text))"
    return _insert(events, "e.occurred_at", request_id, traceparent) + returning


_OF_BEFORE = _insert("event", ":now", ":request_id", ":traceparent")
_RECOVER = f"""
WITH missing AS ({_OF_BEFORE} WHERE p.id = :endpoint AND e.occurred_at >= :since
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
