"""Workers of which one has its clock an hour off the database's: no mail leaves twice, no lease is lost or stolen."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

import flow
import postoffice
from integrations.runtime.world import World
from service.kernel import actor, clock, queue
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
def working(world: World, url: str, clock_is_off: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Have a worker process until the block ends, with its clock off by so much, such as `+1h`."""
    with pytest.MonkeyPatch.context() as environment:
        if clock_is_off:
            environment.setenv("LD_PRELOAD", str(LIBRARIES[0]))
            environment.setenv("FAKETIME", clock_is_off)
            environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        process = postoffice.start("worker", world, WORKER_PORT="0", SMTP_URL=url)
    try:
        yield process
    finally:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # one that stands still could not end
        process.wait()


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a process stand still meanwhile: it takes no job, and what it has begun stays begun."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def mail_to(scene: flow.Scene) -> UUID:
    """Have a mail recorded; gives its id."""
    person = scene.people["clinician"]
    async with scene.world.database.work(actor.TIMER) as w:
        link = deliveries.NewLink(
            id=clock.new_id(), person_id=person.id, purpose="sign_in", expires_at=w.now + DAY, created_at=w.now
        )
        mail = await deliveries.mail(w, template="sign_in", person=person, values={}, links={"sign_in": link})
    assert mail is not None
    return mail


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    """People, at the system's time, by which workers in processes of their own go."""
    test_clock.set(clock.wall())
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def test_ops_08_drill_a_worker_whose_clock_is_an_hour_off_sends_no_mail_twice(scene: flow.Scene) -> None:
    for _ in range(MAILS):
        await mail_to(scene)
    async with postoffice.opened(seconds=SLOW_SECONDS) as office:
        with working(scene.world, office.url) as right, working(scene.world, office.url, "+1h") as ahead:
            await postoffice.until(lambda: is_settled(scene))

            async def is_known() -> bool:
                told = [row.clock_offset_ms or 0 for row in await scene.rows("SELECT clock_offset_ms FROM process")]
                return len(told) == 2 and max(told) > HOUR_MS - 60_000 and min(told) < 60_000

            await postoffice.until(is_known)
            assert (right.poll(), ahead.poll()) == (None, None)
    ids = {str(row.id) for row in await scene.rows("SELECT id FROM delivery WHERE state = 'delivered'")}
    assert len(ids) >= MAILS
    assert sorted(office.taken) == sorted(ids)
    assert {name for name, attempts in office.attempts.items() if len(attempts) > 1} == set()


@pytest.mark.parametrize(
    ("holders_clock", "others_clock"),
    [("", "+1h"), ("-1h", "")],
    ids=["one that is ahead steals none", "one that is behind loses none"],
)
async def test_ops_08_drill_a_worker_whose_clock_is_an_hour_off_neither_steals_nor_loses_a_lease(
    scene: flow.Scene, holders_clock: str, others_clock: str
) -> None:
    """By the other one's clock the mail is due again: only the lease, by the database's clock, keeps it from it."""
    async with postoffice.opened() as office:
        with working(scene.world, office.url, others_clock) as other:
            await postoffice.until(lambda: scene.rows("SELECT 1 FROM process WHERE kind = 'worker'"))
            await postoffice.until(lambda: is_settled(scene))
            other.send_signal(signal.SIGSTOP)  # it is there, and takes no job yet
            office.may_answer.clear()
            mail = await mail_to(scene)
            earlier = (
                "UPDATE delivery SET next_attempt_at = next_attempt_at - interval '2 h' WHERE id = :id RETURNING 1"
            )
            await scene.rows(earlier, id=mail)  # due for the one that is behind as well
            with working(scene.world, office.url, holders_clock) as holder:
                await postoffice.until(lambda: str(mail) in office.attempts)
                with frozen(holder):
                    other.send_signal(signal.SIGCONT)
                    await is_offered(scene, mail)
                    leased = (
                        "SELECT attempt, leased_until > clock_timestamp() AS is_leased FROM delivery WHERE id = :id"
                    )
                    (row,) = await scene.rows(leased, id=mail)
                    assert (row.attempt, row.is_leased, len(office.attempts[str(mail)])) == (1, True, 1)
                office.may_answer.set()
                await postoffice.until(lambda: is_settled(scene))
    (row,) = await scene.rows("SELECT state, attempt FROM delivery WHERE id = :id", id=mail)
    assert (row.state, row.attempt) == ("delivered", 1)
    assert office.taken.count(str(mail)) == 1


async def is_offered(scene: flow.Scene, mail: UUID) -> None:
    """Have a worker that takes jobs look at the mail once more, as where a job was lost and put again."""
    async with scene.world.database.work(actor.TIMER) as w:
        w.jobs.append(queue.Job(mail, 99, 0))
    is_there = "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key = :key"

    async def is_done() -> bool:
        return not await scene.rows(is_there, key=f"{mail}:99")

    await postoffice.until(is_done)


async def is_settled(scene: flow.Scene) -> bool:
    return not await scene.rows("SELECT 1 FROM delivery WHERE state = 'pending'")
