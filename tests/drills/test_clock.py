"""Two workers, one of which has its clock an hour before the other's and the database's: no mail leaves twice."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import flow
import postoffice
from integrations.runtime.world import World
from service.kernel import actor, clock
from service.outbox import deliveries
from world import TestClock

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""Debian's libfaketime, put under the worker's whole process (`make setup-clock`)."""

pytestmark = [
    pytest.mark.drill,
    pytest.mark.races,
    pytest.mark.skipif(not LIBRARIES or shutil.which("faketime") is None, reason="skipped: no faketime"),
]
MAILS = 40
DAY = timedelta(days=1)
HOUR_MS = 3_600_000
SLOW_SECONDS = 2.5
"""A mail is under way for longer than a worker needs to look again for what is due."""


@contextmanager
def working(world: World, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a worker process until the block ends."""
    process = postoffice.start("worker", world, WORKER_PORT="0", **settings)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def test_ops_08_drill_a_worker_whose_clock_is_an_hour_off_sends_no_mail_twice(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_clock.set(clock.wall())
    scene = flow.Scene(world, test_clock, client)
    await scene.set_up()
    person = scene.people["clinician"]
    for _ in range(MAILS):
        async with world.database.work(actor.TIMER) as w:
            link = deliveries.NewLink(
                id=clock.new_id(), person_id=person.id, purpose="sign_in", expires_at=w.now + DAY, created_at=w.now
            )
            await deliveries.mail(w, template="sign_in", person=person, values={}, links={"sign_in": link})
    async with postoffice.opened(seconds=SLOW_SECONDS) as office:
        with working(world, SMTP_URL=office.url) as right, monkeypatch.context() as off:
            off.setenv("LD_PRELOAD", str(LIBRARIES[0]))
            off.setenv("FAKETIME", "+1h")
            off.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            with working(world, SMTP_URL=office.url) as ahead:

                async def is_all_sent() -> bool:
                    return not await scene.rows("SELECT 1 FROM delivery WHERE state = 'pending'")

                await postoffice.until(is_all_sent)

                async def is_known() -> bool:
                    told = [row.clock_offset_ms or 0 for row in await scene.rows("SELECT clock_offset_ms FROM process")]
                    return len(told) == 2 and max(told) > HOUR_MS - 60_000 and min(told) < 60_000

                await postoffice.until(is_known)
                assert (right.poll(), ahead.poll()) == (None, None)
    ids = {str(row.id) for row in await scene.rows("SELECT id FROM delivery WHERE state = 'delivered'")}
    assert len(ids) >= MAILS
    assert sorted(office.taken) == sorted(ids)
    assert {name for name, attempts in office.attempts.items() if len(attempts) > 1} == set()
