"""Deliveries, from the row to the bytes at the other end: once, under one name, whatever dies in between."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

import flow
import postoffice
from integrations.mail import maildir, smtp
from integrations.runtime import job_queue, loops, mail_delivery, worker
from integrations.runtime.world import World
from service import timers
from service.care import casefile
from service.kernel import actor, clock, errors, outcomes, work
from service.outbox import deliveries, notices
from service.rules.delivery import retry
from world import TestClock

pytestmark = pytest.mark.races

READER = Path(__file__).parents[1] / "calendar" / "ical"
MAILS = 5_000 if os.environ.get("DRILLS") == "1" else 40
KILLS = 8 if os.environ.get("DRILLS") == "1" else 1


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """The test's world with a Maildir of its own."""
    settings = world.settings.model_copy(update={"data_dir": tmp_path})
    return dataclasses.replace(world, settings=settings, outbox=maildir.MaildirOutbox(settings.mail_dir))


@pytest.fixture
async def scene(own: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(own, test_clock, client)
    await made.set_up()
    return made


@contextlib.asynccontextmanager
async def working(world: World, count: int = 1) -> AsyncIterator[None]:
    """Have that many workers at work."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(worker.run(world, stop))
        try:
            yield
        finally:
            stop.set()


async def states(scene: flow.Scene) -> dict[str, int]:
    """Count the deliveries by state."""
    return {row.state: row.n for row in await scene.rows("SELECT state, count(*) AS n FROM delivery GROUP BY state")}


async def settled(scene: flow.Scene) -> bool:
    return "pending" not in await states(scene)


async def receipts(scene: flow.Scene, count: int) -> list[str]:
    """Have that many mails recorded, each in a transaction of its own; gives their ids."""
    made = []
    for _ in range(count):
        async with scene.world.database.work(actor.TIMER) as w:
            row_id = await deliveries.mail(
                w, template="sign_in", person=scene.people["clinician"], values={}, links=_link(w, scene)
            )
            made.append(str(row_id))
    return made


def _link(w: Any, scene: flow.Scene) -> dict[str, deliveries.NewLink]:  # noqa: ANN401 - a unit of work
    person = scene.people["clinician"].id
    until = w.now + timedelta(days=1)
    row = deliveries.NewLink(id=clock.new_id(), person_id=person, purpose="sign_in", expires_at=until, created_at=w.now)
    return {"sign_in": row}


# --- delivered ---------------------------------------------------------------------------------------------------


async def test_every_mail_of_a_booking_lies_once_in_the_maildir_under_its_own_name(scene: flow.Scene) -> None:
    await scene.booked()
    async with working(scene.world, 2):
        await postoffice.until(lambda: settled(scene))
    ids = {str(row.id) for row in await scene.rows("SELECT id FROM delivery WHERE state = 'delivered'")}
    files = [path.name.partition("@")[0] for path in (scene.world.settings.mail_dir / "new").iterdir()]
    assert sorted(files) == sorted(ids)
    assert (await states(scene)).keys() == {"delivered"}


async def test_every_mail_of_a_booking_reaches_a_mail_server_once_although_two_workers_run(scene: flow.Scene) -> None:
    await scene.booked()
    async with postoffice.opened() as office, contextlib.aclosing(smtp.SmtpOutbox(office.url)) as outbox:
        sending = dataclasses.replace(scene.world, outbox=outbox)
        async with working(sending, 2):
            await postoffice.until(lambda: settled(scene))
    ids = {str(row.id) for row in await scene.rows("SELECT id FROM delivery")}
    assert sorted(office.taken) == sorted(ids)


@pytest.mark.slow
@pytest.mark.load(15)
async def test_a_worker_killed_again_and_again_loses_nothing_and_repeats_nothing_under_another_name(
    scene: flow.Scene,
) -> None:
    scene.clock.set(clock.wall())
    booked = await scene.booked_by_the_mentor()
    ids = {str(row.id) for row in await scene.rows("SELECT id FROM delivery")} | set(await receipts(scene, MAILS))
    with pytest.raises(RuntimeError):
        await undone(scene, booked)
    async with postoffice.opened(every=5) as office:
        for number in range(1, KILLS + 1):
            running = postoffice.start("worker", scene.world, SMTP_URL=office.url)
            wanted = len(ids) * number // (KILLS + 1)
            await postoffice.until(lambda wanted=wanted: len(office.taken) >= wanted)
            running.kill()
            running.wait()
            await a_minute_passes(scene)
        running = postoffice.start("worker", scene.world, SMTP_URL=office.url)
        try:
            await postoffice.until(lambda: settled_without_waiting(scene))
        finally:
            running.terminate()
            running.wait()
    assert await states(scene) == {"delivered": len(ids)}
    assert office.attempts.keys() == ids
    assert {name for name, attempts in office.attempts.items() if len(set(attempts)) > 1} == set()
    assert sum(len(attempts) for attempts in office.attempts.values()) > len(ids)


async def a_minute_passes(scene: flow.Scene) -> None:
    """Let what a dead worker had claimed, and the queue had given it, be free again."""
    await scene.rows(
        "UPDATE delivery SET next_attempt_at = next_attempt_at - interval '61 s' WHERE state = 'pending' RETURNING 1"
    )
    await postoffice.leases_end(scene)
    await scene.rows("UPDATE queue.pgqueuer SET heartbeat = heartbeat - interval '61 s' RETURNING 1")


async def settled_without_waiting(scene: flow.Scene) -> bool:
    """Let what must wait for minutes (a second attempt that was put off) be due, and tell whether all are settled."""
    await scene.rows(
        "UPDATE delivery SET next_attempt_at = now()"
        " WHERE state = 'pending' AND next_attempt_at > now() + interval '61 s' RETURNING 1"
    )
    return await settled(scene)


async def undone(scene: flow.Scene, booked: Any) -> None:  # noqa: ANN401 - what the API answers
    """Record mails in a transaction that comes to nothing."""
    async with scene.world.database.work(actor.TIMER) as w:
        await notices.invited(await casefile.open_case(w, UUID(booked["consultation_id"])), "booked")
        await w.flush()
        raise RuntimeError


async def claimed_twice(scene: flow.Scene) -> tuple[deliveries.Claim, deliveries.Claim]:
    """Have one delivery claimed by a worker that hangs, and a minute later by another."""
    (delivery,) = await receipts(scene, 1)
    claims = []
    for _ in range(2):
        async with scene.world.database.work(actor.TIMER) as w:
            claims.append(await deliveries.claim(w, UUID(delivery)))
        scene.clock.forward(seconds=61)
        await postoffice.leases_end(scene)
    slow, quick = claims
    assert slow is not None
    assert quick is not None
    return slow, quick


async def settle(scene: flow.Scene, claim: deliveries.Claim, outcome: outcomes.Outcome) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await deliveries.settle(w, claim, outcome, w.now, 1)


async def test_ops_08_a_simulated_clock_ends_no_lease(scene: flow.Scene) -> None:
    (delivery,) = await receipts(scene, 1)
    claims = []
    for _ in range(2):
        async with scene.world.database.work(actor.TIMER) as w:
            claims.append(await deliveries.claim(w, UUID(delivery)))
        scene.clock.forward(days=30)
    assert claims[0] is not None
    assert claims[1] is None


class Held(postoffice.Reachable):
    """An outbox whose server answers only once it is let."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.may_answer = asyncio.Event()

    async def send(self, message: bytes, _recipient: str) -> outcomes.Outcome:
        self.sent.append(message.split(b"Message-ID: <", 1)[1].split(b"@", 1)[0].decode())
        await self.may_answer.wait()
        return outcomes.Delivered(None)


@pytest.mark.parametrize("hours", [1, -1])
async def test_ops_08_two_workers_whose_clocks_are_an_hour_apart_send_no_mail_twice(
    scene: flow.Scene, hours: int
) -> None:
    outbox, off = Held(), TestClock()
    off.set(scene.clock.now() + timedelta(hours=hours))
    ids = await receipts(scene, 8)
    right = dataclasses.replace(scene.world, outbox=outbox)
    wrong = dataclasses.replace(right, clock=off, database=work.Database(right.engine, off, right.keys))
    first, second = (wrong, right) if hours < 0 else (right, wrong)  # the second one's clock is the later
    async with asyncio.TaskGroup() as tasks:
        for delivery in ids:
            tasks.create_task(mail_delivery.deliver(first, UUID(delivery)))
        await postoffice.until(lambda: len(outbox.sent) == (0 if hours < 0 else len(ids)))
        for delivery in ids:
            tasks.create_task(mail_delivery.deliver(second, UUID(delivery)))
        await postoffice.until(lambda: len(outbox.sent) == len(ids))
        await asyncio.gather(*(mail_delivery.deliver(second, UUID(delivery)) for delivery in ids))
        outbox.may_answer.set()
    assert sorted(outbox.sent) == sorted(ids)


async def test_a_late_worker_does_not_overwrite_what_its_successor_settled(scene: flow.Scene) -> None:
    slow, quick = await claimed_twice(scene)
    await settle(scene, quick, outcomes.Delivered(250))
    await settle(scene, slow, outcomes.Refused("late"))
    (row,) = await scene.rows("SELECT state, attempt, error FROM delivery")
    assert (row.state, row.attempt, row.error) == ("delivered", 2, None)


async def test_a_late_worker_does_not_settle_for_a_successor_that_is_still_at_it(scene: flow.Scene) -> None:
    slow, _ = await claimed_twice(scene)
    await settle(scene, slow, outcomes.Refused("late"))
    assert await states(scene) == {"pending": 1}


class Watching(postoffice.Reachable):
    """An outbox that looks for open transactions while a call is in flight."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.open: list[int] = []

    async def send(self, _message: bytes, _recipient: str) -> outcomes.Outcome:
        statement = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        )
        async with self.world.engine.connect() as connection:
            self.open.append((await connection.execute(sa.text(statement))).scalar_one())
        return outcomes.Delivered(None)


async def test_no_transaction_is_open_while_a_call_is_in_flight(scene: flow.Scene) -> None:
    await receipts(scene, 3)
    watching = Watching(scene.world)
    scene.world.outbox = watching
    await postoffice.deliver_all(scene)
    assert watching.open == [0, 0, 0]


async def test_an_open_transaction_would_be_seen(scene: flow.Scene) -> None:
    watching = Watching(scene.world)
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("SELECT 1"))
        await watching.send(b"", "")
    assert watching.open == [1]


POISON: tuple[str, ...] = (
    '{"template": "nothing"}',
    '{"values": null}',
    '{"links": null}',
    '{"values": {"zone": "Mars/Olympus", "starts_at": "2026-11-21T15:00:00Z"}}',
    '{"locale": "tlh"}',
    '{"dated": "yesterday"}',
    '{"links": {"sign_in": {"id": "x", "purpose": "sign_in"}}}',
    '{"calendar": {"method": "REQUEST", "attendees": []}}',
)


async def test_poison_payloads_are_refused_and_do_not_stop_the_others(scene: flow.Scene) -> None:
    ids = await receipts(scene, 40)
    poisoned = ids[::2]
    for delivery, change in zip(poisoned, itertools.cycle(POISON), strict=False):
        await scene.rows(
            "UPDATE delivery SET payload = payload || CAST(:change AS jsonb) WHERE id = :id RETURNING 1",
            change=change,
            id=delivery,
        )
    async with working(scene.world):
        await postoffice.until(lambda: settled(scene))
    delivered = {str(row.id) for row in await scene.rows("SELECT id FROM delivery WHERE state = 'delivered'")}
    assert delivered >= set(ids) - set(poisoned)
    assert len(delivered) < len(ids)
    assert (await states(scene)).keys() == {"delivered", "refused"}


class Saying(postoffice.Reachable):
    """An outbox of which every attempt ends like this."""

    def __init__(self, outcome: outcomes.Outcome) -> None:
        self.outcome = outcome

    async def send(self, _message: bytes, _recipient: str) -> outcomes.Outcome:
        return self.outcome


async def test_a_mail_that_is_refused_for_now_is_tried_by_the_schedule_until_it_is_taken(scene: flow.Scene) -> None:
    scene.world.outbox = Saying(outcomes.Retry(None, "451 later", 451))
    await receipts(scene, 1)
    for gap in retry.GAPS[:4]:
        await postoffice.deliver_all(scene)
        (row,) = await scene.rows("SELECT state, next_attempt_at FROM delivery")
        assert gap * 0.8 <= row.next_attempt_at - scene.clock.now() <= gap * 1.2
        scene.clock.set(row.next_attempt_at - timedelta(seconds=1))
        await postoffice.deliver_all(scene)
        scene.clock.forward(seconds=1)
    async with postoffice.opened() as office, contextlib.aclosing(smtp.SmtpOutbox(office.url)) as outbox:
        scene.world.outbox = outbox
        await postoffice.deliver_all(scene)
    (row,) = await scene.rows("SELECT state, attempt FROM delivery")
    assert (row.state, row.attempt, len(office.taken)) == ("delivered", 5, 1)


@pytest.mark.parametrize("outcome", [outcomes.Retry(None, "451 later"), outcomes.Ours(None, "554 blocked")])
async def test_after_three_days_of_trying_a_mail_is_dead_and_not_lost(
    scene: flow.Scene, outcome: outcomes.Outcome
) -> None:
    scene.world.outbox = Saying(outcome)
    await receipts(scene, 1)
    began = scene.clock.now()
    for _ in range(retry.MAX_ATTEMPTS):
        await postoffice.deliver_all(scene)
        (row,) = await scene.rows("SELECT state, next_attempt_at, error FROM delivery")
        scene.clock.set(row.next_attempt_at or scene.clock.now())
    assert (row.state, bool(row.error)) == ("dead", True)
    assert timedelta(hours=60) < scene.clock.now() - began < timedelta(hours=91)
    assert len(await scene.rows("SELECT 1 FROM delivery_attempt")) == retry.MAX_ATTEMPTS
    assert await scene.rows("SELECT 1 FROM person WHERE mail_refused_at IS NOT NULL") == []


async def test_a_refusal_for_good_is_kept_as_refused(scene: flow.Scene) -> None:
    scene.world.outbox = Saying(outcomes.Refused("550 no such user"))
    await receipts(scene, 1)
    await postoffice.deliver_all(scene)
    (row,) = await scene.rows(
        "SELECT state, error, next_attempt_at FROM delivery WHERE payload ->> 'template' <> 'bounced'"
    )
    assert (row.state, row.error, row.next_attempt_at) == ("refused", "550 no such user", None)


async def test_a_reminder_older_than_its_session_is_dropped(scene: flow.Scene) -> None:
    booked = await scene.booked()
    await postoffice.deliver_all(scene)
    scene.clock.set(flow.read_instant(booked["starts_at"]) - timedelta(hours=1))
    await scene.sweep()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await postoffice.deliver_all(scene)
    rows = await scene.rows("SELECT state FROM delivery WHERE payload->>'template' = 'reminder'")
    assert [row.state for row in rows] == ["dropped", "dropped"]


async def test_an_offer_that_is_closed_is_not_sent(scene: flow.Scene) -> None:
    case = await scene.request()
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"})
    scene.clock.forward(minutes=2)
    await postoffice.deliver_all(scene)
    rows = await scene.rows("SELECT DISTINCT state FROM delivery WHERE payload->>'template' = 'offer'")
    assert [row.state for row in rows] == ["dropped"]


class Counting(postoffice.Reachable):
    """An outbox that tells how many mails were tried, and when the first one was."""

    def __init__(self) -> None:
        self.tried = 0
        self.began = asyncio.Event()

    async def send(self, _message: bytes, _recipient: str) -> outcomes.Outcome:
        self.tried += 1
        self.began.set()
        await asyncio.sleep(0.01)
        return outcomes.Delivered(None)


async def test_a_worker_that_is_stopped_begins_nothing_more_however_much_is_queued(scene: flow.Scene) -> None:
    await many_receipts(scene, 2_000)
    scene.world.outbox = counting = Counting()
    async with working(scene.world):
        await counting.began.wait()
        tried = counting.tried
    assert counting.tried <= tried + job_queue.AT_ONCE
    assert (await states(scene))["pending"] == 2_000 - counting.tried
    (row,) = await scene.rows("SELECT count(*) AS n FROM delivery WHERE state = 'pending' AND attempt > 0")
    assert row.n == 0  # nothing stays leased to a worker that is gone


async def test_a_worker_sweeps_on_without_a_pause_while_a_batch_was_full(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, due = asyncio.Event(), [3, 3, 1, 0]
    sweeps: list[str] = []

    async def once(database: work.Database, _moved: object) -> list[timers.Failure]:
        acted = due[len(sweeps)]
        sweeps.append("sweep")
        database.counted["sweep_acted", "wave"] += acted
        return []

    async def pause(_stop: asyncio.Event, _seconds: float) -> None:
        sweeps.append("pause")
        due.insert(len(sweeps) - 1, 0)
        if sweeps.count("pause") == 2:
            stop.set()

    monkeypatch.setattr(timers, "BATCH", 3)
    monkeypatch.setattr(timers, "once", once)
    monkeypatch.setattr(loops, "pause", pause)
    await worker._sweep(scene.world, stop)  # the loop alone
    assert sweeps == ["sweep", "sweep", "sweep", "pause", "sweep", "pause"]


async def test_a_worker_takes_no_more_jobs_out_of_the_queue_than_it_soon_needs(scene: flow.Scene) -> None:
    await many_receipts(scene, 200)
    scene.world.outbox = counting = Counting()
    async with working(scene.world):
        await counting.began.wait()
        (row,) = await scene.rows("SELECT count(*) AS n FROM queue.pgqueuer WHERE status = 'picked'")
    assert 0 < row.n <= job_queue.AHEAD * job_queue.AT_ONCE


async def done(work: Awaitable[object]) -> object:
    """Give what it gives, or nothing when it met a connection that was cut: then nothing was done."""
    with contextlib.suppress(errors.Unavailable):
        return await work
    return None


async def many_receipts(scene: flow.Scene, count: int) -> None:
    """Have that many mails recorded in one transaction."""
    async with scene.world.database.work(actor.TIMER) as w:
        for _ in range(count):
            await deliveries.mail(
                w, template="sign_in", person=scene.people["clinician"], values={}, links=_link(w, scene)
            )


async def test_a_worker_whose_connections_are_cut_goes_on_with_new_ones(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "POLL_SECONDS", 600.0)  # the library alone would see it only then
    async with working(scene.world):
        await receipts(scene, 1)
        await postoffice.until(lambda: settled(scene))
        await scene.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for _ in range(3):
            await postoffice.until(lambda: done(receipts(scene, 1)))
        await postoffice.until(lambda: done(settled(scene)))
    assert await states(scene) == {"delivered": 4}
