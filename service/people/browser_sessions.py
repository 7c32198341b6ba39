"""Browsers that are signed in. Each session is a row, named by an opaque token in a cookie, and can be ended.

A visit ends when it was not made use of for twelve hours; else after thirty days on a device that its person called
their own at the sign-in, and after a day on any other, which may be a ward's.

The row is a refresh token's, so whatever ends a person's sign-ins ends their browser sessions too. The token that would
refresh it is never handed out, and the token in the cookie opens the pages only.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import actor as actors
from service.kernel import errors
from service.kernel.crypto import Keys
from service.kernel.work import Work
from service.people import logins

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=1)
LONGEST_ON_OWN_DEVICE = timedelta(days=30)
NOTED_EVERY = timedelta(minutes=5)
REMEMBERED = timedelta(days=1)
"""So much longer than the visit can last, its cookie still tells whose it was, and nothing else."""
_VISIT = "visit"


async def begin(w: Work, link_token: str, browser: logins.Browser) -> str:
    """Use up the sign-in link and give the cookie's token; raises LinkInvalid."""
    signed_in = await logins.exchange(w, link_token, browser)
    return w.keys.link_token(signed_in.token_id, _VISIT)


@dataclass(frozen=True, slots=True)
class Person:
    """What every page says of whoever looks at it, or says by it: their name, language and zone."""

    id: UUID
    display_name: str
    locale: str
    zone: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person of a session with the roles they hold now, and since when nothing is mailed (`installation`).

    `has_kept`: a form that they sent too late waits for them (`kept_posts`).
    """

    actor: actors.Actor
    person: Person
    held_since: datetime | None
    seen_at: datetime
    is_own_device: bool
    has_kept: bool


async def visitor(w: Work, token: str) -> Visitor:
    """Give the person of the session as pages need them, in one statement; raises Unauthenticated if it is over."""
    row_and_purpose = w.keys.link_row(token, _VISIT)
    if row_and_purpose is None:
        raise errors.Unauthenticated
    bounds = {
        "now": w.now,
        "idle_since": w.now - IDLE,
        "since": w.now - LONGEST,
        "own_since": w.now - LONGEST_ON_OWN_DEVICE,
    }
    rows = await w.fetch(_VISITOR, {"session": row_and_purpose[0], **bounds})
    actor = logins.actor_of(rows, w.now)
    row = rows[0]
    return Visitor(actor, _person(row), row.held_since, row.seen_at, row.is_own_device, row.has_kept)


async def note_use(w: Work, token: str) -> None:
    """Note that the session is made use of, if that was not noted lately."""
    row_and_purpose = w.keys.link_row(token, _VISIT)
    if row_and_purpose is not None:
        await w.sql(_NOTE_USE, {"session": row_and_purpose[0], "now": w.now, "lately": w.now - NOTED_EVERY})


async def person_of(w: Work, token: str) -> UUID | None:
    """Give the person whose session the cookie was, ended or not, while it is remembered and they can still sign in.

    A browser forgets it at that time too: who comes with it later has a copy.
    """
    row_and_purpose = w.keys.link_row(token, _VISIT)
    if row_and_purpose is None:
        return None
    bounds = {"since": w.now - LONGEST - REMEMBERED, "own_since": w.now - LONGEST_ON_OWN_DEVICE - REMEMBERED}
    person_id: UUID | None = (await w.sql(_PERSON_OF, {"session": row_and_purpose[0], **bounds})).scalar_one_or_none()
    return person_id


async def acting(w: Work) -> Person:
    """Give the person who acts; raises Unauthenticated if nobody does."""
    rows = await w.fetch(_PERSON, {"person": w.actor.person_id})
    if not rows:
        raise errors.Unauthenticated
    return _person(rows[0])


def _person(row: Any) -> Person:  # noqa: ANN401 - a row of one of the two statements below
    return Person(row.id, row.display_name, row.locale, row.zone)


_VISITOR = sa.text(f"""
SELECT {logins.ACTOR}, p.display_name, p.locale, p.zone, (SELECT held_since FROM installation) AS held_since,
coalesce(t.seen_at, t.created_at) AS seen_at, t.is_own_device,
EXISTS (SELECT FROM kept_post k WHERE k.person_id = p.id AND k.until > :now AND k.body IS NOT NULL
AND NOT k.is_unfinished) AS has_kept
FROM refresh_token t JOIN person p ON p.id = t.person_id {logins.ROLES}
WHERE t.id = :session AND t.revoked_at IS NULL AND coalesce(t.seen_at, t.created_at) > :idle_since
AND t.created_at > CASE WHEN t.is_own_device THEN CAST(:own_since AS timestamptz) ELSE CAST(:since AS timestamptz) END
AND p.state = 'active'
AND NOT EXISTS (SELECT FROM revoked_token WHERE jti = t.id)
""")  # noqa: S608 - constants of ours
_NOTE_USE = sa.text("""
UPDATE refresh_token SET seen_at = :now WHERE id = :session AND coalesce(seen_at, created_at) <= :lately
""")
_PERSON_OF = sa.text("""
SELECT p.id FROM refresh_token t JOIN person p ON p.id = t.person_id
WHERE t.id = :session
AND t.created_at > CASE WHEN t.is_own_device THEN CAST(:own_since AS timestamptz) ELSE CAST(:since AS timestamptz) END
AND p.state = 'active' AND p.kind = 'person' AND p.is_vouched_for
""")
_PERSON = sa.text("SELECT id, display_name, locale, zone FROM person WHERE id = :person")


def id_of(keys: Keys, token: str | None) -> UUID | None:
    """Give the id of the session whose cookie this is, as `devices` lists it."""
    row_and_purpose = keys.link_row(token, _VISIT) if token else None
    return row_and_purpose[0] if row_and_purpose else None


async def end(w: Work, token: str) -> None:
    """End the session; a token that is not ours ends nothing."""
    row = await _row(w, token)
    if row is not None:
        await logins.revoke(w, w.keys.link_token(row.id, logins.REFRESH))


async def _row(w: Work, token: str) -> tables.RefreshToken | None:
    row_and_purpose = w.keys.link_row(token, _VISIT)
    if row_and_purpose is None:
        return None
    row_id: UUID = row_and_purpose[0]
    row: tables.RefreshToken | None = (
        await w.sql(sa.select(tables.RefreshToken).where(col(tables.RefreshToken.id) == row_id))
    ).scalar_one_or_none()
    return row
