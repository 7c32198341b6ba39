"""Tables of which each month is a part, so that a month that has ended is dropped and not deleted row by row.

A part holds the ids that were made in its month, as ids begin with the instant at which they are made. There is no part
for what fits into none, so the next months' are made long before they begin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from service.kernel import clock, database_clock
from service.kernel.work import Work

MONTHLY = ("audit",)
MONTHS_AHEAD = 2
"""How many months after the present one always have their part."""
LATE_DAYS = 10
"""An operator is told when the last part ends in less than this."""

_TO = re.compile(r"TO \('([0-9a-f-]{36})'\)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a table, which holds the ids before `until`."""

    name: str
    until: UUID

    def ends_at(self) -> datetime:
        """Tell the instant from which on ids do not belong to it."""
        return datetime.fromtimestamp((self.until.int >> 80) / 1000, UTC)


async def parts(w: Work, table: str) -> Sequence[Part]:
    """Give the parts of a table, the oldest first."""
    rows = await w.sql(_PARTS, {"table": table})
    found = [Part(row.name, UUID(match[1])) for row in rows if (match := _TO.search(row.bound))]
    return sorted(found, key=lambda part: part.until)


async def make_next(w: Work, table: str) -> int:
    """Have a part of this month and of each of the next ones; gives how many were made."""
    await w.sql(sa.text("SELECT pg_advisory_xact_lock(hashtext('pobratym partitions'))"))
    made, last = 0, (await parts(w, table))[-1].ends_at()
    until = _months_after(await database_clock.now(w), MONTHS_AHEAD + 1)
    while last < until:
        name, end = f"{table}_{last:%Y_%m}", _months_after(last, 1)
        await w.sql(sa.text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        await w.sql(
            sa.text(
                f"CREATE TRIGGER tg_{name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        )
        # Attached, and not made as a part: that would keep everybody from the table for an instant.
        bounds = f"FROM ('{clock.least_id(last)}') TO ('{clock.least_id(end)}')"
        await w.sql(sa.text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}".replace(":", r"\:")))
        made, last = made + 1, end
    return made


async def make_all(w: Work) -> None:
    """Have the parts of the next months of every table: at a migration, as no worker may run for long."""
    for table in MONTHLY:
        await make_next(w, table)


async def make_late(w: Work) -> None:
    """Have the parts of the next months if a last one ends soon: for a process beside which no worker may run."""
    if await is_late(w):
        await make_all(w)


async def is_late(w: Work) -> bool:
    """Tell whether the last part of a table ends soon."""
    return min((await ends(w)).values()) <= await database_clock.now(w) + timedelta(days=LATE_DAYS)


async def drop_oldest(w: Work, table: str, until: datetime) -> int:
    """Drop the oldest part if every id of it was made before `until`; gives how many were dropped.

    One at a time: where `until` is wrong, somebody sees it before all is gone.

    The table is wanted alone for an instant: whoever is in the way is not waited for, and it is tried again later.
    """
    oldest, *_ = await parts(w, table)
    if oldest.ends_at() > until:
        return 0
    await w.sql(sa.text("SET LOCAL lock_timeout = '100ms'"))
    await w.sql(sa.text(f"DROP TABLE {oldest.name}"))
    return 1


async def ends(w: Work) -> dict[str, datetime]:
    """Tell for each table when its last part ends: from then on it would take no row."""
    return {table: (await parts(w, table))[-1].ends_at() for table in MONTHLY}


def _months_after(at: datetime, months: int) -> datetime:
    """Give the beginning of a month: of the one that is so many after that of `at`, in UTC."""
    years, month = divmod(at.month - 1 + months, 12)
    return datetime(at.year + years, month + 1, 1, tzinfo=UTC)


_PARTS = sa.text("""
SELECT CAST(c.relname AS text) AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:table)
""")
