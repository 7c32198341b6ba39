"""Mails and webhooks as rows: recorded with the change, claimed and settled by the worker.

The row is the truth; a queue job carries its id only. A claim raises the attempt and leases the row, so that a
worker that died loses nothing and a late one cannot overwrite its successor: settling compares the attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import clock, outcomes, tables
from service.events import instant
from service.rules import retry
from service.work import Work

LEASE = timedelta(seconds=60)
"""How long a claimed delivery belongs to its worker; longer than the 15 s that a call may take."""


async def mail(  # noqa: PLR0913 - what a mail is made of, each by name
    w: Work,
    *,
    template: str,
    person: tables.Person,
    values: Mapping[str, Any],
    links: Mapping[str, tables.Link] | None = None,
    event: tables.Event | None = None,
    calendar: Mapping[str, Any] | None = None,
    appointment: tables.Appointment | None = None,
    useless_after: datetime | None = None,
) -> tables.Delivery:
    """Have a mail sent to the person; every value is settled now, tokens are derived when it is rendered.

    `values` and `calendar` hold ids, codes, times and counts only: no case text, no address.
    """
    w.add(*(links or {}).values())
    payload = {
        "template": template,
        "locale": person.locale,
        "dated": instant(w.now),
        "values": {**values, "zone": person.zone},
        "links": {name: {"id": str(link.id), "purpose": link.purpose} for name, link in (links or {}).items()},
    }
    if calendar:
        payload["calendar"] = dict(calendar)
    row = tables.Delivery(
        id=clock.new_id(),
        kind="mail",
        event_id=event.id if event else None,
        person_id=person.id,
        appointment_id=appointment.id if appointment else None,
        sequence=appointment.sequence if appointment and calendar else None,
        payload=payload,
        next_attempt_at=w.now,
        useless_after=useless_after,
        created_at=w.now,
    )
    w.add(row)
    w.jobs.append((row.id, 0))
    return row


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker may try now, as plain values."""

    delivery_id: UUID
    kind: str
    attempt: int
    payload: Mapping[str, Any]
    recipient: tuple[str, str] | None  # name, address
    people: Mapping[str, tuple[str, str, str]]  # id -> name, address, locale: for the attendees of an invite


async def claim(w: Work, delivery_id: UUID) -> Claim | None:
    """Lease the delivery if it is due; None if it is settled, leased, dropped now, or not due yet."""
    row = (
        await w.session.exec(
            sa.select(tables.Delivery)  # type: ignore[call-overload]
            .where(
                col(tables.Delivery.id) == delivery_id,
                col(tables.Delivery.state) == "pending",
            )
            .where(col(tables.Delivery.next_attempt_at) <= w.now)
            .with_for_update(skip_locked=True)
        )
    ).scalar_one_or_none()
    if row is None:
        return None
    if await _overtaken(w, row):
        row.state, row.next_attempt_at, row.settled_at = "dropped", None, w.now
        return None
    row.attempt += 1
    row.next_attempt_at = w.now + LEASE
    attendees = [UUID(a["person_id"]) for a in row.payload.get("calendar", {}).get("attendees", [])]
    people = (
        await w.session.exec(
            sa.select(tables.Person).where(col(tables.Person.id).in_({*attendees, row.person_id} - {None}))  # type: ignore[call-overload]
        )
    ).scalars()
    known = {str(p.id): (p.display_name, p.email, p.locale) for p in people}
    recipient = known.get(str(row.person_id))
    return Claim(
        row.id,
        row.kind,
        row.attempt,
        row.payload,
        recipient[:2] if recipient else None,
        known,
    )


async def settle(
    w: Work,
    claimed: Claim,
    outcome: outcomes.Outcome,
    started_at: datetime,
    duration_ms: int,
) -> None:
    """Write what came of an attempt; nothing changes if another worker has taken the delivery since."""
    row = (
        await w.session.exec(
            sa.select(tables.Delivery)  # type: ignore[call-overload]
            .where(
                col(tables.Delivery.id) == claimed.delivery_id,
                col(tables.Delivery.attempt) == claimed.attempt,
            )
            .where(col(tables.Delivery.state) == "pending")
            .with_for_update()
        )
    ).scalar_one_or_none()
    if row is None:
        return
    row.error = None if isinstance(outcome, outcomes.Delivered) else outcome.error[:200]
    if isinstance(outcome, outcomes.Retry):
        row.next_attempt_at = retry.next_attempt(row.attempt, w.now, clock.jitter(), outcome.after_seconds)
        row.state = "pending" if row.next_attempt_at else "dead"
    else:
        row.next_attempt_at = None
        row.state = "delivered" if isinstance(outcome, outcomes.Delivered) else "refused"
    row.settled_at = None if row.state == "pending" else w.now
    w.add(
        tables.DeliveryAttempt(
            delivery_id=row.id,
            attempt=row.attempt,
            at=started_at,
            duration_ms=duration_ms,
            outcome=type(outcome).__name__.lower(),
            error=row.error,
        )
    )


async def enqueue_due(w: Work, limit: int = 500) -> int:
    """Put what is due into the queue: retries, and what a dead worker left leased."""
    due = (
        await w.session.exec(
            sa.select(col(tables.Delivery.id), col(tables.Delivery.attempt))  # type: ignore[call-overload]
            .where(
                col(tables.Delivery.state) == "pending",
                col(tables.Delivery.next_attempt_at) <= w.now,
            )
            .order_by(col(tables.Delivery.next_attempt_at))
            .limit(limit)
        )
    ).all()
    w.jobs.extend((row.id, row.attempt) for row in due)
    return len(due)


async def _overtaken(w: Work, row: tables.Delivery) -> bool:
    """Tell whether nobody needs this any more: its time is over, or a newer invite was recorded (INV-16)."""
    if row.useless_after and row.useless_after <= w.now:
        return True
    if row.sequence is None or row.appointment_id is None:
        return False
    newer = (
        sa.select(col(tables.Delivery.id))
        .where(col(tables.Delivery.appointment_id) == row.appointment_id)
        .where(
            col(tables.Delivery.person_id) == row.person_id,
            col(tables.Delivery.sequence) > row.sequence,
        )
        .where(col(tables.Delivery.kind) == "mail")
        .limit(1)
    )
    return (await w.session.exec(newer)).first() is not None  # type: ignore[call-overload]
