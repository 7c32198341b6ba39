"""What ends is deleted: by one worker at a time, in batches, and an operator sees when it was and what failed."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
from api.edge import metrics
from integrations.runtime import doctor, health
from integrations.runtime.world import World
from service import housekeeping
from service.kernel import actor, clock
from service.kernel.work import Work
from world import TestClock

KEPT = housekeeping.Kept(1827)


async def limits(w: Work, count: int) -> None:
    """Calls that were let in long ago, as many rows of `rate_limit`."""
    values = {"count": count, "at": w.now - timedelta(days=2)}
    await w.sql(sa.text("INSERT INTO rate_limit SELECT g::text, :at FROM generate_series(1, :count) g"), values)


async def count_of(world: World, table: str) -> int:
    async with world.database.work(actor.TIMER) as w:
        return int((await w.sql(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def task(world: World, name: str) -> sa.Row[tuple[object, ...]] | None:
    async with world.database.work(actor.TIMER) as w:
        return (await w.sql(sa.text("SELECT * FROM housekeeping WHERE name = :name"), {"name": name})).one_or_none()


@pytest.mark.races
async def test_ops_09_one_worker_keeps_house_at_a_time(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        await limits(w, 1)
    async with world.database.work(actor.TIMER) as another:
        await another.sql(sa.text("SELECT pg_advisory_xact_lock(hashtext('pobratym housekeeping'))"))
        assert await housekeeping.run(world.database, KEPT) == []
        assert (await count_of(world, "rate_limit"), await task(world, "rate_limit")) == (1, None)
    assert await housekeeping.run(world.database, KEPT) == []
    assert await count_of(world, "rate_limit") == 0


@pytest.mark.races
async def test_ops_09_a_task_goes_on_while_there_is_more_each_batch_in_a_transaction_of_its_own(world: World) -> None:
    async with world.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE batch (transaction text, rows int)"))
        await connection.exec_driver_sql(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO batch SELECT pg_current_xact_id()::text, count(*) FROM gone; RETURN NULL; END $$"
        )
        await connection.exec_driver_sql(
            "CREATE TRIGGER noted AFTER DELETE ON rate_limit REFERENCING OLD TABLE AS gone"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()"
        )
    async with world.database.work(actor.TIMER) as w:
        await limits(w, 25)
    await housekeeping.run(world.database, housekeeping.Kept(1827, at_once=10))
    async with world.database.work(actor.TIMER) as w:
        batches = (await w.sql(sa.text("SELECT * FROM batch ORDER BY CAST(transaction AS bigint)"))).all()
    assert [row.rows for row in batches] == [10, 10, 5]
    assert len({row.transaction for row in batches}) == 3
    done = await task(world, "rate_limit")
    assert done is not None
    assert (done.rows, done.error) == (25, None)


async def test_ops_09_what_another_worker_did_less_than_ten_minutes_ago_is_not_done_again(world: World) -> None:
    await housekeeping.run_due(world.database, KEPT)
    async with world.database.work(actor.TIMER) as w:
        await limits(w, 3)
    await housekeeping.run_due(world.database, KEPT)
    assert await count_of(world, "rate_limit") == 3
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE housekeeping SET ran_at = ran_at - CAST('10 min' AS interval)"))
    await housekeeping.run_due(world.database, KEPT)
    assert await count_of(world, "rate_limit") == 0


@pytest.mark.races
async def test_one_look_tells_that_no_task_is_due(world: World) -> None:
    await housekeeping.run_due(world.database, KEPT)
    taken = list[object]()
    sa.event.listen(world.engine.sync_engine, "checkout", lambda *connection: taken.append(connection))
    await housekeeping.run_due(world.database, KEPT)
    assert len(taken) == 1


@pytest.mark.races
async def test_ops_09_a_task_that_fails_stops_no_other_and_is_seen(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        await limits(w, 1)
        await w.sql(sa.text("ALTER TABLE idempotency_key RENAME TO elsewhere"))
    failures = await housekeeping.run(world.database, KEPT)

    assert [failure.task for failure in failures] == ["idempotency_key"]
    assert await count_of(world, "rate_limit") == 0
    failed = await task(world, "idempotency_key")
    assert failed is not None
    assert (failed.ran_at, failed.error) == (None, "UndefinedTableError 42P01")
    assert "housekeeping_late" in await health.notices(world)
    figures = metrics.shown(await health.backlog(world))[0].decode()
    assert 'pobratym_housekeeping_failing{task="idempotency_key"} 1.0' in figures
    (finding,) = [found async for found in doctor.database(world) if found.subject == "housekeeping"]
    assert not finding.is_well
    assert "idempotency_key: UndefinedTableError 42P01" in finding.detail

    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("ALTER TABLE elsewhere RENAME TO idempotency_key"))
    assert await housekeeping.run(world.database, KEPT) == []
    assert await health.notices(world) == []
    (finding,) = [found async for found in doctor.database(world) if found.subject == "housekeeping"]
    assert finding.is_well


async def test_ops_09_an_installation_whose_house_nobody_keeps_says_so(world: World) -> None:
    await housekeeping.run(world.database, KEPT)
    assert await health.notices(world) == []
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE housekeeping SET ran_at = ran_at - CAST('61 min' AS interval) WHERE name = 'link'"))
    assert await health.notices(world) == ["housekeeping_late"]
    (finding,) = [found async for found in doctor.database(world) if found.subject == "housekeeping"]
    assert (finding.is_well, finding.detail) == (False, "done 61 min ago")


def id_of(days_ago: float, number: int = 0) -> UUID:
    """An id that was made so many days ago."""
    return UUID(int=clock.least_id(clock.wall() - timedelta(days=days_ago)).int + number)


async def mail(w: Work, id_: UUID, state: str = "delivered") -> None:
    values = {"id": id_, "state": state, "now": w.now, "next": w.now if state == "pending" else None}
    await w.sql(
        sa.text(
            "INSERT INTO delivery (id, kind, payload, state, attempt, next_attempt_at, created_at, settled_at)"
            " VALUES (:id, 'mail', '{}', :state, 1, :next, :now, :now)"
        ),
        values,
    )
    await w.sql(
        sa.text(
            "INSERT INTO delivery_attempt (delivery_id, attempt, at, duration_ms, outcome)"
            " VALUES (:id, 1, :now, 5, 'delivered')"
        ),
        {"id": id_, "now": w.now},
    )


async def test_ops_09_a_mail_is_kept_for_400_days_or_as_set_unless_it_still_waits_and_its_attempts_for_90(
    world: World,
) -> None:
    async with world.database.work(actor.TIMER) as w:
        for number, (days, state) in enumerate(
            [
                (401, "delivered"),
                (401, "dead"),
                (401, "pending"),
                (399, "delivered"),
                (91, "refused"),
                (89, "dropped"),
            ]
        ):
            await mail(w, id_of(days, number), state)
    await housekeeping.run(world.database, KEPT)
    async with world.database.work(actor.TIMER) as w:
        states = (await w.sql(sa.text("SELECT state FROM delivery ORDER BY id"))).scalars().all()
        attempts = (await w.sql(sa.text("SELECT delivery_id FROM delivery_attempt"))).scalars().all()
    assert states == ["pending", "delivered", "refused", "dropped"]
    assert [attempt > id_of(90) for attempt in attempts] == [True]
    await housekeeping.run(world.database, housekeeping.Kept(1827, mail_days=90))
    assert await count_of(world, "delivery") == 2


OTHERS = ("queue.pgqueuer_log", "used_assertion")


def jump(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """Have this process's clock jump ahead, and not the database's."""
    real = clock.wall
    monkeypatch.setattr(clock, "wall", lambda: real() + ahead)


async def old_rows(world: World) -> None:
    """Rows whose time is up in a quarter of a minute, one for each bound that follows the system's clock."""
    soon = timedelta(seconds=15)
    async with world.database.work(actor.TIMER) as w:
        await mail(w, id_of(400 - soon / timedelta(days=1)))
        await mail(w, id_of(90 - soon / timedelta(days=1), 1))
        client_id = (await build.system(w, await build.institution(w))).id
        audited = clock.wall() - timedelta(days=1827) + soon
        for statement, values in (
            (
                """INSERT INTO audit (id, at, actor_kind, action, subject, details)
                   VALUES (:id, :at, 'system', 'created', 'person', '{}')""",
                {"id": clock.least_id(audited), "at": audited},
            ),
            (
                """INSERT INTO queue.pgqueuer_log (created, job_id, status, priority, entrypoint)
                   VALUES (:at, 1, 'successful', 0, 'deliver')""",
                {"at": clock.wall() - timedelta(days=7) + soon},
            ),
            (
                "INSERT INTO used_assertion (client_id, digest, expires_at) VALUES (:client_id, 'x', :at)",
                {"client_id": client_id, "at": clock.wall() + soon},
            ),
        ):
            await w.sql(sa.text(statement), values)


async def test_ops_09_no_bound_follows_the_clock_of_a_worker_that_jumped_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_rows(world)
    counts = {table: await count_of(world, table) for table in ("delivery", "delivery_attempt", "audit", *OTHERS)}
    jump(monkeypatch, timedelta(seconds=50))  # less than keeps it from the housekeeping
    assert await housekeeping.run(world.database, KEPT) == []
    assert await task(world, "audit") is not None
    left = {table: await count_of(world, table) for table in counts}
    assert left == {**counts, "delivery_attempt": 1}  # that of the older mail was over before


@pytest.mark.parametrize("ahead", [timedelta(days=3650), timedelta(seconds=61), timedelta(seconds=-61)])
async def test_ops_08_whose_clock_is_a_minute_off_keeps_no_house(
    world: World, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    async with world.database.work(actor.TIMER) as w:
        await mail(w, id_of(399))
        await limits(w, 1)
    jump(monkeypatch, ahead)
    assert await housekeeping.run(world.database, KEPT) == []
    assert (await count_of(world, "delivery"), await count_of(world, "rate_limit")) == (1, 1)
    assert await task(world, "mails") is None


async def test_ops_09_what_the_domain_dates_ends_by_the_databases_clock_too(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The domain's time is the system's, or before it by so much in a demo: it jumps with it."""
    async with world.database.work(actor.TIMER) as w:
        at = w.now - timedelta(days=1) + timedelta(seconds=15)
        await w.sql(sa.text("INSERT INTO rate_limit VALUES ('soon', :at)"), {"at": at})
    ahead = timedelta(seconds=50)
    jump(monkeypatch, ahead)
    test_clock.forward(seconds=ahead.total_seconds())
    await housekeeping.run(world.database, KEPT)
    assert await count_of(world, "rate_limit") == 1


async def test_ops_09_the_queues_own_log_is_kept_for_seven_days(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        await w.sql(
            sa.text(
                "INSERT INTO queue.pgqueuer_log (created, job_id, status, priority, entrypoint)"
                " SELECT now() - make_interval(days => d), 1, 'successful', 0, 'deliver' FROM generate_series(5, 9) d"
            )
        )
    await housekeeping.run(world.database, KEPT)
    assert await count_of(world, "queue.pgqueuer_log") == 2  # of five and six days; that of seven is a moment older


_READ = sa.text("""
SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables
WHERE schemaname = 'public'
""")


@pytest.mark.slow
async def test_ops_09_figures_and_readiness_read_no_whole_table(world: World) -> None:
    """A year of mails that arrived, a few that wait and a few that did not arrive: only the few are read."""
    async with world.database.work(actor.TIMER) as w:
        await w.sql(
            sa.text("""
INSERT INTO delivery (id, kind, payload, state, attempt, next_attempt_at, created_at, settled_at)
SELECT gen_random_uuid(), 'mail', '{}', CASE WHEN g % 5000 = 0 THEN 'pending' WHEN g % 5000 = 1 THEN 'dead'
       WHEN g % 5000 = 2 THEN 'refused' ELSE 'delivered' END, 1,
       CASE WHEN g % 5000 = 0 THEN CAST(:now AS timestamptz) END, :now, :now
FROM generate_series(1, 100000) g
"""),
            {"now": w.now},
        )
        await w.sql(sa.text("ANALYZE delivery"))
        before = (await w.sql(_READ)).scalar_one()
    figures = metrics.shown(await health.backlog(world))[0].decode()
    await health.notices(world)
    async with world.database.work(actor.TIMER) as w:
        read = (await w.sql(_READ)).scalar_one() - before
    for state in ("pending", "dead", "refused"):
        assert f'pobratym_deliveries{{kind="mail",state="{state}"}} 20.0' in figures
    assert read < 1_000, f"{read} rows were read for figures of 60"


async def test_ops_09_the_figures_count_what_this_process_did(world: World) -> None:
    before = world.database.counted["database_errors", "22012"]
    with pytest.raises(sa.exc.DBAPIError):
        async with world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("SELECT 1 / 0"))
    figures = metrics.shown(await health.backlog(world))[0].decode()
    assert f'pobratym_database_errors_total{{sqlstate="22012"}} {before + 1.0}' in figures
    assert "pobratym_pool_in_use 1.0" in figures
    assert "pobratym_pool_waiting 0.0" in figures
    assert "pobratym_waves_total 0.0" in figures
    assert "pobratym_unmatched 0.0" in figures


async def test_when_somebody_last_wrote_down_where_the_logs_end_is_in_the_figures(world: World) -> None:
    assert "pobratym_anchor_timestamp_seconds 0.0" in metrics.shown(await health.backlog(world))[0].decode()
    async with world.database.work(actor.TIMER) as w:
        await housekeeping.note_anchor(w)
    noted = await task(world, "log anchor")
    assert noted is not None
    assert noted.ran_at is not None
    metrics.shown(await health.backlog(world))
    assert metrics.REGISTRY.get_sample_value("pobratym_anchor_timestamp_seconds") == noted.ran_at.timestamp()


async def test_ops_09_admins_see_when_each_task_was_last_done_and_nobody_else_does(
    world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    scene = flow.Scene(world, test_clock, client)
    await scene.set_up()
    async with world.database.work(actor.TIMER) as w:
        scene.people["admin"] = await build.admin(w, scene.programme)
        await limits(w, 7)
    await housekeeping.run(world.database, KEPT)
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE housekeeping SET error = 'X 42P01', failed_at = now() WHERE name = 'link'"))
    listed = {task["name"]: task for task in (await scene.get("admin", "/v1/operations/housekeeping"))["items"]}
    assert listed.keys() == set(housekeeping.NAMES)
    assert (listed["rate_limit"]["rows"], listed["rate_limit"]["error"]) == (7, None)
    assert listed["link"]["error"] == "X 42P01"
    await scene.call("coordinator", "GET", "/v1/operations/housekeeping", status=403)
