"""Hears what changes, for the browsers that follow it from this process (`live_streams`).

`LIVE=listen`: one connection of its own, past a pooler, which only listens. `poll`: asks for new events each few
seconds, where a connection a process is too many. What was not heard while the connection was lost may be anything.
"""

import asyncio
import contextlib
from typing import Any

from integrations.runtime import loops
from integrations.runtime.world import World
from service.kernel import changes, clock

POLL_SECONDS = 3.0
WATCH_SECONDS = 1.0
ASKED_SECONDS, ANSWER_SECONDS = 10.0, 5.0
"""How often the connection that listens is asked whether it still does, and for how long the answer may take."""


async def run(world: World, stop: asyncio.Event) -> None:
    """Tell this process's streams what changes until `stop` is set, whatever the database does."""
    if world.settings.live != "off":
        await loops.again(world, stop, "live", _listen if world.settings.live == "listen" else _poll)


async def _listen(world: World, stop: asyncio.Event) -> None:
    connection = await world.connector.connect({"application_name": "pobratym live"}, command_timeout=ANSWER_SECONDS)
    try:
        await connection.add_listener(changes.CHANNEL, lambda *told: world.streams.tell([changes.read(str(told[-1]))]))
        world.streams.tell([changes.ANYTHING])
        await _watch(world, connection, stop)
    finally:
        with contextlib.suppress(Exception):
            await connection.close(timeout=ANSWER_SECONDS)


async def _watch(world: World, connection: Any, stop: asyncio.Event) -> None:  # noqa: ANN401 - the driver's
    """Wait, and raise when the connection is gone: a frozen server closes none, so it is asked now and then."""
    asked_at = clock.monotonic()
    while not stop.is_set():
        world.presence.moved("live")
        if connection.is_closed():
            message = "the connection that hears what changes is closed"
            raise ConnectionError(message)
        if clock.monotonic() - asked_at >= ASKED_SECONDS:
            await connection.fetchval("SELECT 1")
            asked_at = clock.monotonic()
            world.presence.worked("live")
        await loops.pause(stop, WATCH_SECONDS)


async def _poll(world: World, stop: asyncio.Event) -> None:
    """Read what was told since the last look, while anybody follows.

    What has no position yet is told twice, which costs a browser a look.
    """
    position = None
    world.streams.tell([changes.ANYTHING])
    while not stop.is_set():
        if len(world.streams):
            async with world.database.apart() as w:
                missed = await changes.since(w, position)
            position = missed.position
            world.streams.tell(missed.changes)
        else:
            position = None  # whoever opens the next stream is told by it what is new
        world.presence.worked("live")
        await loops.pause(stop, POLL_SECONDS)
