"""A POST that is sent twice under one key is done once (invariant I3).

The row of the key is inserted first, in the transaction that does the work and stores its answer. A second request with
the same key waits at the unique index. If the first one commits, the second reads its answer; if the first one rolls
back, the second does the work. So an error frees the key, and no answer is stored without its change.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlmodel import col

from service import tables
from service.kernel import clock, errors
from service.kernel.work import Work

KEPT = timedelta(hours=24)
# What was committed while the synchronous standby was away may be on this server only. A transaction that writes to its
# log waits for the standby, and with it for all that came before; one that only reads would not (OPS-06).
_AS_SAFE = sa.text("SELECT pg_logical_emit_message(true, 'pobratym', '')")


@dataclass(frozen=True, slots=True)
class Request:
    """What must be the same for an answer to be repeated; `body_hash` stands for the body and the query."""

    caller: str
    path: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A stored answer."""

    status: int
    headers: dict[str, str]
    body: str


async def begin(w: Work, request: Request) -> UUID | StoredAnswer:
    """Give the answer to repeat, or the id to store one under; raises IdempotencyKeyReused for another body."""
    is_old = col(tables.IdempotencyKey.created_at) <= w.now - KEPT
    await w.sql(sa.delete(tables.IdempotencyKey).where(_theirs(request), is_old))
    row_id = clock.new_id()
    values = {
        "id": row_id,
        "caller": request.caller,
        "path_hash": _path_hash(request),
        "key": request.key,
        "request_hash": request.body_hash,
        "headers": {},
        "created_at": w.now,
    }
    insert = postgresql.insert(tables.IdempotencyKey).values(values).on_conflict_do_nothing()
    if (await w.sql(insert.returning(col(tables.IdempotencyKey.id)))).first() is not None:
        return row_id
    row = (await w.sql(sa.select(tables.IdempotencyKey).where(_theirs(request)))).scalar_one_or_none()
    if row is None or row.status is None:  # swept since, or left without an answer by another request
        raise errors.Unavailable
    if row.request_hash != request.body_hash:
        raise errors.IdempotencyKeyReused
    await w.sql(_AS_SAFE)
    return StoredAnswer(row.status, row.headers, w.keys.decrypt(row.body, row.id) if row.body else "")


async def finish(w: Work, row_id: UUID, answer: StoredAnswer) -> None:
    """Store the answer, sealed; `body` holds no secret any more."""
    await w.sql(
        sa.update(tables.IdempotencyKey)
        .where(col(tables.IdempotencyKey.id) == row_id)
        .values(status=answer.status, headers=answer.headers, body=w.seal(answer.body, row_id)),
        after_changes=False,
    )


async def drop(w: Work, row_id: UUID) -> None:
    """Free the key: what was answered is not worth repeating."""
    await w.sql(sa.delete(tables.IdempotencyKey).where(col(tables.IdempotencyKey.id) == row_id))


def _theirs(request: Request) -> sa.ColumnElement[bool]:
    return sa.and_(
        col(tables.IdempotencyKey.caller) == request.caller,
        col(tables.IdempotencyKey.path_hash) == _path_hash(request),
        col(tables.IdempotencyKey.key) == request.key,
    )


def _path_hash(request: Request) -> bytes:
    return hashlib.sha256(request.path.encode()).digest()
