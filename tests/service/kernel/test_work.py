"""What the database refuses, in the domain's words."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, errors
from service.kernel.work import Work


async def test_a_connection_that_the_server_is_ending_is_unavailability_and_no_fault_of_ours(world: World) -> None:
    said = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    wrapped = Exception(str(said))
    wrapped.__cause__ = said
    with pytest.raises(errors.Unavailable):
        async with world.database.work(actor.TIMER):
            raise sa.exc.InternalError("BEGIN", {}, wrapped)


async def _add(w: Work, _place: tables.Institution) -> None:
    await build.institution(w)


async def _change(w: Work, place: tables.Institution) -> None:
    (await w.read(tables.Institution, place.id)).name = "Another"


async def _write(w: Work, _place: tables.Institution) -> None:
    w.write(tables.RateLimit, {"bucket": "a", "arrives_at": w.now})


@pytest.mark.parametrize("wish", [_add, _change, _write])
async def test_a_row_needs_a_transaction(
    world: World, wish: Callable[[Work, tables.Institution], Awaitable[None]]
) -> None:
    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w)

    async def apart() -> None:
        async with world.database.apart() as w:
            await wish(w, place)

    with pytest.raises(RuntimeError, match="need a transaction"):
        await apart()
    async with world.database.work(actor.TIMER) as w:
        assert [each.name for each in (await w.sql(sa.select(tables.Institution))).scalars().all()] == [place.name]
