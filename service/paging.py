"""Lists a page at a time, by a key that never changes: stable while rows are added."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlmodel import col

from service.work import Work

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the key of the last one if others follow it."""

    items: list[Row]
    next: str | None


async def page(
    w: Work,
    kind: type[Row],
    seen: sa.ColumnElement[bool],
    *,
    after: object | None,
    limit: int,
    key: str = "id",
) -> Page[Row]:
    """Give the rows of the table that satisfy `seen` and whose key follows `after`, in the key's order."""
    column = col(getattr(kind, key))
    statement = sa.select(kind).where(seen).order_by(column).limit(limit + 1)
    if after is not None:
        statement = statement.where(column > after)
    rows: list[Row] = list((await w.sql(statement)).scalars())
    has_more = len(rows) > limit
    return Page(rows[:limit], str(getattr(rows[limit - 1], key)) if has_more else None)
