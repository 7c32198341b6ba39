"""How often a page asks the database: each time has its price, before anything is said (decision 0081)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from pages.scene import Scene
from service import tables
from service.care import answers
from service.kernel import actor

NEW = "/consultations/new"
MOST = {
    ("/", "clinician"): 5,
    ("/", "coordinator"): 7,
    ("/", "mentor"): 5,
    ("/", "admin"): 7,
    (NEW, "clinician"): 6,  # one of them: is there a request that was begun and not sent
    (NEW, "coordinator"): 7,
    (NEW, "mentor"): 2,
    ("/people", "coordinator"): 2,
    ("/people", "admin"): 2,
    ("/operations", "admin"): 3,
}
"""Round trips of each page at most: statements, BEGIN and COMMIT."""


@contextmanager
def listening(world: World) -> Iterator[list[str]]:
    """Hear what goes through SQLAlchemy, and what goes past it: `Work.fetch`, BEGIN and COMMIT; nothing is both."""
    asked: list[str] = []

    def by_sqlalchemy(_c: object, _k: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def by_driver(record: Any) -> None:  # noqa: ANN401 - the driver's
        asked.append(record.query)

    def taken(connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        connection.driver_connection.add_query_logger(by_driver)

    def given_back(connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        connection.driver_connection.remove_query_logger(by_driver)

    engine = world.engine.sync_engine
    heard = (("before_cursor_execute", by_sqlalchemy), ("checkout", taken), ("checkin", given_back))
    for event, hearer in heard:
        sa.event.listen(engine, event, hearer)
    yield asked
    for event, hearer in heard:
        sa.event.remove(engine, event, hearer)


async def everybody(scene: Scene, world: World) -> dict[str, tables.Person]:
    """The people of a case that is booked and of another that waits for its mentor, and an admin."""
    async with world.database.work(actor.TIMER) as w:
        admin = await build.admin(w)
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer WHERE state = 'pending'")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    now = scene.clock.now()
    await scene.ask(windows=((now + timedelta(days=3), now + timedelta(days=5)),))
    return {"clinician": scene.clinician, "coordinator": scene.coordinator, "mentor": scene.mentor, "admin": admin}


@pytest.mark.races
async def test_a_page_asks_the_database_no_oftener_than_it_must(scene: Scene, world: World) -> None:
    people = await everybody(scene, world)
    too_many = {}
    for (path, who), most in MOST.items():
        async with scene.browser(people[who]) as browser:
            with listening(world) as asked:
                answer = await browser.get(path)
        assert answer.status_code in {200, 403}, answer.text
        if len(asked) > most:
            too_many[path, who] = asked
    assert too_many == {}
