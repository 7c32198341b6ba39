"""Each code by which a database refuses, raised inside each loop of a worker: every loop goes on (OPS-05)."""

import asyncio
import dataclasses
from pathlib import Path

import asyncpg
import httpx
import pytest

import flow
import postoffice
from integrations.mail import maildir
from integrations.runtime import health, worker
from integrations.runtime.world import World
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.races]

CODES = (
    "25006", "53100", "53400", "58000", "58030", "58P01", "53000", "53200", "53300", "57P01", "57P02", "57P03", "57P04",
    "57P05", "08000", "08003", "08006", "25P03", "25P04", "55006", "55P03", "57014", "28000", "28P01", "3D000", "3F000",
    "42501", "42P01", "42703", "40001", "40P01", "XX001", "XX002",
)  # fmt: skip
LOOPS = {  # what each asks that no other does; the connection that listens is in `test_outage`
    "timers": "event", "webhooks": "webhook_endpoint", "mail_server": "mail_server", "housekeeping": "housekeeping",
    "beat": "process", "restore": "installation",
}  # fmt: skip


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient, tmp_path: Path) -> flow.Scene:
    settings = world.settings.model_copy(update={"data_dir": tmp_path})
    own = dataclasses.replace(world, settings=settings, outbox=maildir.MaildirOutbox(settings.mail_dir))
    made = flow.Scene(own, test_clock, client)
    await made.set_up()
    return made


async def refuse(connection: "asyncpg.Connection[asyncpg.Record]", table: str, code: str) -> None:
    """Have a view stand where the table was: whoever asks it is refused with this code."""
    body = f"$$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; RETURN true; END $$"
    async with connection.transaction():
        await connection.execute(
            f"CREATE OR REPLACE FUNCTION refusing() RETURNS bool LANGUAGE plpgsql VOLATILE AS {body}"
        )
        await connection.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
        await connection.execute(
            f"CREATE VIEW {table} AS SELECT * FROM {table}_away WHERE (SELECT refusing()) IS NOT NULL"
        )


async def let_be(connection: "asyncpg.Connection[asyncpg.Record]", table: str) -> None:
    async with connection.transaction():
        await connection.execute(f"DROP VIEW {table}")
        await connection.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


@pytest.mark.parametrize("code", CODES)
async def test_ops_05_no_code_ends_a_loop_of_the_worker(scene: flow.Scene, code: str) -> None:
    world, stop = scene.world, asyncio.Event()
    working = asyncio.create_task(worker.run(world, stop))
    connection = await world.connector.connect({})
    try:
        await postoffice.until(lambda: set(LOOPS) <= world.presence.loops().keys())
        failed = set()
        for table in LOOPS.values():
            await refuse(connection, table, code)
        try:
            await postoffice.until(lambda: bool(failing(world)))
            await health.faults(world)
            failed = failing(world)
        finally:
            for table in LOOPS.values():
                await let_be(connection, table)
        assert failed
        assert not working.done()
        await postoffice.until(lambda: not (failing(world) - {"housekeeping", "restore"}))
    finally:
        stop.set()
        await working
        await connection.close()


def failing(world: World) -> set[str]:
    return {name for name, state in world.presence.loops().items() if state["failures"]}
