"""Webhooks on their way: what is due for an endpoint is taken together, and settled together.

A lot is leased: a worker that dies with it loses nothing, a late one settles nothing that was taken again. The
endpoint's health, by its attempts, is in its row: a breaker, warnings, the end after five days of failures only.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.types import Integer, Text
from sqlmodel import col

from service import tables
from service.kernel import audit, clock, crypto, fanout, installation, outcomes
from service.kernel.work import Work
from service.outbox import attempt_counts, deliveries, events, hearers
from service.rules.delivery import receiver, retry

_DUE = sa.text(f"""
SELECT p.id FROM webhook_endpoint p
WHERE p.state = 'active' AND p.deleted_at IS NULL AND (p.broken_until IS NULL OR p.broken_until <= :now)
AND EXISTS (SELECT FROM delivery d WHERE d.endpoint_id = p.id AND d.kind = 'webhook' AND d.state = 'pending'
            AND d.next_attempt_at <= :now AND {fanout.IS_FREE})
""")  # noqa: S608 - our own words

_CLAIM = sa.text(f"""
WITH place AS (
    SELECT CASE WHEN broken_until IS NULL THEN CAST(:count AS int) WHEN broken_until <= :now THEN 1 ELSE 0 END AS count
    FROM webhook_endpoint WHERE id = :endpoint AND state = 'active' AND deleted_at IS NULL
    AND NOT {installation.HELD}),
due AS (
    SELECT id FROM delivery
    WHERE endpoint_id = :endpoint AND kind = 'webhook' AND state = 'pending' AND next_attempt_at <= :now
    AND {fanout.IS_FREE}
    ORDER BY next_attempt_at, id LIMIT coalesce((SELECT count FROM place), 0) FOR UPDATE SKIP LOCKED)
UPDATE delivery d SET attempt = attempt + 1, next_attempt_at = :due_again_at,
    leased_until = clock_timestamp() + CAST(:lease AS interval)
FROM due WHERE d.id = due.id
RETURNING d.id, coalesce(d.event_id, d.id) AS message_id, d.attempt, d.attempts_before, d.body, d.request_id,
    d.traceparent
""")  # noqa: S608 - our own words

_SIGNED_WITH = sa.text("""
SELECT p.url, p.signature, s.id, s.sealed FROM webhook_endpoint p JOIN webhook_secret s ON s.endpoint_id = p.id
WHERE p.id = :endpoint AND (s.expires_at IS NULL OR s.expires_at > :now) ORDER BY s.created_at DESC, s.id DESC
""")

_SECRETS = sa.text("""
SELECT s.endpoint_id, s.id, s.sealed FROM webhook_secret s JOIN webhook_endpoint p ON p.id = s.endpoint_id
WHERE p.deleted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > :now)
""")

_COLUMNS: dict[str, Any] = {
    "id": PG_UUID, "attempt": Integer, "state": Text, "next_at": TIMESTAMP(timezone=True), "error": Text,
    "began": TIMESTAMP(timezone=True), "ms": Integer, "outcome": Text, "status": Integer, "response": Text,
}  # fmt: skip
_SETTLE = sa.text(f"""
WITH tried AS (SELECT * FROM unnest({", ".join(f":{name}" for name in _COLUMNS)}) AS t ({", ".join(_COLUMNS)})),
settled AS (
    UPDATE delivery d SET state = t.state, next_attempt_at = t.next_at, leased_until = NULL, error = t.error,
        settled_at = CASE WHEN t.state = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END
    FROM tried t WHERE d.id = t.id AND d.attempt = t.attempt AND d.state = 'pending' RETURNING d.id)
INSERT INTO delivery_attempt
    (delivery_id, attempt, at, duration_ms, outcome, error, status, response, next_attempt_at)
SELECT t.id, t.attempt, t.began, t.ms, t.outcome, t.error, t.status, t.response, t.next_at
FROM tried t JOIN settled s ON s.id = t.id
""").bindparams(*(sa.bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()))  # noqa: S608 - our names

_RELEASE = sa.text("""
UPDATE delivery d SET attempt = d.attempt - 1, next_attempt_at = :now, leased_until = NULL
FROM unnest(:id, :attempt) AS t (id, attempt) WHERE d.id = t.id AND d.attempt = t.attempt AND d.state = 'pending'
""").bindparams(sa.bindparam("id", type_=ARRAY(PG_UUID)), sa.bindparam("attempt", type_=ARRAY(Integer)))


@dataclass(frozen=True, slots=True)
class Parcel:
    """One webhook to be sent now: `message_id` is the same on every attempt, `body` is what is signed."""

    delivery_id: UUID
    message_id: UUID
    attempt: int
    attempts_before: int
    body: str
    request_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Lot:
    """What this worker sends one endpoint next. `secrets` are keys in base64, the current one first."""

    endpoint_id: UUID
    url: str
    signature: str
    secrets: tuple[str, ...]
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending one parcel."""

    parcel: Parcel
    outcome: outcomes.Outcome
    began_at: datetime
    duration_ms: int


async def due(w: Work) -> list[UUID]:
    """Name the endpoints for which something is due and that are tried now."""
    return [row.id for row in await w.fetch(_DUE, {"now": w.now})]


async def claim(w: Work, endpoint_id: UUID, count: int) -> Lot | None:
    """Lease at most `count` due deliveries, oldest first; None when none is due, or the endpoint is not tried now."""
    lease = deliveries.LEASE
    values = {"endpoint": endpoint_id, "now": w.now, "count": count, "due_again_at": w.now + lease, "lease": lease}
    parcels = tuple(Parcel(*row) for row in (await w.sql(_CLAIM, values)).all())
    if not parcels:
        return None
    rows = (await w.sql(_SIGNED_WITH, {"endpoint": endpoint_id, "now": w.now})).all()
    secrets = tuple(secret for row in rows if (secret := _opened(w, row.id, row.sealed)) is not None)
    if not secrets:
        raise crypto.CannotDecrypt
    return Lot(endpoint_id, rows[0].url, rows[0].signature, secrets, parcels)


def _opened(w: Work, secret_id: UUID, sealed: bytes) -> str | None:
    """Read a secret; None if its key is gone: an older one must not keep the newest from signing."""
    try:
        return w.keys.decrypt(sealed, secret_id)
    except crypto.CannotDecrypt:
        return None


async def unreadable(w: Work) -> int:
    """Count the endpoints of which no secret can be read: nothing is sent to them."""
    rows = await w.sql(_SECRETS, {"now": w.now})
    readable: dict[UUID, bool] = {}
    for row in rows:
        readable[row.endpoint_id] = readable.get(row.endpoint_id, False) or _opened(w, row.id, row.sealed) is not None
    return list(readable.values()).count(False)


async def release(w: Work, parcels: Sequence[Parcel]) -> None:
    """Give back what was claimed and not begun, as if it had not been claimed."""
    if parcels:
        ids, attempts = [p.delivery_id for p in parcels], [p.attempt for p in parcels]
        await w.sql(_RELEASE, {"now": w.now, "id": ids, "attempt": attempts})


_ENDPOINT = (
    sa.select(tables.WebhookEndpoint)
    .where(col(tables.WebhookEndpoint.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)


async def settle(w: Work, lot: Lot, attempts: Sequence[Attempt]) -> None:
    """Write the attempts' outcomes, and the endpoint's health; deliveries that were claimed anew do not change."""
    if not attempts:
        return
    rows = [_row(w, attempt) for attempt in attempts]
    await w.sql(_SETTLE, {name: [row[name] for row in rows] for name in _COLUMNS} | {"now": w.now})
    endpoint = (await w.sql(_ENDPOINT, {"id": lot.endpoint_id})).scalar_one()
    await attempt_counts.add(w, "webhook", [attempt.outcome for attempt in attempts])
    if any(isinstance(attempt.outcome, outcomes.Gone) for attempt in attempts):
        await _disable(w, endpoint, "gone")
        return
    delivered = sum(isinstance(attempt.outcome, outcomes.Delivered) for attempt in attempts)
    await _judge(w, endpoint, delivered, len(attempts) - delivered)


def _row(w: Work, attempt: Attempt) -> dict[str, object]:
    parcel, outcome = attempt.parcel, attempt.outcome
    next_at, state = None, "delivered" if isinstance(outcome, outcomes.Delivered) else "refused"
    if isinstance(outcome, outcomes.Retry):
        number = parcel.attempt - parcel.attempts_before
        next_at = retry.next_attempt(number, w.now, clock.jitter(), outcome.after_seconds)
        state = "pending" if next_at else "dead"
    return {
        "id": parcel.delivery_id,
        "attempt": parcel.attempt,
        "state": state,
        "next_at": next_at,
        "error": None if isinstance(outcome, outcomes.Delivered) else outcome.error[:200],
        "began": attempt.began_at,
        "ms": attempt.duration_ms,
        "outcome": outcomes.word(outcome),
        "status": outcome.status,
        "response": outcome.response,
    }


async def _judge(w: Work, endpoint: tables.WebhookEndpoint, delivered: int, failed: int) -> None:
    """Store the endpoint's health; warn its coordinators of failures, and disable it in the end."""
    names = [field.name for field in fields(receiver.Health)]
    previous = receiver.Health(**{name: getattr(endpoint, name) for name in names})
    health = receiver.after(previous, w.now, delivered, failed)
    for name, value in asdict(health).items():
        setattr(endpoint, name, value)
    if endpoint.state != "active":
        return
    if receiver.is_given_up(health, w.now):
        await _disable(w, endpoint, "failing")
        return
    percent = receiver.warning(health, w.now)
    if percent is not None and health.failing_since is not None:
        endpoint.warned_percent = percent
        ends_at = health.failing_since + receiver.GIVEN_UP_AFTER
        await _mail(w, "webhook_failing", endpoint, disabled_at=events.instant(ends_at))


async def _disable(w: Work, endpoint: tables.WebhookEndpoint, why: str) -> None:
    """Disable the endpoint until somebody of its institution makes it active again; events are still kept."""
    if endpoint.state != "active":
        return
    endpoint.state, endpoint.why = "disabled", why
    audience = events.Audience(institution_ids=(endpoint.institution_id,))
    events.record(w, "webhook_endpoint.disabled", endpoint, endpoint.id, audience, state="disabled")
    audit.record(w, "disabled", "webhook_endpoint", endpoint.id, why=why)
    await _mail(w, f"webhook_{'gone' if why == 'gone' else 'disabled'}", endpoint)


async def _mail(w: Work, template: str, endpoint: tables.WebhookEndpoint, **values: object) -> None:
    since = endpoint.failing_since and events.instant(endpoint.failing_since)
    common = {"endpoint_id": str(endpoint.id), "failing_since": since} | values
    for person in await hearers.coordinators_of(w, endpoint.institution_id):
        await deliveries.mail(w, template=template, person=person, values=common)
