"""What a process says of itself: that it lives, whether it can work, whose clock it goes by."""

import asyncio
import dataclasses
from datetime import datetime, timedelta

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
import postoffice
import refusing
from api.exchange import import_work
from integrations.runtime import doctor, health, live, loops, presence, worker
from integrations.runtime.world import World
from pages.scene import Scene as PageScene
from service import housekeeping
from service.kernel import actor, clock
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    async with world.database.work(actor.TIMER) as w:
        made.people["admin"] = await build.admin(w, made.programme)
    return made


def working(world: World) -> World:
    """Give the same world in a process that only works."""
    here = presence.of_this_process("worker", "0.test")
    here.probe_seconds = 0.0
    return dataclasses.replace(world, presence=here)


def an_hour_ahead() -> datetime:
    return clock.wall() + timedelta(hours=1)


async def refuse(world: World, code: str) -> None:
    """Have the server raise this error whenever a process says that it lives."""
    body = f"$$ BEGIN RAISE 'as asked' USING ERRCODE = '{code}'; END $$"
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS {body}")
        await connection.exec_driver_sql("CREATE TRIGGER refusing BEFORE INSERT ON process EXECUTE FUNCTION refusing()")


async def let_be(world: World) -> None:
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TRIGGER refusing ON process")


async def test_ops_07_a_process_lives_by_the_databases_clock_whatever_its_own_says(scene: flow.Scene) -> None:
    scene.world.presence.wall = an_hour_ahead
    scene.clock.forward(days=400)
    assert await health.faults(scene.world) == ["clock_off"]
    scene.world.presence.moved("timers")
    await scene.world.presence.beat(scene.world.database)
    (row,) = await scene.rows("SELECT *, clock_timestamp() - beat_at AS age FROM process")
    assert row.started_at <= row.beat_at
    assert row.age < timedelta(minutes=1)
    assert 3_590_000 < row.clock_offset_ms < 3_610_000
    assert row.loops["timers"]["failures"] == 0


@pytest.mark.races
async def test_ops_07_ready_is_proved_by_one_write_for_all_who_ask(
    scene: flow.Scene,
) -> None:
    scene.world.presence.probe_seconds = 3600
    answers = await asyncio.gather(*(scene.client.get("/health/ready") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    (first,) = await scene.rows("SELECT beat_at, started_at FROM process")
    assert (await scene.client.get("/health/ready")).status_code == 200
    assert await scene.rows("SELECT beat_at, started_at FROM process") == [first]


async def test_ops_07_ready_waits_for_no_standby(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await scene.world.presence.beat(scene.world.database)
        (waits_for,) = (await w.sql(sa.text("SHOW synchronous_commit"))).one()
    assert waits_for == "local"  # until the test's one transaction ends; of its own it ends with the statement


@pytest.mark.races
async def test_ops_07_a_row_that_was_deleted_comes_back(scene: flow.Scene) -> None:
    assert await health.faults(scene.world) == []
    await scene.rows("DELETE FROM process RETURNING 1")
    assert await health.faults(scene.world) == []
    assert len(await scene.rows("SELECT 1 FROM process")) == 1


@pytest.mark.races
async def test_ops_05_what_is_damaged_is_told_until_the_process_starts_anew(scene: flow.Scene) -> None:
    await refuse(scene.world, "XX001")
    assert await health.faults(scene.world) == ["database_corrupt"]
    await let_be(scene.world)
    assert await health.faults(scene.world) == ["database_corrupt"]


@pytest.mark.races
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("25006", "database_read_only"),
        ("53100", "database_full"),
        ("58030", "database_failing"),
        ("53300", "database_unreachable"),
        ("42501", "database_refuses_us"),
        ("42P01", "schema_outdated"),
    ],
)
async def test_ops_05_ready_says_what_the_database_refuses(scene: flow.Scene, code: str, reason: str) -> None:
    await refuse(scene.world, code)
    ready = await scene.client.get("/health/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, [reason])
    await let_be(scene.world)
    assert (await scene.client.get("/health/ready")).status_code == 200


async def test_ops_08_a_clock_that_is_off_by_a_minute_takes_a_process_out_and_by_less_is_told(
    scene: flow.Scene,
) -> None:
    works, serves = working(scene.world), scene.world
    works.presence.wall = serves.presence.wall = an_hour_ahead
    assert await health.faults(works) == ["clock_off"]
    ready = await scene.client.get("/health/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["clock_off"])
    works.presence.wall = serves.presence.wall = lambda: clock.wall() + timedelta(seconds=30)
    assert await health.faults(works) == []
    ready = await scene.client.get("/health/ready")
    assert (ready.status_code, ready.json()["notices"]) == (200, ["clock_off"])


async def test_ops_07_admins_see_what_runs_and_nobody_else_does(scene: flow.Scene) -> None:
    works = working(scene.world)
    works.presence.failed("queue", "53300")
    await works.presence.beat(works.database)
    await scene.rows("UPDATE process SET clock_offset_ms = 7000 RETURNING 1")
    await scene.world.presence.beat(scene.world.database)
    await scene.rows("UPDATE process SET beat_at = beat_at - interval '2 minutes' WHERE kind <> 'worker' RETURNING 1")
    listed = (await scene.get("admin", "/v1/operations/processes"))["items"]
    assert [(found["kind"], found["is_live"], found["clock_offset_ms"]) for found in listed] == [
        ("worker", True, 7000),
        ("api_with_worker", False, None),
    ]
    assert listed[0]["loops"]["queue"]["sqlstate"] == "53300"
    await scene.call("clinician", "GET", "/v1/operations/processes", status=403)


@pytest.mark.parametrize("language", ["en", "uk"])
async def test_ops_07_the_page_of_operations_says_whether_somebody_works(
    world: World, test_clock: TestClock, language: str
) -> None:
    scene = PageScene(world, test_clock)
    await scene.set_up()
    async with world.database.work(actor.TIMER) as w:
        admin = await build.admin(w, locale=language)
    async with scene.browser(admin) as browser:
        empty = await browser.get("/operations")
        assert "pobratym worker" in empty.text
        await working(world).presence.beat(world.database)
        page = await browser.get("/operations")
        assert "/operations" in (await browser.get("/")).text
    assert page.status_code == 200
    assert "pobratym worker" not in page.text
    assert {"en": "Worker", "uk": "Обробник завдань"}[language] in page.text
    async with scene.browser(scene.clinician) as browser:
        assert (await browser.get("/operations")).status_code == 403
        assert "/operations" not in (await browser.get("/")).text


async def test_ops_08_doctor_names_what_runs_and_whose_clock_is_off(scene: flow.Scene) -> None:
    await scene.world.presence.beat(scene.world.database)
    await scene.rows("UPDATE process SET clock_offset_ms = -7000 RETURNING 1")
    (found,) = [found async for found in doctor.database(scene.world) if found.subject == "processes"]
    assert not found.is_well
    assert "api_with_worker" in found.detail
    assert "-7.0 s" in found.detail


async def test_ft_08_zone_data_is_followed_by_the_newest_that_runs(scene: flow.Scene) -> None:
    await scene.booked()
    await scene.rows("UPDATE appointment SET tzdata_version = '2020a' RETURNING 1")
    newer = working(scene.world)
    newer.presence.identity = dataclasses.replace(newer.presence.identity, tzdata="9999z")
    await newer.presence.beat(newer.database)
    await scene.sweep()
    assert [row.tzdata_version for row in await scene.rows("SELECT tzdata_version FROM appointment")] == ["2020a"]
    await scene.rows("UPDATE process SET beat_at = beat_at - interval '2 minutes' RETURNING 1")
    await scene.sweep()
    (row,) = await scene.rows("SELECT tzdata_version FROM appointment")
    assert row.tzdata_version == scene.world.database.tzdata_version


@pytest.mark.races
async def test_ops_07_every_loop_of_a_worker_moves_and_is_in_its_row(scene: flow.Scene) -> None:
    """And each has its line in the table by which a drill has it refused."""
    stop, api = asyncio.Event(), dataclasses.replace(scene.world, presence=presence.of_this_process("api", "0.test"))
    tasks = [
        asyncio.create_task(worker.run(scene.world, stop, import_work.run)),
        asyncio.create_task(loops.beat(api, stop)),
        asyncio.create_task(live.run(api, stop)),
    ]
    try:
        of_api = {"beat", "partitions", "live"}
        of_worker = refusing.LOOPS.keys() - {"partitions", "live"}
        await postoffice.until(lambda: scene.world.presence.loops().keys() >= of_worker)
        await postoffice.until(lambda: api.presence.loops().keys() >= of_api)
        assert scene.world.presence.loops().keys() | api.presence.loops().keys() == refusing.LOOPS.keys()
        assert scene.world.presence.stuck() == []
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def test_a_row_of_a_process_that_ended_goes_after_a_day(scene: flow.Scene) -> None:
    await scene.world.presence.beat(scene.world.database)
    await working(scene.world).presence.beat(scene.world.database)
    await scene.rows("UPDATE process SET beat_at = beat_at - interval '25 hours' WHERE kind = 'worker' RETURNING 1")
    await housekeeping.run(scene.world.database, housekeeping.Kept(365))
    assert [row.kind for row in await scene.rows("SELECT kind FROM process")] == ["api_with_worker"]


async def test_ops_07_what_processes_say_of_themselves_is_in_the_figures(scene: flow.Scene) -> None:
    here = working(scene.world)
    here.presence.moved("timers")
    await here.presence.beat(here.database)
    await scene.rows(
        "UPDATE process SET clock_offset_ms = -7000, loops = jsonb_set(loops, '{timers,moved_s}', '75') RETURNING 1"
    )
    (row,) = await scene.rows("SELECT CAST(extract(epoch FROM beat_at) AS float8) AS beat_at, host FROM process")

    figures = (await scene.client.get("/metrics")).text.splitlines()

    assert beats(figures) == [row.beat_at]
    assert f'pobratym_clock_offset_seconds{{host="{row.host}",kind="worker"}} -7.0' in figures
    assert f'pobratym_loop_seconds{{host="{row.host}",loop="timers"}} 75.0' in figures
    assert f'pobratym_loop_failing{{host="{row.host}",loop="timers"}} 1.0' in figures
    await scene.rows("UPDATE process SET beat_at = beat_at - interval '2 minutes' RETURNING 1")
    dead = (await scene.client.get("/metrics")).text.splitlines()
    assert not [line for line in dead if line.startswith("pobratym_loop_failing{")]
    assert beats(dead) == [row.beat_at - 120]


def beats(figures: list[str]) -> list[float]:
    name = "pobratym_worker_beat_timestamp_seconds "
    return [float(line.removeprefix(name)) for line in figures if line.startswith(name)]
