"""A COMMIT of which the answer does not come: whether it was done is called unknown, and a repetition tells."""

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
from integrations.runtime.world import World
from service.kernel import actor, errors
from world import TestClock

pytestmark = pytest.mark.races

ENDS = "PERFORM pg_terminate_backend(pg_backend_pid());"
WARNS = "RAISE WARNING 'as a server says in its own language' USING ERRCODE = '01000';"
REFUSES = "RAISE EXCEPTION 'as asked' USING ERRCODE = '53100';"
LASTS = "PERFORM pg_sleep(4);"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def while_committing(world: World, body: str, table: str = "specialty") -> None:
    """Have this happen in the server while a new row of the table is being committed."""
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION happening() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN NULL; END $$"
        )
        await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS happening ON {table}")
        await connection.exec_driver_sql(
            f"CREATE CONSTRAINT TRIGGER happening AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION happening()"
        )


async def add_specialty(world: World, code: str) -> None:
    async with world.database.work(actor.TIMER) as w:
        await w.sql(
            sa.text("INSERT INTO specialty (code, name_en, name_uk, is_bookable) VALUES (:code, :code, :code, false)"),
            {"code": code},
        )


async def is_there(world: World, code: str) -> bool:
    async with world.engine.connect() as connection:
        found = await connection.execute(sa.text("SELECT 1 FROM specialty WHERE code = :code"), {"code": code})
        return found.first() is not None


@pytest.mark.parametrize("body", [ENDS, WARNS], ids=["cut off", "a warning"])
async def test_ops_06_what_ends_a_commit_before_its_answer_leaves_it_unknown(world: World, body: str) -> None:
    await while_committing(world, body)
    with pytest.raises(errors.OutcomeUnknown):
        await add_specialty(world, "some")
    assert await is_there(world, "some") == (body is WARNS)


async def test_ops_06_a_deadline_that_ends_a_commit_leaves_it_unknown(world: World) -> None:
    await while_committing(world, LASTS)
    world.database.deadline_seconds = 0.5
    with pytest.raises(errors.OutcomeUnknown):
        await add_specialty(world, "some")


async def test_ops_06_what_the_server_refuses_to_commit_was_not_done(world: World) -> None:
    await while_committing(world, REFUSES)
    with pytest.raises(errors.Unavailable) as refused:
        await add_specialty(world, "some")
    assert not isinstance(refused.value, errors.OutcomeUnknown)
    assert not await is_there(world, "some")


async def test_ops_06_what_ends_anything_before_the_commit_undid_all(world: World) -> None:
    with pytest.raises(errors.Unavailable) as refused:
        async with world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not isinstance(refused.value, errors.OutcomeUnknown)


async def test_ops_06_a_warning_before_the_commit_says_nothing_of_it(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text(f"DO $$ BEGIN {WARNS} END $$"))


async def test_ops_06_a_request_of_unknown_outcome_says_so_and_its_repetition_tells(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["admin"] = await build.admin(w, scene.programme)
    new = {"code": "some", "parent": None, "name_en": "Some", "name_uk": "Якась", "is_bookable": False}
    head = {"Idempotency-Key": "once", "Accept-Language": "uk"}
    await while_committing(scene.world, WARNS)
    unknown = await scene.call("admin", "POST", "/v1/specialties", new, headers=head, status=503)
    assert unknown.json()["type"] == "/problems/outcome-unknown"
    assert "Idempotency-Key" in unknown.json()["detail"]
    assert unknown.headers["Retry-After"] == "1"
    repeated = await scene.call("admin", "POST", "/v1/specialties", new, headers=head, status=201)
    assert repeated.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("language", "title"), [("en", "We do not know whether this was done"), ("uk", "Ми не знаємо, чи це зроблено")]
)
async def test_ops_06_a_form_of_unknown_outcome_says_so_in_words(scene: flow.Scene, language: str, title: str) -> None:
    await while_committing(scene.world, WARNS, "link")
    form = {"email": scene.people["clinician"].email}
    answer = await scene.client.post("/sign-in", data=form, headers={"Accept-Language": language})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert title in answer.text
