"""The synchronous standby is away: what was being committed is unknown, and no repetition confirms it too early."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

import build
import clusters
import postoffice
from drills import load, site
from service.kernel import actor, clock

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not clusters.is_there(), reason="skipped: no PostgreSQL 15"),
]
SOON = {"POOL_TIMEOUT_MS": "1000", "STATEMENT_TIMEOUT_MS": "1000"}  # a unit of work may take three seconds
LATER = {"POOL_TIMEOUT_MS": "30000"}  # long enough that nothing but the server ends a COMMIT


class Pair:
    """A primary, its standby, and what is built over them: `clinician0` files cases, by a key."""

    def __init__(self, primary: clusters.Cluster, standby: clusters.Cluster, running: site.Site) -> None:
        self.primary, self.standby, self.running = primary, standby, running
        self.wish = running.scene.wish(priority="routine")

    async def file(self, key: str) -> httpx.Response:
        headers = self.running.bearers["clinician0"] | {"Idempotency-Key": key}
        return await self.running.client.post("/v1/consultations", json=self.wish, headers=headers)

    def receiver(self) -> int:
        """Give the standby's process that takes the log."""
        return int(self.standby.sql("SELECT pid FROM pg_stat_wal_receiver"))

    def sender(self) -> int:
        """Give the primary's process that sends it; what it has sent may arrive although nobody takes it now."""
        return int(self.primary.sql("SELECT pid FROM pg_stat_replication"))

    async def name_specialty(self) -> httpx.Response:
        """Have the admin make one; its repetition writes nothing of its own, as that of a case does (an audit)."""
        new = {"code": "some", "parent": None, "name_en": "Some", "name_uk": "Якась", "is_bookable": False}
        headers = self.running.bearers["admin"] | {"Idempotency-Key": "once"}
        return await self.running.client.post("/v1/specialties", json=new, headers=headers)

    def is_named(self, cluster: clusters.Cluster) -> bool:
        return cluster.sql("SELECT count(*) FROM specialty WHERE code = 'some'") == "1"

    async def file_and_have_it_ended(self, key: str, end: str) -> httpx.Response:
        """File, and call this function of the server upon the session that waits for the standby in its COMMIT."""
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'pobratym api'"
        answer = asyncio.create_task(self.file(key))
        await postoffice.until(lambda: self.primary.sql(f"SELECT pid {waiting}"))
        self.primary.sql(f"SELECT {end}(pid) {waiting}")
        return await answer

    def ids(self, cluster: clusters.Cluster) -> set[str]:
        """Give the cases that this server has."""
        return set(cluster.sql("SELECT id FROM consultation").split())


@contextlib.contextmanager
def frozen(process: int) -> Iterator[None]:
    """Have a process stand still; it goes on at the end, if it was not killed."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


@contextlib.asynccontextmanager
async def pair(folder: Path, **more: str) -> AsyncIterator[Pair]:
    """Have a primary that confirms nothing before its one standby has it, and the API and the worker over it."""
    with clusters.primary() as primary:
        standby = primary.back_up("standby", "-R")
        standby.start()
        url = f"postgresql://pobratym@{primary.host},{standby.host}/pobratym"
        async with site.over(url, folder, is_new=True, WORKER_PORT="0", **more) as running:
            async with running.world.database.work(actor.TIMER) as w:
                admin = await build.admin(w, running.scene.programme)
            running.bearers["admin"] = await build.bearer(running.world, admin)
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.sql("SELECT pg_reload_conf()")
            await postoffice.until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync")
            yield Pair(primary, standby, running)


def assert_unknown(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "/problems/outcome-unknown"
    assert answer.headers["Retry-After"] == "1"


async def test_ops_06_drill_nothing_is_confirmed_before_the_standby_has_it(folder: Path) -> None:
    async with pair(folder, **SOON) as made:
        with frozen(made.receiver()):
            began = clock.monotonic()
            assert_unknown(await made.file("once"))
            first_seconds = clock.monotonic() - began
            assert len(made.ids(made.primary)) == 1  # it was done, here and nowhere else
            assert not made.ids(made.standby)
            assert_unknown(await made.file("once"))
            again_seconds = clock.monotonic() - began - first_seconds
            for _ in range(3):
                assert_unknown(await made.name_specialty())
            assert made.is_named(made.primary)
            assert not made.is_named(made.standby)
            ready = await made.running.client.get("/health/ready")
            assert ready.status_code == 200, ready.text
        began = clock.monotonic()
        answer = await made.file("once")
        back_seconds = clock.monotonic() - began
        named = await made.name_specialty()
        assert (named.status_code, named.headers["Idempotency-Replayed"]) == (201, "true")
        assert made.is_named(made.standby)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Idempotency-Replayed"] == "true"
        assert made.ids(made.standby) == {answer.json()["id"]}
        await load.settled(made.running)
        assert {name: process.poll() for name, process in made.running.processes.items()} == {
            "api": None,
            "worker": None,
        }
        assert len(made.ids(made.primary)) == 1
        print(  # noqa: T201 - the drill's figures
            f"unknown after {first_seconds:.1f} s, the repetition after {again_seconds:.1f} s; {back_seconds:.2f} s for"
            " the stored answer once the standby was back; one case"
        )


async def test_ops_06_drill_what_was_unknown_is_done_once_where_its_repetition_arrives(folder: Path) -> None:
    async with pair(folder, **LATER) as made:
        with frozen(made.sender()):
            assert_unknown(await made.file_and_have_it_ended("cancelled", "pg_cancel_backend"))
            assert_unknown(await made.file_and_have_it_ended("cancelled", "pg_cancel_backend"))
            assert_unknown(await made.file_and_have_it_ended("cut off", "pg_terminate_backend"))
            assert len(made.ids(made.primary)) == 2
            assert not made.ids(made.standby)
            made.primary.signal(signal.SIGKILL)
        made.standby.sql("SELECT pg_promote()")
        await postoffice.until(made.running.is_ready)
        assert not made.ids(made.standby)  # what nobody confirmed is lost with the primary
        answers = [await made.file(key) for key in ("cancelled", "cut off", "cancelled")]
        assert [answer.status_code for answer in answers] == [201, 201, 201]
        assert made.ids(made.standby) == {answer.json()["id"] for answer in answers}
