"""A primary that dies, and its standby: both hosts stand in one address, no proxy, no restart of ours."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

import clusters
import postoffice
from drills import site
from service.kernel import clock

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not clusters.is_there(), reason="skipped: no PostgreSQL 15"),
]
WRITERS = 6
SWITCH_SLACK_SECONDS = 3.0


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
    """Clinicians who file without pause; keeps what was acknowledged, and when."""

    running: site.Site
    acknowledged: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
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
                    answer = await self.running.client.post("/v1/consultations", json=wish, headers=bearer | key)
                    if answer.status_code == 201:
                        self.acknowledged.append(answer.json()["id"])
                        self.at.append(clock.monotonic())
                        break
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)

    async def grow(self, count: int) -> None:
        """Wait until so much more was acknowledged."""
        wanted = len(self.acknowledged) + count
        await postoffice.until(lambda: len(self.acknowledged) >= wanted)

    def gap_seconds(self) -> float:
        """Give the longest time in which nothing was acknowledged."""
        return max(later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False))


async def test_ops_03_drill_failover_over_two_hosts_loses_nothing_and_needs_no_restart(folder: Path) -> None:
    with pair() as (primary, standby):
        async with (
            postoffice.opened() as office,
            site.over(address(primary, standby), folder, is_new=True, SMTP_URL=office.url) as running,
        ):
            writers = Writers(running)
            async with writers.at_work():
                await writers.grow(20)
                await postoffice.until(lambda: len(office.taken) > 0)
                killed = clock.monotonic()
                primary.signal(signal.SIGKILL)
                standby.sql("SELECT pg_promote()")
                switch_seconds = clock.monotonic() - killed
                left = len(office.taken)
                await writers.grow(20)
            gap_seconds = writers.gap_seconds()
            # What needs the queue and its notices: mail leaves again, at once and not by the sweep alone.
            await postoffice.until(lambda: len(office.taken) > left)
            rows = await running.scene.rows("SELECT id FROM consultation")
            assert set(writers.acknowledged) <= {str(row.id) for row in rows}
            assert len(set(writers.acknowledged)) == len(writers.acknowledged)
            (epoch,) = await running.scene.rows("SELECT epoch, held_reason FROM installation")
            assert epoch == (2, None)
            listening = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pobratym queue'"
            await postoffice.until(lambda: standby.sql(listening) != "")
            print(  # noqa: T201 - the drill's figures
                f"switch {switch_seconds:.2f} s, longest gap {gap_seconds:.2f} s: {gap_seconds - switch_seconds:.2f} s"
                f" beyond it; {len(writers.acknowledged)} acknowledged, 0 lost"
            )
            assert gap_seconds <= switch_seconds + SWITCH_SLACK_SECONDS
