from contextlib import suppress

import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.kernel.work import Work


async def test_everything_that_builders_make_fits_together(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    await build.coordinator(w, asking)
    await build.admin(w)
    clinician, mentor = await build.clinician(w, asking), await build.mentor(w, answering)
    memorandum = await build.memorandum(w, asking, answering, areas=["paediatrics"])
    consultation = await build.consultation(w, clinician, asking)
    await build.offer(w, consultation, mentor, memorandum)
    appointment = await build.appointment(w, consultation, mentor, memorandum)

    assert appointment.status == "booked"
    assert (await build.actor(w, mentor)).institutions("mentor") == {answering.id}


async def _count(world: World) -> int:
    async with world.database.work(actor.TIMER) as w:
        return int((await w.sql(sa.select(sa.func.count()).select_from(tables.Institution))).scalar_one())


@pytest.mark.parametrize("_again", [1, 2])
async def test_what_a_test_commits_is_gone_in_the_next(world: World, _again: int) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.institution(w)
    with suppress(ZeroDivisionError):
        async with world.database.work(actor.TIMER) as w:
            await build.institution(w)
            raise ZeroDivisionError

    assert await _count(world) == 1


@pytest.mark.races
@pytest.mark.parametrize("_again", [1, 2])
async def test_a_race_has_a_database_of_its_own(world: World, _again: int) -> None:
    async with world.database.work(actor.TIMER) as w, world.database.work(actor.TIMER) as other:
        await build.institution(w)
        await build.institution(other)

    assert await _count(world) == 2
