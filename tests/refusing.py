"""Which loops run in processes, what each asks, and how to have the database refuse that by a code of our choice."""

from collections.abc import Iterable
from typing import TypeAlias

import asyncpg

CODES = (
    "25006", "53100", "53400", "58000", "58030", "58P01", "53000", "53200", "53300", "57P01", "57P02", "57P03", "57P04",
    "57P05", "08000", "08003", "08006", "25P03", "25P04", "55006", "55P03", "57014", "28000", "28P01", "3D000", "3F000",
    "42501", "42P01", "42703", "40001", "40P01", "XX001", "XX002",
)  # fmt: skip
LOOPS = {
    "queue": "queue.pgqueuer", "timers": "offer", "webhooks": "webhook_endpoint", "mail_server": "mail_server",
    "housekeeping": "housekeeping", "imports": "import_file", "rehearsals": "rehearsal", "beat": "process",
    "restore": "installation", "partitions": "pg_inherits", "live": "login pobratym live",
}  # fmt: skip
"""Every loop, and a table without which it cannot do its work; where it only listens, the name by which it signs in."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def prepare(connection: Connection, database: str) -> None:
    """Let sessions that begin from now on find what stands in place of a catalogue of the server."""
    await connection.execute(f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog')


async def refuse(connection: Connection, tables: Iterable[str], code: str) -> None:
    """Have whoever reads or writes each table, or signs in by the name, refused with this code."""
    for name, result in (("refusing", "bool"), ("refusing_change", "trigger")):
        body = f"$$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; RETURN NULL; END $$"
        await connection.execute(
            f"CREATE OR REPLACE FUNCTION public.{name}() RETURNS {result} LANGUAGE plpgsql VOLATILE AS {body}"
        )
    for table in tables:
        async with connection.transaction():
            for statement in _refusing(table):
                await connection.execute(statement)


async def let_be(connection: Connection, tables: Iterable[str]) -> None:
    """Put the tables back."""
    for table in tables:
        async with connection.transaction():
            for statement in _allowing(table):
                await connection.execute(statement)


_CHANGES = (
    "CREATE TRIGGER refusing BEFORE INSERT OR UPDATE OR DELETE ON {}"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.refusing_change()"
)
_LOGIN = "login "
_SIGNS_IN = (
    "CREATE FUNCTION public.refusing_one() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF current_setting('application_name') = '{}' THEN PERFORM public.refusing(); END IF; END $$"
)
_READS = "CREATE VIEW public.{} AS SELECT * FROM {} WHERE (SELECT public.refusing()) IS NOT NULL"


def _refusing(table: str) -> list[str]:
    """A view stands where the table was; of the queue, whose form its library checks, only changes are refused."""
    if table.startswith(_LOGIN):
        return [
            _SIGNS_IN.format(table.removeprefix(_LOGIN)),
            "CREATE EVENT TRIGGER refusing ON login EXECUTE FUNCTION public.refusing_one()",
        ]
    if table.startswith("queue."):
        return [_CHANGES.format(table)]
    if table.startswith("pg_"):
        return [_READS.format(table, f"pg_catalog.{table}")]
    kept = f"{table}_kept"
    return [f"ALTER TABLE {table} RENAME TO {kept}", _CHANGES.format(kept), _READS.format(table, kept)]


def _allowing(table: str) -> list[str]:
    if table.startswith(_LOGIN):
        return ["DROP EVENT TRIGGER refusing", "DROP FUNCTION public.refusing_one()"]
    if table.startswith("queue."):
        return [f"DROP TRIGGER refusing ON {table}"]
    if table.startswith("pg_"):
        return [f"DROP VIEW public.{table}"]
    kept = f"{table}_kept"
    return [f"DROP VIEW {table}", f"DROP TRIGGER refusing ON {kept}", f"ALTER TABLE {kept} RENAME TO {table}"]
