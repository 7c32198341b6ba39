"""What statements read: the plan of each as it ran, told by the server itself (PostgreSQL's auto_explain)."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

Plan = Mapping[str, Any]

FEW = frozenset({
    "programme", "institution", "membership", "memorandum", "memorandum_area", "memorandum_party",
    "memorandum_transition", "specialty", "specialty_parent", "milestone", "statistic", "client", "client_secret",
    "webhook_endpoint", "webhook_secret", "signing_key", "process", "attempt_count", "mail_server", "housekeeping",
    "installation", "event_epoch", "log_anchor", "log_head", "report_rollup", "report_piece", "person", "role_grant",
    "person_language", "mentor_profile", "mentor_specialty", "weekly_hours", "availability_exception", "address_change",
    "ranking_mark", "activity", "activity_institution", "activity_specialty",
})  # fmt: skip
"""The tables that do not grow with the consultations: the registry, its people, what they log by hand beside sessions,
and what is one for each system, week or restore. Every other table grows; how long its rows are kept is in
docs/operations.md, "Retention"."""
MANY = 1_000
"""A table of fewer rows than this is rightly read as a whole."""
DROPPED_FOR_ONE, DROPPED = 20, 200
"""So many rows may be dropped for each one kept, and so many without anybody looking."""

_SETTINGS = {
    "log_min_duration": "0",
    "log_analyze": "on",
    "log_timing": "off",
    "log_format": "json",
    "log_nested_statements": "on",
    "log_level": "notice",
    "log_parameter_max_length": "0",
}
_PARTITION = re.compile(r"_(past|\d{4}_\d{2})$")


@dataclass(slots=True)
class Collector:
    """Keeps every plan that ran over the engine's connections, by the text of its statement, with what it was for.

    The engine's user must be a superuser. Connections that are open already are closed.
    """

    engine: AsyncEngine
    doing: str = ""
    plans: dict[str, list[tuple[str, Plan]]] = field(default_factory=dict)

    async def start(self) -> None:
        """Take down every plan from now on."""
        sa.event.listen(self.engine.sync_engine, "connect", self._connected)
        await self.engine.dispose()

    async def stop(self) -> None:
        """Take down nothing any more."""
        await self.begin("")
        sa.event.remove(self.engine.sync_engine, "connect", self._connected)
        await self.engine.dispose()

    async def begin(self, doing: str) -> None:
        """Say what the statements from now on are for; those before have been told by then."""
        for _ in range(3):
            await asyncio.sleep(0)
        self.doing = doing

    def _connected(self, connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's
        cursor = connection.cursor()
        cursor.execute("LOAD 'auto_explain'")
        told = (f"set_config('auto_explain.{name}', '{value}', false)" for name, value in _SETTINGS.items())
        cursor.execute(f"SELECT {', '.join(told)}")
        cursor.close()
        connection.commit()
        connection.driver_connection.add_log_listener(self._heard)

    def _heard(self, _: object, message: Any) -> None:  # noqa: ANN401 - asyncpg's
        _, is_plan, told = message.message.partition("plan:\n")
        if is_plan:
            found = json.loads(told)
            self.plans.setdefault(found["Query Text"], []).append((self.doing, found["Plan"]))


async def sizes(connection: asyncpg.Connection) -> dict[str, int]:
    """Give the rows of each table, as the last ANALYZE counted them."""
    found: dict[str, int] = {}
    for row in await connection.fetch("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"):
        table = table_of(row["relname"])
        found[table] = found.get(table, 0) + int(row["reltuples"])
    return found


async def begins(connection: asyncpg.Connection) -> dict[str, tuple[str, str]]:
    """Give the table and the first column of each ordered index of all its rows; of one that begins otherwise none."""
    return {row["name"]: (table_of(row["relation"]), row["attname"]) for row in await connection.fetch(_BEGINS)}


_BEGINS = """
SELECT i.relname AS name, t.relname AS relation, a.attname
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree'
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0] AND a.attnum > 0
WHERE x.indpred IS NULL
"""


def table_of(relation: str) -> str:
    """Give the table that a relation is, or is a month of."""
    return _PARTITION.sub("", relation)


def faults(plan: Plan, sizes: Mapping[str, int], begins: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Tell what a plan reads in vain; `sizes` are the rows of each table, `begins` what each index begins with."""
    read, table = _rows_read(plan), table_of(plan.get("Relation Name", ""))
    is_big = table not in FEW and sizes.get(table, 0) >= MANY
    name = f"{plan['Node Type']} {plan.get('Index Name') or plan.get('Relation Name', '')}".strip()
    if is_big and plan["Node Type"] == "Seq Scan" and read:
        yield f"{name}: the whole table"
    if is_big and "Index" in plan["Node Type"] and "Index Cond" not in plan and read >= max(MANY, sizes[table] // 2):
        yield f"{name}: the whole index"
    of_index, first = begins.get(plan.get("Index Name", ""), ("", ""))
    is_cut = not first or re.search(rf"\b{first}\b", plan.get("Index Cond", first))
    if not is_cut and of_index not in FEW and sizes.get(of_index, 0) >= MANY and plan["Actual Loops"]:
        yield f"{name}: the whole index, which begins with {first}"
    dropped, kept = _dropped(plan), plan["Actual Rows"] * plan["Actual Loops"]
    is_of_big = is_big if table else read_of_the_growing(plan, sizes) > DROPPED
    if dropped > max(DROPPED, DROPPED_FOR_ONE * kept) and is_of_big:
        yield f"{name}: {dropped:.0f} rows dropped for {kept:.0f} kept"
    for below in plan.get("Plans", ()):
        yield from faults(below, sizes, begins)


def read_of_the_growing(plan: Plan, sizes: Mapping[str, int]) -> float:
    """Count the rows of big tables that a plan reads, those that it drops too."""
    table = table_of(plan.get("Relation Name", ""))
    own = _rows_read(plan) if table not in FEW and sizes.get(table, 0) >= MANY else 0.0
    return own + sum(read_of_the_growing(below, sizes) for below in plan.get("Plans", ()))


def _dropped(plan: Plan) -> float:
    kinds = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
    return float(sum(plan.get(kind, 0) for kind in kinds) * plan["Actual Loops"])


def _rows_read(plan: Plan) -> float:
    return float(plan["Actual Rows"] * plan["Actual Loops"]) + _dropped(plan)
