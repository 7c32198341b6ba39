"""The queue's connection, by which a worker hears of jobs and webhooks. Only workers import this: pgqueuer is large."""

import asyncio
import contextlib
import functools
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.core import buffers
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from integrations.runtime import mail_delivery, news_delivery, webhook_lanes
from integrations.runtime.world import World
from service.kernel import clock, errors, fanout, queue

AT_ONCE = 8
NEWS_AT_ONCE = 16
"""So many push services may hang at a time, and mails are taken all the same."""
AHEAD = 4
POLL_SECONDS = 5.0
WATCH_SECONDS = 1.0
SILENCE_SECONDS = 30.0
"""After this long without an answer a server is taken for frozen, and its connection given up."""
ASKED_SECONDS, ANSWER_SECONDS = 10.0, 5.0
"""How often the connection that listens is asked whether it still does, and for how long the answer may take."""
GRACE_SECONDS = 20.0
_log = structlog.get_logger("pobratym.worker")

# Else the library looks ten times a second for jobs that are done and not yet written down: a quarter of what a worker
# costs that has nothing to do, and there is no parameter. As many as are taken at once are written at once, as ever.
buffers.JobStatusLogBuffer = functools.partial(  # type: ignore[misc,assignment]
    buffers.JobStatusLogBuffer, timeout=timedelta(seconds=1)
)


async def listen(lanes: webhook_lanes.Lanes, world: World, stop: asyncio.Event) -> None:
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

        news_limit = asyncio.Semaphore(NEWS_AT_ONCE)

        @manager.entrypoint(queue.TELL, accepts_context=False)
        async def tell(job: Job) -> None:
            if stop.is_set() or news_limit.locked():  # it stays due: who waits here would keep mails from being taken
                return
            async with news_limit:
                try:
                    await news_delivery.deliver(world, UUID(bytes=job.payload or b""))
                except (errors.DomainError, ValueError) as error:
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
