"""The mentors are loaded after a start, in the background: what fails there is told, and stops nothing."""

import asyncio
import dataclasses

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from structlog.testing import capture_logs

import build
from integrations.runtime import warming
from integrations.runtime.world import World
from service.kernel import actor, work


async def test_mentors_whom_a_memorandum_reaches_are_loaded_after_a_start(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        partner = await build.partner(w)
        await build.memorandum(w, await build.institution(w), partner)
        await build.mentor(w, partner)
    with capture_logs() as logged:
        await warming.run(world, asyncio.Event())
    assert [(entry["event"], entry["count"]) for entry in logged] == [("mentors_warmed", 1)]


async def test_a_database_that_is_away_is_told_and_stops_nothing(world: World) -> None:
    nowhere = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none", poolclass=NullPool)
    without = dataclasses.replace(world, database=work.Database(nowhere, world.clock, world.keys))
    with capture_logs() as logged:
        await warming.run(without, asyncio.Event())
    assert [entry["event"] for entry in logged] == ["warming_failed"]
