"""Offers whose mail leaves late or never: the mentor's time begins with the mail (decision 0036)."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
import postoffice
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from service.outbox import deliveries
from world import TestClock

LOST = outcomes.Away(None, "SMTPConnectError: refused", phase="connect")


class Line:
    """An outbox over a line that the test cuts and mends; keeps what it took, by address."""

    def __init__(self) -> None:
        self.fault: outcomes.Outcome | None = None
        self.taken: list[tuple[str, bytes]] = []

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        if self.fault is not None:
            return self.fault
        self.taken.append((recipient, message))
        return outcomes.Delivered(250)

    async def probe(self, _sender: str) -> outcomes.Away | None:
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


async def live(scene: flow.Scene, minutes: int, step: int = 5) -> None:
    """Let so much time pass, in which the worker sweeps, looks for the server and sends."""
    for _ in range(0, minutes, step):
        scene.clock.forward(minutes=step)
        await scene.sweep(mail_leaves=False)
        await mail_delivery.look_for_server(scene.world)
        await postoffice.deliver_all(scene)


async def offers(scene: flow.Scene) -> list[Any]:
    return list(await scene.rows("SELECT * FROM offer ORDER BY id"))


async def templates(scene: flow.Scene, state: str = "delivered") -> list[str]:
    sql = "SELECT payload ->> 'template' AS template FROM delivery WHERE state = :state ORDER BY settled_at, id"
    return [row.template for row in await scene.rows(sql, state=state)]


async def test_ft_23_a_mentors_time_begins_when_the_offer_left(scene: flow.Scene, line: Line) -> None:
    line.fault = LOST
    await scene.request(priority="routine")  # a working day to answer
    sent_at = scene.clock.now()
    await postoffice.deliver_all(scene)
    await live(scene, 165)  # 2 h 45
    line.fault = None
    await live(scene, 5)
    left_at = scene.clock.now()
    (offer,) = await offers(scene)
    assert (offer.state, offer.sent_at, offer.timed_from) == ("pending", sent_at, left_at)
    assert offer.answer_by == left_at + timedelta(days=1)
    (told,) = await scene.rows(
        "SELECT payload -> 'values' ->> 'answer_by', useless_after FROM delivery WHERE offer_id IS NOT NULL"
    )
    assert tuple(told) == (flow.instant(offer.answer_by), offer.answer_by)
    links = await scene.rows("SELECT expires_at FROM link WHERE purpose LIKE 'offer.%'")
    (case,) = await scene.rows("SELECT next_wave_at, answer_due_at FROM consultation")
    assert {row.expires_at for row in links} == {case.answer_due_at}  # as long as an answer is taken
    assert case.next_wave_at == offer.answer_by
    assert "offer_closed" not in await templates(scene)
    await live(scene, 23 * 60 + 40, step=20)
    assert {offer.state for offer in await offers(scene)} == {"pending"}
    await live(scene, 40, step=20)
    first, _ = await offers(scene)
    assert (first.state, first.is_undelivered) == ("expired", False)


@pytest.mark.parametrize("priority", ["urgent", "asap"])
async def test_ft_23_when_the_server_is_back_each_mentor_has_one_offer_with_its_whole_time(
    scene: flow.Scene, line: Line, priority: str
) -> None:
    line.fault = LOST
    await scene.request(priority=priority)
    await live(scene, 165)
    line.fault = None
    await live(scene, 10)
    pending = [offer for offer in await offers(scene) if offer.state == "pending"]
    assert len({offer.mentor_id for offer in pending}) == len(pending) == 2
    whole = {"urgent": timedelta(hours=4), "asap": timedelta(hours=1)}[priority]
    assert all(offer.answer_by >= scene.clock.now() + whole - timedelta(minutes=10) for offer in pending)
    assert all(start > scene.clock.now() for offer in pending for start in offer.starts)
    delivered = await templates(scene)
    assert (delivered.count("offer"), delivered.count("offer_closed")) == (2, 0)
    others = [offer for offer in await offers(scene) if offer.state != "pending"]
    assert {offer.is_undelivered for offer in others} <= {True}
    mine = await scene.offer()
    accepted = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    assert accepted["status"] == "booked"


async def test_ft_23_an_offer_that_never_left_counts_against_nobody_and_its_mentor_is_asked_again(
    scene: flow.Scene, line: Line
) -> None:
    await scene.rows("UPDATE mentor_profile SET offers_per_week = 1 RETURNING 1")
    line.fault = LOST
    case = await scene.request(priority="stat")  # ten minutes to answer, an hour until it is due
    await live(scene, 120)
    first = await offers(scene)
    assert {(offer.state, offer.is_undelivered) for offer in first} == {("expired", True)}
    line.fault = None
    await live(scene, 5)
    sent = await templates(scene)
    assert "offer" not in sent
    assert "offer_closed" not in sent
    await scene.request(priority="urgent")
    again = [offer for offer in await offers(scene) if offer.state == "pending"]
    assert {offer.mentor_id for offer in again} == {offer.mentor_id for offer in first}
    shown = await scene.get("coordinator", f"/v1/consultations/{case}")
    assert shown["state"] == "unmatched"


async def test_ft_23_an_offer_whose_times_are_past_when_it_could_leave_is_made_anew(
    scene: flow.Scene, line: Line
) -> None:
    line.fault = LOST
    await scene.request(priority="urgent")
    await postoffice.deliver_all(scene)
    await scene.rows(
        "UPDATE offer SET starts = ARRAY[CAST(:soon AS timestamptz)] RETURNING 1",
        soon=scene.clock.now() + timedelta(hours=1),
    )
    await live(scene, 90)
    line.fault = None
    await live(scene, 10)
    found = await offers(scene)
    assert (
        sorted((offer.state, offer.is_undelivered) for offer in found)
        == [("expired", True)] * 2 + [("pending", False)] * 2
    )
    assert {offer.mentor_id for offer in found if offer.state == "pending"} == {offer.mentor_id for offer in found}
    assert all(start > scene.clock.now() for offer in found if offer.state == "pending" for start in offer.starts)
    assert (await templates(scene)).count("offer") == 2
    assert (await templates(scene, "dropped")).count("offer") == 2


async def test_ft_23_a_request_that_is_withdrawn_meanwhile_takes_the_unsent_offers_along(
    scene: flow.Scene, line: Line
) -> None:
    line.fault = LOST
    case = await scene.request(priority="urgent")
    await live(scene, 30)
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"})
    line.fault = None
    await live(scene, 5)
    mentors = {scene.people[name].email for name in ("mentor", "rival")}
    assert mentors & {address for address, _ in line.taken} == set()
    assert {(offer.state, offer.is_undelivered) for offer in await offers(scene)} == {("withdrawn", True)}


async def test_ft_23_an_offer_that_is_withdrawn_in_the_first_minute_of_an_outage_is_never_told_as_closed(
    scene: flow.Scene, line: Line
) -> None:
    """The mail had not been tried yet, so it was taken to be on its way."""
    line.fault = LOST
    case = await scene.request(priority="urgent")
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"})
    await live(scene, 180)
    line.fault = None
    await live(scene, 15)
    mentors = {scene.people[name].email for name in ("mentor", "rival")}
    assert mentors & {address for address, _ in line.taken} == set()
    assert (await templates(scene, "dropped")).count("offer_closed") == 2
    assert {(offer.state, offer.is_undelivered) for offer in await offers(scene)} == {("withdrawn", True)}


async def test_ft_23_who_got_the_offer_is_told_that_it_is_closed_and_only_after_it(
    scene: flow.Scene, line: Line
) -> None:
    case = await scene.request(priority="urgent")
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"})
    closed = await scene.rows("SELECT id FROM delivery WHERE payload->>'template' = 'offer_closed'")
    for row in closed:  # another worker comes to it first
        await mail_delivery.deliver(scene.world, row.id)
    assert line.taken == []
    await postoffice.deliver_all(scene)
    await postoffice.deliver_all(scene)
    delivered = await templates(scene)
    assert (delivered.count("offer"), delivered.count("offer_closed")) == (2, 2)
    assert {(offer.state, offer.is_undelivered) for offer in await offers(scene)} == {("withdrawn", False)}


@pytest.mark.usefixtures("line")
async def test_ft_23_who_may_have_got_the_offer_from_a_worker_that_died_is_told_that_it_is_closed(
    scene: flow.Scene,
) -> None:
    case = await scene.request(priority="urgent")
    for row in await scene.rows("SELECT id FROM delivery WHERE payload->>'template' = 'offer'"):
        async with scene.world.database.work(actor.TIMER) as w:
            assert await deliveries.claim(w, row.id)  # and handed over, perhaps: nobody ever says
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"})
    await postoffice.leases_end(scene)
    await live(scene, 15)
    assert "offer" in await templates(scene, "dropped")
    assert (await templates(scene)).count("offer_closed") == 2


async def test_ft_23_reports_count_offers_that_never_left_apart_and_against_nobody(
    scene: flow.Scene, line: Line
) -> None:
    line.fault = LOST
    await scene.request(priority="stat")
    await live(scene, 120)
    line.fault = None
    await live(scene, 5)
    path = f"/v1/memoranda/{scene.memorandum.id}/report"
    said = {figure["name"]: figure for figure in (await scene.get("admin", path))["figures"]}
    unsent = len(await offers(scene))
    assert (said["offers_undelivered"]["value"], said["offers_undelivered"]["rows"]) == (unsent, unsent)
    assert said["offers_sent"]["value"] == 0
    assert said["offers_per_mentor_week"]["value"] is None
    assert said["share_first_wave_accepted"]["rows"] == 0
    assert said["share_needing_backup"]["rows"] == 0
    rows = (await scene.get("admin", f"{path}/rows?of=offers"))["items"]
    assert {row["facts"]["is_undelivered"] for row in rows} == {True}
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'unmatched' LIMIT 1")
    assert told.payload["values"]["asked"] == {"undelivered": 2}


async def test_ft_23_an_offer_to_an_address_that_is_refused_is_not_counted_and_not_repeated(
    scene: flow.Scene, line: Line
) -> None:
    line.fault = outcomes.Refused("550 5.1.1 no such user", 550, phase="rcpt")
    await scene.request(priority="asap")
    await live(scene, 130, step=10)
    found = await offers(scene)
    assert {(offer.state, offer.is_undelivered) for offer in found} == {("expired", True)}
    assert len(found) == 2


async def test_ft_23_the_requesting_side_sees_that_an_offer_has_not_left(scene: flow.Scene, line: Line) -> None:
    await scene.request(priority="urgent")
    line.fault = LOST
    await postoffice.deliver_all(scene)
    assert {offer["mail"] for offer in (await scene.get("coordinator", "/v1/offers"))["items"]} == {"waiting"}
    line.fault = None
    scene.clock.forward(minutes=1)
    await mail_delivery.look_for_server(scene.world)
    await postoffice.deliver_all(scene)
    assert {offer["mail"] for offer in (await scene.get("coordinator", "/v1/offers"))["items"]} == {"sent"}
