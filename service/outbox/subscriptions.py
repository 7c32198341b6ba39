"""Endpoints that partners' events are sent to, managed by the institution's coordinators or its own systems.

A secret is shown once, when it is made. What is sent, and how it fared, is in `webhooks`.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, audit, clock, crypto, errors, fanout, paging, visibility
from service.kernel.work import Work
from service.outbox import events
from service.rules.delivery import receiver
from service.rules.sentences import Sentence

MOST_ENDPOINTS = 20
MOST_OLD_SECRETS = 10
MANY_SECRETS = "{count} earlier secrets are still valid: wait until one has expired."
MOST_ATTEMPTS_SHOWN = 50
LONGEST_OVERLAP = timedelta(days=7)
RECOVERABLE = timedelta(days=14)
TEST_EVENT = "webhook_endpoint.test"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class EndpointWithKey:
    """An endpoint and its new key: the `secret` to verify with (`whsec_…`), or our `public_key` (`whpk_…`)."""

    row: tables.WebhookEndpoint
    secret: str | None
    public_key: str | None


@dataclass(frozen=True, slots=True)
class DeliveryWithAttempts:
    """A delivery with its newest attempts, oldest first."""

    row: tables.Delivery
    type: str
    attempts: tuple[tables.DeliveryAttempt, ...]


async def page(w: Work, after: UUID | None, limit: int) -> list[tables.WebhookEndpoint]:
    """Give the actor's endpoints, oldest first; one more than `limit` if others follow."""
    access.requires(w, *visibility.KEEPERS_OF_ENDPOINTS)
    return await paging.rows(w, tables.WebhookEndpoint, after=after, limit=limit)


async def register(w: Work, fields: Mapping[str, Any], institution_id: UUID | None) -> EndpointWithKey:
    """Send events to an address from now on; raises Invalid, NotFound for a memorandum that is not theirs, Exists."""
    owner_id = _institution(w, institution_id)
    await _check(w, fields)
    count = sa.select(sa.func.count()).where(
        col(tables.WebhookEndpoint.institution_id) == owner_id, col(tables.WebhookEndpoint.deleted_at).is_(None)
    )
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_key(owner_id))))
    if (await w.sql(count)).scalar_one() >= MOST_ENDPOINTS:
        raise errors.Exists(Sentence("An institution has at most {most} webhook endpoints.", most=MOST_ENDPOINTS))
    row = tables.WebhookEndpoint(
        id=clock.new_id(), institution_id=owner_id, created_by=w.actor.person_id, created_at=w.now, **fields
    )
    w.add(row)
    secret, public_key = _new_key(w, row)
    audit.record(w, "created", "webhook_endpoint", row.id)
    return EndpointWithKey(row, secret, public_key)


async def change(w: Work, row: tables.WebhookEndpoint, changes: Mapping[str, Any]) -> None:
    """Change the address, the filters, or whether anything is sent; a new address or activation resets its health."""
    await _check(w, changes)
    for name, value in changes.items():
        setattr(row, name, value)
    row.why = {"active": None, "paused": "by_hand"}.get(row.state, row.why)
    if changes.get("state") == "active" or "url" in changes:
        for name, value in _CLEAN.items():
            setattr(row, name, value)
    w.touch(row)
    audit.record(w, "changed", "webhook_endpoint", row.id, fields=sorted(changes))
    await w.sql(fanout.NOTIFY, {"endpoint": str(row.id)})


_CLEAN = {name: field.default for name, field in receiver.Health.__dataclass_fields__.items()}


async def pause_those_of(w: Work, maker_id: UUID) -> None:
    """Pause the endpoints that this system or person made, until somebody makes them active again."""
    kind = tables.WebhookEndpoint
    active = sa.select(kind).where(
        col(kind.created_by) == maker_id, col(kind.state) == "active", col(kind.deleted_at).is_(None)
    )
    for row in (await w.sql(active.order_by(col(kind.id)).with_for_update())).scalars().all():
        row.state, row.why = "paused", "by_hand"
        w.touch(row)
        audit.record(w, "paused", "webhook_endpoint", row.id, made_by=str(maker_id))
        await w.sql(fanout.NOTIFY, {"endpoint": str(row.id)})


async def delete(w: Work, row: tables.WebhookEndpoint) -> None:
    """End the endpoint: nothing more is sent, and its secrets are deleted."""
    row.deleted_at = w.now
    w.touch(row)
    await w.sql(sa.delete(tables.WebhookSecret).where(col(tables.WebhookSecret.endpoint_id) == row.id))
    await w.sql(
        sa.update(tables.Delivery)
        .where(col(tables.Delivery.endpoint_id) == row.id, col(tables.Delivery.state) == "pending")
        .values(state="dropped", next_attempt_at=None, settled_at=w.now)
    )
    audit.record(w, "deleted", "webhook_endpoint", row.id)


async def rotate(w: Work, row: tables.WebhookEndpoint, overlap: timedelta) -> tuple[EndpointWithKey, datetime]:
    """Sign with a new key, and with the old ones too until the overlap (0 to 7 days) is over; gives when that is.

    No old key signs for longer, whatever an earlier overlap was. Raises Conflict when there would be more than ten.
    """
    secret, until = tables.WebhookSecret, w.now + min(overlap, LONGEST_OVERLAP)
    of_endpoint = col(secret.endpoint_id) == row.id
    ending = sa.func.least(sa.func.coalesce(col(secret.expires_at), until), until)
    await w.sql(sa.update(secret).where(of_endpoint).values(expires_at=ending))
    await w.sql(sa.delete(secret).where(of_endpoint, col(secret.expires_at) <= w.now))
    if (await w.sql(sa.select(sa.func.count()).where(of_endpoint))).scalar_one() > MOST_OLD_SECRETS:
        raise errors.Conflict(Sentence(MANY_SECRETS, count=MOST_OLD_SECRETS))
    endpoint_key = EndpointWithKey(row, *_new_key(w, row))
    w.touch(row)
    audit.record(w, "rotated", "webhook_endpoint", row.id)
    return endpoint_key, until


async def test(w: Work, row: tables.WebhookEndpoint) -> tables.Delivery:
    """Send a test event, which tells of no change, to this endpoint alone; raises Conflict unless it is active."""
    _requires_active(row)
    row_id = clock.new_id()
    links = {"self": f"{w.base_path}/v1/webhook-endpoints/{row.id}"}
    data = {"id": str(row.id), "version": row.version, "state": row.state, "links": links}
    delivery = tables.Delivery(
        id=row_id,
        kind="webhook",
        endpoint_id=row.id,
        body=events.body(TEST_EVENT, w.now, data),
        next_attempt_at=w.now,
        request_id=w.request_id,
        traceparent=w.traceparent,
        created_at=w.now,
    )
    w.add(delivery)
    await w.sql(fanout.NOTIFY, {"endpoint": str(row.id)})
    return delivery


async def log(
    w: Work, row: tables.WebhookEndpoint, before: UUID | None, limit: int, state: str | None = None
) -> list[DeliveryWithAttempts]:
    """Give the endpoint's deliveries with their newest attempts, newest first; at most one more than `limit`."""
    delivery = tables.Delivery
    statement = sa.select(delivery).where(col(delivery.endpoint_id) == row.id, col(delivery.kind) == "webhook")
    if before is not None:
        statement = statement.where(col(delivery.id) < before)
    if state is not None:
        statement = statement.where(col(delivery.state) == state)
    rows = (await w.sql(statement.order_by(col(delivery.id).desc()).limit(limit + 1))).scalars().all()
    return await _with_attempts(w, rows)


async def resend(w: Work, delivery_id: UUID) -> DeliveryWithAttempts:
    """Send one delivery again under its id, with a new schedule of retries; raises NotFound, Conflict."""
    statement = sa.select(tables.Delivery).where(col(tables.Delivery.id) == delivery_id).with_for_update()
    row: tables.Delivery | None = (await w.sql(statement)).scalar_one_or_none()
    if row is None or row.endpoint_id is None:
        raise errors.NotFound
    _requires_active(await access.visible_webhook_endpoint(w, row.endpoint_id))
    row.state, row.next_attempt_at, row.settled_at = "pending", w.now, None
    row.attempts_before = row.attempt
    audit.record(w, "resent", "webhook_delivery", row.id)
    await w.sql(fanout.NOTIFY, {"endpoint": str(row.endpoint_id)})
    return (await _with_attempts(w, [row]))[0]


async def recover(w: Work, row: tables.WebhookEndpoint, since: datetime) -> int:
    """Send everything that the endpoint missed since an instant, at most 14 days ago; gives how many deliveries."""
    _requires_active(row)
    if since < w.now - RECOVERABLE:
        raise errors.Invalid("/since", Sentence("must be at most {days} days ago", days=RECOVERABLE.days))
    values: dict[str, object] = {"endpoint": row.id, "since": since, "now": w.now}
    values |= {"request_id": w.request_id, "traceparent": w.traceparent}
    count = (await w.sql(fanout.RECOVER, values)).scalar_one()
    audit.record(w, "recovered", "webhook_endpoint", row.id, since=since.isoformat(), count=count)
    await w.sql(fanout.NOTIFY, {"endpoint": str(row.id)})
    return int(count)


async def public_keys(w: Work, rows: Sequence[tables.WebhookEndpoint]) -> dict[UUID, str | None]:
    """Give the current public key of each endpoint that has one."""
    secret = tables.WebhookSecret
    statement = sa.select(col(secret.endpoint_id), col(secret.public_key)).where(
        col(secret.endpoint_id).in_([row.id for row in rows]), col(secret.expires_at).is_(None)
    )
    return {row.endpoint_id: row.public_key for row in (await w.sql(statement)).all()}


def _institution(w: Work, institution_id: UUID | None) -> UUID:
    """Tell which institution's endpoint it will be: the caller's own, which must be named if there are several."""
    institution_ids = w.actor.institutions(*visibility.KEEPERS_OF_ENDPOINTS)
    if not institution_ids:
        raise errors.Forbidden
    if institution_id is None and len(institution_ids) > 1:
        raise errors.Invalid("/institution_id", "you keep several institutions: name one")
    owner_id = institution_id or next(iter(institution_ids))
    access.requires_at(w, owner_id, *visibility.KEEPERS_OF_ENDPOINTS)
    return owner_id


async def _check(w: Work, fields: Mapping[str, Any]) -> None:
    for place, type_ in enumerate(fields.get("types", ())):
        if type_ not in vocabulary.EVENT_TYPES:
            raise errors.Invalid(f"/types/{place}", "no event has this type")
    for memorandum_id in fields.get("memoranda", ()):
        await access.visible_memorandum(w, memorandum_id)


def _requires_active(row: tables.WebhookEndpoint) -> None:
    if row.state != "active":
        raise errors.Conflict(Sentence("The endpoint is {state}: make it active first.", state=row.state))


def _new_key(w: Work, row: tables.WebhookEndpoint) -> tuple[str | None, str | None]:
    """Make the key that signs from now on; gives the secret to show once, or the public key."""
    row_id, private = clock.new_id(), clock.random_bytes(_SECRET_BYTES)
    public = f"whpk_{_text(crypto.public_key(private))}" if row.signature == "v1a" else None
    w.add(
        tables.WebhookSecret(
            id=row_id,
            endpoint_id=row.id,
            sealed=w.keys.encrypt(_text(private), row_id),
            public_key=public,
            created_at=w.now,
        )
    )
    return (None, public) if public else (f"whsec_{_text(private)}", None)


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _key(institution_id: UUID) -> int:
    return int.from_bytes(institution_id.bytes[8:], signed=True)


async def _with_attempts(w: Work, rows: Sequence[tables.Delivery]) -> list[DeliveryWithAttempts]:
    """Give the deliveries with their newest attempts only: each resending may add ten more, without a limit."""
    attempt_table, delivery_table = tables.DeliveryAttempt, tables.Delivery
    newest = (
        sa.select(attempt_table)
        .where(col(attempt_table.delivery_id) == col(delivery_table.id))
        .order_by(col(attempt_table.attempt).desc())
        .limit(MOST_ATTEMPTS_SHOWN)
        .lateral()
    )
    newest_attempt = aliased(attempt_table, newest)
    statement = (
        sa.select(newest_attempt)
        .select_from(delivery_table)
        .join(newest, sa.true())
        .where(col(delivery_table.id).in_([row.id for row in rows]))
        .order_by(newest.c.delivery_id, newest.c.attempt)
    )
    attempts: dict[UUID, list[tables.DeliveryAttempt]] = {row.id: [] for row in rows}
    for attempt in (await w.sql(statement)).scalars():
        attempts[attempt.delivery_id].append(attempt)
    return [DeliveryWithAttempts(row, events.read(row.body or "")["type"], tuple(attempts[row.id])) for row in rows]
