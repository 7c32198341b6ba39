"""The worker's part of rehearsals: one after the other, a lot of choices at a time.

What is exact is made in a thread, so that the other loops go on. What is estimated is asked of the lab, which is a
program of its own: a minute of a processor, in a process that can be ended when this one has to stop.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from integrations.runtime import loops
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor, errors
from service.kernel.work import Work
from service.reporting import recorded_choices, rehearsals
from service.reporting.recorded_choices import Facts
from service.reporting.rehearsal_tally import Tally

PAUSE_SECONDS = 5.0
AT_ONCE = 20
LOOK_SECONDS = 20.0
"""How often somebody says, while the lab is at it, that the rehearsal goes on."""
LONGEST_SECONDS = 1200.0
ESTIMATE: Mapping[str, Any] = {
    "shape": "published", "seeds": 8, "behaviours": ["clock", "sleep", "strict", "deadline", "slow"],
}  # fmt: skip
"""What the lab is asked: all its models of behaviour, since numbers are better only if they are so under each."""
_log = structlog.get_logger("pobratym.rehearsals")
Result = dict[str, Any]
Estimating = Callable[[Mapping[str, Any]], Awaitable[Result]]


class NotEstimated(Exception):
    """The lab gave no answer."""


class _Stopping(Exception):
    """The process has to stop."""


async def run(world: World, stop: asyncio.Event) -> None:
    """Rehearse until `stop` is set; raises when the database goes away, and goes on when it is begun anew."""
    while not stop.is_set():
        is_found = await once(world, stop, ask_lab)
        world.presence.worked("rehearsals")
        if not is_found:
            await loops.pause(stop, PAUSE_SECONDS)


async def once(world: World, stop: asyncio.Event, estimating: Estimating) -> bool:
    """Rehearse what waits longest; False if nothing does."""
    async with world.database.apart() as w:
        claimed = await rehearsals.claim(w)
    if claimed is None:
        return False
    try:
        await _Job(world, claimed, stop, estimating).work()
    except rehearsals.Lost:
        _log.warning("rehearsal_lost", subject_id=str(claimed.id))
    return True


class _Job:
    """One rehearsal on its way."""

    def __init__(self, world: World, claimed: rehearsals.Claim, stop: asyncio.Event, estimating: Estimating) -> None:
        self._world, self._claimed, self._stop, self._estimating = world, claimed, stop, estimating
        self._done = 0

    async def work(self) -> None:
        """Do it, and record what came of it; raises Lost, and what the database raises when it goes away."""
        if self._claimed.is_hopeless:
            await self._settle(None, "worker_lost")
            return
        try:
            await self._rehearse()
        except _Stopping:
            async with self._world.database.apart() as w:
                await rehearsals.put_back(w, self._claimed, counts=False)
        except (errors.Unavailable, rehearsals.Lost):
            raise
        except Exception as error:  # noqa: BLE001 - one that we fail at is told as such, and stops no other
            _log.exception("rehearsal_failed", exc_info=error, subject_id=str(self._claimed.id))
            await self._settle(None, "our_failure")

    async def _rehearse(self) -> None:
        async with self._world.database.work(actor.TIMER) as w:
            row = await w.read(tables.Rehearsal, self._claimed.id)
            is_of_others = await rehearsals.has_other_rules(w, row)
        if is_of_others:
            await self._leave_to_others()
            return
        result = await self._exactly(row)
        try:
            estimated = await self._estimated(row)
        except NotEstimated as error:
            _log.error("rehearsal_not_estimated", error=str(error), subject_id=str(row.id))
            await self._settle(result | {"estimated": None}, "not_estimated")
        else:
            await self._settle(result | {"estimated": estimated})

    async def _leave_to_others(self) -> None:
        """Leave it to a worker with the rules of its choices, while there may be one."""
        if self._claimed.attempt >= rehearsals.MOST_ATTEMPTS:
            await self._settle(None, "other_rules")
            return
        async with self._world.database.apart() as w:
            await rehearsals.put_back(w, self._claimed, seconds=rehearsals.LEFT_SECONDS, counts=True)

    async def _exactly(self, row: tables.Rehearsal) -> Result:
        """Make all choices again, and one step on."""
        tally, facts = Tally(rehearsals.numbers(row.policy)), Facts()
        after: tuple[datetime, UUID] | None = None
        while True:
            async with self._world.database.work(actor.TIMER) as w:
                await self._go_on(w)
                lot = await recorded_choices.load(
                    w, row.programme_id, row.from_at, row.until_at, facts, after=after, limit=AT_ONCE
                )
            if not lot:
                return tally.result()
            await asyncio.to_thread(tally.add, lot)
            self._done += len(lot)
            after = (lot[-1].at, lot[-1].id)

    async def _estimated(self, row: tables.Rehearsal) -> Result:
        """Ask the lab, and say meanwhile that it goes on; raises NotEstimated."""
        question = {"now": row.compared_with, "new": row.policy, **ESTIMATE}
        asking = asyncio.ensure_future(self._estimating(question))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while True:
                await asyncio.wait({asking, stopping}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return await asking
                async with self._world.database.work(actor.TIMER) as w:
                    await self._go_on(w)
        finally:
            stopping.cancel()
            asking.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    async def _go_on(self, w: Work) -> None:
        if self._stop.is_set():
            raise _Stopping
        self._world.presence.moved("rehearsals")
        await rehearsals.go_on(w, self._claimed, self._done)

    async def _settle(self, result: Result | None, problem: vocabulary.RehearsalProblem | None = None) -> None:
        async with self._world.database.work(actor.TIMER) as w:
            await rehearsals.settle(w, self._claimed, result, problem)


async def ask_lab(question: Mapping[str, Any]) -> Result:
    """Give the lab's answer, from a process of its own, which ends with this call; raises NotEstimated."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # and nothing of ours that is secret
    pipe = asyncio.subprocess.PIPE
    try:
        lab = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab.rehearse", stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
    except OSError as error:  # no memory, or no process more
        raise NotEstimated(type(error).__name__) from error
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            told, complaint = await lab.communicate(json.dumps(question).encode())
    except TimeoutError:
        raise NotEstimated("it took too long") from None
    finally:
        if lab.returncode is None:
            lab.kill()
            await lab.wait()
    if lab.returncode:
        last_line = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotEstimated(f"{lab.returncode}: {last_line.partition(':')[0]}")  # its kind: the rest may quote numbers
    answer: Result = json.loads(told)
    return answer
