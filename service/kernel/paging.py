"""Lists in pages, ordered by a key that never changes, so that pages stay stable while rows are added."""

from typing import TypeVar

import sqlalchemy as sa
from sqlmodel import col

from service.kernel.work import Work

Row = TypeVar("Row")


async def rows(
    w: Work, kind: type[Row], condition: sa.ColumnElement[bool], *, after: object | None, limit: int, key: str = "id"
) -> list[Row]:
    """Give the rows that satisfy `condition` and whose key follows `after`, by key: one more than `limit` at most.

    The extra row tells that another page follows.
    """
    column = col(getattr(kind, key))
    statement = sa.select(kind).where(condition).order_by(column).limit(limit + 1)
    if after is not None:
        statement = statement.where(column > after)
    return list((await w.sql(statement)).scalars())
