"""Sends webhooks, in a lane for each endpoint: a few calls at a time, and no lane waits for another (invariant W4).

A lane starts when a commit tells of new webhooks or when one is due by the clock, and ends when none is left. It claims
a lot of webhooks, sends them while no transaction is open, and settles them in one transaction with the claim of the
next lot. `rules.delivery.receiver` decides how large a lot is.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import structlog

from integrations.runtime import tracing
from integrations.runtime.world import World
from integrations.webhooks import sending
from service.kernel import actor, clock, crypto, errors, outcomes
from service.kernel.work import Work
from service.outbox import webhooks as lots
from service.rules.delivery import receiver

ALL = 32
BEGIN_SECONDS = 20.0
POLL_SECONDS = 2.0
SIMULATED_POLL_SECONDS = 0.2
_log = structlog.get_logger("pobratym.lanes")


class Lanes:
    """Sends what is due, each endpoint for itself, over one client."""

    def __init__(self, world: World, deadline_seconds: float = sending.DEADLINE_SECONDS) -> None:
        """Send over the world's outbound client; a call takes at most the deadline."""
        self._world, self._deadline_seconds = world, deadline_seconds
        self._places = asyncio.Semaphore(ALL)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._woken: set[UUID] = set()
        self._stopped = asyncio.Event()

    def wake(self, endpoint_id: UUID) -> None:
        """Have the endpoint's lane look for what is due, now or when its present lot is done."""
        if endpoint_id in self._running:
            self._woken.add(endpoint_id)
        elif not self._stopped.is_set():
            self._running[endpoint_id] = asyncio.create_task(self._lane(endpoint_id))

    async def wake_due(self) -> None:
        """Wake every endpoint for which something is due by the clock."""
        async with self._world.database.apart() as w:
            due = await lots.due(w)
        for endpoint_id in due:
            self.wake(endpoint_id)

    async def stop(self) -> None:
        """Finish the calls that are in flight, give back the rest, and begin nothing more."""
        self._stopped.set()
        if self._running:
            await asyncio.wait(list(self._running.values()))

    async def drain(self, endpoint_id: UUID) -> None:
        """Send the endpoint what is due until nothing is."""
        run, pace = functools.partial(self._world.database.run, actor.TIMER), receiver.SendingPace()
        lot = await run(functools.partial(self._claim, endpoint_id, pace.size))
        while lot is not None:
            began = clock.monotonic()
            attempts = await self._sent(lot, pace.width)
            pace = _after(pace, attempts, clock.monotonic() - began)
            if pace.pause_seconds:  # nothing is leased meanwhile
                await run(functools.partial(self._settle, lot, attempts))
                await self._pause(pace.pause_seconds)
                lot = await run(functools.partial(self._claim, endpoint_id, pace.size))
            else:
                lot = await run(functools.partial(self._next, lot, attempts, pace.size))

    async def _next(self, lot: lots.Lot, attempts: list[lots.Attempt], size: int, w: Work) -> lots.Lot | None:
        """Settle the lot and claim the next one."""
        await self._settle(lot, attempts, w)
        await w.flush()
        return await self._claim(lot.endpoint_id, size, w)

    async def _claim(self, endpoint_id: UUID, size: int, w: Work) -> lots.Lot | None:
        return None if self._stopped.is_set() else await lots.claim(w, endpoint_id, size)

    async def _settle(self, lot: lots.Lot, attempts: list[lots.Attempt], w: Work) -> None:
        """Settle what was tried and give back the rest."""
        tried_ids = {attempt.parcel.delivery_id for attempt in attempts}
        await lots.settle(w, lot, attempts)
        await lots.release(w, [parcel for parcel in lot.parcels if parcel.delivery_id not in tried_ids])

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _sent(self, lot: lots.Lot, width: int) -> list[lots.Attempt]:
        """Send the lot, `width` calls at a time; what cannot be begun in time is left out."""
        waiting, attempts = iter(lot.parcels), list[lots.Attempt]()
        begin_until = clock.monotonic() + BEGIN_SECONDS

        async def some() -> None:
            while True:
                async with self._places:
                    if self._stopped.is_set() or clock.monotonic() > begin_until:
                        return
                    parcel = next(waiting, None)
                    if parcel is None:
                        return
                    attempts.append(await self._tried(lot, parcel))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(width, len(lot.parcels))):
                tasks.create_task(some())
        return attempts

    async def _tried(self, lot: lots.Lot, parcel: lots.Parcel) -> lots.Attempt:
        with tracing.span(self._world.tracer, "webhook", parcel.traceparent) as current:
            attempt = await self._posted(lot, parcel)
            tracing.attempted(current, parcel.delivery_id, parcel.attempt, attempt.outcome)
        return attempt

    async def _posted(self, lot: lots.Lot, parcel: lots.Parcel) -> lots.Attempt:
        began_at, stopwatch = self._world.clock.now(), clock.monotonic()
        try:
            outcome = await sending.post(
                self._world.outbound,
                lot.url,
                str(parcel.message_id),
                parcel.body,
                request_id=clock.own_id(parcel.request_id),
                signature=lot.signature,
                secrets=lot.secrets,
                deadline_seconds=self._deadline_seconds,
            )
        except Exception as error:  # noqa: BLE001 - one call must not take the others of its lot along
            origin = {"request_id": parcel.request_id, "traceparent": parcel.traceparent}
            _log.error("webhook_failed", subject_id=str(parcel.delivery_id), exc_info=error, **origin)
            outcome = outcomes.Retry(None, "broken_answer")
        return lots.Attempt(parcel, outcome, began_at, round((clock.monotonic() - stopwatch) * 1000))

    async def _lane(self, endpoint_id: UUID) -> None:
        try:
            while True:
                self._woken.discard(endpoint_id)
                await self.drain(endpoint_id)
                if endpoint_id not in self._woken:
                    break
        except (errors.DomainError, OSError) as error:  # what was claimed stays leased, and is due again
            _log.warning("lane_interrupted", error=type(error).__name__)
        except crypto.CannotDecrypt:
            _log.error("webhook_secret_unreadable", subject_id=str(endpoint_id))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other lanes go on
            _log.error("lane_failed", subject_id=str(endpoint_id), exc_info=error)
        finally:
            del self._running[endpoint_id]


def _after(pace: receiver.SendingPace, attempts: Sequence[lots.Attempt], seconds: float) -> receiver.SendingPace:
    delivered = (attempt.outcome for attempt in attempts if isinstance(attempt.outcome, outcomes.Delivered))
    slowest = max((attempt.duration_ms for attempt in attempts), default=0) / 1000
    return pace.after(seconds, slowest_seconds=slowest, is_whole=all(outcome.is_whole for outcome in delivered))


async def poll(lanes: Lanes, world: World, stop: asyncio.Event) -> None:
    """Wake the endpoints for which something is due, until `stop` is set; what a notice tells of is woken at once."""
    pause = SIMULATED_POLL_SECONDS if world.settings.clock == "manual" else POLL_SECONDS
    while not stop.is_set():
        await lanes.wake_due()
        world.presence.worked("webhooks")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()


@contextlib.asynccontextmanager
async def opened(world: World) -> AsyncIterator[Lanes]:
    """Give the lanes until the block ends; what is in flight is finished then."""
    lanes = Lanes(world)
    try:
        yield lanes
    finally:
        await lanes.stop()
