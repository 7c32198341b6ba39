"""Each code by which a database refuses, raised inside each loop of a worker and of an API (OPS-05).

Every loop meets every code, goes on, and works again once the database is well; what waited leaves.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

import flow
import postoffice
import receiver
import refusing
from api.exchange import import_work
from integrations import outbound_http
from integrations.mail import maildir
from integrations.runtime import health, live, live_streams, loops, presence, worker
from integrations.runtime.world import World
from service.kernel import actor
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.races]
Failing = dict[str, str | None]


@pytest.fixture
async def scene(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, application: FastAPI, tmp_path: Path
) -> AsyncIterator[flow.Scene]:
    settings = world.settings.model_copy(update={"data_dir": tmp_path, "outbound_allow": ("127.0.0.0/8",)})
    async with outbound_http.client(settings) as outbound:
        outbox = maildir.MaildirOutbox(settings.mail_dir)
        application.state.world = own = dataclasses.replace(world, settings=settings, outbox=outbox, outbound=outbound)
        made = flow.Scene(own, test_clock, client)
        await made.set_up()
        yield made


@dataclasses.dataclass
class Running:
    """A worker, and the loops of an API beside which another one may work."""

    worker: World
    api: World
    polling: World
    """An API that asks for what changed (`LIVE=poll`), for a browser that follows it."""
    connection: "asyncpg.Connection[asyncpg.Record]"

    def failing(self) -> Failing:
        """Give the code of each loop that fails."""
        polling = {f"{name} by asking": state for name, state in self.polling.presence.loops().items()}
        loops = {**self.api.presence.loops(), **self.worker.presence.loops(), **polling}
        return {name: state["sqlstate"] for name, state in loops.items() if state["failures"]}

    def names(self) -> set[str]:
        """Name every loop that has begun."""
        return self.api.presence.loops().keys() | self.worker.presence.loops().keys()

    async def fail(self, loops: Collection[str], code: str) -> None:
        """Wait until each of these loops fails by this code."""
        wanted = dict.fromkeys(loops, code).items()
        try:
            await postoffice.until(lambda: self.failing().items() >= wanted)
        except TimeoutError:
            pytest.fail(f"no {code} in {sorted(wanted - self.failing().items())}, of which fail {self.failing()}")

    async def rows(self, statement: str) -> int:
        return int(await self.connection.fetchval(f"SELECT count(*) FROM {statement}"))


@pytest.mark.parametrize("code", refusing.CODES)
async def test_ops_05_no_code_ends_a_loop(scene: flow.Scene, code: str) -> None:
    world, stop = scene.world, asyncio.Event()
    connection = await world.connector.connect({})
    await refusing.prepare(connection, world.connector.address.database)
    async with receiver.opened() as hospital:
        await receiver.endpoint(scene, hospital.url)
        await scene.request(priority="routine")
        await world.engine.dispose()  # whoever connects now finds what refuses
        api = dataclasses.replace(world, presence=presence.of_this_process("api", "0.test"))
        polling = dataclasses.replace(
            api,
            presence=presence.of_this_process("api", "0.test"),
            settings=world.settings.model_copy(update={"live": "poll"}),
            streams=live_streams.Streams(),
        )
        browser = polling.streams.open(actor.TIMER)
        running = Running(world, api, polling, connection)
        at_first = {name: table for name, table in refusing.LOOPS.items() if name not in {"queue", "beat"}}
        await refusing.refuse(connection, at_first.values(), code)
        tasks = [
            asyncio.create_task(worker.run(world, stop, import_work.run)),
            asyncio.create_task(loops.beat(api, stop)),
            asyncio.create_task(live.run(api, stop)),
            asyncio.create_task(live.run(polling, stop)),
        ]
        try:
            await _met_by_all(running, at_first, code)
            assert not any(task.done() for task in tasks)
            assert running.names() == refusing.LOOPS.keys()  # a loop that is new here needs its line there
            await postoffice.until(lambda: not running.failing())
            mails = world.settings.mail_dir / "new"
            await postoffice.until(lambda: mails.is_dir() and any(mails.iterdir()) and bool(hospital.arrivals))
            await postoffice.until(lambda: _is_settled(running))
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            polling.streams.close(browser)
            await connection.close()
    assert len(set(hospital.ids)) == len(hospital.ids)


async def _met_by_all(running: Running, at_first: dict[str, str], code: str) -> None:
    """Have each loop fail by the code, and the database be well at the end but for the deliveries that it refuses.

    A worker looks for a restore before anything else, for which it needs what the beat writes, too: its other loops
    begin afterwards. The queue's is refused once it takes jobs, and then what a mail and a webhook need.
    """
    connection, others = running.connection, at_first.keys() - {"restore"}
    await running.fail(["restore", "partitions"], code)
    await refusing.let_be(connection, [at_first["restore"]])
    await running.fail(others, code)
    later = [refusing.LOOPS["queue"], refusing.LOOPS["beat"], "event"]
    await refusing.refuse(connection, later, code)
    # The queue's library takes a deadlock for a race that it lost, and asks again by itself: its loop does not fail.
    await running.fail(["beat", "live by asking", *(["queue"] if code != "40P01" else [])], code)
    await health.faults(running.worker)
    await refusing.let_be(connection, [at_first[name] for name in others])
    await refusing.refuse(connection, ["delivery"], code)
    await refusing.let_be(connection, later)
    await postoffice.until(lambda: _has_no_job(running))
    await refusing.let_be(connection, ["delivery"])


async def _has_no_job(running: Running) -> bool:
    return not await running.rows("queue.pgqueuer")


async def _is_settled(running: Running) -> bool:
    return not await running.rows("delivery WHERE state = 'pending'")
