"""A primary that dies or freezes, and its standby: both hosts stand in one address, no proxy, no restart of ours."""

import asyncio
import contextlib
import signal
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

import clusters
import postoffice
from drills import site
from integrations.runtime import schema_version
from integrations.runtime import world as worlds
from service.kernel import clock

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not clusters.is_there(), reason="skipped: no PostgreSQL 15"),
]
WRITERS = 6
SWITCH_SLACK_SECONDS = 3.0
A_HOST_SECONDS = 2.0
NOTICED_SECONDS = 30.0


@contextmanager
def pair() -> Iterator[tuple[clusters.Cluster, clusters.Cluster]]:
    """Have a primary, and a standby that has confirmed what is acknowledged."""
    with clusters.primary() as primary:
        standby = primary.back_up("standby", "-R")
        standby.start(primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres")
        (primary.data / "conf.d" / "later.conf").write_text("synchronous_standby_names = '*'\n")
        (primary.data / "conf.d" / "later.conf").chmod(0o644)
        primary.sql("SELECT pg_reload_conf()")
        yield primary, standby


def address(*hosts: clusters.Cluster) -> str:
    return f"postgresql://pobratym@{','.join(host.host for host in hosts)}/pobratym"


@dataclass
class Writers:
    """Clinicians who file without pause; keeps what was acknowledged, when, and how long each took."""

    running: site.Site
    acknowledged: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    is_over: bool = False

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._file(f"clinician{number}"))
            yield
            self.is_over = True

    async def _file(self, name: str) -> None:
        bearer, wish = self.running.bearers[name], self.running.scene.wish(priority="routine")
        while not self.is_over:
            key = {"Idempotency-Key": clock.new_id().hex}
            while True:  # the same request, until it is answered
                with contextlib.suppress(httpx.TransportError):
                    began = clock.monotonic()
                    answer = await self.running.client.post("/v1/consultations", json=wish, headers=bearer | key)
                    if answer.status_code == 201:
                        self.acknowledged.append(answer.json()["id"])
                        self.at.append(clock.monotonic())
                        self.took.append(self.at[-1] - began)
                        break
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)

    async def grow(self, count: int) -> None:
        """Wait until so much more was acknowledged."""
        wanted = len(self.acknowledged) + count
        await postoffice.until(lambda: len(self.acknowledged) >= wanted)

    def served_since(self, moment: float) -> float | None:
        """Tell when the first request was acknowledged that began after the moment, if one was."""
        return next((at for at, took in zip(self.at, self.took, strict=True) if at - took > moment), None)

    def gap_seconds(self) -> float:
        """Give the longest time in which nothing was acknowledged."""
        return max(later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False))


@dataclass(frozen=True)
class Scene:
    """Two servers, what runs over them, and who works."""

    primary: clusters.Cluster
    standby: clusters.Cluster
    office: postoffice.PostOffice
    running: site.Site
    writers: Writers


@contextlib.asynccontextmanager
async def at_work(folder: Path) -> AsyncIterator[Scene]:
    """Have clinicians at work over a pair that stands in one address, and mail that leaves."""
    with pair() as (primary, standby):
        async with (
            postoffice.opened() as office,
            site.over(address(primary, standby), folder, is_new=True, SMTP_URL=office.url) as running,
        ):
            yield Scene(primary, standby, office, running, Writers(running))


async def test_ops_03_drill_failover_over_two_hosts_loses_nothing_and_needs_no_restart(folder: Path) -> None:
    async with at_work(folder) as scene:
        office, writers, standby = scene.office, scene.writers, scene.standby
        async with writers.at_work():
            await writers.grow(20)
            await postoffice.until(lambda: len(office.taken) > 0)
            usual_seconds, killed = statistics.median(writers.took), clock.monotonic()
            scene.primary.signal(signal.SIGKILL)
            standby.sql("SELECT pg_promote()")
            switch_seconds = clock.monotonic() - killed
            left = len(office.taken)
            await writers.grow(20)
        gap_seconds = writers.gap_seconds()
        # What needs the queue and its notices: mail leaves again, at once and not by the sweep alone.
        await postoffice.until(lambda: len(office.taken) > left)
        rows = await scene.running.scene.rows("SELECT id FROM consultation")
        assert set(writers.acknowledged) <= {str(row.id) for row in rows}
        assert len(set(writers.acknowledged)) == len(writers.acknowledged)
        (epoch,) = await scene.running.scene.rows("SELECT epoch, held_reason FROM installation")
        assert epoch == (2, None)
        listening = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pobratym queue'"
        await postoffice.until(lambda: standby.sql(listening) != "")
        print(  # noqa: T201 - the drill's figures
            f"switch {switch_seconds:.2f} s, longest gap {gap_seconds:.2f} s: {gap_seconds - switch_seconds:.2f} s"
            f" beyond it, where a request usually takes {usual_seconds:.2f} s;"
            f" {len(writers.acknowledged)} acknowledged, 0 lost"
        )
        assert gap_seconds <= switch_seconds + SWITCH_SLACK_SECONDS


@contextmanager
def frozen(host: clusters.Cluster) -> Iterator[None]:
    """Have a host frozen meanwhile: nobody could end it, nor what waits for it."""
    host.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        host.signal(signal.SIGCONT)


async def test_ops_03_drill_a_frozen_host_is_passed_over_and_the_workers_loops_notice(folder: Path) -> None:
    async with at_work(folder) as scene:
        office, writers = scene.office, scene.writers
        async with writers.at_work():
            await writers.grow(10)
            await postoffice.until(lambda: len(office.taken) > 0)
            began = clock.monotonic()
            with frozen(scene.primary):
                scene.standby.sql("SELECT pg_promote()")
                switched = clock.monotonic()
                await postoffice.until(lambda: writers.served_since(switched) is not None)
                served_seconds, left = (writers.served_since(switched) or 0) - began, len(office.taken)
                await postoffice.until(lambda: len(office.taken) > left)
                noticed_seconds = clock.monotonic() - began
                asked = clock.monotonic()
                async with worlds.opened(scene.running.world.settings, migrating=False) as another:
                    await schema_version.present(another.engine)
                passed_seconds = clock.monotonic() - asked
                writers.is_over = True
        switch_seconds = switched - began
        print(  # noqa: T201 - the drill's figures
            f"frozen: switch {switch_seconds:.2f} s, served again after {served_seconds:.2f} s, mail leaves again"
            f" after {noticed_seconds:.2f} s, a new connection takes {passed_seconds:.2f} s"
        )
        patience = scene.running.world.settings
        deadline_seconds = (patience.pool_timeout_ms + 2 * patience.statement_timeout_ms) / 1000
        assert served_seconds <= switch_seconds + deadline_seconds + A_HOST_SECONDS + SWITCH_SLACK_SECONDS
        assert noticed_seconds <= switch_seconds + NOTICED_SECONDS
        assert A_HOST_SECONDS <= passed_seconds <= A_HOST_SECONDS + SWITCH_SLACK_SECONDS
