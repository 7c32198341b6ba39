"""The link of every mail to a mentor by which they are away from now on, for a while, derived from the mail's row.

Mails are forwarded, so what it does is little: it adds one absence of a month at most, which takes nothing away that
was agreed, shows nothing of the mentor's days, and is told to the mentor. Whoever wants more signs in. One use revokes
the links of all mails until then, and each ends after two weeks; it also ends with the address that it was mailed to,
and when the mentor is disabled. No row is made for it before it is used.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from service import tables, vocabulary
from service.kernel import access, clock, errors
from service.kernel.work import Work
from service.outbox import notices
from service.people import mentors
from service.rules.time import availability
from service.rules.time.availability import DatedHours

LIFE = timedelta(days=14)
LONGEST_ABSENCE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class AwayLink:
    """What the link of a mail stands for now: it can be used, this one was used, or it is over."""

    mail_id: UUID
    person_id: UUID
    standing: Literal["ready", "used", "over"]


async def read(w: Work, token: str) -> AwayLink:
    """Give the link behind the token; raises LinkInvalid when it is not ours. Changes nothing."""
    row_and_purpose = w.keys.link_row(token, vocabulary.AWAY)
    if row_and_purpose is None:
        raise errors.LinkInvalid
    return await _of_mail(w, row_and_purpose[0])


async def use(w: Work, link: AwayLink, absence: DatedHours) -> bool:
    """Let the link's person, who acts, be away then, and tell whether this did it; raises LinkInvalid once it is over.

    `absence` begins and ends by the clock of their hours. Pressed twice, it is one absence. Raises Invalid.
    """
    row = await access.visible_mentor(w, link.person_id, lock=True)
    link = await _of_mail(w, link.mail_id)  # as it is now that nobody else can use another one
    if link.standing == "used":
        return False
    if link.standing == "over" or w.actor.person_id != link.person_id:
        raise errors.LinkInvalid
    if absence.until_wall - absence.from_wall > LONGEST_ABSENCE:
        raise errors.Invalid("/until", "by a link a month at most: sign in for a longer absence")
    _mark(w, link.mail_id, link.person_id)
    await mentors.add_exception(w, row, absence)
    until = availability.to_instant(absence.until_wall, row.availability_zone, strict=False)
    await notices.away_set(w, await w.read(tables.Person, link.person_id), until)
    return True


async def revoke(w: Work, person_id: UUID) -> None:
    """No link of a mail until now lets the person be away any more; who is no mentor was mailed none."""
    if await w.find(tables.MentorProfile, person_id) is not None:
        _mark(w, clock.new_id(), person_id)


def _mark(w: Work, row_id: UUID, person_id: UUID) -> None:
    w.add(
        tables.Link(
            id=row_id,
            person_id=person_id,
            purpose=vocabulary.AWAY,
            expires_at=w.now + LIFE,
            used_at=w.now,
            created_at=w.now,
        )
    )


async def _of_mail(w: Work, mail_id: UUID) -> AwayLink:
    found = (await w.sql(_MAIL, {"id": mail_id, "since": w.now - LIFE})).one_or_none()
    if found is None:
        raise errors.LinkInvalid
    return AwayLink(mail_id, found.person_id, "used" if found.is_used else "over" if found.is_over else "ready")


_MAIL = sa.text("""
SELECT d.person_id, EXISTS (SELECT FROM link WHERE id = d.id) AS is_used,
  d.created_at <= :since OR p.state <> 'active'
  OR NOT EXISTS (SELECT FROM mentor_profile WHERE person_id = p.id)
  OR EXISTS (SELECT FROM link l WHERE l.person_id = p.id AND l.purpose = 'away' AND l.used_at >= d.created_at)
  OR EXISTS (SELECT FROM address_change c WHERE c.person_id = p.id
             AND (c.outcome IS NULL OR c.created_at >= d.created_at OR c.settled_at >= d.created_at)) AS is_over
FROM delivery d JOIN person p ON p.id = d.person_id
WHERE d.id = :id AND d.kind = 'mail' AND d.sealed_address IS NULL
""")
