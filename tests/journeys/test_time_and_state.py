"""Time and state (FT-03, FT-06): what is moved, and when the clinician has time."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.runtime.world import World
from service.kernel import actor
from service.outbox import deliveries
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    world.settings = world.settings.model_copy(update={"room_url": "https://rooms.example/{appointment_id}"})
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def claimed(scene: flow.Scene, template: str) -> list[bool]:
    """Let a worker take each mail of the template, and tell for each whether it is to be sent."""
    rows = await scene.rows(
        "SELECT id FROM delivery WHERE state = 'pending' AND payload ->> 'template' = :template", template=template
    )
    async with scene.world.database.work(actor.TIMER) as w:
        return [await deliveries.claim(w, row.id) is not None for row in rows]


async def links_of(scene: flow.Scene, purpose: str) -> list[Any]:
    return await scene.rows(
        "SELECT * FROM link WHERE purpose = :purpose ORDER BY created_at, starts_at", purpose=purpose
    )


FIVE_MINUTES, A_SECOND = timedelta(minutes=5), timedelta(seconds=1)


@pytest.mark.parametrize("who", flow.BOTH)
async def test_ft_03_a_proposal_after_the_start_is_mailed_and_can_be_taken_until_the_proposed_time(
    scene: flow.Scene, who: str
) -> None:
    booked = await scene.booked_by_the_mentor()
    other = next(name for name in flow.BOTH if name != who)
    scene.clock.set(flow.read_instant(booked["starts_at"]) + FIVE_MINUTES)
    proposed = (scene.clock.now() + timedelta(days=1)).replace(hour=18, minute=30)
    path = f"/v1/appointments/{booked['id']}/reschedule"
    moved = await scene.post(who, path, {"starts_at": flow.instant(proposed)})
    assert (moved["starts_at"], moved["proposed_starts"]) == (booked["starts_at"], [flow.instant(proposed)])
    assert await claimed(scene, "move_proposed") == [True]
    for purpose in ("move.accept", "move.decline"):
        (link,) = await links_of(scene, purpose)
        assert (link.person_id, link.expires_at) == (scene.people[other].id, proposed)
    scene.clock.set(proposed - A_SECOND)
    await scene.press(other, "move.accept")
    assert (await scene.get(who, f"/v1/appointments/{booked['id']}"))["starts_at"] == flow.instant(proposed)


async def test_ft_03_a_countered_time_can_be_taken_from_the_mail_until_it_begins_though_the_answer_was_due_before(
    scene: flow.Scene,
) -> None:
    await scene.request(priority="urgent")
    mine = await scene.offer()
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    times = [(case.answer_due_at + timedelta(hours=hours)).replace(minute=0, second=0) for hours in (6, 20)]
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [flow.instant(at) for at in times]})
    links = await links_of(scene, "counter.accept")
    assert [link.expires_at for link in links] == [link.starts_at for link in links] == times
    assert [link.expires_at for link in await links_of(scene, "counter.decline")] == times[1:]
    scene.clock.set(times[1])
    assert await claimed(scene, "countered") == [False]


async def test_ft_03_who_stays_enters_the_room_by_the_link_of_an_older_mail_after_a_move(scene: flow.Scene) -> None:
    booked = await scene.booked()
    (link,) = [row for row in await links_of(scene, "join") if row.person_id == scene.people["clinician"].id]
    later = flow.read_instant(booked["starts_at"]) + timedelta(hours=2)
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": flow.instant(later)})
    scene.clock.set(later)
    answer = await scene.client.get(f"/j/{scene.world.keys.link_token(link.id, 'join')}")
    assert answer.status_code == 303, answer.text


def window(scene: flow.Scene, first: float, last: float) -> dict[str, str]:
    """A window in hours from tomorrow, midnight in UTC."""
    midnight = (scene.clock.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "from": flow.instant(midnight + timedelta(hours=first)),
        "until": flow.instant(midnight + timedelta(hours=last)),
    }


@pytest.mark.parametrize(
    ("given", "union"),
    [
        ([(9, 12), (9, 9.25)], [(9, 12)]),  # the same start, the longer one first: the last one had won
        ([(9, 9.25), (9, 12)], [(9, 12)]),
        ([(9, 12), (9, 12)], [(9, 12)]),
        ([(10, 12), (9, 10)], [(9, 12)]),
        ([(11, 14), (9, 12)], [(9, 14)]),
        ([(9, 14), (10, 11)], [(9, 14)]),
        ([(13, 14), (9, 10), (13, 15), (9.5, 11)], [(9, 11), (13, 15)]),
    ],
)
async def test_ft_06_windows_are_united_and_shown(
    scene: flow.Scene, given: list[tuple[float, float]], union: list[tuple[float, float]]
) -> None:
    id_ = await scene.request(priority="routine", windows=[window(scene, *pair) for pair in given])
    shown = await scene.get("clinician", f"/v1/consultations/{id_}")
    assert shown["windows"] == [window(scene, *pair) for pair in union]
    assert shown["state"] == "offered"
    (listed,) = (await scene.get("clinician", "/v1/consultations"))["items"]
    assert listed["windows"] == shown["windows"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([(9, 9.25)], 0),
        ([(9, 12), (13, 13.25)], 1),
        ([(9, 9.25), (9.5, 9.75)], 0),
        ([(-20, 0.25)], 0),  # begun long ago: what is left is too short
    ],
)
async def test_ft_06_a_window_shorter_than_the_call_is_named(
    scene: flow.Scene, given: list[tuple[float, float]], place: int
) -> None:
    windows = [window(scene, *pair) for pair in given]
    if given[0][0] < 0:
        now = scene.clock.now()
        windows = [
            {"from": flow.instant(now - timedelta(hours=20)), "until": flow.instant(now + timedelta(minutes=15))}
        ]
    body = scene.wish(windows=windows)
    answer = await scene.call("clinician", "POST", "/v1/consultations", body, status=422)
    (fault,) = answer.json()["errors"]
    assert fault == {
        "pointer": f"/windows/{place}/until",
        "detail": "less than the 30 minutes of the call lie ahead in this window",
    }
    written = await scene.call("clinician", "POST", "/v1/consultations", {**body, "mode": "written"}, status=201)
    assert written.json()["state"] == "offered"


async def test_ft_06_windows_that_touch_hold_the_call_together(scene: flow.Scene) -> None:
    id_ = await scene.request(priority="routine", windows=[window(scene, 9, 9.25), window(scene, 9.25, 10)])
    assert (await scene.get("clinician", f"/v1/consultations/{id_}"))["windows"] == [window(scene, 9, 10)]


async def test_ft_06_a_consultation_without_windows_shows_none(scene: flow.Scene) -> None:
    id_ = await scene.request()
    assert (await scene.get("clinician", f"/v1/consultations/{id_}"))["windows"] == []
