"""Statements that go past SQLAlchemy: in the same transaction, with the same words for what goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

import build
import postoffice
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock, errors
from service.kernel.fetched import Fetched
from service.kernel.work import Work

_NAMED = sa.text("SELECT name, country FROM institution WHERE name = :name")
_TOUCH = sa.text("UPDATE institution SET name = 'Touched' RETURNING name")
_RENAME = sa.text("UPDATE person SET email = :email RETURNING id")
_NUMBER = sa.text("SELECT CAST(:name AS integer)")
_SLEEP = sa.text("SELECT pg_sleep(300)")
_WHO = sa.text("SELECT pg_backend_pid() AS pid, set_config('statement_timeout', '300s', false)")
_AT_WORK = sa.text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND state <> 'idle'")
_END = sa.text("SELECT pg_terminate_backend(:pid)")
_ARRAYS = sa.text("SELECT unnest(:ids) AS id").bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))


async def test_it_sees_what_its_transaction_did_first_of_all_or_later(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w)
        assert [row.name for row in await w.fetch(_NAMED, {"name": place.name})] == [place.name]
        place.name = "Another"
        assert [row.name for row in await w.fetch(_NAMED, {"name": "Another"})] == ["Another"]
    async with world.database.apart() as w:
        (row,) = await w.fetch(_NAMED, {"name": "Another"})
        assert isinstance(row, Fetched)
        assert (row.name, row["name"], tuple(row)) == ("Another", "Another", ("Another", place.country))
        with pytest.raises(AttributeError, match="nothing"):
            _ = row.nothing
        assert await w.fetch(_NAMED, {"name": "nobody"}) == []


async def test_arrays_are_lists_both_ways(world: World) -> None:
    async with world.database.apart() as w:
        ids = [clock.new_id(), clock.new_id()]
        assert [row.id for row in await w.fetch(_ARRAYS, {"ids": ids})] == ids


async def test_a_statement_made_for_the_shape_of_an_actor_is_asked_for_each_of_that_shape(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        people = [await build.person(w), await build.person(w)]
        places = [await build.institution(w), await build.institution(w)]
    grants = [frozenset({actor.Grant("clinician", place.id), actor.Grant("coordinator", place.id)}) for place in places]
    both = [actor.Actor("person", person.id, held) for person, held in zip(people, grants, strict=True)]
    shapes = [actor.shape(each) for each in both]
    assert shapes[0][0] == shapes[1][0]
    other = actor.Actor("person", people[0].id, frozenset({*grants[0], actor.Grant("coordinator", places[1].id)}))
    assert actor.shape(other)[0] != shapes[0][0]
    shape = shapes[0][0]
    asked: Any = sa.select(
        sa.literal(shape.person_id), sa.literal(sorted(shape.institutions("clinician")), ARRAY(sa.Uuid))
    )
    one = sa.select(col(tables.Institution.id)).where(col(tables.Institution.id).in_(shape.institutions("coordinator")))
    for person, place, (_, ids) in zip(people, places, shapes, strict=True):
        async with world.database.apart() as w:
            assert [tuple(row) for row in await w.fetch(asked, {}, ids)] == [(person.id, [place.id])]
        async with world.database.work(actor.TIMER) as w:  # and as the first statement of a transaction
            assert [row.id for row in await w.fetch(one, {}, ids)] == [place.id]


@pytest.mark.races
async def test_what_it_did_is_undone_with_all_the_rest(world: World) -> None:
    async def in_vain() -> None:
        async with world.database.work(actor.TIMER) as w:
            await w.fetch(_WHO, {})
            assert [row.name for row in await w.fetch(_TOUCH, {})] == ["Touched"]
            raise errors.NotFound

    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w)
    with pytest.raises(errors.NotFound):
        await in_vain()
    async with world.database.work(actor.TIMER) as w:
        assert (await w.read(tables.Institution, place.id)).name == place.name


@contextlib.asynccontextmanager
async def _opened(world: World, *, apart: bool) -> AsyncIterator[Work]:
    """Open a unit of work that has asked something, so that what comes next goes past SQLAlchemy."""
    async with world.database.apart() if apart else world.database.work(actor.TIMER) as w:
        await w.fetch(_WHO, {})
        yield w


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    ("statement", "value", "word"),
    [(_RENAME, "one@a.test", errors.Exists), (_NAMED, "\0", errors.Invalid), (_NUMBER, 2**40, errors.Invalid)],
)
async def test_what_the_database_or_the_driver_refuses_has_the_domains_word(
    world: World, statement: sa.TextClause, value: object, word: type[Exception], *, apart: bool
) -> None:
    async with world.database.work(actor.TIMER) as w:
        for _ in range(2):
            await build.person(w)
    with pytest.raises(word):
        async with _opened(world, apart=apart) as w:
            await w.fetch(statement, {"name": value, "email": value})


async def _cut(world: World, w: Work) -> None:
    """The server ends the connection."""
    (row,) = await w.fetch(_WHO, {})
    async with world.database.apart() as other:
        await other.fetch(_END, {"pid": row.pid})
    await w.fetch(_SLEEP, {})


async def _known_as_cut(_world: World, w: Work) -> None:
    """The driver has seen that."""
    assert w.connection
    driver: Any = (await w.connection.get_raw_connection()).driver_connection
    driver.terminate()
    await w.fetch(_WHO, {})


async def _too_long(_world: World, w: Work) -> None:
    """The unit of work takes longer than it may."""
    async with asyncio.timeout(0.1):
        await w.fetch(_SLEEP, {})


async def _is_over(w: Work, pid: int) -> bool:
    """Whether the server has ended the connection, or does nothing on it: it would keep its locks."""
    return not await w.fetch(_AT_WORK, {"pid": pid})


@pytest.mark.races
async def test_after_a_migration_every_statement_is_prepared_anew(world: World) -> None:
    async def read(w: Work) -> list[str]:
        await w.fetch(_WHO, {})
        return [row.country for row in await w.fetch(_NAMED, {"name": "a"})]

    async def at_once(count: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for w in [await stack.enter_async_context(_opened(world, apart=False)) for _ in range(count)]:
                assert await read(w) == []

    pool = world.settings.pool_size
    await at_once(pool)
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("ALTER TABLE institution ALTER COLUMN country TYPE text"))
    for _ in range(pool):
        assert await world.database.run(actor.TIMER, read) == []


@pytest.mark.races
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("fault", [_cut, _known_as_cut, _too_long])
async def test_a_connection_that_is_lost_is_unavailability_and_is_not_used_again(
    world: World, fault: Callable[[World, Work], Awaitable[None]], *, apart: bool
) -> None:
    used: list[Any] = []

    async def lose() -> None:
        async with _opened(world, apart=apart) as w:
            used.extend(await w.fetch(_WHO, {}))
            await fault(world, w)

    with pytest.raises(errors.Unavailable):
        await lose()
    assert world.engine.pool.status().endswith("Current Checked out connections: 0")
    async with world.database.apart() as other:
        await postoffice.until(lambda: _is_over(other, used[0].pid))
    for _ in range(3):
        async with _opened(world, apart=apart) as w:
            assert await w.fetch(_WHO, {}) != used
