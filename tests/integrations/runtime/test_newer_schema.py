"""This program on the database as a newer one left it: it works on, and leaves alone what it does not know."""

import asyncio
import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pydantic import SecretStr

import flow
import postoffice
from integrations.mail import maildir
from integrations.runtime import doctor, health, schema_version, settings, worker
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service.kernel import actor, queue, work
from world import TestClock

pytestmark = pytest.mark.races

NEWER = "2099_01_01_add_mood"
STRANGE = ("2020_01_01_add_mood", "1975ea83b712", "2099_01_01", "")


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """The test's world with a Maildir of its own."""
    told = world.settings.model_copy(update={"data_dir": tmp_path})
    return dataclasses.replace(world, settings=told, outbox=maildir.MaildirOutbox(told.mail_dir))


@pytest.fixture
async def scene(own: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(own, test_clock, client)
    await made.set_up()
    return made


async def have_version(world: World, version: str) -> None:
    """Have the database say that it is of this version."""
    async with world.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def told(world: World) -> settings.Settings:
    """Give the settings of whoever starts on this database, by its address."""
    url = world.connector.address.text
    keys = f"test:{base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip('=')}"
    return settings.Settings(database_url=SecretStr(url), secret_keys=SecretStr(keys), data_dir=world.settings.data_dir)


async def test_a_newer_schema_is_served(world: World) -> None:
    await have_version(world, NEWER)
    assert await health.faults(world) == []
    async with worlds.opened(told(world)) as opened:
        assert await schema_version.present(opened.engine) == NEWER
    (found,) = [finding for finding in await doctor.examine(told(world)) if finding.subject == "schema"]
    assert (found.is_well, found.detail) == (True, f"{NEWER}, of a newer program")


@pytest.mark.parametrize("version", STRANGE)
async def test_a_schema_that_no_newer_program_made_is_not_served(world: World, version: str) -> None:
    await have_version(world, version)
    assert await health.faults(world) == ["schema_outdated"]
    with pytest.raises(worlds.NotMigrated, match="run `pobratym migrate`"):
        async with worlds.opened(told(world)):
            pass
    (found,) = [finding for finding in await doctor.examine(told(world)) if finding.subject == "schema"]
    assert not found.is_well


NEWS = (
    '{"template": "triaged"}',
    '{"locale": "pl"}',
    '{"values": {"specialty": {"uk": "x", "en": "x"}, "priority": "at_leisure"}}',
)


@pytest.mark.parametrize("news", NEWS)
async def test_a_mail_of_words_that_only_a_newer_worker_has_waits_for_it(
    scene: flow.Scene, test_clock: TestClock, news: str
) -> None:
    await scene.request()
    (mine, *_) = await scene.rows("SELECT id, payload FROM delivery ORDER BY id")
    change = "UPDATE delivery SET payload = payload || CAST(:news AS jsonb) WHERE id = :id"
    await scene.rows(change, news=news, id=mine.id)
    await have_version(scene.world, NEWER)

    for _ in range(3):
        await postoffice.deliver_all(scene)
        (row,) = await scene.rows("SELECT state, attempt, error FROM delivery WHERE id = :id", id=mine.id)
        assert tuple(row) == ("pending", 0, "for a newer worker")
        test_clock.forward(minutes=1)
    assert await scene.rows("SELECT 1 FROM delivery_attempt WHERE delivery_id = :id", id=mine.id) == []

    known = "UPDATE delivery SET payload = CAST(:payload AS jsonb) WHERE id = :id"
    await scene.rows(known, id=mine.id, payload=json.dumps(mine.payload))  # as a worker sees it that knows the words
    await postoffice.deliver_all(scene)
    (row,) = await scene.rows("SELECT state, attempt, error FROM delivery WHERE id = :id", id=mine.id)
    assert tuple(row) == ("delivered", 1, None)


async def test_an_event_of_a_type_that_only_a_newer_program_records_is_given_as_it_was_written(
    scene: flow.Scene,
) -> None:
    consultation_id = await scene.request()
    await scene.sweep()
    (opened,) = await scene.rows("SELECT id, body FROM event WHERE type = 'consultation.opened'")
    body = opened.body.replace("opened", "triaged").replace('"data":{', '"data":{"mood":"calm",')
    await scene.rows(
        "INSERT INTO event (id, type, subject_id, subject_version, programme_id, memorandum_id, institution_ids,"
        " person_ids, occurred_at, body) SELECT gen_random_uuid(), 'consultation.triaged', subject_id, 99,"
        " programme_id, memorandum_id, institution_ids, person_ids, occurred_at, :body FROM event WHERE id = :id",
        id=opened.id,
        body=body,
    )
    await scene.sweep()
    (found,) = [
        event for event in (await scene.get("coordinator", "/v1/events"))["items"]
        if event["type"] == "consultation.triaged"
    ]  # fmt: skip
    assert {name: found[name] for name in ("type", "timestamp", "data")} == json.loads(body)
    assert found["data"]["id"] == consultation_id


async def test_a_job_of_a_kind_that_only_a_newer_worker_does_is_left_in_the_queue(own: World) -> None:
    async with own.engine.begin() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await queue.on(AsyncpgDriver(driver)).enqueue(["triage", queue.DELIVER], [b"x", b"x"], [0, 0])
    jobs = "SELECT entrypoint, status, attempts FROM queue.pgqueuer"
    stop = asyncio.Event()

    async def is_alone() -> bool:
        async with own.engine.connect() as connection:
            return len((await connection.execute(sa.text(jobs))).all()) == 1

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(own, stop))
        await postoffice.until(is_alone)
        stop.set()
    async with own.engine.connect() as connection:
        assert [tuple(row) for row in await connection.execute(sa.text(jobs))] == [("triage", "queued", 0)]


async def test_a_column_more_disturbs_no_statement_that_was_prepared_before(own: World) -> None:
    """A plan that gives whole rows is refused once its table has another column; it is simply made anew."""

    async def everything(w: work.Work) -> None:
        await w.sql(sa.text("SELECT * FROM institution"))

    for number in range(3):
        await own.database.run(actor.TIMER, everything)
        async with own.engine.begin() as connection:
            await connection.execute(sa.text(f"ALTER TABLE institution ADD COLUMN more{number} int"))
    await own.database.run(actor.TIMER, everything)
