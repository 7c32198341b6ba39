"""Who has changed something in the last minute: they must not be shown what was there before.

Kept beside the limits of calls, in a table that all processes share, that no replica has, and that the housekeeper
empties.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa

if TYPE_CHECKING:
    from service.kernel.work import Work

RECENT = timedelta(seconds=60)
_NOTE = sa.text("""
INSERT INTO rate_limit (bucket, arrives_at) SELECT :bucket, :until WHERE pg_current_xact_id_if_assigned() IS NOT NULL
ON CONFLICT (bucket) DO UPDATE SET arrives_at = excluded.arrives_at
""").bindparams(sa.bindparam("until", type_=sa.TIMESTAMP(timezone=True)))
_LOOK = sa.text("SELECT 1 FROM rate_limit WHERE bucket = :bucket AND arrives_at > :now").bindparams(
    sa.bindparam("now", type_=sa.TIMESTAMP(timezone=True))
)


async def note(w: "Work", person_id: UUID, at: datetime) -> None:
    """Write down that the person changed something, if this transaction has; its last statement, for the lock."""
    await w.sql(_NOTE, {"bucket": _bucket(person_id), "until": at + RECENT})


async def has_any(w: "Work", person_id: UUID, at: datetime) -> bool:
    """Tell whether the person has changed something within a minute before."""
    rows = await w.sql(_LOOK, {"bucket": _bucket(person_id), "now": at})
    return rows.first() is not None


def _bucket(person_id: UUID) -> str:
    return f"changed:{person_id}"
