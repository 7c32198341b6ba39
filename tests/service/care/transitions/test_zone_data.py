"""Newer zone data: a booked instant stays, and those who now see another hour are asked (invariant T4)."""

from datetime import timedelta
from email import message_from_bytes, policy

import pytest

import flow
from flow import Scene
from integrations.runtime import mail_delivery
from service.kernel import actor
from service.outbox import deliveries
from service.rules.time import availability

CLINICIANS_CLOCK = "UPDATE participant SET wall = wall - interval '1 hour' WHERE role = 'clinician' RETURNING 1"
OLDER_DATA = "UPDATE appointment SET tzdata_version = '2025a' RETURNING 1"


async def booked_by_older_data(scene: Scene) -> None:
    """Book a time; then let it be as if the clinician's clock had been an hour behind today's data."""
    await scene.booked()
    await scene.look()
    await scene.rows(CLINICIANS_CLOCK)
    await scene.rows(OLDER_DATA)


async def test_who_sees_another_hour_than_was_agreed_is_asked_once_and_nothing_moves(scene: Scene) -> None:
    await booked_by_older_data(scene)
    (before,) = await scene.rows("SELECT starts_at, version FROM appointment")
    await scene.sweep()
    await scene.sweep()
    change = await scene.change()
    assert change.mails == [("zone_data_changed", "clinician"), ("zone_data_changed", "mentor")]
    assert change.events == []
    (after,) = await scene.rows("SELECT starts_at, status, version FROM appointment")
    assert (after.starts_at, after.status, after.version) == (before.starts_at, "booked", before.version + 1)
    (row,) = await scene.rows("SELECT wall FROM participant WHERE role = 'clinician'")
    assert row.wall == before.starts_at.replace(tzinfo=None) + timedelta(hours=2)


async def test_an_appointment_that_no_clock_shows_differently_is_only_noted_as_looked_at(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.look()
    await scene.rows(OLDER_DATA)
    await scene.sweep()
    assert (await scene.change()).mails == []
    (row,) = await scene.rows("SELECT tzdata_version FROM appointment")
    assert row.tzdata_version == availability.TZDATA_VERSION
    now = (await scene.call("clinician", "GET", f"/v1/appointments/{booked['id']}", status=200)).json()
    assert now["version"] == booked["version"]


async def test_who_takes_over_from_a_mentor_agrees_by_the_data_of_that_day(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    await scene.rows(OLDER_DATA)
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    (row,) = await scene.rows("SELECT tzdata_version FROM appointment")
    assert row.tzdata_version == availability.TZDATA_VERSION


@pytest.mark.parametrize("state", ["over", "cancelled"])
async def test_what_is_over_or_called_off_asks_nobody(scene: Scene, state: str) -> None:
    await booked_by_older_data(scene)
    if state == "over":
        scene.clock.forward(days=30)
    else:
        await scene.rows("UPDATE appointment SET status = 'cancelled' RETURNING 1")
    await scene.sweep()
    assert ("zone_data_changed", "clinician") not in (await scene.change()).mails


async def test_the_mail_says_what_was_agreed_and_what_the_clock_shows_now(scene: Scene) -> None:
    await booked_by_older_data(scene)
    await scene.sweep()
    (row,) = await scene.rows(
        "SELECT d.id FROM delivery d JOIN participant t ON t.person_id = d.person_id AND t.role = 'mentor'"
        " WHERE payload->>'template' = 'zone_data_changed'"
    )
    async with scene.world.database.work(actor.TIMER) as w:
        claimed = await deliveries.claim(w, row.id)
    assert claimed is not None
    body = message_from_bytes(mail_delivery.compose(scene.world, claimed), policy=policy.default).get_body(("plain",))
    assert body is not None
    text = body.get_content()
    (clinician,) = await scene.rows("SELECT wall FROM participant WHERE role = 'clinician'")
    assert f"{clinician.wall:%H:%M}" in text
    assert f"{clinician.wall - timedelta(hours=1):%H:%M} (" in text
