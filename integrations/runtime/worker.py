"""The worker takes deliveries from the queue and sweeps what is due by the clock. Any number may run, on any host.

A worker that is killed loses nothing: what it had claimed comes back when its lease is over, and what is due is a
column.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from integrations.runtime import mail_delivery, restore_watch, webhook_lanes
from integrations.runtime.world import World
from service import housekeeping, timers
from service.kernel import clock, database_errors, errors, queue

AT_ONCE = 8
AHEAD = 4
SWEEP_SECONDS = 1.0
SIMULATED_SWEEP_SECONDS = 0.2
HOUSEKEEPING_SECONDS = 60.0
"""How often a worker looks whether a task of the housekeeper is due; it is by then, if whoever did it last is gone."""
POLL_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
WATCH_SECONDS = 1.0
SILENCE_SECONDS = 30.0
"""After this long without an answer a server is taken for frozen, and its connection given up."""
GRACE_SECONDS = 20.0
Loop = Callable[[World, asyncio.Event], Awaitable[None]]
_log = structlog.get_logger("pobratym.worker")


async def run(world: World, stop: asyncio.Event, imports: Loop | None = None) -> None:
    """Work until `stop` is set, at `imports` too; finishes what was begun. A database that goes away is waited for."""
    watch = restore_watch.Watch(world)
    await _again(stop, "first look", watch.look, is_once=True)  # before anything leaves
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_again(stop, "restore", lambda: watch.run(stop)))
        if imports is not None:
            tasks.create_task(_again(stop, "imports", lambda: imports(world, stop)))
        tasks.create_task(_again(stop, "queue", lambda: _take_jobs(world, stop)))
        tasks.create_task(_again(stop, "timers", lambda: _sweep(world, stop)))
        tasks.create_task(_again(stop, "housekeeping", lambda: _keep_house(world, stop)))
        tasks.create_task(_again(stop, "webhooks", lambda: webhook_lanes.run(world, stop)))
        tasks.create_task(_again(stop, "mail_server", lambda: _watch_mail_server(world, stop)))


async def _again(
    stop: asyncio.Event, name: str, body: Callable[[], Awaitable[object]], *, is_once: bool = False
) -> None:
    """Go on with a loop until `stop` is set, whatever ends it: after a second first, then after longer pauses.

    With `is_once`, until it has ended well.

    A database that is away, read-only, full or failing is waited for; a fault of ours must not stop the other loops.
    """
    pause = RECONNECT_SECONDS
    while not stop.is_set():
        began = clock.monotonic()
        try:
            await body()
            if is_once:
                return
        except Exception as error:  # noqa: BLE001 - see above
            _tell(name, error)
        if clock.monotonic() - began > LONGEST_PAUSE_SECONDS:
            pause = RECONNECT_SECONDS  # it worked in between
        await _pause(stop, pause * (1 + clock.jitter()) / 2)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _tell(loop: str, error: Exception) -> None:
    meaning = database_errors.meaning(error)
    if meaning is None and not isinstance(error, errors.Unavailable):
        _log.error("worker_loop_failed", loop=loop, exc_info=error)
        return
    _log.warning("worker_interrupted", loop=loop, error=type(error).__name__, reason=meaning and meaning.name)


async def _take_jobs(world: World, stop: asyncio.Event) -> None:
    connection = await world.connector.connect({"application_name": "pobratym queue"}, command_timeout=SILENCE_SECONDS)
    try:
        manager = QueueManager(queue.on(AsyncpgDriver(connection)))
        limit = asyncio.Semaphore(AT_ONCE)

        @manager.entrypoint(queue.DELIVER, accepts_context=False)
        async def take(job: Job) -> None:
            async with limit:
                if stop.is_set():  # what was not begun stays due, for another worker or the next start
                    return
                try:
                    await mail_delivery.deliver(world, UUID(bytes=job.payload or b""))
                except (errors.DomainError, ValueError) as error:  # the row stays due: the sweep brings it again
                    _log.warning("delivery_interrupted", error=type(error).__name__)

        await _run(manager, connection, stop)
    finally:
        with contextlib.suppress(Exception):
            await connection.close()


async def _run(manager: QueueManager, connection: asyncpg.Connection, stop: asyncio.Event) -> None:
    """Let the manager take jobs until it is stopped or its connection is gone.

    The library sees a closed connection only when it asks for jobs again, after `POLL_SECONDS` without a notice, which
    can no longer come: the connection is watched from here.
    """
    running = asyncio.create_task(
        manager.run(
            dequeue_timeout=timedelta(seconds=POLL_SECONDS),
            batch_size=AT_ONCE,
            max_concurrent_tasks=AHEAD * AT_ONCE,  # without it the library takes, and keeps, all that is queued
            shutdown_on_listener_failure=True,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        while not (running.done() or stopping.done()):
            await asyncio.wait({running, stopping}, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if connection.is_closed():
                message = "the queue's connection is closed"
                raise ConnectionError(message)
        manager.shutdown.set()
        await asyncio.wait({running}, timeout=GRACE_SECONDS)
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=WATCH_SECONDS)
    if not running.cancelled():
        running.result()


async def _sweep(world: World, stop: asyncio.Event) -> None:
    pause = SIMULATED_SWEEP_SECONDS if world.settings.clock == "manual" else SWEEP_SECONDS
    while not stop.is_set():
        for failure in await timers.once(world.database):
            _log.error("timer_failed", timer=failure.timer, subject_id=str(failure.row_id), exc_info=failure.error)
        await _pause(stop, pause)


async def _keep_house(world: World, stop: asyncio.Event) -> None:
    """Look after what ends, apart from the timers: a batch may take long."""
    kept = housekeeping.Kept(world.settings.audit_days, world.settings.mail_days)
    while not stop.is_set():
        for failure in await housekeeping.run_due(world.database, kept):
            _log.error("housekeeping_failed", task=failure.task, exc_info=failure.error)
        await _pause(stop, HOUSEKEEPING_SECONDS)


async def _watch_mail_server(world: World, stop: asyncio.Event) -> None:
    """Look for a mail server that is away: apart from the timers, as a look may take long."""
    pause = SIMULATED_SWEEP_SECONDS if world.settings.clock == "manual" else POLL_SECONDS
    while not stop.is_set():
        await mail_delivery.look_for_server(world)
        await _pause(stop, pause)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
