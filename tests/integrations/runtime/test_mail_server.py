"""A mail server that is away: the queue waits as a whole, one worker looks for it, and everything leaves at once."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

import flow
import postoffice
from integrations.runtime import doctor, health, logs, mail_delivery
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from service.outbox import attempt_counts, deliveries, mail_server
from service.rules.delivery import refusals
from world import TestClock

LOST = outcomes.Away(None, "SMTPConnectError: refused", phase="connect")


class Line:
    """An outbox over a line that the test cuts and mends; keeps whom it delivered to, in order."""

    def __init__(self) -> None:
        self.fault: outcomes.Outcome | None = None
        self.taken: list[str] = []
        self.looks = 0

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        if self.fault is not None:
            return self.fault
        self.taken.append(message.split(b"Message-ID: <", 1)[1].split(b"@", 1)[0].decode())
        return outcomes.Delivered(250) if recipient else outcomes.Refused("")

    async def probe(self, _sender: str) -> outcomes.Away | None:
        self.looks += 1
        return self.fault if isinstance(self.fault, outcomes.Away) else None


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


@pytest.fixture
def line(scene: flow.Scene) -> Line:
    scene.world.outbox = made = Line()
    return made


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    logs.configure("error")


def said(stream: io.StringIO, event: str) -> list[dict[str, object]]:
    return [entry for entry in map(json.loads, stream.getvalue().splitlines()) if entry["event"] == event]


async def letters(scene: flow.Scene, *priorities: str) -> list[str]:
    """Record a mail about a case of each priority, one a minute."""
    made = []
    for priority in priorities:
        async with scene.world.database.work(actor.TIMER) as w:
            values = {"person_id": str(scene.people["mentor"].id), "priority": priority}
            made.append(
                str(await deliveries.mail(w, template="bounced", person=scene.people["partner"], values=values))
            )
        scene.clock.forward(minutes=1)
    return made


async def test_ft_23_while_the_server_is_away_no_mail_spends_an_attempt(scene: flow.Scene, line: Line) -> None:
    line.fault = LOST
    await letters(scene, *["routine"] * 4)
    for _ in range(40):
        await postoffice.deliver_all(scene)
        await mail_delivery.look_for_server(scene.world)
        scene.clock.forward(minutes=5)
    rows = await scene.rows(
        "SELECT state, attempt, next_attempt_at <= :now AS is_due FROM delivery", now=scene.clock.now()
    )
    assert {tuple(row) for row in rows} == {("pending", 0, True)}
    assert await scene.rows("SELECT 1 FROM delivery_attempt") == []
    line.fault = None
    await mail_delivery.look_for_server(scene.world)
    await postoffice.deliver_all(scene)
    assert {row.state for row in await scene.rows("SELECT state FROM delivery")} == {"delivered"}


async def test_ft_23_a_look_is_due_twice_a_minute_and_one_worker_takes_it(scene: flow.Scene, line: Line) -> None:
    line.fault = LOST
    await letters(scene, "routine")
    await mail_delivery.look_for_server(scene.world)
    assert line.looks == 0  # nothing is known to be wrong yet
    await postoffice.deliver_all(scene)
    await mail_delivery.look_for_server(scene.world)
    assert line.looks == 0
    scene.clock.forward(seconds=mail_server.PROBE_GAP.total_seconds())
    async with scene.world.database.work(actor.TIMER) as w:
        assert await mail_server.take_probe(w)
        assert not await mail_server.take_probe(w)  # another worker, while the first one looks
    await scene.rows("UPDATE mail_server SET probe_leased_until = clock_timestamp() - interval '1 s' RETURNING 1")
    await mail_delivery.look_for_server(scene.world)  # the first one was killed
    assert line.looks == 1
    assert timedelta(minutes=1) > mail_server.PROBE_GAP


async def test_ft_23_when_it_is_back_the_urgent_leave_first_and_then_the_oldest(scene: flow.Scene, line: Line) -> None:
    line.fault = LOST
    routine, urgent, asap, late, stat = await letters(scene, "routine", "urgent", "asap", "routine", "stat")
    await postoffice.deliver_all(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        assert await deliveries.enqueue_due(w) == 0
    line.fault = None
    scene.clock.forward(seconds=30)
    await mail_delivery.look_for_server(scene.world)
    async with scene.world.database.work(actor.TIMER) as w:
        assert await deliveries.enqueue_due(w) == 5
        queued = sorted(w.jobs, key=lambda job: -job.urgency)
        w.jobs.clear()
    assert [str(job.delivery_id) for job in queued] == [stat, asap, routine, urgent, late]


@pytest.mark.parametrize("outcome", [outcomes.Cut(None, "SMTPServerDisconnected", phase="data")])
async def test_ft_23_three_mails_cut_off_in_a_row_are_the_servers_fault_and_one_is_not(
    scene: flow.Scene, line: Line, outcome: outcomes.Cut
) -> None:
    await letters(scene, *["routine"] * refusals.CUTS_IN_A_ROW)
    line.fault = outcome
    (first, *others) = [row.id for row in await scene.rows("SELECT id FROM delivery ORDER BY id")]
    for _ in range(5):  # one mail by itself, however often
        await mail_delivery.deliver(scene.world, first)
        scene.clock.forward(hours=6)
    assert "mail_server_away" not in await health.notices(scene.world)
    for other in others:
        await mail_delivery.deliver(scene.world, other)
    assert await health.notices(scene.world) == ["mail_server_away"]
    line.fault = None
    scene.clock.forward(seconds=30)
    await mail_delivery.look_for_server(scene.world)
    await postoffice.deliver_all(scene)  # at once, and not by the schedule of each
    assert len(line.taken) == refusals.CUTS_IN_A_ROW


async def test_ft_23_a_mail_that_is_taken_ends_the_row(scene: flow.Scene, line: Line) -> None:
    await letters(scene, *["routine"] * 5)
    ids = [row.id for row in await scene.rows("SELECT id FROM delivery ORDER BY id")]
    cut = outcomes.Cut(None, "421 closing", 421, phase="data")
    for row_id, line.fault in zip(ids, [cut, cut, None, cut, cut], strict=True):
        await mail_delivery.deliver(scene.world, row_id)
    assert await health.notices(scene.world) == []


async def test_ft_23_operators_see_that_it_is_away_and_that_it_is_back(
    scene: flow.Scene, line: Line, lines: io.StringIO
) -> None:
    line.fault = outcomes.Away(None, "535 5.7.8 no", 535, phase="auth")
    await letters(scene, "routine", "routine")
    await postoffice.deliver_all(scene)
    scene.clock.forward(hours=3)
    ready = await scene.client.get("/health/ready")
    assert (ready.status_code, ready.json()["notices"]) == (200, ["mail_server_away", "deliveries_late"])
    (told,) = said(lines, "mail_server_away")
    assert (told["level"], told["phase"], told["status"]) == ("error", "auth", 535)
    figures = (await scene.client.get("/metrics")).text
    assert f"pobratym_mail_server_away_seconds {float(3 * 3600)}" in figures
    assert 'pobratym_attempts_total{kind="mail",outcome="away"} 1.0' in figures
    assert f'pobratym_oldest_undelivered_seconds{{kind="mail"}} {float(3 * 3600 + 120)}' in figures
    (finding,) = [finding async for finding in doctor.database(scene.world) if finding.subject == "mail"]
    assert "away" in finding.detail
    line.fault = None
    await mail_delivery.look_for_server(scene.world)
    (told,) = said(lines, "mail_server_back")
    assert (told["count"], told["away_s"]) == (2, 3 * 3600)
    await postoffice.deliver_all(scene)
    assert "pobratym_mail_server_away_seconds 0.0" in (await scene.client.get("/metrics")).text


async def test_ft_23_a_server_that_is_away_does_not_make_the_api_unready(scene: flow.Scene, line: Line) -> None:
    line.fault = LOST
    await letters(scene, "routine")
    await postoffice.deliver_all(scene)
    for _ in range(60):
        scene.clock.forward(minutes=3)
        await mail_delivery.look_for_server(scene.world)
    answer = await scene.client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "reasons": [], "notices": ["mail_server_away"]}


async def test_ft_22_a_refusal_for_our_fault_is_an_error_in_the_log_without_an_address(
    scene: flow.Scene, line: Line, lines: io.StringIO
) -> None:
    line.fault = outcomes.Ours(None, "554 5.7.1 <address>: relay denied", 554, phase="rcpt")
    (row_id,) = await letters(scene, "routine")
    await postoffice.deliver_all(scene)
    (told,) = said(lines, "mail_refused_for_our_fault")
    expected = {
        "level": "error",
        "delivery_id": row_id,
        "attempt": 1,
        "outcome": "ours",
        "status": 554,
        "phase": "rcpt",
    }
    assert told.items() >= expected.items()
    assert "@" not in lines.getvalue()
    async with scene.world.database.work(actor.TIMER) as w:
        assert await attempt_counts.totals(w) == {("mail", "ours"): 1}


async def test_ft_23_mail_that_is_held_stays_until_it_is_released(scene: flow.Scene, line: Line) -> None:
    await letters(scene, "stat", "routine")
    async with scene.world.database.work(actor.TIMER) as w:
        assert await mail_server.hold(w)
        assert not await mail_server.hold(w)
    await postoffice.deliver_all(scene)
    assert line.taken == []
    async with scene.world.database.work(actor.TIMER) as w:
        assert await mail_server.release(w)
        assert not await mail_server.release(w)
    await postoffice.deliver_all(scene)
    assert len(line.taken) == 2
    acts = await scene.rows("SELECT action FROM audit WHERE subject = 'mail_server' ORDER BY id")
    assert [row.action for row in acts] == ["held", "released"]
