"""Lists in pages, ordered by a key that never changes, so that pages stay stable while rows are added."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

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
) -> list[Row]:
    """Give the rows that the actor sees, that satisfy the conditions and that follow `after`, by the columns `order`.

    `after` is a row's value of the column, or its values of several. One more row than `limit` is given at most: the
    extra one tells that another page follows. `since` says before which instant the conditions leave nothing.
    """
    columns: list[Any] = [col(getattr(kind, name)) for name in order]
    if after is not None:
        values = after if isinstance(after, tuple) else (after,)
        place = (sa.literal(value, column.type) for value, column in zip(values, columns, strict=True))
        conditions = (*conditions, sa.tuple_(*columns) > sa.tuple_(*place))
    page = visibility.keys(kind, w.actor, *conditions, order=order, limit=limit + 1, since=since).subquery()
    is_on_page = visibility.is_among(columns[-1], sa.select(page.c[order[-1]]))
    return list((await w.sql(sa.select(kind).where(is_on_page).order_by(*columns))).scalars())
