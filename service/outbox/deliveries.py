"""Mails and webhooks as rows: recorded with the change, claimed and settled by the worker.

The row is the truth; a queue job carries its id only. A claim raises the attempt and leases the row, so that a
worker that died loses nothing and a late one cannot overwrite its successor: settling compares the attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from service import tables, vocabulary
from service.kernel import audit, clock, fanout, installation, outcomes, queue
from service.kernel.work import Work
from service.outbox import attempt_counts, mail_server, offer_mails
from service.outbox.events import instant
from service.rules.delivery import retry

LEASE = timedelta(seconds=60)
"""How long a claimed delivery belongs to its worker; longer than the 15 s that a call may take."""
LEFT_WAIT = timedelta(seconds=10)
"""How long a mail whose template a worker does not know waits for a newer worker."""
URGENCY: Mapping[str, int] = MappingProxyType({"stat": 2, "asap": 1})
"""By the priority of the case: which mails leave first when many wait. All others go by age."""
BOUNCED = "bounced"
"""The mail that tells of a mail that was refused for good."""


class NewLink(NamedTuple):
    """What a button of a mail does, for one person: a row of `tables.Link`, recorded with its mail or by `put_link`."""

    id: UUID
    person_id: UUID
    purpose: str
    expires_at: datetime
    created_at: datetime
    subject_id: UUID | None = None
    starts_at: datetime | None = None


def put_link(w: Work, link: NewLink) -> None:
    """Record the link: its token is valid once this is committed."""
    w.write(tables.Link, link._asdict())


async def mail(  # noqa: PLR0913 - what a mail is made of, each by name
    w: Work,
    *,
    template: str,
    person: tables.Person,
    values: Mapping[str, Any],
    links: Mapping[str, NewLink] | None = None,
    calendar: Mapping[str, Any] | None = None,
    appointment: tables.Appointment | None = None,
    offer: tables.Offer | None = None,
    after_offer: tables.Offer | None = None,
    useless_after: datetime | None = None,
    address: str | None = None,
) -> UUID | None:
    """Record a mail to the person and give its id; values are fixed now, tokens are derived when it is rendered.

    `offer` is what the mail brings to its mentor: it leaves while that is open, however late, and never after. The mail
    about an offer that is over, or late, leaves `after_offer`, and never if no mail can have brought that one.
    It goes to the address that is theirs when it leaves, or to `address`, a former one, which is kept sealed.
    `values` and `calendar` hold ids, codes, times and counts only: no case text, no address. Whoever is disabled is
    mailed nothing but what takes an event out of their calendar, and at a former address: else there is no id.
    """
    if person.state != "active" and address is None and (calendar or {}).get("method") != "CANCEL":
        return None
    for link in (links or {}).values():
        put_link(w, link)
    payload = {
        "template": template,
        "locale": person.locale,
        "dated": instant(w.now),
        "values": {**values, "zone": person.zone},
        "links": {name: {"id": str(link.id), "purpose": link.purpose} for name, link in (links or {}).items()},
    }
    if calendar:
        payload["calendar"] = dict(calendar)
    if after_offer:
        payload["after_offer"] = str(after_offer.id)
    row_id = clock.new_id()
    row = {
        "id": row_id,
        "kind": "mail",
        "person_id": person.id,
        "appointment_id": appointment.id if appointment else None,
        "sequence": appointment.sequence if appointment else None,
        "offer_id": offer.id if offer else None,
        "payload": payload,
        "next_attempt_at": w.now,
        "sealed_address": w.seal(address, row_id),
        "useless_after": useless_after,
        "created_at": w.now,
        "request_id": w.request_id,
        "traceparent": w.traceparent,
    }
    w.write(tables.Delivery, row)
    w.jobs.append(queue.Job(row_id, 0, URGENCY.get(values.get("priority", ""), 0)))
    return row_id


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker may try now, as plain values."""

    delivery_id: UUID
    kind: str
    attempt: int
    payload: Mapping[str, Any]
    recipient: tuple[str, str] | None  # name, address
    people: Mapping[str, tuple[str, str, str]]  # id -> name, address, locale: for the attendees of an invite
    attempts_before: int = 0  # an operator has had it tried again
    late_offer_id: UUID | None = None  # the offer that it brings to its mentor, if it leaves late
    request_id: str | None = None
    traceparent: str | None = None
    is_to_mentor: bool = False  # whose own address it goes to, and who may say by it that they are away (`away_links`)


_CLAIM = sa.text(f"""
UPDATE delivery
SET attempt = delivery.attempt + CASE WHEN due.is_overtaken THEN 0 ELSE 1 END,
    state = CASE WHEN due.is_overtaken THEN 'dropped' ELSE 'pending' END,
    next_attempt_at = CASE WHEN due.is_overtaken THEN NULL ELSE CAST(:due_again_at AS timestamptz) END,
    leased_until = CASE WHEN due.is_overtaken THEN NULL ELSE clock_timestamp() + CAST(:lease AS interval) END,
    settled_at = CASE WHEN due.is_overtaken THEN CAST(:now AS timestamptz) END
FROM (
    -- Overtaken: nobody needs it any more, as its time is over, its reader was disabled and has nothing to take out of
    -- a calendar by it, a newer mail tells otherwise (INV-16), or it tells of an offer that its reader never got.
    SELECT id, coalesce(useless_after <= :now AND offer_id IS NULL, false) OR EXISTS (
        SELECT FROM offer WHERE offer.id = this.offer_id AND offer.state <> 'pending'
          AND (is_undelivered OR coalesce(timed_from, sent_at) < :late)
    ) OR (
        payload->'calendar'->>'method' IS DISTINCT FROM 'CANCEL' AND sealed_address IS NULL  -- a former one is told
        AND EXISTS (SELECT FROM person WHERE person.id = this.person_id AND person.state = 'disabled')
    ) OR EXISTS (
        SELECT FROM delivery newer
        WHERE newer.appointment_id = this.appointment_id AND newer.person_id = this.person_id
          AND newer.sequence > this.sequence AND newer.kind = 'mail'
          AND num_nonnulls(this.sealed_address, newer.sealed_address) = 0  -- a former address is told one thing
    ) OR coalesce((SELECT NOT bool_or(  -- brought it, or may have: a worker that dies leaves an attempt without its end
            state = 'delivered' OR attempt > (SELECT count(*) FROM delivery_attempt WHERE delivery_id = bringing.id)
        ) FROM delivery bringing
        WHERE bringing.offer_id = CAST(this.payload->>'after_offer' AS uuid)), false
    ) OR this.payload->>'template' = 'offer_late' AND EXISTS (  -- answered since, or taken by somebody else
        SELECT FROM offer WHERE offer.id = CAST(this.payload->>'after_offer' AS uuid) AND NOT is_late
    ) AS is_overtaken
    FROM delivery this
    WHERE id = :id AND kind = 'mail' AND state = 'pending' AND next_attempt_at <= :now AND held_at IS NULL
    AND {fanout.IS_FREE}
    AND NOT EXISTS (SELECT FROM mail_server WHERE away_since IS NOT NULL OR mail_server.held_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM delivery bringing
        WHERE bringing.offer_id = CAST(this.payload->>'after_offer' AS uuid) AND bringing.state = 'pending')
    AND NOT {installation.HELD}
    FOR UPDATE SKIP LOCKED
) due
WHERE delivery.id = due.id
RETURNING delivery.kind, delivery.state, delivery.attempt, delivery.payload, delivery.person_id,
    delivery.attempts_before, delivery.sealed_address, delivery.request_id, delivery.traceparent,
    (SELECT id FROM offer WHERE offer.id = delivery.offer_id AND coalesce(timed_from, sent_at) < :late) AS late_offer_id
""").columns(  # noqa: S608 - conditions of our own
    kind=sa.Text,
    state=sa.Text,
    attempt=sa.Integer,
    payload=postgresql.JSONB,
    person_id=sa.Uuid,
    attempts_before=sa.Integer,
    late_offer_id=sa.Uuid,
    sealed_address=sa.LargeBinary,
)

_PEOPLE = sa.text("""
SELECT id, display_name, email, locale, EXISTS (SELECT FROM mentor_profile m WHERE m.person_id = person.id) AS is_mentor
FROM person WHERE id = ANY(:ids)
""")


async def claim(w: Work, delivery_id: UUID) -> Claim | None:
    """Lease the delivery if it is due; None if it is settled, leased, dropped now, held back, or not due yet.

    None, too, while the mail server is away, and from a restored database that nobody has released.
    """
    values = {
        "id": delivery_id,
        "now": w.now,
        "due_again_at": w.now + LEASE,
        "lease": LEASE,
        "late": w.now - offer_mails.LATE,
    }
    row = (await w.sql(_CLAIM, values)).one_or_none()
    if row is None or row.state == "dropped":
        return None
    attendees = {UUID(a["person_id"]) for a in row.payload.get("calendar", {}).get("attendees", [])}
    rows = (await w.sql(_PEOPLE, {"ids": list(attendees | ({row.person_id} - {None}))})).all()
    people = {str(p.id): (p.display_name, p.email, p.locale) for p in rows}
    former = w.unseal(row.sealed_address, delivery_id)
    if former is not None and str(row.person_id) in people:
        name, _, locale = people[str(row.person_id)]
        people[str(row.person_id)] = (name, former, locale)
    recipient = people.get(str(row.person_id))
    return Claim(
        delivery_id,
        row.kind,
        row.attempt,
        row.payload,
        recipient[:2] if recipient else None,
        people,
        row.attempts_before,
        row.late_offer_id,
        row.request_id,
        row.traceparent,
        row.sealed_address is None and any(p.is_mentor for p in rows if p.id == row.person_id),
    )


_LEAVE = sa.text("""
UPDATE delivery SET attempt = attempt - 1, next_attempt_at = :again_at, leased_until = NULL, error = :error
WHERE id = :id AND attempt = :attempt AND state = 'pending'
""")


async def leave(w: Work, claimed: Claim) -> None:
    """Give the delivery back, as if it had not been claimed: it waits for a worker that knows its template."""
    await _give_back(w, claimed, w.now + LEFT_WAIT, "for a newer worker")


async def _give_back(w: Work, claimed: Claim, again_at: datetime, error: str) -> None:
    values = {"id": claimed.delivery_id, "attempt": claimed.attempt, "again_at": again_at, "error": error[:200]}
    await w.sql(_LEAVE, values)


_SETTLE = sa.text("""
WITH settled AS (
    UPDATE delivery SET state = :state, next_attempt_at = :next_attempt_at, leased_until = NULL,
        settled_at = :settled_at, error = :error
    WHERE id = :id AND attempt = :attempt AND state = 'pending'
    RETURNING id, attempt, error, person_id
),
noted AS (
    INSERT INTO delivery_attempt (delivery_id, attempt, at, duration_ms, outcome, error, status)
    SELECT id, attempt, CAST(:at AS timestamptz), CAST(:duration_ms AS int), CAST(:outcome AS text), error,
           CAST(:status AS int)
    FROM settled
)
SELECT person_id FROM settled
""")

# Of many refused mails one finds the mark unset, and tells. An address that was changed meanwhile does not match.
_MARK = sa.text("""
UPDATE person SET mail_refused_at = :now, version = version + 1
WHERE id = :id AND email = :address AND mail_refused_at IS NULL RETURNING id
""")
_UNMARK = sa.text("""
UPDATE person SET mail_refused_at = NULL, version = version + 1
WHERE id = :id AND email = :address AND mail_refused_at IS NOT NULL
""")
_KEEPERS = sa.text("""
SELECT DISTINCT keeper.id FROM role_grant g
JOIN role_grant k ON k.institution_id = g.institution_id AND k.role = 'coordinator'
    OR k.programme_id = g.programme_id AND k.role = 'programme_admin'
JOIN person keeper ON keeper.id = k.person_id AND keeper.state = 'active' AND keeper.mail_refused_at IS NULL
WHERE g.person_id = :id AND keeper.id NOT IN (:id, :but) ORDER BY keeper.id
""")
_ADMINS = sa.text("""
SELECT DISTINCT keeper.id FROM role_grant k
JOIN person keeper ON keeper.id = k.person_id AND keeper.state = 'active' AND keeper.mail_refused_at IS NULL
WHERE k.role = 'programme_admin' AND keeper.id NOT IN (:id, :but) ORDER BY keeper.id
""")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a delivery by an attempt, and whether that attempt has shown the mail server to be away."""

    state: vocabulary.DeliveryState
    is_server_lost: bool = False


async def settle(
    w: Work,
    claimed: Claim,
    outcome: outcomes.Outcome,
    started_at: datetime,
    duration_ms: int,
) -> Settled:
    """Write what came of an attempt; nothing changes if another worker has taken the delivery since.

    A server that is away costs the mail no attempt: the mail stays due, and waits with all others.
    """
    await attempt_counts.add(w, "mail", [outcome])
    if isinstance(outcome, outcomes.Away):
        await _give_back(w, claimed, w.now, outcome.error)
        return Settled("pending", await mail_server.note(w, claimed.delivery_id, outcome, started_at))
    next_attempt_at = None
    if isinstance(outcome, outcomes.Retry):
        number = claimed.attempt - claimed.attempts_before
        next_attempt_at = retry.next_attempt(number, w.now, clock.jitter(), outcome.after_seconds)
    state = state_after(outcome, next_attempt_at)
    tried = Tried(claimed.delivery_id, claimed.attempt, outcome, started_at, duration_ms)
    person_id = await write_attempt(w, tried, state, next_attempt_at)
    if person_id and _is_bounce(state, outcome) and claimed.payload["template"] != BOUNCED:
        await _tell_bounced(w, person_id, claimed)
    elif person_id and state == "delivered":
        await w.sql(_UNMARK, {"id": person_id, "address": (claimed.recipient or ("", ""))[1]})
    return Settled(state, await mail_server.note(w, claimed.delivery_id, outcome, started_at))


class Tried(NamedTuple):
    """One attempt at a delivery, and what came of it."""

    delivery_id: UUID
    attempt: int
    outcome: outcomes.Outcome
    started_at: datetime
    duration_ms: int


async def write_attempt(
    w: Work, tried: Tried, state: vocabulary.DeliveryState, next_attempt_at: datetime | None
) -> UUID | None:
    """Write the attempt and what the delivery is now; gives its person, None if another worker has taken it since."""
    outcome = tried.outcome
    values = {
        "id": tried.delivery_id,
        "attempt": tried.attempt,
        "state": state,
        "next_attempt_at": next_attempt_at,
        "settled_at": None if next_attempt_at else w.now,
        "error": None if isinstance(outcome, outcomes.Delivered) else outcome.error[:200],
        "at": tried.started_at,
        "duration_ms": tried.duration_ms,
        "outcome": outcomes.word(outcome),
        "status": outcome.status,
    }
    person_id: UUID | None = (await w.sql(_SETTLE, values)).scalar_one_or_none()
    return person_id


def state_after(outcome: outcomes.Outcome, next_attempt_at: datetime | None) -> vocabulary.DeliveryState:
    """Tell what a delivery is after an attempt with this outcome, if the next one is then."""
    if isinstance(outcome, outcomes.Retry):
        return "pending" if next_attempt_at else "dead"
    return "delivered" if isinstance(outcome, outcomes.Delivered) else "refused"


def _is_bounce(state: vocabulary.DeliveryState, outcome: outcomes.Outcome) -> bool:
    """Tell whether the outcome speaks of the recipient for good: an address refused, or a mailbox full to the end."""
    if state == "refused":
        return not isinstance(outcome, outcomes.Unsendable)
    return state == "dead" and isinstance(outcome, outcomes.Full)


async def _tell_bounced(w: Work, person_id: UUID, claimed: Claim) -> None:
    """Mail the person's keepers, once for an address; nobody is told of a refused notice."""
    _, address = claimed.recipient or ("", "")
    if (await w.sql(_MARK, {"id": person_id, "address": address, "now": w.now})).one_or_none() is None:
        return
    audit.record(w, "mail_bounced", "person", person_id, delivery_id=str(claimed.delivery_id))
    await tell_keepers(w, BOUNCED, person_id)


async def tell_keepers(
    w: Work, template: str, person_id: UUID, *, but: UUID | None = None, with_admins: bool = False
) -> None:
    """Mail the person's keepers, `but` for one of them: whose person, and the page where it is dealt with.

    Keepers are the coordinators of the person's institutions, and for an admin the programme's other admins. Where
    there is no other keeper, or none with an address that takes mail, the admins of every programme are told; with
    `with_admins` they are told in any case.
    """
    values = {"id": person_id, "but": but or person_id}
    keepers = [row.id for row in await w.sql(_KEEPERS, values)]
    if with_admins or not keepers:
        keepers += [row.id for row in await w.sql(_ADMINS, values)]
    for keeper in (await w.read_all(tables.Person, keepers)).values():
        await mail(w, template=template, person=keeper, values={"person_id": str(person_id), "page": "/people"})


_OUR_FAULT = sa.text("""
SELECT t.error FROM delivery d JOIN delivery_attempt t ON t.delivery_id = d.id AND t.attempt = d.attempt
WHERE d.kind = 'mail' AND (d.state = 'pending' OR d.state = 'dead' AND d.settled_at > :recently)
AND t.outcome = 'ours' LIMIT 1000
""")
_DEAD = sa.text("SELECT count(*) FROM delivery WHERE kind = 'mail' AND state = 'dead' AND settled_at > :recently")
RECENT = timedelta(days=30)
"""For how long an operator is told of mails that were given up."""


async def refused_for_our_fault(w: Work) -> list[str]:
    """Give what the server said to mails whose last attempt it refused for what we are or send."""
    return list((await w.sql(_OUR_FAULT, {"recently": w.now - RECENT})).scalars())


async def count_dead(w: Work) -> int:
    """Count the mails that were given up lately."""
    count: int = (await w.sql(_DEAD, {"recently": w.now - RECENT})).scalar_one()
    return count


_DROP = sa.text("""
UPDATE delivery SET state = 'dropped', next_attempt_at = NULL, leased_until = NULL, settled_at = :now
WHERE id = :id AND attempt = :attempt AND state = 'pending'
""")
_PAYLOAD = sa.text("SELECT payload FROM delivery WHERE id = :id").columns(payload=postgresql.JSONB)


async def drop(w: Work, claimed: Claim) -> None:
    """Settle a claimed mail that nobody needs any more."""
    await w.sql(_DROP, {"id": claimed.delivery_id, "attempt": claimed.attempt, "now": w.now})


async def again(w: Work, claimed: Claim) -> Claim:
    """Give the claim with what the mail says now."""
    return replace(claimed, payload=(await w.sql(_PAYLOAD, {"id": claimed.delivery_id})).scalar_one())


async def unreachable(w: Work) -> list[str]:
    """Name the programmes whose admins, and the institutions whose coordinators, all have addresses that take no mail.

    So nobody there could be told. With a case that is open, those that have nobody at all are named too.
    """
    return list((await w.sql(_UNREACHABLE)).scalars())


_UNREACHABLE = sa.text("""
WITH keeper AS (
  SELECT g.institution_id, g.programme_id, p.mail_refused_at IS NULL AS takes_mail
  FROM role_grant g JOIN person p ON p.id = g.person_id AND p.state = 'active'
  WHERE g.role IN ('programme_admin', 'coordinator')
), live AS (
  SELECT institution_id, programme_id FROM consultation
  WHERE state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')
)
SELECT p.code AS name FROM programme p
WHERE p.id IN (SELECT programme_id FROM keeper UNION SELECT programme_id FROM live)
AND NOT EXISTS (SELECT FROM keeper k WHERE k.programme_id = p.id AND k.takes_mail)
UNION
SELECT coalesce(i.code, i.name) FROM institution i
WHERE i.id IN (SELECT institution_id FROM keeper UNION SELECT institution_id FROM live)
AND NOT EXISTS (SELECT FROM keeper k WHERE k.institution_id = i.id AND k.takes_mail)
ORDER BY 1
""")


async def enqueue_due(w: Work, limit: int = 500) -> int:
    """Put due mails into the queue, retries and those that a dead worker left leased too; gives how many.

    The most urgent first, then the oldest. None while the mail server is away, all mail is held back, or the
    database was restored and not released.
    """
    if not (await mail_server.standing(w)).takes_mail or await installation.is_held(w):
        return 0
    due = (await w.sql(_DUE, {"now": w.now, "limit": limit})).all()
    w.jobs.extend(queue.Job(row.id, row.attempt, row.urgency) for row in due)
    return len(due)


MAIL_WAITS = f"""
SELECT FROM delivery WHERE kind = 'mail' AND state = 'pending' AND next_attempt_at <= :now AND held_at IS NULL
AND {fanout.IS_FREE}
AND NOT EXISTS (SELECT FROM mail_server WHERE away_since IS NOT NULL OR mail_server.held_at IS NOT NULL)
"""  # noqa: S608 - our own words
"""Whether `enqueue_due` has something to do."""
_URGENCY_SQL = " ".join(f"WHEN '{priority}' THEN {urgency}" for priority, urgency in URGENCY.items())
_DUE = sa.text(f"""
SELECT id, attempt, CASE payload -> 'values' ->> 'priority' {_URGENCY_SQL} ELSE 0 END AS urgency FROM delivery
WHERE kind = 'mail' AND state = 'pending' AND next_attempt_at <= :now AND held_at IS NULL AND {fanout.IS_FREE}
ORDER BY urgency DESC, created_at, id LIMIT :limit
""")  # noqa: S608 - our own words
