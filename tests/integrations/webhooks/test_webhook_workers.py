"""Webhooks by workers that die again and again: nothing is lost, and nothing else is sent."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

import flow
import postoffice
import receiver
from integrations.runtime import worker
from service.kernel import actor, clock

pytestmark = [pytest.mark.races, pytest.mark.slow, pytest.mark.load(15)]

IS_LONG = os.environ.get("DRILLS") == "1"
EVENTS = 5_000 if IS_LONG else 300
KILLS = 12 if IS_LONG else 1
BETWEEN_SECONDS = 2.0 if IS_LONG else 0.0
AT_ONCE = 20


class Workers:
    """Two processes that deliver, each replaced when it is killed."""

    def __init__(self, scene: flow.Scene) -> None:
        self.scene = scene
        self.processes = [self._start() for _ in range(2)]

    def _start(self) -> "subprocess.Popen[bytes]":
        return postoffice.start("worker", self.scene.world, OUTBOUND_ALLOW="127.0.0.1")

    async def kill(self, number: int) -> None:
        """Kill one with SIGKILL, and have another in its place; what it had claimed is free a minute later."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start()
        await self.scene.rows(
            "UPDATE delivery SET next_attempt_at = next_attempt_at - interval '61 s'"
            " WHERE state = 'pending' RETURNING 1"
        )
        await postoffice.leases_end(self.scene)

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


@contextlib.contextmanager
def working(scene: flow.Scene) -> Iterator[Workers]:
    found = Workers(scene)
    try:
        yield found
    finally:
        found.end()


async def record(scene: flow.Scene, is_over: asyncio.Event) -> set[str]:
    """Have events recorded, twenty a transaction; every third transaction comes to nothing."""
    made: set[str] = set()
    while len(made) < EVENTS:
        for is_kept in (True, True, False):
            with contextlib.suppress(RuntimeError):
                async with scene.world.database.work(actor.TIMER) as w:
                    told = {receiver.tell(w, scene) for _ in range(AT_ONCE)}
                    await w.flush()
                    if not is_kept:
                        raise RuntimeError
                made |= told
        await asyncio.sleep(0.01)
    is_over.set()
    return made


async def test_wh_07_two_workers_one_killed_again_and_again_lose_nothing_and_send_nothing_else(
    outbound: flow.Scene,
) -> None:
    outbound.clock.set(clock.wall())
    is_over = asyncio.Event()
    async with receiver.opened(receiver.Receiver(seconds=0.005)) as hospital:
        await receiver.endpoint(outbound, hospital.url, types=["session.logged"])
        with working(outbound) as workers:
            async with asyncio.TaskGroup() as tasks:
                recording = tasks.create_task(record(outbound, is_over))
                for number in range(KILLS):
                    wanted = EVENTS * number // (2 * KILLS) + 1
                    await postoffice.until(lambda wanted=wanted: len(hospital.arrivals) >= wanted)
                    await asyncio.sleep(BETWEEN_SECONDS)
                    await workers.kill(number % 2)
            made = recording.result()
            await postoffice.until(lambda: set(hospital.ids) >= made)
            await postoffice.until(lambda: _settled(outbound))
    assert set(hospital.ids) == made
    bodies: dict[str, set[bytes]] = {}
    for arrival in hospital.arrivals:
        bodies.setdefault(arrival.headers["webhook-id"], set()).add(arrival.body)
    assert [event for event, found in bodies.items() if len(found) > 1] == []
    assert len({json.loads(found.copy().pop())["data"]["id"] for found in bodies.values()}) == len(made)


async def _settled(scene: flow.Scene) -> bool:
    rows = await scene.rows("SELECT DISTINCT state FROM delivery WHERE kind = 'webhook'")
    return [row.state for row in rows] == ["delivered"]


async def test_a_webhook_leaves_by_a_worker_that_was_waiting_and_one_that_nobody_heard_of_is_found(
    outbound: flow.Scene,
) -> None:
    outbound.clock.set(clock.wall())
    async with receiver.opened() as hospital:
        await receiver.endpoint(outbound, hospital.url)
        await receiver.happen(outbound)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(outbound.world, stop))
            await postoffice.until(lambda: len(hospital.arrivals) == 1)
            await receiver.happen(outbound, 3)
            await postoffice.until(lambda: len(hospital.arrivals) == 4)
            stop.set()
    assert len(set(hospital.ids)) == 4
