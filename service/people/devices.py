"""Where somebody is signed in: browsers, and programs that hold a token. Each can be ended, and all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from service.kernel import errors
from service.kernel.work import Work
from service.people import browser_sessions, logins

MOST = 100


@dataclass(frozen=True, slots=True)
class Device:
    """One sign-in that lasts; `id` is that of its row, `name` what the browser calls itself, None for a program."""

    id: UUID
    name: str | None
    is_browser: bool
    is_own_device: bool
    since: datetime
    seen_at: datetime


async def of(w: Work) -> Sequence[Device]:
    """Give where the actor is signed in, the last used first."""
    values = {
        "me": w.actor.person_id,
        "now": w.now,
        "idle_since": w.now - browser_sessions.IDLE,
        "since": w.now - browser_sessions.LONGEST,
        "own_since": w.now - browser_sessions.LONGEST_ON_OWN_DEVICE,
        "most": MOST,
    }
    return [Device(*row) for row in await w.fetch(_SIGNED_IN, values)]


# A program's sign-in is a chain of tokens, of which the last one is not used yet; it began with the first.
_SIGNED_IN = sa.text("""
SELECT t.id, t.device, t.seen_at IS NOT NULL, t.is_own_device,
       (SELECT min(f.created_at) FROM refresh_token f WHERE f.family_id = t.family_id),
       coalesce(t.seen_at, t.created_at) AS last_seen
FROM refresh_token t
WHERE t.person_id = :me AND t.revoked_at IS NULL AND t.used_at IS NULL AND t.expires_at > :now
AND (t.seen_at IS NULL OR t.seen_at > :idle_since AND t.created_at > CASE
     WHEN t.is_own_device THEN CAST(:own_since AS timestamptz) ELSE CAST(:since AS timestamptz) END)
ORDER BY last_seen DESC, t.id LIMIT :most
""")


async def end(w: Work, device_id: UUID) -> None:
    """Sign the actor out there; twice is once. Raises NotFound for a sign-in that is not theirs."""
    if not await w.fetch(_OWN, {"id": device_id, "me": w.actor.person_id}):
        raise errors.NotFound
    await logins.revoke(w, w.keys.link_token(device_id, logins.REFRESH))


_OWN = sa.text("SELECT 1 FROM refresh_token WHERE id = :id AND person_id = :me")


async def end_all(w: Work) -> None:
    """Sign the actor out everywhere; a sign-in link that was mailed and not used yet counts no more either."""
    if w.actor.person_id is None:
        raise errors.Unauthenticated
    await logins.drop_links(w, w.actor.person_id)
    await logins.revoke_all(w, w.actor.person_id)
