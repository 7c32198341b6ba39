"""Browsers that are signed in. Each session is a row, named by an opaque token in a cookie, and can be ended.

The row is a refresh token's, so whatever ends a person's sign-ins ends their browser sessions too. The token that would
refresh it is never handed out, and the token in the cookie opens the pages only.
"""

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import actor as actors
from service.kernel import errors
from service.kernel.work import Work
from service.people import logins

LIFE = timedelta(hours=12)
_VISIT = "visit"


async def begin(w: Work, link_token: str) -> str:
    """Use up the sign-in link and give the cookie's token; raises LinkInvalid."""
    signed_in = await logins.exchange(w, link_token)
    return w.keys.link_token(signed_in.token_id, _VISIT)


async def visitor(w: Work, token: str) -> actors.Actor:
    """Give the person of the session, with the roles they hold now; raises Unauthenticated when it is over."""
    row = await _row(w, token)
    if row is None or row.revoked_at is not None or row.created_at + LIFE <= w.now:
        raise errors.Unauthenticated
    return await logins.caller(w, row.person_id, row.id)


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
