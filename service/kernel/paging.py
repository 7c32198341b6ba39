"""Lists in pages, ordered by a key that never changes, so that pages stay stable while rows are added."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa
from sqlmodel import SQLModel, col

from service.kernel import visibility
from service.kernel.work import Work

Row = TypeVar("Row", bound=SQLModel)


async def rows(
    w: Work,
    kind: type[Row],
    *conditions: sa.ColumnElement[bool],
    after: object | None,
    limit: int,
    order: Sequence[str] = ("id",),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Row]:
    """Give the rows that the actor sees, that satisfy the conditions and that follow `after`, by the columns `order`.

    `after` is a row's value of the column, or its values of several; [since, until) is a stretch of the first of them.
    One more row than `limit` is given at most: the extra one tells that another page follows.
    """
    columns = [col(getattr(kind, name)) for name in order]
    place = after if after is None or isinstance(after, tuple) else (after,)
    page = visibility.keys(
        kind, w.actor, *conditions, order=order, limit=limit + 1, after=place, since=since, until=until
    ).subquery()
    is_on_page = visibility.is_among(columns[-1], sa.select(page.c[order[-1]]))
    return list((await w.sql(sa.select(kind).where(is_on_page).order_by(*columns))).scalars())
