import hashlib
import re

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from pgqueuer.adapters.persistence import qb
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

import migrations
import world as simulated
from integrations.runtime import migrate, schema_version
from service import tables
from service.kernel import queue
from service.tables import ddl

CATALOGUE = {
    "columns": """
        SELECT n.nspname, c.relname, c.relpersistence, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attidentity
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {ours}""",
    "constraints": """
        SELECT n.nspname, k.conname, k.conrelid::regclass::text, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours}""",
    "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes n WHERE {ours_by_name}",
    "triggers": """
        SELECT n.nspname, t.tgname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND {ours}""",
    "functions": """
        SELECT n.nspname, p.proname, pg_get_functiondef(p.oid)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
        WHERE l.lanname = 'plpgsql' AND {ours_alone}""",
    "extensions": "SELECT extname FROM pg_extension",
}
OURS = {
    "ours_alone": "n.nspname IN ('public', 'queue')",
    "ours": "n.nspname IN ('public', 'queue') AND c.relname <> 'alembic_version' AND NOT c.relispartition",
    "ours_by_name": """n.schemaname IN ('public', 'queue') AND n.tablename <> 'alembic_version' AND NOT EXISTS (
        SELECT FROM pg_class c WHERE c.relname = n.tablename AND c.relispartition)""",
}
WAITING = (
    "ALTER TABLE participant ADD COLUMN sequence integer, ADD COLUMN dtstamp timestamptz",
    "ALTER TABLE link ADD COLUMN opens_at timestamptz",
)
"""Columns that no table of ours names any more, as 0.1 still reads them: 0.3 drops them (decision 0025)."""


RELEASED = {"2026_11_22_make_schema.sql": "10b14983ddf1734e15d03c58af02261350cc3cf9b0df338da9f0a284c1011ea7"}


def queue_statements() -> list[str]:
    return migrations.statements(qb.QueryBuilderEnvironment(queue.settings()).build_install_query())


async def catalogue(connection: AsyncConnection) -> dict[str, list[str]]:
    rows = {
        name: await connection.execute(sa.text(sql.format(**OURS).replace("::", r"\:\:")))
        for name, sql in CATALOGUE.items()
    }
    return {name: sorted(str(tuple(row)) for row in found) for name, found in rows.items()}


async def test_a_migrated_database_equals_the_models(server_url: URL) -> None:
    async with (
        simulated.database(server_url, "schema_migrated") as migrated,
        simulated.database(server_url, "schema_made") as made,
    ):
        first, second = (create_async_engine(url, poolclass=NullPool) for url in (migrated, made))
        await migrate.upgrade(first)
        async with second.begin() as connection:
            for sql in ddl.BEFORE:
                await connection.exec_driver_sql(sql)
            await connection.run_sync(tables.metadata.create_all)
            for sql in (*ddl.AFTER, *queue_statements()):
                await connection.exec_driver_sql(sql)
        async with first.connect() as one, second.connect() as other:
            for sql in WAITING:
                await other.execute(sa.text(sql))
            left, right = await catalogue(one), await catalogue(other)

    assert any("EXCLUDE" in row for row in left["constraints"])
    assert any("CHECK" in row for row in left["constraints"])
    assert left == right, "a change of the tables needs a version of the schema: docs/testing.md"


def test_what_was_released_is_not_changed_any_more() -> None:
    folder = schema_version.FOLDER / "versions"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in RELEASED} == RELEASED


async def test_migrating_twice_changes_nothing(server_url: URL) -> None:
    async with simulated.database(server_url, "schema_twice") as url:
        engine = create_async_engine(url, poolclass=NullPool)
        await migrate.upgrade(engine)
        await migrate.upgrade(engine)

        assert await schema_version.present(engine) == schema_version.head()


def test_what_is_read_without_alembic_is_what_alembic_reads() -> None:
    assert schema_version.head() == ScriptDirectory.from_config(migrate.config()).get_current_head()


def test_a_version_bears_a_date_no_earlier_than_the_one_before_it() -> None:
    found = [script.revision for script in ScriptDirectory.from_config(migrate.config()).walk_revisions()][::-1]
    assert [name for name in found if not re.fullmatch(r"\d{4}_\d\d_\d\d_[a-z0-9_]{1,21}", name)] == []
    assert [name[:10] for name in found] == sorted(name[:10] for name in found)
