"""News: what is told at once beside its mail, by push and text message, to whoever has switched that on.

Deliveries like mails: rows in the transaction of the change, taken from the same queue, tried again by the same
schedule. Two things differ. News has a time after which nobody needs it, and is dropped then: what a push service was
away for is not told hours later. And each receiver is told one thing once (`Delivery.about`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from service import tables, vocabulary
from service.kernel import clock, fanout, installation, outcomes, queue
from service.kernel.work import Work
from service.outbox import attempt_counts, deliveries, push_subscriptions
from service.outbox.events import instant
from service.rules.delivery import retry

_KINDS = ", ".join(f"'{channel}'" for channel in vocabulary.CHANNELS)


async def offer_sent(w: Work, mentor: tables.Person, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Tell the mentor that they are asked, if it cannot wait: until their answer is due."""
    if consultation.priority in vocabulary.TOLD_AT_ONCE:
        await _record(w, "offer", f"offer:{offer.id}", [mentor], offer.answer_by, {"subject_id": str(offer.id)})


async def call_begins(w: Work, appointment: tables.Appointment, people: Sequence[tables.Person]) -> None:
    """Tell everybody who takes part that the call begins, until it should have begun."""
    starts_at = instant(appointment.starts_at)
    values = {"subject_id": str(appointment.id), "starts_at": starts_at}
    await _record(w, "call", f"call:{appointment.id}:{starts_at}", people, appointment.starts_at, values)


async def _record(
    w: Work,
    news: vocabulary.News,
    about: str,
    people: Sequence[tables.Person],
    until: datetime,
    values: Mapping[str, Any],
) -> None:
    """Record it for each device and telephone; people who were told of it on one are not told there again."""
    pushed = {person.id for person in people if f"{news}.push" in person.notices and person.state == "active"}
    receivers: list[tuple[vocabulary.Channel, UUID, UUID | None]] = [
        ("sms", person.id, None) for person in people if f"{news}.sms" in person.notices and person.phone
    ]
    if pushed:
        bound = {"people": list(pushed), "now": w.now}
        rows = await w.sql(_SUBSCRIPTIONS, bound, after_changes=False)
        receivers += [("push", row.person_id, row.id) for row in rows]
    if not receivers:
        return
    common = {
        "about": about,
        "payload": {"news": news, **values},
        "state": "pending",
        "attempt": 0,
        "next_attempt_at": w.now,
        "useless_after": until,
        "created_at": w.now,
        "request_id": w.request_id,
        "traceparent": w.traceparent,
    }
    made = [
        {"id": clock.new_id(), "kind": kind, "person_id": person_id, "subscription_id": subscription_id} | common
        for kind, person_id, subscription_id in receivers
    ]
    table = tables.Delivery.__table__  # type: ignore[attr-defined]
    statement = postgresql.insert(table).values(made).on_conflict_do_nothing().returning(table.c.id)
    new = await w.sql(statement, after_changes=False)
    w.jobs.extend(queue.Job(row.id, 0, deliveries.URGENCY["stat"], queue.TELL) for row in new)


_SUBSCRIPTIONS = sa.text(f"""
SELECT s.id, s.person_id FROM push_subscription s WHERE s.person_id = ANY(:people) AND {push_subscriptions.LIVES}
""").bindparams(sa.bindparam("people", type_=postgresql.ARRAY(sa.Uuid)))  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class Claim:
    """News that this worker may try to tell now: what, in which language, by whose clock, and to where.

    `receiver` is the device of a push, `phone` the number of a text message; `about` is what it tells of.
    """

    delivery_id: UUID
    kind: vocabulary.Channel
    attempt: int
    attempts_before: int
    news: vocabulary.News
    about: str
    until: datetime
    locale: str
    zone: str
    subscription_id: UUID | None
    receiver: push_subscriptions.Receiver | None
    phone: str | None
    request_id: str | None
    traceparent: str | None


_IS_OVER = f"""\
d.useless_after <= :now
OR p.state <> 'active' OR NOT (d.payload->>'news' || '.' || d.kind = ANY(p.notices))
OR NOT EXISTS (SELECT FROM role_grant g WHERE g.person_id = p.id)
OR d.kind = 'sms' AND p.phone IS NULL
OR d.kind = 'push' AND NOT EXISTS (
    SELECT FROM push_subscription s
    WHERE s.id = d.subscription_id AND s.person_id = p.id AND {push_subscriptions.LIVES})
OR d.payload->>'news' = 'offer' AND NOT EXISTS (
    SELECT FROM offer o WHERE o.id = CAST(d.payload->>'subject_id' AS uuid) AND o.state = 'pending')
OR d.payload->>'news' = 'call' AND NOT EXISTS (
    SELECT FROM appointment a JOIN participant x ON x.appointment_id = a.id AND x.person_id = p.id
    WHERE a.id = CAST(d.payload->>'subject_id' AS uuid) AND a.status = 'booked'
    AND a.starts_at = CAST(d.payload->>'starts_at' AS timestamptz))
"""  # noqa: S608 - our own words
"""Whether nobody needs the news any more: its time is over, it was switched off, or it is no longer so."""
_CLAIM = sa.text(f"""
UPDATE delivery
SET attempt = delivery.attempt + CASE WHEN due.is_over THEN 0 ELSE 1 END,
    state = CASE WHEN due.is_over THEN 'dropped' ELSE 'pending' END,
    next_attempt_at = CASE WHEN due.is_over THEN NULL ELSE CAST(:due_again_at AS timestamptz) END,
    leased_until = CASE WHEN due.is_over THEN NULL ELSE clock_timestamp() + CAST(:lease AS interval) END,
    settled_at = CASE WHEN due.is_over THEN CAST(:now AS timestamptz) END
FROM (
    SELECT d.id, p.locale, p.zone, p.phone, coalesce({_IS_OVER}, true) AS is_over
    FROM delivery d JOIN person p ON p.id = d.person_id
    WHERE d.id = :id AND d.kind IN ({_KINDS}) AND d.state = 'pending' AND d.next_attempt_at <= :now
    AND {fanout.IS_FREE} AND NOT {installation.HELD}
    FOR UPDATE OF d SKIP LOCKED
) due
WHERE delivery.id = due.id
RETURNING delivery.kind, delivery.state, delivery.attempt, delivery.attempts_before, delivery.payload, delivery.about,
    delivery.useless_after, due.locale, due.zone, delivery.subscription_id, due.phone, delivery.request_id,
    delivery.traceparent, (SELECT sealed FROM push_subscription s WHERE s.id = delivery.subscription_id) AS sealed
""").columns(  # noqa: S608 - conditions of our own
    kind=sa.Text,
    state=sa.Text,
    attempt=sa.Integer,
    attempts_before=sa.Integer,
    payload=postgresql.JSONB,
    about=sa.Text,
    useless_after=sa.TIMESTAMP(timezone=True),
    locale=sa.Text,
    zone=sa.Text,
    subscription_id=sa.Uuid,
    phone=sa.Text,
    request_id=sa.Text,
    traceparent=sa.Text,
    sealed=sa.LargeBinary,
)


async def claim(w: Work, delivery_id: UUID) -> Claim | None:
    """Lease the delivery if it is due; None if it is no news, settled, leased, dropped now, held back, or not due."""
    lease = deliveries.LEASE
    values = {"id": delivery_id, "now": w.now, "due_again_at": w.now + lease, "lease": lease}
    row = (await w.sql(_CLAIM, values)).one_or_none()
    if row is None or row.state == "dropped":
        return None
    opened = w.unseal(row.sealed, row.subscription_id) if row.subscription_id else None
    return Claim(
        delivery_id,
        row.kind,
        row.attempt,
        row.attempts_before,
        cast("vocabulary.News", row.payload["news"]),
        row.about,
        row.useless_after,
        row.locale,
        row.zone,
        row.subscription_id,
        push_subscriptions.Receiver(**json.loads(opened)) if opened else None,
        row.phone if row.kind == "sms" else None,
        row.request_id,
        row.traceparent,
    )


async def settle(
    w: Work, claimed: Claim, outcome: outcomes.Outcome, started_at: datetime, duration_ms: int
) -> vocabulary.DeliveryState:
    """Write what came of an attempt; what cannot be tried again in time is given up, a device that is gone forgotten.

    Nothing changes if another worker has taken the delivery since.
    """
    await attempt_counts.add(w, claimed.kind, [outcome])
    next_attempt_at = None
    if isinstance(outcome, outcomes.Retry):
        number = claimed.attempt - claimed.attempts_before
        next_attempt_at = retry.next_attempt(number, w.now, clock.jitter(), outcome.after_seconds)
        if next_attempt_at is not None and next_attempt_at >= claimed.until:
            next_attempt_at = None
    state = deliveries.state_after(outcome, next_attempt_at)
    tried = deliveries.Tried(claimed.delivery_id, claimed.attempt, outcome, started_at, duration_ms)
    await deliveries.write_attempt(w, tried, state, next_attempt_at)
    if isinstance(outcome, outcomes.Gone) and claimed.subscription_id:
        await push_subscriptions.remove(w, claimed.subscription_id)
    return state


WAITS = f"""
SELECT FROM delivery WHERE kind IN ({_KINDS}) AND state = 'pending' AND next_attempt_at <= :now AND {fanout.IS_FREE}
"""
"""Whether `enqueue_due` has something to do."""
_DUE = sa.text(f"""
SELECT id, attempt FROM delivery WHERE kind IN ({_KINDS}) AND state = 'pending' AND next_attempt_at <= :now
AND {fanout.IS_FREE} ORDER BY next_attempt_at LIMIT :limit
""")  # noqa: S608 - our own words


async def enqueue_due(w: Work, limit: int = 500) -> None:
    """Put due news into the queue, the longest due first; none of a restored database that nobody has released."""
    if not await installation.is_held(w):
        due = await w.sql(_DUE, {"now": w.now, "limit": limit})
        w.jobs.extend(queue.Job(row.id, row.attempt, deliveries.URGENCY["stat"], queue.TELL) for row in due)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How much news of a kind was not told lately, and what the last attempts said."""

    kind: str
    count: int
    errors: Sequence[str]


async def given_up(w: Work) -> list[GivenUp]:
    """Tell what was given up lately, other than for devices that are gone."""
    rows = await w.sql(_GIVEN_UP, {"recently": w.now - deliveries.RECENT})
    return [GivenUp(*row) for row in rows]


_GIVEN_UP = sa.text(f"""
SELECT kind, count(*) AS count, array_agg(DISTINCT error) FROM delivery
WHERE kind IN ({_KINDS}) AND (state = 'dead' OR state = 'refused') AND settled_at > :recently
AND error IS DISTINCT FROM 'gone' GROUP BY kind ORDER BY kind
""")  # noqa: S608 - our own words
