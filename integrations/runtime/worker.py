"""The worker takes deliveries from the queue and sweeps what is due by the clock. Any number may run, on any host.

A worker that is killed loses nothing: what it had claimed comes back when its lease is over, and what is due is a
column.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from integrations.runtime import mail_delivery, postgres, presence, restore_watch, webhook_lanes
from integrations.runtime.world import World
from service import housekeeping, timers
from service.kernel import actor, clock, database_errors, errors, fanout, partitions, queue

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
ASKED_SECONDS, ANSWER_SECONDS = 10.0, 5.0
"""How often the connection that listens is asked whether it still does, and for how long the answer may take."""
GRACE_SECONDS = 20.0
Loop = Callable[[World, asyncio.Event], Awaitable[object]]
_OF_EVERY_PROCESS = ("beat", "partitions")
_log = structlog.get_logger("pobratym.worker")
_process_log = structlog.get_logger("pobratym.presence")


async def run(world: World, stop: asyncio.Event, imports: Loop | None = None) -> None:
    """Work until `stop` is set, at `imports` too; finishes what was begun. A database that goes away is waited for."""
    watch = restore_watch.Watch(world)
    await _again(world, stop, "restore", lambda *_: watch.look(), is_once=True)  # before anything leaves
    async with webhook_lanes.opened(world) as lanes, asyncio.TaskGroup() as tasks:
        loops: dict[str, Loop] = {
            "queue": functools.partial(_listen, lanes),
            "timers": _sweep,
            "housekeeping": _keep_house,
            "webhooks": functools.partial(webhook_lanes.poll, lanes),
            "mail_server": _watch_mail_server,
            "beat": _beat,
            "restore": lambda _, stop: watch.run(stop),
        }
        if imports is not None:
            loops["imports"] = imports
        for name, body in loops.items():
            tasks.create_task(_again(world, stop, name, body))


async def beat(world: World, stop: asyncio.Event) -> None:
    """Do what a process without a worker's loops does until `stop` is set, whatever the database does.

    It says every ten seconds that it lives. And it has a part for the months to come made before the last one ends:
    without one nothing can be written, and the workers, whose housekeepers make them, may have been away for long.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_again(world, stop, "beat", _beat))
        tasks.create_task(_again(world, stop, "partitions", _have_parts))


async def _have_parts(world: World, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await world.database.run(actor.TIMER, partitions.make_late)
        world.presence.worked("partitions")
        await _pause(stop, HOUSEKEEPING_SECONDS)


async def _beat(world: World, stop: asyncio.Event) -> None:
    await presence.beating(world.presence, world.watching, stop)


async def _again(world: World, stop: asyncio.Event, name: str, body: Loop, *, is_once: bool = False) -> None:
    """Go on with a loop until `stop` is set, whatever ends it: after a second first, then after longer pauses.

    With `is_once`, until it has ended well.

    A database that is away, read-only, full or failing is waited for; a fault of ours must not stop the other loops.
    """
    pause = RECONNECT_SECONDS
    while not stop.is_set():
        world.presence.moved(name)
        began = clock.monotonic()
        try:
            await body(world, stop)
            if is_once:
                return
        except Exception as error:  # noqa: BLE001 - see above
            _tell(world, name, error)
            await _revive(world, error)
        if clock.monotonic() - began > LONGEST_PAUSE_SECONDS:
            pause = RECONNECT_SECONDS  # it worked in between
        await _pause(stop, pause * (1 + clock.jitter()) / 2)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _tell(world: World, loop: str, error: Exception) -> None:
    """Have one line for a failure: what kind, by which code of the server, how often in a row."""
    state = database_errors.sqlstate(error)
    values = {"loop": loop, "sqlstate": state, "count": world.presence.failed(loop, state)}
    is_shared = loop in _OF_EVERY_PROCESS  # these run where no worker does, too
    meaning = database_errors.meaning(error)
    if meaning is None and not isinstance(error, errors.Unavailable):
        if is_shared:
            _process_log.error("process_loop_failed", exc_info=error, **values)
        else:
            _log.error("worker_loop_failed", exc_info=error, **values)
        return
    values |= {"error": type(error).__name__, "reason": database_errors.reason(error).name}
    if is_shared:
        _process_log.warning("process_interrupted", **values)
    else:
        _log.warning("worker_interrupted", **values)


async def _revive(world: World, error: Exception) -> None:
    """Start the embedded database again where it is gone: its users are the only ones who would."""
    if world.revive is None or database_errors.reason(error) is not database_errors.UNREACHABLE:
        return
    try:
        if await asyncio.to_thread(world.revive):
            _process_log.error("embedded_database_restarted")
    except (postgres.CannotStart, OSError) as fault:
        _process_log.error("embedded_database_gone", error=type(fault).__name__)


async def _listen(lanes: webhook_lanes.Lanes, world: World, stop: asyncio.Event) -> None:
    """Take jobs from the queue, and wake the lanes of which a notice tells: both by one connection, which only listens.

    Raises what ends the connection, TimeoutError where the server does not answer any more.
    """
    connection = await world.connector.connect({"application_name": "pobratym queue"}, command_timeout=SILENCE_SECONDS)
    try:
        driver = AsyncpgDriver(connection)
        await driver.add_listener(fanout.CHANNEL, lambda endpoint: lanes.wake(UUID(str(endpoint))))
        manager = QueueManager(queue.on(driver))
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

        await _run(manager, _Watched(world, connection, driver), stop)
    except TimeoutError:
        world.connector.give_up()  # the other loops wait for the same server, and have no deadline of their own
        raise
    finally:
        with contextlib.suppress(Exception):
            await connection.close(timeout=ANSWER_SECONDS)


class _Watched:
    """The connection that listens, which is asked every ten seconds: a frozen server closes none."""

    def __init__(self, world: World, connection: "asyncpg.Connection[Any]", driver: AsyncpgDriver) -> None:
        self._world, self._connection, self._driver = world, connection, driver
        self._asked_at = clock.monotonic()

    async def look(self) -> None:
        """Raise ConnectionError when it is closed, TimeoutError when nothing answers."""
        self._world.presence.moved("queue")
        if self._connection.is_closed():
            message = "the queue's connection is closed"
            raise ConnectionError(message)
        if clock.monotonic() - self._asked_at < ASKED_SECONDS:
            return
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._driver.fetch("SELECT 1")
        self._asked_at = clock.monotonic()
        self._world.presence.worked("queue")


async def _run(manager: QueueManager, watched: _Watched, stop: asyncio.Event) -> None:
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
            await watched.look()
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
        acted = timers.acted(world.database)
        for failure in await timers.once(world.database, functools.partial(world.presence.moved, "timers")):
            _log.error("timer_failed", timer=failure.timer, subject_id=str(failure.row_id), exc_info=failure.error)
        world.presence.worked("timers")
        if timers.acted(world.database) < acted + timers.BATCH:  # else there may be more of what was due
            await _pause(stop, pause)


async def _keep_house(world: World, stop: asyncio.Event) -> None:
    """Look after what ends, apart from the timers: a batch may take long."""
    kept = housekeeping.Kept(world.settings.audit_days, world.settings.mail_days)
    while not stop.is_set():
        for failure in await housekeeping.run_due(world.database, kept):
            _log.error("housekeeping_failed", task=failure.task, exc_info=failure.error)
        world.presence.worked("housekeeping")
        await _pause(stop, HOUSEKEEPING_SECONDS)


async def _watch_mail_server(world: World, stop: asyncio.Event) -> None:
    """Look for a mail server that is away: apart from the timers, as a look may take long."""
    pause = SIMULATED_SWEEP_SECONDS if world.settings.clock == "manual" else POLL_SECONDS
    while not stop.is_set():
        await mail_delivery.look_for_server(world)
        world.presence.worked("mail_server")
        await _pause(stop, pause)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
