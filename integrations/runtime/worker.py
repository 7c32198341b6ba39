"""The worker takes deliveries from the queue and sweeps what is due by the clock. Any number may run, on any host.

A worker that is killed loses nothing: what it had claimed comes back when its lease is over, and what is due is a
column.
"""

import asyncio
import functools

import structlog

from integrations.runtime import loops, mail_delivery, rehearsing, restore_watch, webhook_lanes
from integrations.runtime.world import World
from service import housekeeping, timers
from service.care import promises

SWEEP_SECONDS = 1.0
SIMULATED_SWEEP_SECONDS = 0.2
HOUSEKEEPING_SECONDS = 60.0
"""How often a worker looks whether a task of the housekeeper is due; it is by then, if whoever did it last is gone."""
MAIL_SERVER_SECONDS = 5.0
_log = structlog.get_logger("pobratym.worker")


async def run(world: World, stop: asyncio.Event, imports: loops.Loop | None = None) -> None:
    """Work until `stop` is set, at `imports` too; finishes what was begun. A database that goes away is waited for."""
    watch = restore_watch.Watch(world)
    await loops.again(world, stop, "restore", lambda *_: watch.look(), is_once=True)  # before anything leaves
    async with webhook_lanes.opened(world) as lanes, asyncio.TaskGroup() as tasks:
        bodies: dict[str, loops.Loop] = {
            "queue": functools.partial(_take_jobs, lanes),
            "timers": _sweep,
            "housekeeping": _keep_house,
            "webhooks": functools.partial(webhook_lanes.poll, lanes),
            "mail_server": _watch_mail_server,
            "rehearsals": rehearsing.run,
            "beat": loops.beating,
            "restore": lambda _, stop: watch.run(stop),
        }
        if imports is not None:
            bodies["imports"] = imports
        for name, body in bodies.items():
            tasks.create_task(loops.again(world, stop, name, body))


async def _take_jobs(lanes: webhook_lanes.Lanes, world: World, stop: asyncio.Event) -> None:
    """Take jobs from the queue, as `job_queue.listen` does."""
    from integrations.runtime import job_queue  # noqa: PLC0415 - an API in the same process listens by now

    await job_queue.listen(lanes, world, stop)


async def _sweep(world: World, stop: asyncio.Event) -> None:
    pause = SIMULATED_SWEEP_SECONDS if world.settings.clock == "manual" else SWEEP_SECONDS
    while not stop.is_set():
        acted = timers.acted(world.database)
        for failure in await timers.once(world.database, functools.partial(world.presence.moved, "timers")):
            _log.error("timer_failed", timer=failure.timer, subject_id=str(failure.row_id), exc_info=failure.error)
        world.presence.worked("timers")
        if timers.acted(world.database) < acted + timers.BATCH:  # else there may be more of what was due
            await loops.pause(stop, pause)


async def _keep_house(world: World, stop: asyncio.Event) -> None:
    """Look after what ends, apart from the timers: a batch may take long."""
    kept = housekeeping.Kept(world.settings.audit_days, world.settings.mail_days)
    while not stop.is_set():
        for failure in await housekeeping.run_due(world.database, kept):
            _log.error("housekeeping_failed", task=failure.task, exc_info=failure.error)
        for switched in await promises.recount_due(world.database):
            if switched.is_off:
                _log.warning("promise_off", programme=switched.programme_code)
            else:
                _log.info("promise_on", programme=switched.programme_code)
        world.presence.worked("housekeeping")
        await loops.pause(stop, HOUSEKEEPING_SECONDS)


async def _watch_mail_server(world: World, stop: asyncio.Event) -> None:
    """Look for a mail server that is away: apart from the timers, as a look may take long."""
    pause = SIMULATED_SWEEP_SECONDS if world.settings.clock == "manual" else MAIL_SERVER_SECONDS
    while not stop.is_set():
        await mail_delivery.look_for_server(world)
        world.presence.worked("mail_server")
        await loops.pause(stop, pause)
