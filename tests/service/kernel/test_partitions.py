"""Each month of the audit is a part of it: made before it begins, dropped whole when it has ended."""

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import build
import flow
import world as simulated
from api.edge import metrics
from integrations.runtime import doctor, health, logs, loops, migrate
from integrations.runtime.world import World
from service import housekeeping
from service.kernel import actor, audit, clock, database_clock, database_errors, partitions
from service.kernel.work import Work

KEPT = housekeeping.Kept(1827)


async def parts(world: World) -> list[str]:
    async with world.database.work(actor.TIMER) as w:
        return [part.name for part in await partitions.parts(w, "audit")]


async def noted(w: Work, at: datetime) -> UUID:
    """A row of the audit that was written at that instant."""
    id_ = clock.least_id(at)
    await w.sql(
        sa.text(
            "INSERT INTO audit (id, at, actor_kind, action, subject, details)"
            " VALUES (:id, :at, 'system', 'created', 'person', '{}')"
        ),
        {"id": id_, "at": at},
    )
    return id_


async def where(w: Work, id_: UUID) -> str:
    found = await w.sql(sa.text("SELECT CAST(tableoid AS regclass)::text FROM audit WHERE id = :id"), {"id": id_})
    return str(found.scalar_one())


def advance(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    """Have both clocks, this process's and the database's, stand there."""

    async def now(_: Work) -> datetime:
        return at

    monkeypatch.setattr(clock, "wall", lambda: at)
    monkeypatch.setattr(database_clock, "now", now)


def beginning(months: int) -> datetime:
    """The beginning of the month that is so many after this one."""
    now = clock.wall()
    years, month = divmod(now.month - 1 + months, 12)
    return datetime(now.year + years, month + 1, 1, tzinfo=UTC)


async def test_ops_09_this_month_and_the_next_two_have_a_part_however_often_the_housekeeper_looks(
    world: World,
) -> None:
    for _ in range(2):
        assert await housekeeping.run(world.database, KEPT) == []
    assert await parts(world) == ["audit_past", f"audit_{beginning(2):%Y_%m}"]
    async with world.database.work(actor.TIMER) as w:
        ends = await partitions.ends(w)
        edges = [beginning(2) - timedelta(milliseconds=1), beginning(2), beginning(3) - timedelta(milliseconds=1)]
        found = [await where(w, await noted(w, at)) for at in edges]
    assert ends == {"audit": beginning(3)}
    assert found == ["audit_past", f"audit_{beginning(2):%Y_%m}", f"audit_{beginning(2):%Y_%m}"]


async def test_ops_09_a_row_after_the_last_part_has_no_place(world: World) -> None:
    await housekeeping.run(world.database, KEPT)
    async with world.database.work(actor.TIMER) as w:
        with pytest.raises(sa.exc.DBAPIError, match="no partition"):
            async with w.savepoint():
                await noted(w, beginning(3))


@pytest.fixture
async def ended(world: World, client: httpx.AsyncClient, test_clock: simulated.TestClock) -> flow.Scene:
    """An installation whose audit takes nothing any more, as if no worker had run for months."""
    scene = flow.Scene(world, test_clock, client)
    await scene.set_up()
    client.headers.update(await build.bearer(world, scene.people["clinician"]))  # while that is still noted
    a_year_ago = clock.least_id(clock.wall() - timedelta(days=365))
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("ALTER TABLE audit DETACH PARTITION audit_past"))
        for part in await partitions.parts(w, "audit"):
            await w.sql(sa.text(f"DROP TABLE {part.name}"))
        await w.sql(sa.text("CREATE TABLE audit_old (LIKE audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        bounds = f"FROM ('{UUID(int=0)}') TO ('{a_year_ago}')".replace(":", r"\:")
        await w.sql(sa.text(f"ALTER TABLE audit ATTACH PARTITION audit_old FOR VALUES {bounds}"))
    world.presence.probe_seconds = 0
    return scene


@pytest.mark.races
async def test_ops_09_without_a_part_for_now_a_write_is_503_and_ready_says_why(ended: flow.Scene) -> None:
    lines = io.StringIO()
    logs.configure("error", lines)
    try:
        answer = await ended.client.post("/v1/consultations", json=ended.wish())
        ready = await ended.client.get("/health/ready")
    finally:
        logs.configure("critical")
    told = (answer.status_code, answer.json()["type"], answer.headers["Retry-After"])
    assert told == (503, "/problems/unavailable", "30")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["database_without_this_month"])
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["no_part_for_this_month"]


@pytest.mark.races
async def test_ops_09_a_process_without_a_worker_makes_the_parts_that_are_missing(ended: flow.Scene) -> None:
    stop = asyncio.Event()
    beating = asyncio.create_task(loops.beat(ended.world, stop))
    while await health.faults(ended.world):  # noqa: ASYNC110 - what is waited for is in the database
        await asyncio.sleep(0)
    stop.set()
    await beating
    await ended.call("clinician", "POST", "/v1/consultations", ended.wish(), status=201)
    assert "month_without_part" not in await health.notices(ended.world)


async def test_ops_09_a_check_that_a_row_fails_stays_a_fault_of_ours(world: World) -> None:
    raising = sa.text("DO $$ BEGIN RAISE check_violation USING CONSTRAINT = 'ck_x'; END $$")
    async with world.database.work(actor.TIMER) as w:
        with pytest.raises(sa.exc.IntegrityError) as refused:
            async with w.savepoint():
                await w.sql(raising)
    assert database_errors.meaning(refused.value) is None


@pytest.mark.parametrize("statement", ["DELETE FROM {part}", "UPDATE {part} SET action = 'x'", "TRUNCATE {part}"])
async def test_ops_09_a_part_is_append_only_like_the_whole(world: World, statement: str) -> None:
    await housekeeping.run(world.database, KEPT)
    for part in await parts(world):
        async with world.database.work(actor.TIMER) as w:
            with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                async with w.savepoint():
                    await w.sql(sa.text(statement.format(part=part)))


@pytest.mark.races
async def test_ops_09_a_month_is_dropped_whole_when_it_has_ended_and_the_others_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await housekeeping.run(world.database, KEPT)
    last = (await parts(world))[-1]
    async with world.database.work(actor.TIMER) as w:
        audit.record(w, "created", "person", None)
        await noted(w, beginning(2) + timedelta(days=3))
    expected = [f"audit_{beginning(months):%Y_%m}" for months in range(2, 7)]
    later = beginning(3) + timedelta(days=44)  # in the middle of the month after, however long that month is
    advance(monkeypatch, later)
    await housekeeping.run(world.database, housekeeping.Kept(45))
    assert await parts(world) == expected
    advance(monkeypatch, later + timedelta(days=1))
    await housekeeping.run(world.database, housekeeping.Kept(45))
    assert last not in await parts(world)


@pytest.mark.races
async def test_ops_09_no_more_than_one_month_is_dropped_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await housekeeping.run(world.database, KEPT)
    advance(monkeypatch, beginning(8))
    await housekeeping.run(world.database, KEPT)
    before = await parts(world)
    for count in (1, 2):
        await housekeeping.run(world.database, housekeeping.Kept(31))
        assert await parts(world) == before[count:]


@pytest.mark.races
async def test_ops_09_whoever_reads_the_audit_keeps_a_month_from_being_dropped_and_nobody_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await housekeeping.run(world.database, KEPT)
    before = await parts(world)
    later = beginning(3) + timedelta(days=31)
    expected = [*before, *(f"audit_{beginning(months):%Y_%m}" for months in range(3, 7))]
    async with world.database.work(actor.TIMER) as reader:
        await reader.sql(sa.text("SELECT count(*) FROM audit"))
        advance(monkeypatch, later)
        failures = await housekeeping.run(world.database, housekeeping.Kept(31))
    assert [failure.task for failure in failures] == ["audit_months"]
    assert await parts(world) == expected
    assert await housekeeping.run(world.database, housekeeping.Kept(31)) == []
    assert before[0] not in await parts(world)


async def test_ops_09_the_end_of_the_last_part_is_told_ten_days_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await housekeeping.run(world.database, KEPT)

    async def finding() -> doctor.Finding:
        (found,) = [found async for found in doctor.database(world) if found.subject == "partitions"]
        return found

    assert (await finding()).is_well
    figures = metrics.shown(await health.backlog(world))[0].decode()
    (shown,) = [line for line in figures.splitlines() if line.startswith("pobratym_partition_ends_timestamp_seconds{")]
    assert float(shown.split()[-1]) == beginning(3).timestamp()
    end = beginning(3)
    advance(monkeypatch, end - timedelta(days=10))
    found = await finding()
    assert (found.is_well, found.detail) == (False, f"audit takes rows until {end:%Y-%m-%d}")


async def test_ops_09_a_program_that_writes_while_the_audit_is_parted_goes_on(server_url: URL) -> None:
    """What an older program has prepared is of the table that was, and goes to the part that is in its place."""
    versions = ScriptDirectory.from_config(migrate.config())
    before = versions.get_revision("2026_11_30_bound_audit").down_revision
    now = clock.wall()
    async with simulated.database(server_url, "parted_meanwhile") as url:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, str(before))
        older = await asyncpg.connect(simulated.text_of(url))
        writing = await older.prepare(
            "INSERT INTO audit (id, at, actor_kind, action, subject, details)"
            " VALUES ($1, $2, 'system', 'created', 'person', '{}')"
        )
        reading = await older.prepare("SELECT id FROM audit ORDER BY id")
        ids = [clock.least_id(now + timedelta(days=days)) for days in (-3000, -1, 0)]
        await writing.executemany([(id_, now) for id_ in ids[:2]])
        await reading.fetch()
        await migrate.upgrade(engine)
        await writing.fetch(ids[2], now)
        assert [row["id"] for row in await reading.fetch()] == ids
        async with older.transaction():  # as its housekeeping does
            await older.execute("SELECT set_config('pobratym.retention', 'over', true)")
            assert await older.execute("DELETE FROM audit WHERE at < $1", now) == "DELETE 0"
        with pytest.raises(asyncpg.RestrictViolationError):
            await older.execute("DELETE FROM audit")
        await older.close()
        await engine.dispose()


def _upgrade(connection: sa.Connection, revision: str) -> None:
    config = migrate.config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
