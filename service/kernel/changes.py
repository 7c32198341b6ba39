"""Which case has just changed, told to whoever listens: by PostgreSQL's NOTIFY, which leaves with the commit.

What is told is ids alone: the case, and whom its event concerns, as the event has them. Events keep the same by their
position, for whoever did not listen.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa

from service.kernel.actor import Actor

if TYPE_CHECKING:
    from service.kernel.work import Work  # which tells of changes by what is here

CHANNEL = "pobratym_changed"
AT_MOST = 500
"""So many changes are read at once; whoever missed more is told that everything may have changed."""

_CASE = """\
CASE WHEN starts_with(type, 'consultation.') THEN CAST(subject_id AS text)
     ELSE CAST(body AS json)->'data'->>'consultation_id' END"""
_IDS = f"""\
CAST(json_build_object('case', {_CASE}, 'programme', programme_id, 'people', person_ids,
    'institutions', institution_ids) AS text)"""
TELL = f"""\
CASE WHEN ({_CASE}) IS NOT NULL
     THEN pg_notify('{CHANNEL}', CASE WHEN length({_IDS}) < 7900 THEN {_IDS} ELSE '{{}}' END) END"""
"""An expression over a new event, which tells of it once it is committed; of what concerns no case nothing is told."""


@dataclass(frozen=True, slots=True)
class Change:
    """A case that has changed, and whom that concerns; without a case it is unknown what has."""

    case_id: UUID | None = None
    programme_id: UUID | None = None
    person_ids: frozenset[UUID] = frozenset()
    institution_ids: frozenset[UUID] = frozenset()

    def concerns(self, actor: Actor) -> bool:
        """Tell whether the actor sees the event of it, as `visibility` has it: by name, place or programme."""
        return (
            self.case_id is None
            or actor.person_id in self.person_ids
            or bool(self.institution_ids & actor.institutions("coordinator"))
            or self.programme_id in actor.programmes("programme_admin")
        )


ANYTHING = Change()
"""Some of what was told was not heard."""


def read(payload: str) -> Change:
    """Read what `TELL` tells; what cannot be read may be anything."""
    try:
        told = json.loads(payload)
        return _change(told["case"], told["programme"], told["people"], told["institutions"])
    except (ValueError, KeyError, TypeError):
        return ANYTHING


def _change(case: Any, programme: Any, people: Collection[Any], institutions: Collection[Any]) -> Change:  # noqa: ANN401 - ids, as texts or not
    return Change(
        UUID(str(case)),
        UUID(str(programme)) if programme else None,
        frozenset(UUID(str(each)) for each in people),
        frozenset(UUID(str(each)) for each in institutions),
    )


@dataclass(frozen=True, slots=True)
class Missed:
    """What was told behind a position, and up to which one; what was just committed has no position yet."""

    position: int
    changes: Collection[Change]


async def since(w: "Work", position: int | None) -> Missed:
    """Give what was told behind this position, or only what has none yet; `ANYTHING` if that is too much.

    A position that is not there yet, or of another database, may stand for anything too.
    """
    rows = await w.fetch(_SINCE, {"position": position, "most": AT_MOST + 1})
    newest = max((row.newest for row in rows), default=0)
    if len(rows) > AT_MOST or (position is not None and position > newest):
        return Missed(newest, [ANYTHING])
    changes = [
        _change(row.case_id, row.programme_id, row.person_ids, row.institution_ids) for row in rows if row.case_id
    ]
    return Missed(newest, changes)


# One row at least: the newest position, whether or not anything is behind it.
_SINCE = sa.text(f"""
SELECT (SELECT coalesce(max(position), 0) FROM event) AS newest, e.*
FROM (VALUES (1)) AS once (is_there) LEFT JOIN (
  (SELECT {_CASE} AS case_id, programme_id, person_ids, institution_ids FROM event
   WHERE position > CAST(:position AS bigint) ORDER BY position LIMIT :most)
  UNION ALL
  (SELECT {_CASE}, programme_id, person_ids, institution_ids FROM event
   WHERE position IS NULL ORDER BY id LIMIT :most)
) e ON true
""")  # noqa: S608 - expressions of our own
