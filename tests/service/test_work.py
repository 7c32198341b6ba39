"""What the database refuses, in the domain's words."""

import asyncpg
import pytest
import sqlalchemy as sa

from integrations.world import World
from service import actor, errors


async def test_a_connection_that_the_server_is_ending_is_unavailability_and_no_fault_of_ours(world: World) -> None:
    said = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    wrapped = Exception(str(said))
    wrapped.__cause__ = said
    with pytest.raises(errors.Unavailable):
        async with world.database.work(actor.TIMER):
            raise sa.exc.InternalError("BEGIN", {}, wrapped)
