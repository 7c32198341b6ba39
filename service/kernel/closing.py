"""The closing statement of a unit of work: rows of several tables, the webhooks of its events and the jobs, at once.

Each table has an INSERT of its own in one WITH, so that all of it is one round trip (decision 0077). What such an
INSERT reads is as of the beginning of the statement: webhooks are made of what the INSERT of events returns.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from service import tables
from service.kernel import changes, fanout, queue

STANDING: tuple[type[SQLModel], ...] = (tables.Rulebook, tables.MentorFact, tables.MemorandaFact)
"""Tables whose rows are named by the digest of what they say: a row that is there already is only seen again."""
_STANDING = frozenset(str(kind.__tablename__) for kind in STANDING)
AT_ONCE = 1_000
"""So many rows of a table at most are in one statement, lest it take too long."""

Rows = Mapping[type[SQLModel], Sequence[Mapping[str, object]]]
"""By table, in the order of the foreign keys; all rows of a table name the same columns."""

OF_A_CASE = frozenset({tables.Consultation, tables.ConsultationWindow, tables.Offer})
"""Whose new rows may be written here too: no webhook is made of them."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_WITH = "WITH "
_NO_JOBS = queue.Enqueueing("", ())


class Origin(NamedTuple):
    """What brought the rows about: a request's id and its `traceparent`, if it was one."""

    request_id: str | None
    traceparent: str | None


async def statements(rows: Rows, jobs: Sequence[queue.Job], origin: Origin) -> list[tuple[str, tuple[object, ...]]]:
    """Give what writes all of it, as the driver takes it: texts and the values of their parameters; usually one."""
    if not rows and not jobs:
        return []
    *parts, last_part = _parts(rows)
    enqueueing = await queue.enqueueing(jobs) if jobs else _NO_JOBS
    return [*(_worded(part, _NO_JOBS, origin) for part in parts), _worded(last_part, enqueueing, origin)]


def values_of(row: SQLModel) -> Mapping[str, object]:
    """Give the values of a new row that no session knows, by column."""
    values = vars(row)
    return {column.name: values.get(column.name) for column in _table(type(row)).c}


def _worded(part: Rows, jobs: queue.Enqueueing, origin: Origin) -> tuple[str, tuple[object, ...]]:
    shapes = tuple((_table(kind), tuple(rows[0])) for kind, rows in part.items())
    texts = [_json(kind, rows) for kind, rows in part.items()]
    origins = origin if tables.Event in part else ()
    return _statement(shapes, jobs.text, len(jobs.values)), (*jobs.values, *texts, *origins)


def _parts(rows: Rows) -> Iterator[Rows]:
    """Give everything at once or, of very many rows, a part of one table after another."""
    if tables.Consultation in rows and tables.Offer in rows:
        # What an offer copies from its consultation must be there before; and the parts of a WITH run in any order.
        yield {tables.Consultation: rows[tables.Consultation]}
        rows = {kind: each for kind, each in rows.items() if kind is not tables.Consultation}
    if all(len(each) <= AT_ONCE for each in rows.values()):
        yield rows
        return
    for kind, each in rows.items():
        for first in range(0, len(each), AT_ONCE):
            yield {kind: each[first : first + AT_ONCE]}


@lru_cache(maxsize=256)
def _statement(shapes: tuple[tuple[sa.Table, tuple[str, ...]], ...], enqueue: str, taken: int) -> str:
    """Write the statement; `enqueue`, a WITH of its own, has the first `taken` parameters."""
    inserts = []
    for number, (table, columns) in enumerate(shapes, start=taken + 1):
        inserts.append(f"new_{table.name} AS ({_insert(table, columns, number)})")
        if table.name == tables.Event.__tablename__:
            last = taken + len(shapes)
            inserts.append(f"new_webhook AS ({fanout.insert(f'new_{table.name}', f'${last + 1}', f'${last + 2}')})")
    if not enqueue:
        return f"{_WITH}{', '.join(inserts)} SELECT 1"
    if not enqueue.startswith(_WITH):
        msg = "the queue's own statement is no longer a WITH: run it after this one"
        raise RuntimeError(msg)
    return f"{_WITH}{', '.join([*inserts, enqueue.removeprefix(_WITH)])}"


def _insert(table: sa.Table, columns: Sequence[str], number: int) -> str:
    given = [table.c[name] for name in columns]
    implied = [column for column in table.c if column.name in _implied(table) and column.name not in columns]
    quote = _DIALECT.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in (*given, *implied))
    types = ", ".join(f"{quote(column.name)} {column.type.compile(_DIALECT)}" for column in (*given, *implied))
    returning = f" RETURNING {fanout.READ}, {changes.TELL} AS told" if table.name == tables.Event.__tablename__ else ""
    seen_again = _SEEN_AGAIN if table.name in _STANDING else ""
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {names}"  # noqa: S608 - names of our own tables
        f" FROM json_to_recordset(CAST(CAST(${number} AS text) AS json)) AS given ({types}){seen_again}{returning}"
    )


# In one order, so that two that write the same rows cannot wait for each other.
_SEEN_AGAIN = " ORDER BY id ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at"


def _json(kind: type[SQLModel], rows: Sequence[Mapping[str, object]]) -> str:
    implied = _implied(_table(kind))
    return json.dumps([{**implied, **row} for row in rows], default=_text, separators=(",", ":"))


def _text(value: object) -> str:
    """Write what JSON has no form for as PostgreSQL reads it."""
    if isinstance(value, date):  # an instant too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(type(value))


def _table(kind: type[SQLModel]) -> sa.Table:
    table: Any = sa.inspect(kind).local_table
    return table  # type: ignore[no-any-return]


@cache
def _implied(table: sa.Table) -> Mapping[str, object]:
    """Give the values that the table's model has where none is given."""
    return {
        column.name: column.default.arg
        for column in table.c
        if isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar
    }
