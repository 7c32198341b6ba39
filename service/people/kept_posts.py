"""Forms that were sent after their visit had ended: kept sealed for a day, for whoever was signed in, and sent once.

The cookie of the ended visit names the person; the form is shown to them alone, after they have signed in again.
Whatever of it was sent in the end is no longer kept (`sent`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import clock, errors
from service.kernel.work import Work
from service.people import browser_sessions, logins

KEPT = timedelta(hours=24)
MOST = 5
"""Forms kept of one person; a further one takes the place of the oldest."""
MOST_CHARACTERS = 64 * 1024
_PURPOSE = "kept"


@dataclass(frozen=True, slots=True)
class Kept:
    """One form: where it was sent, what (as the browser wrote it), and until when it is kept."""

    id: UUID
    path: str
    body: str
    created_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Over:
    """A form that was kept for its day; `path` is where it was sent."""

    path: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is told to whoever sent a form too late: to which address a link can be mailed, and by which token."""

    token: str
    email: str


async def keep(w: Work, session_token: str, path: str, body: str, form_key: UUID | None) -> Waiting | None:
    """Keep the form for the person whose session the token was, and tell how they go on.

    None if nobody can be told whose it was, or if it is longer than any form of ours. The same form is kept once.
    """
    person_id = await browser_sessions.person_of(w, session_token)
    if person_id is None or len(body) > MOST_CHARACTERS:
        return None
    await w.lock_people([person_id])
    if await browser_sessions.person_of(w, session_token) is None:
        return None  # who was erased or disabled a moment ago, while this waited for the lock
    for kept in await _of(w, person_id):
        if (kept.path, kept.body) == (path, body):
            return await _waiting(w, person_id, kept.id)
    row_id = clock.new_id()
    w.add(
        tables.KeptPost(
            id=row_id,
            person_id=person_id,
            path=path,
            body=w.seal(body, row_id),
            form_key=form_key,
            created_at=w.now,
            until=w.now + KEPT,
        )
    )
    await w.flush()
    await w.sql(_DROP_OLDEST, {"person": person_id, "most": MOST})
    return await _waiting(w, person_id, row_id)


async def mail_link(w: Work, token: str) -> None:
    """Mail a sign-in link to the person whose form the token names; raises LinkInvalid."""
    row_and_purpose = w.keys.link_row(token, _PURPOSE)
    if row_and_purpose is None:
        raise errors.LinkInvalid
    row = await w.find(tables.KeptPost, row_and_purpose[0])
    if row is None or row.until <= w.now:
        raise errors.LinkInvalid
    person = await w.read(tables.Person, row.person_id)
    await logins.mail_link(w, person.email)


async def own(w: Work) -> Sequence[Kept]:
    """List the forms that are kept of the actor, the newest first."""
    return await _of(w, w.actor.person_id) if w.actor.person_id else []


async def newest(w: Work, person_id: UUID) -> UUID | None:
    """Give the id of the form that the person sent last of those that are kept."""
    found: UUID | None = (await w.sql(_NEWEST, {"person": person_id, "now": w.now})).scalar_one_or_none()
    return found


async def read(w: Work, kept_id: UUID) -> Kept | Over:
    """Give a form of the actor's own; raises NotFound for anybody else's, and for one that was sent or dropped."""
    row = await w.find(tables.KeptPost, kept_id)
    if row is None or row.person_id != w.actor.person_id or row.is_unfinished:
        raise errors.NotFound
    if row.until <= w.now or row.body is None:
        return Over(row.path)
    return _opened(w, row)


async def drop(w: Work, kept_id: UUID) -> None:
    """Throw a form of the actor's own away."""
    await w.sql(_DROP, {"id": kept_id, "person": w.actor.person_id})


async def sent(w: Work, path: str, form_key: UUID | None) -> None:
    """Keep this form of the actor no longer: it was sent and done."""
    await w.sql(_SENT, {"person": w.actor.person_id, "path": path, "key": form_key})


async def _of(w: Work, person_id: UUID) -> list[Kept]:
    kind = tables.KeptPost
    rows = await w.sql(
        sa.select(kind)
        .where(col(kind.person_id) == person_id, col(kind.until) > w.now, col(kind.body).is_not(None))
        .where(~col(kind.is_unfinished))
        .order_by(col(kind.created_at).desc(), col(kind.id).desc())
    )
    return [_opened(w, row) for row in rows.scalars()]


async def _waiting(w: Work, person_id: UUID, kept_id: UUID) -> Waiting:
    person = await w.read(tables.Person, person_id)
    return Waiting(w.keys.link_token(kept_id, _PURPOSE), person.email)


def _opened(w: Work, row: tables.KeptPost) -> Kept:
    return Kept(row.id, row.path, w.unseal(row.body, row.id) or "", row.created_at, row.until)


_DROP_OLDEST = sa.text("""
DELETE FROM kept_post WHERE person_id = :person AND NOT is_unfinished AND id NOT IN (
    SELECT id FROM kept_post WHERE person_id = :person AND NOT is_unfinished
    ORDER BY created_at DESC, id DESC LIMIT :most)
""")
_NEWEST = sa.text("""
SELECT id FROM kept_post WHERE person_id = :person AND until > :now AND body IS NOT NULL AND NOT is_unfinished
ORDER BY created_at DESC, id DESC LIMIT 1
""")
_DROP = sa.text("DELETE FROM kept_post WHERE id = :id AND person_id = :person AND NOT is_unfinished")
_SENT = sa.text("""
DELETE FROM kept_post WHERE person_id = :person AND path = :path AND NOT is_unfinished
AND form_key IS NOT DISTINCT FROM CAST(:key AS uuid)
""")
