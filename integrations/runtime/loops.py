"""The loops of a process: each goes on until the process stops, whatever ends it meanwhile.

Here is what every process does, the workers' own loops are in `worker`: a server without them imports none.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from integrations.runtime import postgres, presence
from integrations.runtime.world import World
from service.kernel import actor, clock, database_errors, errors, partitions

RECONNECT_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PARTITIONS_SECONDS = 60.0
Loop = Callable[[World, asyncio.Event], Awaitable[object]]
_OF_EVERY_PROCESS = ("beat", "partitions", "live")
_worker_log = structlog.get_logger("pobratym.worker")
_process_log = structlog.get_logger("pobratym.presence")


async def beat(world: World, stop: asyncio.Event) -> None:
    """Do what a process without a worker's loops does until `stop` is set, whatever the database does.

    It says every ten seconds that it lives. And it has a part for the months to come made before the last one ends:
    without one nothing can be written, and the workers, whose housekeepers make them, may have been away for long.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(again(world, stop, "beat", beating))
        tasks.create_task(again(world, stop, "partitions", _have_parts))


async def _have_parts(world: World, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await world.database.run(actor.TIMER, partitions.make_late)
        world.presence.worked("partitions")
        await pause(stop, PARTITIONS_SECONDS)


async def beating(world: World, stop: asyncio.Event) -> None:
    """Say every ten seconds that this process lives, until `stop` is set; raises what the database refuses."""
    await presence.beating(world.presence, world.watching, stop)


async def again(world: World, stop: asyncio.Event, name: str, body: Loop, *, is_once: bool = False) -> None:
    """Go on with a loop until `stop` is set, whatever ends it: after a second first, then after longer pauses.

    With `is_once`, until it has ended well.

    A database that is away, read-only, full or failing is waited for; a fault of ours must not stop the other loops.
    """
    seconds = RECONNECT_SECONDS
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
            seconds = RECONNECT_SECONDS  # it worked in between
        await pause(stop, seconds * (1 + clock.jitter()) / 2)
        seconds = min(2 * seconds, LONGEST_PAUSE_SECONDS)


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
            _worker_log.error("worker_loop_failed", exc_info=error, **values)
        return
    values |= {"error": type(error).__name__, "reason": database_errors.reason(error).name}
    if is_shared:
        _process_log.warning("process_interrupted", **values)
    else:
        _worker_log.warning("worker_interrupted", **values)


async def _revive(world: World, error: Exception) -> None:
    """Start the embedded database again where it is gone: its users are the only ones who would.

    All loops see it go at once. One looks after it at a time: else they hold every thread that others wait for.
    """
    if world.revive is None or database_errors.reason(error) is not database_errors.UNREACHABLE:
        return
    try:
        async with world.reviving:
            is_restarted = await asyncio.to_thread(world.revive)
        if is_restarted:
            _process_log.error("embedded_database_restarted")
    except (postgres.CannotStart, OSError) as fault:
        _process_log.error("embedded_database_gone", error=type(fault).__name__)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, at most until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
