"""A mentor's own cap on offers holds, however many ask at once: an over-notified volunteer goes silent."""

import pytest

import build
import crowd
import flow
from service.kernel import actor

pytestmark = [pytest.mark.races, pytest.mark.load]


async def asked_most(scene: flow.Scene) -> int:
    """Count the offers of whoever has most."""
    rows = await scene.rows("SELECT count(*) AS offers FROM offer GROUP BY mentor_id")
    return max((int(row.offers) for row in rows), default=0)


@pytest.mark.parametrize("cap", [1, 3])
async def test_requests_filed_at_once_ask_no_mentor_more_often_than_they_wish(scene: flow.Scene, cap: int) -> None:
    await scene.rows("UPDATE mentor_profile SET offers_per_week = :cap RETURNING 1", cap=cap)
    headers = await crowd.bearer(scene, "clinician")
    filed = await crowd.at_once(
        *(scene.client.post("/v1/consultations", json=scene.wish(), headers=headers) for _ in range(12))
    )
    assert {answer.status_code for answer in filed} == {201}
    assert await asked_most(scene) == cap
    await scene.sweep()
    assert await asked_most(scene) == cap
    # Whoever found everybody full a moment later is not forgotten: the coordinator looks.
    states = await scene.rows("SELECT DISTINCT state FROM consultation")
    assert sorted(row.state for row in states) == ["offered", "unmatched"]


async def test_a_mentor_chosen_by_hand_many_times_at_once_is_asked_no_more_often_than_they_wish(
    scene: flow.Scene,
) -> None:
    await scene.rows("UPDATE mentor_profile SET offers_per_week = 1 RETURNING 1")
    async with scene.world.database.work(actor.TIMER) as w:
        made = [
            await build.consultation(w, await build.clinician(w, scene.asking), scene.asking, state="open")
            for _ in range(8)
        ]
    headers, body = await crowd.bearer(scene, "coordinator"), {"mentor_id": str(scene.people["mentor"].id)}
    answers = await crowd.at_once(
        *(scene.client.post(f"/v1/consultations/{case.id}/offers", json=body, headers=headers) for case in made)
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[403] * 7]
    assert all(answer.json()["reasons"] == ["mentor_full"] for answer in answers if answer.status_code == 403)
    assert await asked_most(scene) == 1
