"""What of the database an import may see and change: all for the operator, what is theirs for a person.

The verbs check who acts, where the API calls them for one thing. This is what the API's handlers check before.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.exchange import exports
from service.exchange.imports.desk import Desk, FileRow
from service.kernel import visibility
from service.kernel.work import Work

_OF_PEOPLE = ("people", "mentors")
_OF_PROGRAMMES = ("memoranda", "sessions", "activities")
_NOT_YOURS = "is not yours to change"


async def stored(w: Work, kind: str) -> Collection[Mapping[str, Any]]:
    """Give the rows of a kind that a file may be compared with: those that the actor sees."""
    if w.actor.is_timer or kind not in (*_OF_PEOPLE, *_OF_PROGRAMMES):
        return await exports.rows(w, kind)
    if kind in _OF_PROGRAMMES:
        programmes = sorted(w.actor.programmes("programme_admin"))
        return [row for programme in programmes for row in await exports.rows(w, kind, programme)]
    seen = await w.sql(
        sa.select(sa.func.lower(col(tables.Person.email))).where(visibility.is_seen(tables.Person, w.actor))
    )
    emails = set(seen.scalars())
    return [row for row in await exports.rows(w, kind) if row["email"].lower() in emails]


async def check(desk: Desk, kind: str, rows: Sequence[FileRow]) -> None:
    """Refuse rows of programmes that are not the actor's."""
    actor = desk.w.actor
    if actor.is_timer or kind not in _OF_PROGRAMMES:
        return
    own = actor.programmes("programme_admin")
    of = {row.id: row.programme_id for row in await desk.w.sql(sa.text("SELECT id, programme_id FROM memorandum"))}
    for row in rows:
        named = row.values["memorandum"] if kind == "sessions" else row.values["programme"]
        target = desk.names["memorandum" if kind == "sessions" else "programme"].get(named.lower())
        programme = of.get(target) if kind == "sessions" else target
        if programme is not None and programme not in own:
            desk.refuse(row, "memorandum" if kind == "sessions" else "programme", _NOT_YOURS)
