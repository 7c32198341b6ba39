"""An open page hears that its case has changed: whoever it concerns, and nobody else; and every stream ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

import build
from api import app
from api.pages import live as page
from following import Follower, following
from integrations.runtime import live, live_streams
from integrations.runtime.world import World
from pages.scene import Scene
from service import tables, timers
from service.care import answers
from service.kernel import actor, changes, clock, errors
from service.kernel.actor import Actor, Grant

pytestmark = pytest.mark.races


@asynccontextmanager
async def hearing(world: World) -> AsyncIterator[None]:
    """Have the loop of the process that hears what changes, from the moment in which it does."""
    stop, heard = asyncio.Event(), world.streams.open(Actor("person", None))
    running = asyncio.create_task(live.run(world, stop))
    try:
        assert await heard.next(60) == [None]
        world.streams.close(heard)
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await running


@asynccontextmanager
async def browser(scene: Scene, who: tables.Person, **headers: str) -> AsyncIterator[Follower]:
    async with scene.browser(who) as signed_in:
        cookies = dict(signed_in.cookies)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with following(app.create(scene.world), cookies, named) as follower:
        yield follower


async def test_whoever_a_change_concerns_hears_which_case_it_was_and_nobody_else(scene: Scene) -> None:
    stranger = await scene.another_mentor()
    async with hearing(scene.world), browser(scene, scene.clinician) as clinician:
        async with browser(scene, scene.coordinator) as coordinator, browser(scene, stranger) as other:
            asked = await scene.ask()
            for follower in (clinician, coordinator):
                await follower.hears(str(asked.id))
            last = await scene.ask()
            await clinician.hears(str(last.id))
        assert clinician.status == 200
        assert clinician.headers["content-type"].startswith("text/event-stream")
        assert clinician.headers["x-accel-buffering"] == "no"
        assert clinician.headers["cache-control"] == "no-store"
        asked_of = {row.mentor_id for row in await scene.rows("SELECT mentor_id FROM offer")}
        assert stranger.id in asked_of or other.told == []
        assert set(clinician.told) == {str(asked.id), str(last.id)}
        assert scene.world.streams._of_person[stranger.id] == 0


async def test_what_is_undone_is_not_told(scene: Scene) -> None:
    async with hearing(scene.world), browser(scene, scene.clinician) as clinician:
        asked = await scene.ask()
        (offer,) = await scene.rows("SELECT id, starts FROM offer")
        with pytest.raises(errors.TimeNotBookable):
            await scene.act(scene.mentor, answers.counter, offer.id, [scene.clock.now() - timedelta(days=1)])
        last = await scene.ask()
        await clinician.hears(str(last.id))
        assert set(clinician.told) == {str(asked.id), str(last.id)}


async def test_who_comes_back_hears_what_was_missed(scene: Scene) -> None:
    before = await scene.ask()
    await _placed(scene)
    async with browser(scene, scene.clinician) as first:
        position = first.ids[0]
    missed = await scene.ask()
    await _placed(scene)
    async with browser(scene, scene.clinician, last_event_id=position) as again:
        await again.hears(str(missed.id))
        assert str(before.id) not in again.told


@pytest.mark.parametrize("said", ["x", "-1", "9" * 18, "9" * 40, "1.5", "\u0661".encode().decode("latin-1")])
async def test_who_says_what_nobody_told_hears_that_everything_may_have_changed(scene: Scene, said: str) -> None:
    async with browser(scene, scene.clinician, last_event_id=said) as follower:
        await follower.hears("everything")


async def test_without_a_visit_or_where_it_is_off_a_browser_is_told_not_to_come_back(scene: Scene) -> None:
    async with scene.browser() as stranger:
        assert (await stranger.get("/live")).status_code == 204
    scene.world.settings = scene.world.settings.model_copy(update={"live": "off"})
    async with scene.browser(scene.clinician) as signed_in:
        assert (await signed_in.get("/live")).status_code == 204


async def test_a_fifth_stream_of_a_person_is_503_and_one_that_ended_makes_room(scene: Scene) -> None:
    streams = [scene.world.streams.open(await _actor(scene)) for _ in range(live_streams.MOST_OF_A_PERSON)]
    async with scene.browser(scene.clinician) as signed_in:
        answer = await signed_in.get("/live")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    scene.world.streams.close(streams[0])
    async with browser(scene, scene.clinician) as follower:
        assert follower.status == 200
    assert len(scene.world.streams) == live_streams.MOST_OF_A_PERSON - 1


async def test_a_stream_ends_with_the_visit_after_its_time_and_on_shutdown(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(scene, scene.clinician) as follower:
        (end,) = follower.state["ending"]
        end()
        await _ends(follower)
    monkeypatch.setattr(page, "LASTS_SECONDS", 0)
    async with browser(scene, scene.clinician) as follower:
        await _ends(follower)
    monkeypatch.undo()
    monkeypatch.setattr(page, "PING_SECONDS", 0.01)
    monkeypatch.setattr(page, "SEEN_SECONDS", 0)
    async with browser(scene, scene.clinician) as follower:
        await scene.rows("UPDATE refresh_token SET revoked_at = created_at RETURNING 1")
        await _ends(follower)
    assert len(scene.world.streams) == 0


async def test_no_visit_lasts_longer_by_what_a_page_does_by_itself(scene: Scene) -> None:
    began = scene.clock.now()
    async with scene.browser(scene.clinician) as signed_in:
        scene.clock.forward(hours=3)
        await signed_in.get("/", headers={"X-Following": "1"})
        async with following(app.create(scene.world), dict(signed_in.cookies)):
            pass
        assert [row.seen_at for row in await scene.rows("SELECT seen_at FROM refresh_token")] == [began]
        await signed_in.get("/")
        (row,) = await scene.rows("SELECT seen_at FROM refresh_token")
    assert row.seen_at == scene.clock.now()


async def test_a_stream_holds_no_connection_of_the_pool(scene: Scene) -> None:
    async with browser(scene, scene.clinician):
        pool = scene.world.engine.sync_engine.pool
        assert pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_by_polling_the_same_is_heard(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    scene.world.settings = scene.world.settings.model_copy(update={"live": "poll"})
    async with hearing(scene.world), browser(scene, scene.clinician) as clinician:
        asked = await scene.ask()
        await clinician.hears(str(asked.id))
        await _placed(scene)
        last = await scene.ask()
        await _placed(scene)
        await clinician.hears(str(last.id))


def test_a_change_concerns_whom_its_event_names_by_person_place_or_programme() -> None:
    ids = {name: clock.new_id() for name in ("case", "person", "place", "programme", "other")}
    change = changes.Change(ids["case"], ids["programme"], frozenset({ids["person"]}), frozenset({ids["place"]}))
    told = {
        name: change.concerns(who)
        for name, who in {
            "person": Actor("person", ids["person"]),
            "coordinator": Actor("person", ids["other"], frozenset({Grant("coordinator", ids["place"])})),
            "clinician": Actor("person", ids["other"], frozenset({Grant("clinician", ids["place"])})),
            "admin": Actor("person", ids["other"], frozenset({Grant("programme_admin", None, ids["programme"])})),
            "admin of another": Actor(
                "person", ids["other"], frozenset({Grant("programme_admin", None, ids["other"])})
            ),
        }.items()
    }
    assert told == {
        "person": True, "coordinator": True, "clinician": False, "admin": True, "admin of another": False,
    }  # fmt: skip


@pytest.mark.parametrize("payload", ["", "{}", "x", "[]", '{"case": "x"}', '{"case": null, "programme": null}'])
def test_what_cannot_be_read_may_be_anything(payload: str) -> None:
    assert changes.read(payload) == changes.ANYTHING


def test_a_process_has_only_so_many_streams() -> None:
    streams = live_streams.Streams(2)
    for _ in range(2):
        streams.open(Actor("person", clock.new_id()))
    with pytest.raises(errors.Unavailable):
        streams.open(Actor("person", clock.new_id()))


async def test_a_slow_reader_is_told_of_each_case_once_and_of_very_many_that_it_is_everything() -> None:
    streams = live_streams.Streams()
    stream = streams.open(Actor("person", clock.new_id()))
    ids = [clock.new_id() for _ in range(101)]
    person = frozenset({stream.actor.person_id} - {None})
    of = [changes.Change(case, None, person) for case in ids]  # type: ignore[arg-type]
    streams.tell([of[0], of[1], of[0]])
    assert await stream.next(1) == ids[:2]
    streams.tell(of)
    assert await stream.next(1) == [None]
    assert await stream.next(0) == []


async def _actor(scene: Scene) -> Actor:
    async with scene.world.database.work(actor.TIMER) as w:
        return await build.actor(w, scene.clinician)


async def _ends(follower: Follower) -> None:
    async with asyncio.timeout(60):
        await follower.is_over.wait()


async def _placed(scene: Scene) -> None:
    await timers.place_events(scene.world.database)
