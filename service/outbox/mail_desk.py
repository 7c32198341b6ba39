"""What an operator does about mails: find them, see why one has not left, have them tried again, hold them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import audit, email_addresses
from service.kernel.work import Work

_MAIL = tables.Delivery


@dataclass(frozen=True, slots=True)
class Explained:
    """A mail, its attempts, oldest first, and whose it is."""

    mail: tables.Delivery
    attempts: Sequence[tables.DeliveryAttempt]
    queued_at: datetime | None  # since when the queue has a job for it, by the database's clock


async def find(
    w: Work,
    *,
    state: vocabulary.DeliveryState | None = None,
    email: str | None = None,
    before: datetime | None = None,
    limit: int = 100,
) -> list[tables.Delivery]:
    """Give mails of this state, to the person with this address, recorded before then: the oldest first."""
    statement = sa.select(_MAIL).where(col(_MAIL.kind) == "mail")
    if state:
        statement = statement.where(col(_MAIL.state) == state)
    if email:
        person = sa.select(col(tables.Person.id)).where(
            sa.func.lower(col(tables.Person.email)) == email_addresses.as_stored(email).lower()
        )
        statement = statement.where(col(_MAIL.person_id).in_(person))
    if before:
        statement = statement.where(col(_MAIL.created_at) < before)
    return list((await w.sql(statement.order_by(col(_MAIL.created_at), col(_MAIL.id)).limit(limit))).scalars())


async def explain(w: Work, mail_id: UUID) -> Explained | None:
    """Give the mail with its attempts; None if there is none."""
    mail = await w.find(_MAIL, mail_id)
    if mail is None or mail.kind != "mail":
        return None
    attempt = tables.DeliveryAttempt
    rows = await w.sql(sa.select(attempt).where(col(attempt.delivery_id) == mail_id).order_by(col(attempt.attempt)))
    queued_at = (await w.sql(_QUEUED, {"id": mail_id.bytes})).scalar_one()
    return Explained(mail, list(rows.scalars()), queued_at)


_QUEUED = sa.text("SELECT min(created) FROM queue.pgqueuer WHERE payload = :id")  # a job that is done is no row


_RETRY = """
UPDATE delivery SET state = 'pending', next_attempt_at = :now, settled_at = NULL, attempts_before = attempt
WHERE kind = 'mail' AND {which} RETURNING id
"""
_ONE = sa.text(_RETRY.format(which="id = :id AND (state = 'pending' OR state = 'refused' OR state = 'dead')"))
_DEAD = sa.text(_RETRY.format(which="state = 'dead'"))
_REFUSED = sa.text(
    _RETRY.format(
        which="(state = 'refused' OR (state = 'pending' OR state = 'dead') AND EXISTS (SELECT FROM delivery_attempt t"
        " WHERE t.delivery_id = delivery.id AND t.attempt = delivery.attempt AND t.outcome = 'ours'))"
    )
)


async def retry_one(w: Work, mail_id: UUID) -> bool:
    """Have this mail tried now, with its whole schedule anew; False if it was delivered or dropped, or is none."""
    is_found = (await w.sql(_ONE, {"id": mail_id, "now": w.now})).one_or_none() is not None
    if is_found:
        audit.record(w, "resent", "delivery", mail_id)
    return is_found


async def retry_dead(w: Work) -> int:
    """Have every mail tried again that was given up; gives how many."""
    return await _retry(w, _DEAD, "dead")


async def retry_refused(w: Work) -> int:
    """Have every mail tried again that was refused, for the address's fault or for ours; gives how many."""
    return await _retry(w, _REFUSED, "refused")


async def _retry(w: Work, statement: sa.TextClause, which: str) -> int:
    count = len((await w.sql(statement, {"now": w.now})).all())
    audit.record(w, "resent", "delivery", None, which=which, count=count)
    return count


_HOLD = sa.text("""
UPDATE delivery SET held_at = :now WHERE id = :id AND kind = 'mail' AND state = 'pending' AND held_at IS NULL
RETURNING id
""")
_RELEASE = sa.text("UPDATE delivery SET held_at = NULL WHERE id = :id AND held_at IS NOT NULL RETURNING id")


async def hold_one(w: Work, mail_id: UUID) -> bool:
    """Hold this mail back until it is released; False if it is held already, or does not wait."""
    return await _changed(w, _HOLD, mail_id, "held")


async def release_one(w: Work, mail_id: UUID) -> bool:
    """Let this mail leave; False if it was not held."""
    return await _changed(w, _RELEASE, mail_id, "released")


async def _changed(w: Work, statement: sa.TextClause, mail_id: UUID, action: vocabulary.AuditAction) -> bool:
    is_changed = (await w.sql(statement, {"id": mail_id, "now": w.now})).one_or_none() is not None
    if is_changed:
        audit.record(w, action, "delivery", mail_id)
    return is_changed
