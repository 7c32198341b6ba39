"""The calendar of one appointment through its life, by the bytes that arrive: booked, moved, handed over, cancelled."""

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import flow
import letterbox
import postoffice
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from service.outbox import deliveries
from world import TestClock

READER = Path(__file__).parent.parent / "integrations" / "calendar" / "ical"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


class Shelf(postoffice.Reachable):
    """An outbox that keeps the calendars by reader."""

    def __init__(self) -> None:
        self.calendars: dict[str, list[bytes]] = {}

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        for octets in letterbox.calendar_octets(message)[:1]:
            self.calendars.setdefault(recipient, []).append(octets)
        return outcomes.Delivered(None)


async def a_life(scene: flow.Scene) -> dict[str, list[bytes]]:
    """Book, move twice, replace the mentor, cancel; give the calendars that each person was sent, in order."""
    shelf = Shelf()
    scene.world.outbox = shelf
    booked = await scene.booked_by_the_mentor()
    await postoffice.deliver_all(scene)
    move = f"/v1/appointments/{booked['id']}/reschedule"
    for minutes in (15, 30):
        await scene.post("clinician", move, {"starts_at": await scene.later_start(booked, minutes)})
        await postoffice.deliver_all(scene)
    offer = await scene.post(
        "coordinator",
        f"/v1/consultations/{booked['consultation_id']}/offers",
        {"mentor_id": str(scene.people["rival"].id)},
        201,
    )
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    await postoffice.deliver_all(scene)
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    await postoffice.deliver_all(scene)
    return {name: shelf.calendars.get(person.email, []) for name, person in scene.people.items()}


def said(ics: bytes) -> tuple[str, str | None, int]:
    return (
        letterbox.values(ics, "METHOD")[0],
        next(iter(letterbox.values(ics, "STATUS")), None),
        int(letterbox.values(ics, "SEQUENCE")[0]),
    )


async def test_inv_12_and_15_one_uid_and_a_rising_sequence_through_the_whole_life(scene: flow.Scene) -> None:
    sent = await a_life(scene)
    assert [said(ics) for ics in sent["clinician"]] == [
        ("REQUEST", "CONFIRMED", 0),
        ("REQUEST", "CONFIRMED", 1),
        ("REQUEST", "CONFIRMED", 2),
        ("REQUEST", "CONFIRMED", 3),
        ("CANCEL", "CANCELLED", 4),
    ]
    assert [said(ics) for ics in sent["mentor"]] == [
        ("REQUEST", "CONFIRMED", 0),
        ("REQUEST", "CONFIRMED", 1),
        ("REQUEST", "CONFIRMED", 2),
        ("CANCEL", None, 3),
    ]
    assert [said(ics) for ics in sent["rival"]] == [("REQUEST", "CONFIRMED", 3), ("CANCEL", "CANCELLED", 4)]
    everything = [ics for calendars in sent.values() for ics in calendars]
    (appointment,) = await scene.rows("SELECT id FROM appointment")
    assert {uid.partition("@")[0] for ics in everything for uid in letterbox.values(ics, "UID")} == {
        str(appointment.id)
    }


async def test_inv_12_dtstamp_is_always_newer_even_when_the_clock_stands_still(scene: flow.Scene) -> None:
    sent = await a_life(scene)
    stamps = [letterbox.values(ics, "DTSTAMP")[0] for ics in sent["clinician"]]
    assert stamps == sorted(set(stamps))


async def test_inv_13_a_move_asks_every_attendee_again(scene: flow.Scene) -> None:
    sent = await a_life(scene)
    moved = letterbox.event(sent["mentor"][1])
    assert {str(attendee.params["PARTSTAT"]) for attendee in moved["ATTENDEE"]} == {"NEEDS-ACTION"}


async def test_inv_15_the_mentor_who_leaves_is_told_of_themself_only(scene: flow.Scene) -> None:
    sent = await a_life(scene)
    (attendee,) = letterbox.values(sent["mentor"][-1], "ATTENDEE")
    assert attendee == f"mailto:{scene.people['mentor'].email}"
    after = "".join(letterbox.values(sent["clinician"][3], "ATTENDEE"))
    assert scene.people["mentor"].email not in after
    assert scene.people["rival"].email in after


async def test_inv_16_an_invite_that_a_newer_one_overtook_is_dropped(scene: flow.Scene) -> None:
    shelf = Shelf()
    scene.world.outbox = shelf
    booked = await scene.booked()
    start = await scene.later_start(booked)
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start})
    await postoffice.deliver_all(scene)
    sent = [said(ics) for calendars in shelf.calendars.values() for ics in calendars]
    assert sent == [("REQUEST", "CONFIRMED", 1)] * 2
    dropped = await scene.rows("SELECT sequence FROM delivery WHERE state = 'dropped'")
    assert [row.sequence for row in dropped] == [0, 0]


@pytest.mark.parametrize("change", ["cancel", "reschedule"])
async def test_inv_16_a_reminder_of_what_was_cancelled_or_moved_since_is_dropped(
    scene: flow.Scene, change: str
) -> None:
    await scene.request(priority="asap")  # may be moved an hour before
    mine = await scene.offer()
    booked = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][-1]})
    await postoffice.deliver_all(scene)
    scene.clock.set(flow.read_instant(booked["starts_at"]) - timedelta(hours=1))
    await scene.sweep()
    body = {"reason": "illness"} if change == "cancel" else {"starts_at": await scene.later_start(booked)}
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/{change}", body)
    await postoffice.deliver_all(scene)
    states = "SELECT state, count(*) AS mails FROM delivery WHERE payload ->> 'template' = :mail GROUP BY state"
    assert [(row.state, row.mails) for row in await scene.rows(states, mail="reminder")] == [("dropped", 2)]
    told = "cancelled" if change == "cancel" else "moved"
    assert [(row.state, row.mails) for row in await scene.rows(states, mail=told)] == [("delivered", 2)]


async def test_a_reminder_overtakes_no_invite(scene: flow.Scene) -> None:
    booked = await scene.booked_by_the_mentor()
    scene.clock.set(flow.read_instant(booked["starts_at"]) - timedelta(hours=1))
    await scene.sweep()
    await postoffice.deliver_all(scene)
    states = "SELECT DISTINCT state FROM delivery WHERE appointment_id IS NOT NULL"
    assert [row.state for row in await scene.rows(states)] == ["delivered"]


async def test_inv_16_a_retried_mail_is_the_same_to_the_octet_although_the_appointment_moved_on(
    scene: flow.Scene,
) -> None:
    await scene.booked()
    (row, *_) = await scene.rows("SELECT id FROM delivery WHERE payload ? 'calendar' ORDER BY id")
    async with scene.world.database.work(actor.TIMER) as w:
        first = await deliveries.claim(w, row.id)
    scene.clock.forward(minutes=5)
    await postoffice.leases_end(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        second = await deliveries.claim(w, row.id)
    assert first is not None
    assert second is not None
    assert mail_delivery.compose(scene.world, first) == mail_delivery.compose(scene.world, second)


async def test_a_second_implementation_reads_one_uid_and_the_right_times_through_the_life(scene: flow.Scene) -> None:
    sent = await a_life(scene)
    if shutil.which("node") is None:
        pytest.skip("no node on this machine: the second reader is left out")
    read = [by_ical_js(ics) for ics in sent["clinician"]]
    assert len({found["uid"] for found in read}) == 1
    assert [(found["method"], found["sequence"]) for found in read] == [
        ("REQUEST", 0),
        ("REQUEST", 1),
        ("REQUEST", 2),
        ("REQUEST", 3),
        ("CANCEL", 4),
    ]
    first = flow.read_instant(read[0]["start"])
    assert [flow.read_instant(found["start"]) - first for found in read[:3]] == [
        timedelta(0),
        timedelta(minutes=15),
        timedelta(minutes=30),
    ]


def by_ical_js(ics: bytes) -> dict[str, Any]:
    told = subprocess.run(["node", READER / "read.js"], input=ics, capture_output=True, check=False, timeout=60)
    assert told.returncode == 0, f"ical.js cannot run (make setup-node installs it): {told.stderr.decode()[-500:]}"
    return dict(json.loads(told.stdout))
