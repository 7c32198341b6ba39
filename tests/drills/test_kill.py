"""SIGKILL under load: what was acknowledged is there, once, and nothing is half done."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

import world as simulated
from drills import load, site

pytestmark = pytest.mark.drill

KILLS = 4
BETWEEN = 25  # acknowledged changes


@pytest.mark.parametrize("victim", ["api", "worker", "postgres"])
async def test_what_was_acknowledged_survives_sigkill_and_nothing_is_half_done(folder: Path, victim: str) -> None:
    async with site.opened(folder) as running:
        work = load.Load(running)
        async with work.going_on():
            for _ in range(KILLS):
                await work.grows(BETWEEN)
                await running.kill(victim)
                await asyncio.sleep(1)
                await running.revive(victim)
            await work.grows(BETWEEN)
        await load.settled(running)
        print(f"{victim}: {work.acknowledged} acknowledged, {work.repeated} sent again")  # noqa: T201 - for `make drills`
        assert await load.faults(running, work) == []
        assert set(work.refused) <= {"POST offers 409 /problems/slot-taken"}
        assert work.booked
        assert work.advised
        assert work.cancelled


LOSSES = (
    "DELETE FROM seat WHERE (appointment_id, person_id) IN (SELECT appointment_id, person_id FROM seat LIMIT 1)",
    "UPDATE event SET position = position + 1000000 WHERE position = 2",
    "UPDATE offer SET state = 'withdrawn' WHERE id = (SELECT id FROM offer WHERE state = 'accepted' LIMIT 1)",
    "UPDATE session SET minutes = minutes + 1 WHERE id = (SELECT id FROM session LIMIT 1)",
    "UPDATE delivery SET state = 'refused' WHERE id = (SELECT id FROM delivery WHERE state = 'delivered' LIMIT 1)",
    "UPDATE appointment SET status = 'cancelled' WHERE status = 'booked'",
)


async def test_what_is_lost_or_half_done_would_be_noticed(folder: Path) -> None:
    """The control: each of these is done and taken back, and must be seen meanwhile."""
    async with site.opened(folder) as running:
        work = load.Load(running)
        async with work.going_on():
            await work.grows(2 * BETWEEN)
        await load.settled(running)
        assert await load.faults(running, work) == []
        unseen = []
        for loss in LOSSES:
            async with simulated.rolled_back(running.world.engine) as connection:
                await connection.execute(sa.text(loss))
                if not await load.faults(running.over(connection), work):
                    unseen.append(loss)
    assert unseen == []
