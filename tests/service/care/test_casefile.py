"""The one way in which a case changes its state, and which answer somebody reads when several would be true."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from service import tables, vocabulary
from service.care import casefile
from service.kernel import actor
from service.rules import lifecycle
from world import TestClock

STEPS = [
    (kind, before, state)
    for kind in ("consultation", "offer", "appointment")
    for before, following in lifecycle.TABLES[kind].items()
    for state in sorted(following)
]
LAST_OF_NOVEMBER = datetime(2026, 11, 30, 8, tzinfo=UTC)
IN_DECEMBER = datetime(2026, 12, 2, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "before", "state"), STEPS)
def test_every_step_of_the_lifecycle_has_an_event(kind: str, before: str, state: str) -> None:
    assert casefile.event_of(kind, before, state) in vocabulary.EVENT_TYPES


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def elsewhere(scene: flow.Scene, clinician: tables.Person | None, at: datetime) -> None:
    """Have somebody booked at this time for another consultation under the same memorandum."""
    async with scene.world.database.work(actor.TIMER) as w:
        who = clinician or await build.clinician(w, scene.asking)
        mentor = await build.mentor(w, scene.lille)
        consultation = await build.consultation(w, who, scene.asking, state="scheduled")
        await build.appointment(w, consultation, mentor, scene.memorandum, starts_at=at, minutes=60)


async def asked(scene: flow.Scene) -> tuple[str, dict[str, Any]]:
    """File a routine request; who is asked, and the offer."""
    await scene.request(priority="routine")
    for name in ("mentor", "rival"):
        for offer in (await scene.get(name, "/v1/offers?state=pending"))["items"]:
            return name, offer
    raise AssertionError


@pytest.mark.parametrize(
    ("spent_at", "status", "type_"),
    [
        (IN_DECEMBER + timedelta(days=1), 403, "gate-refused"),
        (LAST_OF_NOVEMBER + timedelta(hours=7), 422, "time-not-bookable"),
    ],
    ids=["the month of the session", "this month"],
)
async def test_a_budget_that_is_spent_is_named_for_the_month_of_the_session(
    scene: flow.Scene, test_clock: TestClock, spent_at: datetime, status: int, type_: str
) -> None:
    test_clock.set(LAST_OF_NOVEMBER)
    await scene.rows("UPDATE memorandum SET budget_minutes = 60, budget_per = 'month'")
    name, offer = await asked(scene)
    await elsewhere(scene, None, spent_at)
    body = {"starts_at": flow.instant(IN_DECEMBER)}
    answer = await scene.call(name, "POST", f"/v1/offers/{offer['id']}/accept", body)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, type_)


@pytest.mark.parametrize("days", [2, 9])
async def test_an_agreed_time_that_was_taken_meanwhile_is_answered_with_others_however_late_it_is(
    scene: flow.Scene, test_clock: TestClock, days: int
) -> None:
    test_clock.set(LAST_OF_NOVEMBER)
    name, offer = await asked(scene)
    at = IN_DECEMBER + timedelta(days=days)
    await scene.post(name, f"/v1/offers/{offer['id']}/counter", {"starts": [flow.instant(at)]})
    await elsewhere(scene, scene.people["clinician"], at)
    body = {"starts_at": flow.instant(at)}
    answer = await scene.call("clinician", "POST", f"/v1/offers/{offer['id']}/counter/accept", body)
    assert answer.json()["type"].endswith("slot-taken")
    assert answer.json()["next_starts"]


async def test_a_hold_that_is_over_is_named_even_if_somebody_else_has_the_time_now(scene: flow.Scene) -> None:
    held = await flow.held(scene)
    scene.clock.forward(minutes=20)
    await scene.rows("DELETE FROM seat")
    await elsewhere(scene, scene.people["clinician"], flow.read_instant(held["starts_at"]))
    offer = await scene.offer()
    answer = await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/accept", {"starts_at": held["starts_at"]})
    assert answer.json()["type"].endswith("hold-expired")
