"""Everything that is given out in files can be taken in elsewhere: the files of the copy are those of the original."""

from datetime import date, timedelta

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
import world as simulated
from api.exchange import record_tables
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.exchange import exports, imports
from service.kernel import actor, clock
from service.kernel.work import Work
from service.registry import memorandum_log, published_facts

pytestmark = pytest.mark.races


async def files(w: Work, programme: str | None = None) -> dict[str, str]:
    chosen = await exports.programme_id(w, programme) if programme else None
    return {kind: record_tables.written(kind, await exports.rows(w, kind, chosen)) for kind in exports.KINDS}


async def take_in(w: Work, given: dict[str, str]) -> dict[str, imports.Outcome]:
    outcomes = {}
    for kind, text in given.items():
        found = record_tables.read(kind, text.encode())
        assert found.faults == [], kind
        try:
            outcomes[kind] = await imports.load(w, kind, found.rows, lambda _: None, is_confirmed=True)
        except imports.FileRefused as refused:
            pytest.fail(f"{kind}: {refused.faults}")
    return outcomes


async def a_busy_installation(scene: Scene) -> None:
    """The published facts, the demo's people, and a case with a corrected session and an activity."""
    async with scene.world.database.work(actor.TIMER) as w:
        await published_facts.load(w)
        await published_facts.load_demo(w)
    await scene.set_up()
    async with scene.world.database.work(actor.TIMER) as w:
        member, network = scene.lille.id, scene.asking.id
        await build.add(
            w,
            tables.Membership(id=clock.new_id(), institution_id=member, network_id=network, from_on=date(2026, 2, 1)),
        )
    await scene.rows(
        "UPDATE institution SET name = :name WHERE code = 'fr-aphp' RETURNING 1", name="=HYPERLINK(1); '=x"
    )
    await scene.rows("UPDATE person SET display_name = '-1+1', state = 'disabled' WHERE email LIKE 'mentor2@%'")
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", flow.happened(booked), 201)
    (session,) = await scene.rows("SELECT id FROM session")
    scene.clock.forward(hours=1)
    start = flow.read_instant(booked["starts_at"])
    times = {"started_at": start + timedelta(seconds=0.9), "ended_at": start + timedelta(minutes=29, seconds=30.1)}
    longer = {"outcome": "referred"} | {name: at.isoformat() for name, at in times.items()}
    await scene.post("mentor", f"/v1/sessions/{session.id}/corrections", longer, 201)
    visit = {"kind": "visit", "on": "2026-11-02", "people": {"op": "~", "count": 150}, "note": "Two days; a \\ tour."}
    await scene.post("coordinator", f"/v1/memoranda/{scene.memorandum.id}/activities", visit, 201)


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await a_busy_installation(made)
    return made


async def test_a_copy_made_from_files_gives_the_same_files(
    scene: Scene, server_url: sa.URL, template: str, world: World
) -> None:
    async with world.database.work(actor.TIMER) as w:
        original = await files(w)
    assert [kind for kind, text in original.items() if text.count("\r\n") <= 1] == []
    async with simulated.database(server_url, f"pobratym_{clock.new_id().hex}", template) as url:
        engine = simulated.engine(world.settings, url)
        copy = simulated.made(world.settings, engine, scene.clock)
        async with copy.database.work(actor.TIMER) as w:
            outcomes = await take_in(w, original)
            assert all(outcome.added for kind, outcome in outcomes.items() if kind != "mentors")
        async with copy.database.work(actor.TIMER) as w:
            assert await files(w) == original
            assert all(found.ok for found in (await memorandum_log.verify_all(w)).values())
            again = await take_in(w, original)
            assert {(outcome.added, outcome.changed) for outcome in again.values()} == {(0, 0)}
        await engine.dispose()


async def test_what_was_given_out_changes_nothing_where_it_came_from(scene: Scene) -> None:
    scene.clock.forward(hours=1)
    async with scene.world.database.work(actor.TIMER) as w:
        outcomes = await take_in(w, await files(w))
    assert {(outcome.added, outcome.changed) for outcome in outcomes.values()} == {(0, 0)}


async def test_one_programme_is_given_out_with_what_it_refers_to_and_nothing_of_another(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        given = await files(w, "uz-aphp")
    assert [line.split(",")[0] for line in given["programmes"].splitlines()[1:]] == ["uz-aphp"]
    assert "m-uz-aphp" in given["memoranda"]
    assert "fr-aphp" in given["institutions"]
    assert "chern" not in given["institutions"] + given["memoranda"] + given["people"]
    assert given["sessions"].count("\r\n") == 1


async def test_no_case_text_is_given_out(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        given = "".join((await files(w)).values())
        given += "".join([record_tables.written_only(await exports.records(w, kind)) for kind in exports.RECORDS])
    assert flow.QUESTION not in given
    assert str(scene.people["clinician"].id) in given
