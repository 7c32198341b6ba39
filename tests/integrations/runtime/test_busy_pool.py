"""A process whose connections are all at work is busy, not ill: nobody takes it out of service for that."""

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import URL, make_url

import world as simulated
from conftest import POOLER
from integrations.runtime import database_address, health
from integrations.runtime.connector import Connector
from integrations.runtime.settings import Settings
from integrations.runtime.world import engine_of
from service.kernel import actor, work

if TYPE_CHECKING:
    from fastapi import FastAPI


@pytest.mark.races
async def test_ops_07_a_process_whose_connections_are_all_taken_is_ready_and_says_so(
    server_url: URL, template: str, the_settings: Settings, test_clock: simulated.TestClock, application: "FastAPI"
) -> None:
    settings = the_settings.model_copy(update={"pool_size": 2})
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(simulated.database(server_url, "busy_pool", template))
        engines = [simulated.engine(settings, url, pooler_of(url))]
        engines.append(engine_of(settings, way(settings, pooler_of(url) or url), purpose="api", size=1))
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        world = dataclasses.replace(
            simulated.made(settings, engines[0], test_clock),
            watching=work.Database(engines[1], test_clock, simulated.KEYS),
        )
        client = await stack.enter_async_context(simulated.calling(application, world))
        for _ in range(settings.pool_size):
            w = await stack.enter_async_context(world.database.work(actor.TIMER))
            await w.sql(sa.text("SELECT 1"))

        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["reasons"], ready.json()["notices"]) == (200, [], ["pool_exhausted"])

        answers = await asyncio.gather(*(client.get("/health/ready") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}

        # A connection that was lost is made anew.
        async with world.watching.work(actor.TIMER) as own:
            pid = (await own.sql(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        await w.sql(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await health.faults(world)
        assert await health.faults(world) == []


def pooler_of(url: URL) -> URL | None:
    return make_url(POOLER).set(database=url.database) if POOLER else None


def way(settings: Settings, url: URL) -> Connector:
    return Connector(database_address.parse(simulated.text_of(url)), usual_seconds=settings.pool_timeout_ms / 1000)
