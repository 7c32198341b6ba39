"""Reports on a real standby: the same figures, none too old, no error when it is late, lost, or another database."""

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import build
import caseload
import clusters
import postoffice
import world as simulated
from api.edge import files
from drills import site
from drills.test_restore import command
from integrations.runtime import doctor, replicas
from integrations.runtime import world as worlds
from service.kernel import actor, clock
from service.kernel.work import Work

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not clusters.is_there(), reason="skipped: no PostgreSQL 15"),
]
FORMS = [
    ("report?compare=previous&by=month", "json"),
    ("report?lang=uk", "pdf"),
    ("report?lang=uk", "xlsx"),
    ("report?", "csv"),
    ("report/rows?of=sessions", "json"),
    ("report/rows?of=offers", "json"),
    ("journal?limit=200", "json"),
    ("journal?", "csv"),
]
READERS = 8
_MADE_AT = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@contextlib.contextmanager
def pair() -> Iterator[tuple[clusters.Cluster, clusters.Cluster]]:
    """Have a primary and an asynchronous standby."""
    with clusters.primary() as primary:
        standby = primary.back_up("standby", "-R")
        standby.start(primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres")
        yield primary, standby


def address(cluster: clusters.Cluster, role: str = "pobratym") -> str:
    return f"postgresql://{role}@{cluster.host}/pobratym"


@contextlib.asynccontextmanager
async def reading(
    primary: clusters.Cluster, standby: clusters.Cluster, folder: Path
) -> AsyncIterator[tuple[site.Site, caseload.Caseload]]:
    """Have everything running over the pair, with a few months of care that the standby has, too."""
    async with site.over(address(primary), folder, DATABASE_READ_URL=address(standby)) as running:
        scene = caseload.Caseload(running.world)
        await scene.set_up(cases=60)
        running.bearers["reader"] = await build.bearer(running.world, scene.coordinator)
        yield running, scene


async def asked(running: site.Site, scene: caseload.Caseload, path: str, form: str = "json") -> httpx.Response:
    headers = running.bearers["reader"] | {"Accept": files.KINDS[form]}  # type: ignore[index]
    place = f"/v1/institutions/{scene.asking.id}/{path}&from={caseload.FROM}&until={caseload.UNTIL}"
    return await running.client.get(place, headers=headers)


async def fallbacks(running: site.Site) -> dict[str, float]:
    """Give how often the API's process read the primary instead, by reason."""
    lines = (await running.client.get("/metrics")).text.splitlines()
    name = 'pobratym_replica_fallbacks_total{reason="'
    counted = dict(line.removeprefix(name).split('"} ') for line in lines if line.startswith(name))
    return {reason: float(number) for reason, number in counted.items() if float(number)}


async def has_it_all(primary: clusters.Cluster, standby: clusters.Cluster) -> None:
    """Wait until the standby has whatever the primary had."""
    end = primary.sql("SELECT pg_current_wal_flush_lsn()")
    await postoffice.until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t")


async def test_drill_reports_on_a_standby_have_the_figures_of_the_primary(folder: Path) -> None:
    with pair() as (primary, standby):
        async with reading(primary, standby, folder) as (running, scene):
            running.processes["worker"].terminate()  # between two readings its timers would end cases of long ago
            running.processes["worker"].wait()
            await has_it_all(primary, standby)
            alone = running.world.settings.model_copy(update={"database_read_url": None})
            from api import app  # noqa: PLC0415 - slow to import

            async with worlds.opened(alone) as world, simulated.calling(app.create(), world) as plain:
                direct = site.Site(world, plain, 0)
                direct.bearers = running.bearers
                for path, form in FORMS:
                    expected, found = await asked(direct, scene, path, form), await asked(running, scene, path, form)
                    assert found.status_code == 200, found.text
                    assert "as-of" in found.headers
                    if form == "json":
                        assert _figures(found) == _figures(expected), path
                    elif form == "csv":
                        assert _MADE_AT.sub(b"", found.content) == _MADE_AT.sub(b"", expected.content)
                    else:
                        assert len(found.content) > 1_000
            await has_it_all(primary, standby)
            for words in (
                ("log", "verify"),
                ("report", "institution", str(scene.asking.id)),
                ("export", str(folder / "all")),
            ):
                done = command(running, *words)
                assert done.returncode == 0, done.stderr
            assert await fallbacks(running) == {}
            seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pobratym api'"
            assert int(standby.sql(seen)) > 0
            (finding,) = [one for one in await doctor.examine(running.world.settings) if one.subject == "replica"]
            assert finding.is_well, finding
            assert "a standby; 0 s late" in finding.detail


def _figures(answer: httpx.Response) -> object:
    """Give what a report says, but for the instants at which it was made, and what grows by the minute."""
    told = answer.json()
    left_out = {"made_at", "as_of", "idle_since"}
    return {name: value for name, value in told.items() if name not in left_out}


async def test_drill_a_standby_whose_replay_is_paused_shows_nobody_less_than_they_have_just_done(folder: Path) -> None:
    with pair() as (primary, standby):
        async with reading(primary, standby, folder) as (running, scene):
            await has_it_all(primary, standby)
            before = (await asked(running, scene, "journal?limit=200")).json()["items"]
            assert len(before) > 1
            standby.sql("SELECT pg_wal_replay_pause()")
            async with running.world.database.work(actor.TIMER) as w:  # by somebody else
                await w.sql(sa.text("UPDATE session SET outcome = 'referred' WHERE NOT is_corrected"))
            # Less than a minute late, and none of the reader's own: as it was, and said so.
            old = await asked(running, scene, "journal?limit=200")
            assert old.json()["items"] == before
            assert await fallbacks(running) == {}
            now = primary.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
            assert old.headers["as-of"] <= now
            # Once the reader has changed something, they see all there is.
            async with running.world.database.work(actor.Actor("person", scene.coordinator.id)) as w:  # another process
                await w.sql(sa.text("UPDATE institution SET name = name"))
            new = await asked(running, scene, "journal?limit=200")
            assert new.json()["items"] != before
            assert await fallbacks(running) == {"changed": 1}
            # A command follows another, and a replica that is too late is not read at all.
            verified = command(running, "log", "verify")
            assert verified.returncode == 0, verified.stderr
            replica = running.world.replica
            assert replica is not None
            replica.most_lag_seconds = 0.0
            where = await replicas.read(running.world.database, replica, actor.TIMER, _is_standby)
            assert (where, running.world.database.counted["replica_fallbacks", "late"]) == (False, 1)
            standby.sql("SELECT pg_wal_replay_resume()")
            await has_it_all(primary, standby)
            assert await replicas.read(running.world.database, replica, actor.TIMER, _is_standby) is True


async def _is_standby(w: Work) -> bool:
    found: bool = (await w.sql(sa.text("SELECT pg_is_in_recovery()"))).scalar_one()
    return found


async def test_drill_a_standby_that_is_killed_in_the_middle_of_a_report_is_noticed_by_nobody(folder: Path) -> None:
    with pair() as (primary, standby):
        # A role that may not read the last table of an export: the replica fails there, when the others are written.
        async with reading(primary, standby, folder) as (running, scene):
            for statement in (
                "CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
                "REVOKE SELECT ON statistic FROM reader",
            ):  # fmt: skip
                primary.sql(statement)
            await has_it_all(primary, standby)
            running.more["DATABASE_READ_URL"] = address(standby, "reader")
            exported = command(running, "export", str(folder / "all"))
            assert exported.returncode == 0, exported.stderr
            running.more["DATABASE_READ_URL"] = address(standby)

            expected = _figures(await asked(running, scene, FORMS[0][0]))
            seen = []

            async def body(w: Work) -> int:
                count: int = (await w.sql(sa.text("SELECT count(*) FROM session"))).scalar_one()
                seen.append(await _is_standby(w))
                if seen == [True]:
                    await asyncio.to_thread(standby.signal, signal.SIGKILL)
                await w.sql(sa.text("SELECT count(*) FROM offer"))
                return count

            statuses: list[int] = []
            is_over = asyncio.Event()

            async def read() -> None:
                while not is_over.is_set():
                    answer = await asked(running, scene, FORMS[0][0])
                    statuses.append(answer.status_code)
                    assert _figures(answer) == expected

            async with asyncio.TaskGroup() as tasks:
                for _ in range(READERS):
                    tasks.create_task(read())
                await postoffice.until(lambda: len(statuses) > READERS)
                began = clock.monotonic()
                count = await replicas.read(running.world.database, running.world.replica, actor.TIMER, body)
                seconds = clock.monotonic() - began
                done = len(statuses)
                await postoffice.until(lambda: len(statuses) > done + 3 * READERS)
                is_over.set()
            assert (seen, count > 0) == ([True, False], True)
            assert running.world.database.counted["replica_fallbacks", "ended"] == 1
            assert set(statuses) == {200}
            counted = await fallbacks(running)
            assert counted.keys() <= {"ended", "unreachable"}
            assert counted["unreachable"] > 0
            assert "pobratym_replica_lag_seconds +Inf" in (await running.client.get("/metrics")).text
            print(  # noqa: T201 - the drill's figures
                f"{len(statuses)} reports of {READERS} readers, none failed; the one in the middle took"
                f" {seconds:.2f} s; the primary did {counted}"
            )


async def test_drill_another_cluster_is_no_replica_and_a_frozen_one_costs_few_readers_a_wait(folder: Path) -> None:
    with pair() as (primary, standby), clusters.primary() as other:
        async with site.over(address(primary), folder, DATABASE_READ_URL=address(other)) as running:
            assert await replicas.read(running.world.database, running.world.replica, actor.TIMER, _is_standby) is False
            counted = running.world.database.counted
            assert counted["replica_fallbacks", "other_database"] == 1
            (finding,) = [one for one in await doctor.examine(running.world.settings) if one.subject == "replica"]
            assert (finding.is_well, finding.detail) == (False, "it cannot be read: other_database")
        told = running.world.settings.model_copy(update={"database_read_url": SecretStr(address(standby))})
        await has_it_all(primary, standby)
        async with worlds.opened(told) as world:
            assert await replicas.read(world.database, world.replica, actor.TIMER, _is_standby) is True
            standby.signal(signal.SIGSTOP)
            seconds = []
            for _ in range(3):
                began = clock.monotonic()
                assert await replicas.read(world.database, world.replica, actor.TIMER, _is_standby) is False
                seconds.append(round(clock.monotonic() - began, 2))
            standby.signal(signal.SIGCONT)
            assert world.database.counted["replica_fallbacks", "unreachable"] == 3
            print(f"with a frozen standby three reports took {seconds} s")  # noqa: T201 - the drill's figures
