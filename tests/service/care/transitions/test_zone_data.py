"""Newer zone data: a booked instant stays, and those who now see another hour are asked (invariant T4)."""

import asyncio
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import flow
from flow import Scene
from integrations.runtime import doctor, mail_delivery
from service.kernel import actor
from service.outbox import deliveries
from service.rules.time import availability

CLINICIANS_CLOCK = "UPDATE participant SET wall = wall - interval '1 hour' WHERE role = 'clinician' RETURNING 1"
OLDER_DATA = "UPDATE appointment SET tzdata_version = '2025a' RETURNING 1"


OLDER, NEWER, NEWEST = "2026z", "2026za", "2027a"


@contextmanager
def program(scene: Scene, version: str, kyivs_data: str | None, folder: Path) -> Iterator[None]:
    """Let the process be one with that zone data, in which Kyiv's clocks are as those of another place are."""
    before = scene.world.database.tzdata_version
    scene.world.database.tzdata_version = version
    if kyivs_data:
        kyiv = folder / version / "Europe" / "Kyiv"
        kyiv.parent.mkdir(parents=True, exist_ok=True)
        kyiv.write_bytes(resources.files("tzdata.zoneinfo").joinpath(kyivs_data).read_bytes())
        zoneinfo.reset_tzpath([folder / version])
    ZoneInfo.clear_cache()
    try:
        yield
    finally:
        scene.world.database.tzdata_version = before
        availability.force_tzdata()


async def mails_of_change(scene: Scene) -> int:
    (row,) = await scene.rows("SELECT count(*) FROM delivery WHERE payload->>'template' = 'zone_data_changed'")
    return int(row.count)


async def kyivs_wall(scene: Scene) -> timedelta:
    """Tell how far the stored wall time of the clinician is ahead of UTC."""
    (row,) = await scene.rows(
        "SELECT t.wall, a.starts_at FROM participant t JOIN appointment a ON a.id = t.appointment_id"
        " WHERE t.role = 'clinician'"
    )
    return row.wall - row.starts_at.replace(tzinfo=None)  # type: ignore[no-any-return]


async def test_ft_08_two_programs_with_other_zone_data_end_with_the_newer_and_one_mail_each(
    scene: Scene, tmp_path: Path
) -> None:
    with program(scene, OLDER, None, tmp_path):
        await scene.booked()
    for _ in range(5):
        with program(scene, NEWER, "Europe/Minsk", tmp_path):
            await scene.sweep()
        assert await kyivs_wall(scene) == timedelta(hours=3)
        with program(scene, OLDER, None, tmp_path):
            await scene.sweep()
    assert await mails_of_change(scene) == len(flow.BOTH)
    assert await kyivs_wall(scene) == timedelta(hours=3)


async def test_ft_08_newer_data_that_moves_no_clock_mails_nobody_and_newer_again_only_if_it_does(
    scene: Scene, tmp_path: Path
) -> None:
    with program(scene, OLDER, None, tmp_path):
        await scene.booked()
    with program(scene, NEWER, None, tmp_path):
        await scene.sweep()
    assert await mails_of_change(scene) == 0
    with program(scene, NEWEST, "Europe/Minsk", tmp_path):
        await scene.sweep()
        await scene.sweep()
    assert await mails_of_change(scene) == len(flow.BOTH)


@pytest.mark.races
async def test_ft_08_two_workers_that_see_newer_data_at_once_mail_once(scene: Scene, tmp_path: Path) -> None:
    with program(scene, OLDER, None, tmp_path):
        await scene.booked()
    with program(scene, NEWER, "Europe/Minsk", tmp_path):
        await asyncio.gather(*(scene.sweep() for _ in range(4)))
    assert await mails_of_change(scene) == len(flow.BOTH)


async def test_ft_08_the_mail_shows_the_new_hour_whichever_program_writes_it(scene: Scene, tmp_path: Path) -> None:
    with program(scene, OLDER, None, tmp_path):
        booked = await scene.booked()
    with program(scene, NEWER, "Europe/Minsk", tmp_path):
        await scene.sweep()
    (row,) = await scene.rows(
        "SELECT id FROM delivery WHERE payload->>'template' = 'zone_data_changed' ORDER BY id LIMIT 1"
    )
    async with scene.world.database.work(actor.TIMER) as w:
        claimed = await deliveries.claim(w, row.id)
    assert claimed is not None
    body = message_from_bytes(mail_delivery.compose(scene.world, claimed), policy=policy.default).get_body(("plain",))
    assert body is not None
    starts_at = flow.read_instant(booked["starts_at"])
    assert f"{starts_at + timedelta(hours=3):%H:%M}\N{EN DASH}" in body.get_content()
    assert "UTC+3" in body.get_content()
    assert f"{starts_at + timedelta(hours=2):%H:%M} (" in body.get_content()


async def test_ft_08_whom_an_older_program_seats_in_a_newer_appointment_is_looked_at_again(
    scene: Scene, tmp_path: Path
) -> None:
    with program(scene, NEWER, "Europe/Minsk", tmp_path):
        booked = await scene.booked()
    with program(scene, OLDER, None, tmp_path):
        path = f"/v1/consultations/{booked['consultation_id']}/assign"
        await scene.post("coordinator", path, {"clinician_id": str(scene.people["colleague"].id)})
        await scene.sweep()
    assert await kyivs_wall(scene) == timedelta(hours=2)
    with program(scene, NEWER, "Europe/Minsk", tmp_path):
        await scene.sweep()
    assert await kyivs_wall(scene) == timedelta(hours=3)
    assert await mails_of_change(scene) == len(flow.BOTH)


async def test_ft_08_a_hold_that_newer_data_books_is_agreed_by_that_data(scene: Scene, tmp_path: Path) -> None:
    with program(scene, OLDER, None, tmp_path):
        held = await flow.held(scene)
        offer = await scene.offer()
    with program(scene, NEWER, "Europe/Minsk", tmp_path):
        await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": held["starts_at"]})
        await scene.sweep()
    assert await kyivs_wall(scene) == timedelta(hours=3)
    assert await mails_of_change(scene) == 0


async def test_ft_08_doctor_names_a_program_whose_zone_data_is_older_than_what_is_booked(
    scene: Scene, tmp_path: Path
) -> None:
    with program(scene, NEWER, None, tmp_path):
        await scene.booked()
        assert [finding async for finding in doctor.database(scene.world) if finding.subject == "zones"] == []
    with program(scene, OLDER, None, tmp_path):
        (finding,) = [finding async for finding in doctor.database(scene.world) if finding.subject == "zones"]
    assert not finding.is_well
    assert NEWER in finding.detail


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
