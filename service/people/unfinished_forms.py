"""Forms of several steps, kept between them: sealed, for whoever fills them in, for a day since the last step.

They lie beside the forms that came too late (`kept_posts`): the same table, the same retention, export and erasure.
A form is known by its own key, which is the id of its row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel.work import Work
from service.people.kept_posts import KEPT

MOST = 5
"""Forms kept of one person; a further one takes the place of the oldest."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One form: its key, what was filled in so far (as a browser writes it), and since when."""

    key: UUID
    body: str
    begun_at: datetime


async def save(w: Work, path: str, key: UUID, body: str) -> None:
    """What the actor has filled in so far stands in place of what they had; nothing if the key is somebody else's.

    Nor of who was erased or disabled a moment ago, while this waited for the lock.
    """
    await w.lock_people([w.actor.person_id] if w.actor.person_id else [])
    values = {"id": key, "person": w.actor.person_id, "path": path, "now": w.now, "until": w.now + KEPT}
    await w.sql(_SAVE, values | {"body": w.seal(body, key)})
    await w.sql(_DROP_OLDEST, {"person": w.actor.person_id, "path": path, "most": MOST})


async def read(w: Work, path: str, key: UUID) -> Unfinished | None:
    """Give the actor's form of this key; None if there is none, or not any more."""
    return next((form for form in await _of(w, path) if form.key == key), None)


async def newest(w: Work, path: str) -> Unfinished | None:
    """Give the form on which the actor worked last."""
    return next(iter(await _of(w, path)), None)


async def drop(w: Work, path: str, key: UUID) -> None:
    """Throw the actor's form away: it is done, or they do not want it."""
    await w.sql(_DROP, {"id": key, "person": w.actor.person_id, "path": path})


async def _of(w: Work, path: str) -> Sequence[Unfinished]:
    kind = tables.KeptPost
    mine = (col(kind.person_id) == w.actor.person_id, col(kind.path) == path, col(kind.is_unfinished))
    still_kept = (col(kind.until) > w.now, col(kind.body).is_not(None))
    rows = await w.sql(sa.select(kind).where(*mine, *still_kept).order_by(col(kind.until).desc(), col(kind.id).desc()))
    return [Unfinished(row.id, w.unseal(row.body, row.id) or "", row.created_at) for row in rows.scalars()]


_SAVE = sa.text("""
INSERT INTO kept_post (id, person_id, path, body, form_key, created_at, until, is_unfinished)
SELECT CAST(:id AS uuid), p.id, CAST(:path AS varchar), CAST(:body AS bytea), CAST(:id AS uuid),
       CAST(:now AS timestamptz), CAST(:until AS timestamptz), true
FROM person p WHERE p.id = :person AND p.state = 'active'
ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body, until = EXCLUDED.until
WHERE kept_post.person_id = EXCLUDED.person_id AND kept_post.is_unfinished
""")
_DROP_OLDEST = sa.text("""
DELETE FROM kept_post WHERE person_id = :person AND path = :path AND is_unfinished AND id NOT IN (
    SELECT id FROM kept_post WHERE person_id = :person AND path = :path AND is_unfinished
    ORDER BY until DESC, id DESC LIMIT :most)
""")
_DROP = sa.text("DELETE FROM kept_post WHERE id = :id AND person_id = :person AND path = :path AND is_unfinished")
