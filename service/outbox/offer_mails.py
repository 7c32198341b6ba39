"""The mails that bring offers to their mentors: whether they have left, and until when they say one may answer."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from service import tables, vocabulary
from service.kernel.work import Work
from service.outbox.events import instant
from service.rules import lifecycle

LATE = timedelta(seconds=60)
"""A mail that leaves later than this after it was recorded takes none of the mentor's time."""

# Under way: recorded a moment ago, or claimed, and nothing has come of it yet. Such a mail may arrive at any moment.
_STATES = sa.text("""
SELECT offer_id, CASE WHEN bool_or(state = 'delivered' OR is_under_way) THEN 'sent'
                      WHEN bool_or(state = 'pending') THEN 'waiting' ELSE 'failed' END AS mail
FROM (
  SELECT offer_id, state, state = 'pending' AND CASE attempt WHEN 0 THEN created_at >= :moment_ago AND NOT EXISTS (
      SELECT FROM mail_server WHERE away_since IS NOT NULL OR mail_server.held_at IS NOT NULL)
    ELSE NOT EXISTS (
      SELECT FROM delivery_attempt t WHERE t.delivery_id = d.id AND t.attempt = d.attempt) END AS is_under_way
  FROM delivery d WHERE offer_id = ANY(:offers)
) AS mails GROUP BY offer_id
""").bindparams(sa.bindparam("offers", type_=postgresql.ARRAY(sa.Uuid)))
_UNREACHED = sa.text("""
UPDATE offer SET is_undelivered = true
FROM delivery given_up
WHERE given_up.id = :delivery AND given_up.state <> 'pending' AND given_up.state <> 'delivered'
AND offer.id = given_up.offer_id AND (offer.state = 'expired' OR offer.state = 'withdrawn')
AND NOT is_undelivered AND counter_starts = '{}'
AND NOT EXISTS (SELECT FROM delivery d WHERE d.offer_id = offer.id AND (d.state = 'pending' OR d.state = 'delivered'))
""").bindparams(sa.bindparam("delivery", type_=sa.Uuid))
_PUT_OFF = sa.text("""
UPDATE delivery
SET useless_after = :answer_by, payload = jsonb_set(payload, '{values,answer_by}', to_jsonb(CAST(:told AS text)))
WHERE offer_id = :offer AND state = 'pending'
""").bindparams(sa.bindparam("offer", type_=sa.Uuid))
_PROLONG = sa.text("""
UPDATE link SET expires_at = :until
WHERE expires_at IN (:before, :closed_before) AND subject_id = :offer AND purpose LIKE 'offer.%'
""")


async def states(w: Work, offers: Iterable[tables.Offer]) -> Mapping[UUID, vocabulary.OfferMail]:
    """Tell what became of the mails of these offers; what an older program recorded counts as sent."""
    ids = [offer.id for offer in offers]
    if not ids:
        return {}
    rows = await w.sql(_STATES, {"offers": ids, "moment_ago": w.now - LATE})
    mails: dict[UUID, vocabulary.OfferMail] = dict.fromkeys(ids, "sent")
    return mails | {row.offer_id: row.mail for row in rows}


async def note_unreached(w: Work, delivery_id: UUID) -> None:
    """An offer that is over has reached nobody if this was its last mail, and it is given up.

    While that mail waited for its first attempt, it was taken to be on its way.
    """
    await w.sql(_UNREACHED, {"delivery": delivery_id})


async def put_off(w: Work, offer: tables.Offer, consultation: tables.Consultation, before: datetime) -> None:
    """Have the mail that still waits, and its links, say until when the offer can be answered now.

    No server has taken that mail yet, so nobody sees one Message-ID with two texts.
    """
    await w.sql(_PUT_OFF, {"offer": offer.id, "answer_by": offer.answer_by, "told": instant(offer.answer_by)})
    await prolong_links(w, offer, consultation, before)


async def prolong_links(w: Work, offer: tables.Offer, consultation: tables.Consultation, before: datetime) -> None:
    """Let the links of the offer's mails be valid as long as it can be answered now; it was pending until `before`.

    Those of an older program ended at that time, ours when the offer would have been closed.
    """
    closed_before, until = (
        lifecycle.closes_at(answer_by, consultation.state, consultation.answer_due_at)
        for answer_by in (before, offer.answer_by)
    )
    values = {"offer": offer.id, "before": before, "closed_before": closed_before, "until": until}
    await w.sql(_PROLONG, values)
