"""Links in mails, each for one person and one act (invariant M3).

Opening a link changes nothing, because mail scanners open links. Whoever holds its token may do the link's act as the
link's person, and nothing else. The act and the mark that the link was used are one transaction, so a link whose act
failed can be used again.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import actor as actors
from service.kernel import errors
from service.kernel.work import Work
from service.people import away_links, logins


async def read(w: Work, token: str, *purposes: str) -> tables.Link:
    """Give the link behind the token, used and expired ones too; raises LinkInvalid when it is not ours.

    Its row says whether it was used or has expired: a page tells these apart.
    """
    row_and_purpose = w.keys.link_row(token, *purposes)
    if row_and_purpose is None:
        raise errors.LinkInvalid
    link_id, purpose = row_and_purpose
    link: tables.Link | None = (
        await w.sql(sa.select(tables.Link).where(col(tables.Link.id) == link_id, col(tables.Link.purpose) == purpose))
    ).scalar_one_or_none()
    if link is None:
        raise errors.LinkInvalid
    return link


async def holder(w: Work, link: tables.Link) -> actors.Actor:
    """Give the link's person with the roles they hold now; raises LinkInvalid when they are no longer active."""
    try:
        return await logins.caller(w, link.person_id, link.id)
    except errors.Unauthenticated as error:
        raise errors.LinkInvalid from error


async def void_all(w: Work, person_id: UUID) -> None:
    """No link that the person was mailed does anything any more, also if they are enabled again.

    But for those by which the holder of a former address stops a change: whoever changed it could disable the person.
    """
    kind = tables.Link
    still_good = sa.and_(col(kind.used_at).is_(None), col(kind.expires_at) > w.now)
    still_good &= col(kind.purpose).not_in(vocabulary.ADDRESS_PURPOSES)
    await w.sql(sa.update(kind).where(col(kind.person_id) == person_id, still_good).values(expires_at=w.now))
    await away_links.revoke(w, person_id)


async def use(w: Work, link_id: UUID) -> bool:
    """Mark the actor's own link as used, and tell whether it was unused; raises LinkInvalid when it has expired."""
    kind = tables.Link
    own_link = sa.and_(col(kind.id) == link_id, col(kind.person_id) == w.actor.person_id)
    newly_used = (
        await w.sql(
            sa.update(kind)
            .where(own_link, col(kind.used_at).is_(None), col(kind.expires_at) > w.now)
            .values(used_at=w.now)
            .returning(col(kind.id))
        )
    ).first()
    if newly_used is not None:
        return True
    used_at = (await w.sql(sa.select(col(kind.used_at)).where(own_link))).scalar_one_or_none()
    if used_at is None:
        raise errors.LinkInvalid
    return False
