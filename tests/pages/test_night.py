"""A time at night is asked about once more on every page where somebody proposes or takes it (FT-11)."""

from datetime import UTC, datetime, timedelta

import pytest

import build
from pages.scene import Scene
from service.care import answers, appointments
from service.kernel import actor

LINE = "Outside 07\u201322 by both clocks."


async def read_english(scene: Scene) -> None:
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")


def night(scene: Scene) -> datetime:
    """03:00 in Paris, 04:00 in Kyiv."""
    return (scene.clock.now() + timedelta(days=1)).replace(hour=2, minute=0, second=0, microsecond=0)


async def offered(scene: Scene) -> str:
    await read_english(scene)
    await scene.ask()
    (row,) = await scene.rows("SELECT id FROM offer")
    return str(row.id)


async def booked(scene: Scene) -> str:
    id_ = await offered(scene)
    (row,) = await scene.rows("SELECT starts FROM offer")
    await scene.act(scene.mentor, answers.accept, (await scene.rows("SELECT id FROM offer"))[0].id, row.starts[0])
    assert id_
    return str((await scene.rows("SELECT id FROM appointment"))[0].id)


async def test_ft_11_a_counter_typed_for_the_night_is_asked_about_once_more(scene: Scene) -> None:
    id_ = await offered(scene)
    async with scene.browser(scene.mentor) as browser:
        form = {"time_1": f"{night(scene):%Y-%m-%d}T03:00"}
        asked = await browser.post(f"/offers/{id_}/counter", data=form)
        assert (asked.status_code, asked.text.count(LINE), form["time_1"] in asked.text) == (422, 1, True)
        assert (await scene.rows("SELECT state FROM offer"))[0].state == "pending"
        assert (await browser.post(f"/offers/{id_}/counter", data=form | {"sure": "yes"})).status_code == 303
    assert (await scene.rows("SELECT state FROM offer"))[0].state == "countered"


async def test_ft_11_the_clinician_confirms_a_countered_time_at_night_too(scene: Scene) -> None:
    id_ = await offered(scene)
    async with scene.world.database.work(await acting(scene)) as w:
        await answers.counter(w, (await scene.rows("SELECT id FROM offer"))[0].id, [night(scene)])
    async with scene.browser(scene.clinician) as browser:
        form = {"starts_at": f"{night(scene):%Y-%m-%dT%H:%M:%SZ}"}
        asked = await browser.post(f"/offers/{id_}/counter/accept", data=form)
        assert (asked.status_code, asked.text.count(LINE)) == (422, 1)
        assert (await browser.post(f"/offers/{id_}/counter/accept", data=form | {"sure": "yes"})).status_code == 303
    assert (await scene.rows("SELECT starts_at FROM appointment"))[0].starts_at == night(scene)


async def acting(scene: Scene) -> actor.Actor:
    async with scene.world.database.work(actor.TIMER) as w:
        return await build.actor(w, scene.mentor)


@pytest.mark.parametrize("purpose", ["counter.accept", "offer.counter"])
async def test_ft_11_the_page_of_a_link_says_so_and_asks_for_the_mark(scene: Scene, purpose: str) -> None:
    await offered(scene)
    form: dict[str, str] = {}
    if purpose == "counter.accept":
        await scene.act(scene.mentor, answers.counter, (await scene.rows("SELECT id FROM offer"))[0].id, [night(scene)])
    else:
        form = {"time_1": f"{night(scene):%Y-%m-%d}T03:00"}
    path, _ = await scene.link(purpose)
    async with scene.browser() as browser:
        if purpose == "counter.accept":
            assert LINE in (await browser.get(path)).text
        asked = await browser.post(path, data=form)
        assert (asked.status_code, asked.text.count(LINE)) == (422, 1)
        assert (await browser.post(path, data=form | {"sure": "yes"})).status_code == 303


async def test_ft_11_a_move_to_the_night_is_asked_about_and_so_is_agreeing(scene: Scene) -> None:
    id_ = await booked(scene)
    wall = f"{night(scene):%Y-%m-%d}T04:00"
    async with scene.browser(scene.clinician) as browser:
        asked = await browser.post(f"/appointments/{id_}/move", data={"local": wall})
        assert (asked.status_code, asked.text.count(LINE)) == (422, 1)
        sent = await browser.post(f"/appointments/{id_}/move", data={"local": wall, "sure": "yes"})
        assert sent.status_code == 303
    async with scene.browser(scene.mentor) as browser:
        form = {"starts_at": f"{night(scene):%Y-%m-%dT%H:%M:%SZ}"}
        assert (await browser.post(f"/appointments/{id_}/move", data=form)).text.count(LINE) == 1
        assert (await browser.post(f"/appointments/{id_}/move", data=form | {"sure": "yes"})).status_code == 303
    view = await scene.act(scene.mentor, appointments.read, (await scene.rows("SELECT id FROM appointment"))[0].id)
    assert view.row.starts_at.astimezone(UTC) == night(scene)


async def test_ft_11_a_time_by_day_needs_no_mark(scene: Scene) -> None:
    id_ = await booked(scene)
    async with scene.browser(scene.clinician) as browser:
        wall = f"{night(scene):%Y-%m-%d}T12:00"
        assert (await browser.post(f"/appointments/{id_}/move", data={"local": wall})).status_code == 303
