"""Files that are taken in over the API: a row each, checked first and loaded when its sender says so, by the worker.

The file, its mapping and what was found in it are sealed, and gone with the row after a day (housekeeping). Whoever
sends a file may do with it what they may do over the API: the worker acts as they do, with the roles of that moment.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import audit, clock, errors
from service.kernel.work import Work
from service.rules.sentences import Sentence

BY_COORDINATORS = ("people", "mentors")
"""What a coordinator may send: those of their own institution, which the verbs see to."""
MOST_WAITING = 5
LEASE_SECONDS = 120
_CLAIM = sa.text("""
UPDATE import_file SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE id = (SELECT id FROM import_file WHERE state IN ('checking', 'loading')
            AND (lease_until IS NULL OR lease_until < clock_timestamp()) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
""")


async def submit(
    w: Work, kind: vocabulary.RecordKind, content: str, mapping: str | None, lang: str, *, is_dry: bool
) -> tables.ImportFile:
    """Keep a file (in base64) to be checked, and loaded after that unless it is a dry run."""
    if w.actor.person_id is None or not _may_send(w, kind):
        raise errors.Forbidden
    mine = (
        sa.select(sa.func.count())
        .select_from(tables.ImportFile)
        .where(
            col(tables.ImportFile.person_id) == w.actor.person_id,
            col(tables.ImportFile.state).in_(vocabulary.IMPORT_RUNNING),
        )
    )
    if int((await w.sql(mine)).scalar_one()) >= MOST_WAITING:
        raise errors.Conflict(
            Sentence("{count} of your files are waiting already: wait until one is done.", count=MOST_WAITING)
        )
    row_id = clock.new_id()
    sealed = w.seal(json.dumps({"content": content, "mapping": mapping}), row_id)
    row = tables.ImportFile(
        id=row_id, kind=kind, state="checking", is_dry=is_dry, person_id=w.actor.person_id, lang=lang, content=sealed,
        created_at=w.now,
    )  # fmt: skip
    w.add(row)
    return row


async def own(w: Work, row_id: UUID, *, lock: bool = False) -> tables.ImportFile:
    """Give the file to whoever sent it, and may still send such; raises NotFound for everybody else."""
    query = sa.select(tables.ImportFile).where(
        col(tables.ImportFile.id) == row_id, col(tables.ImportFile.person_id) == w.actor.person_id
    )
    if lock:
        query = query.with_for_update()
    row: tables.ImportFile | None = (await w.sql(query)).scalar_one_or_none()
    if row is None or not _may_send(w, row.kind):
        raise errors.NotFound
    return row


async def load(
    w: Work, row: tables.ImportFile, *, is_confirmed: bool, may_change_most: bool, may_be_damaged: bool
) -> None:
    """Have a checked file loaded; what its check asked about is confirmed by the flags."""
    if row.state != "checked":
        raise errors.IllegalTransition("import", row.state, "loading")
    row.state, row.lease_until, row.rows_done = "loading", None, 0
    row.is_confirmed, row.may_change_most, row.may_be_damaged = is_confirmed, may_change_most, may_be_damaged
    audit.record(w, "changed", "import", row.id)


def found(w: Work, row: tables.ImportFile) -> Mapping[str, Any]:
    """Give what the check or the load has found."""
    text = w.unseal(row.result, row.id)
    return json.loads(text) if text else {"summary": None, "faults": [], "warnings": []}


async def claim(w: Work) -> UUID | None:
    """Take a file to work on, for as long as the lease lasts; one whose worker was killed is taken again."""
    rows = await w.fetch(_CLAIM, {"seconds": LEASE_SECONDS})
    row_id: UUID | None = rows[0].id if rows else None
    return row_id


async def progress(w: Work, row_id: UUID, done: int, total: int) -> None:
    """Record how far it is, and keep the lease."""
    await w.sql(
        sa.text(
            "UPDATE import_file SET rows_done = :done, rows_total = :total,"
            " lease_until = clock_timestamp() + make_interval(secs => :seconds)"
            " WHERE id = :id AND state IN ('checking', 'loading')"
        ),
        {"id": row_id, "done": done, "total": total, "seconds": LEASE_SECONDS},
    )


async def settle(w: Work, row_id: UUID, state: vocabulary.ImportState, result: Mapping[str, Any], total: int) -> None:
    """Record what became of the file; it is kept only if it may still be loaded."""
    row = await w.read(tables.ImportFile, row_id)
    row.state, row.lease_until, row.rows_total = state, None, total
    row.rows_done = total if state in ("checked", "loaded") else row.rows_done
    row.result = w.seal(json.dumps(result, ensure_ascii=False), row_id)
    if state != "checked":
        row.content = None


def content(w: Work, row: tables.ImportFile) -> tuple[str, str | None]:
    """Give the file (in base64) and its mapping."""
    opened = json.loads(w.unseal(row.content, row.id) or "{}")
    return opened["content"], opened["mapping"]


def _may_send(w: Work, kind: str) -> bool:
    is_theirs = kind in BY_COORDINATORS and bool(w.actor.institutions("coordinator"))
    return is_theirs or bool(w.actor.programmes("programme_admin"))
