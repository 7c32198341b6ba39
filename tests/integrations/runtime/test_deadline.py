"""A server that hangs keeps none of its own timeouts: ours ends the wait."""

import pytest
import sqlalchemy as sa

from integrations.runtime import health
from integrations.runtime.world import World
from service.kernel import actor, errors

pytestmark = pytest.mark.races  # the connection is given up, so it must not be the shared one


async def test_a_unit_of_work_beyond_its_deadline_is_unavailable_and_gives_its_connection_up(world: World) -> None:
    world.database.deadline_seconds = 0.1
    with pytest.raises(errors.Unavailable):
        async with world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("SELECT pg_sleep(4)"))
    assert world.engine.pool.status().endswith("Current Checked out connections: 0")


async def test_a_database_that_does_not_answer_is_unreachable(world: World) -> None:
    world.presence.answer_seconds = 0
    assert await health.faults(world) == ["database_unreachable"]
