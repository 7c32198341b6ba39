"""Migrating what others work on: nobody waits behind it for long, nothing is half done, the end is clear."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog import testing

import newer
import postoffice
from integrations.runtime import migrate, schema_version
from integrations.runtime.world import World

pytestmark = pytest.mark.races

PAGE = postoffice.ROOT / "docs" / "operations.md"
ADD_COLUMN = "ALTER TABLE consultation ADD COLUMN mood text"


@pytest.fixture
def schema(tmp_path: Path) -> newer.Schema:
    return newer.Schema(tmp_path)


@contextlib.asynccontextmanager
async def reading(world: World) -> AsyncIterator[None]:
    """Have somebody read consultations in a transaction that lives as long as the block."""
    async with world.engine.connect() as connection:
        await connection.execute(sa.text("SELECT count(*) FROM consultation"))
        yield


@contextlib.asynccontextmanager
async def writing(world: World) -> AsyncIterator[None]:
    """Have somebody write to consultations in a transaction that lives as long as the block."""
    async with world.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE consultation SET version = version WHERE false"))
        yield


@contextlib.asynccontextmanager
async def migrating(world: World, schema: newer.Schema) -> AsyncIterator[Callable[[], int]]:
    """Have it migrated, to the end at the end of the block; gives how often it gave way, as far as it is told."""
    with testing.capture_logs() as heard:
        task = asyncio.create_task(migrate.upgrade(world.engine, folder=schema.folder))
        try:
            yield lambda: max((line["attempt"] for line in heard), default=0)
            await task
        finally:
            task.cancel()


async def rows(world: World, statement: str) -> list[tuple[object, ...]]:
    async with world.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(sa.text(statement))]


async def has_column(world: World) -> bool:
    found = "SELECT 1 FROM information_schema.columns WHERE table_name = 'consultation' AND column_name = 'mood'"
    return bool(await rows(world, found))


async def test_a_migration_gives_way_to_whoever_works_until_its_turn_comes(world: World, schema: newer.Schema) -> None:
    name = schema.add("add_mood", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS wait", ADD_COLUMN)
    async with migrating(world, schema) as attempts, reading(world):
        await postoffice.until(lambda: attempts() >= 2)
        async with writing(world):
            assert not await has_column(world)
    assert await schema_version.present(world.engine) == name
    assert await has_column(world)
    assert await rows(world, "SELECT wait FROM seen") == [("100ms",)]


async def test_a_migration_whose_turn_does_not_come_gives_up_and_leaves_nothing_half_done(
    world: World, schema: newer.Schema
) -> None:
    first = schema.add("make_one", "CREATE TABLE one (id int)")
    name = schema.add("make_half", "CREATE TABLE half (id int)", ADD_COLUMN)
    async with reading(world):
        with pytest.raises(migrate.InUse, match=f"The schema is not {name} yet: for 0 s .* Nothing is half done"):
            await migrate.upgrade(world.engine, 0, schema.folder)
    assert await schema_version.present(world.engine) == first
    assert await rows(world, "SELECT to_regclass('one') IS NULL, to_regclass('half') IS NULL") == [(False, True)]
    await migrate.upgrade(world.engine, folder=schema.folder)
    assert await has_column(world)


async def test_of_several_migrations_at_once_the_others_find_it_done(world: World, schema: newer.Schema) -> None:
    name = schema.add("add_mood", "SELECT pg_sleep(0.2)", ADD_COLUMN)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(migrate.upgrade(world.engine, folder=schema.folder))
    assert await schema_version.present(world.engine) == name


async def test_a_migration_leaves_its_timeouts_and_its_lock_in_no_pool(world: World) -> None:
    ((before,),) = await rows(world, "SHOW lock_timeout")
    await migrate.upgrade(world.engine)
    async with contextlib.AsyncExitStack() as pool:
        connections = [await pool.enter_async_context(world.engine.connect()) for _ in range(4)]
        said = {(await one.execute(sa.text("SHOW lock_timeout"))).scalar_one() for one in connections}
    mine = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    held = f"{mine} WHERE locktype = 'advisory' AND datname = current_database()"

    async def is_free() -> bool:  # a session ends a moment after its connection
        return await rows(world, held) == [(0,)]

    await postoffice.until(is_free)
    assert said == {before}


def written() -> str:
    """Give what the page says of a version that makes an index while others write."""
    begin = r"with op\.get_context\(\)\.autocommit_block\(\):\n"
    (steps,) = re.findall(rf"```python\n({begin}.*?)```", PAGE.read_text(), re.DOTALL)
    return str(steps)


async def test_an_index_is_made_while_others_write_as_the_page_says(world: World, schema: newer.Schema) -> None:
    name = schema.add_written("index_example", written())
    begun = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%'"

    async def is_making() -> bool:
        return bool(await rows(world, begun))

    async with migrating(world, schema), contextlib.AsyncExitStack() as waiting, writing(world):
        await postoffice.until(is_making)
        attempts = await waiting.enter_async_context(migrating(world, schema))
        await postoffice.until(lambda: attempts() >= 2)
        async with writing(world):
            assert await is_making()
    assert await schema_version.present(world.engine) == name
    made = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('ix_consultation_example') AND indisvalid"
    assert await rows(world, made) == [(1,)]


async def test_an_operator_says_how_long_to_try_and_reads_why_it_ended(world: World) -> None:
    ask = (sys.executable, "-c", "from api.cli.main import main; main()", "migrate", "--wait", "0")
    own = postoffice.environment(world)
    async with world.engine.connect() as another:
        await another.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": 0x706F6272})
        process = await asyncio.create_subprocess_exec(*ask, cwd=postoffice.ROOT, env=own, stderr=subprocess.PIPE)
        _, complaint = await process.communicate()
        await another.invalidate()
    assert process.returncode == 1
    assert complaint.decode() == (
        f"The schema is not {schema_version.head()} yet: for 0 s somebody held what the next version needs, or another"
        " migration ran. Nothing is half done: try again, longer or in a quieter hour.\n"
    )
