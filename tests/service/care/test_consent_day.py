"""The day of a consent is read by the clinician's clock: after midnight in Kyiv it is still yesterday in UTC."""

from datetime import UTC, datetime

import httpx
import pytest

import flow
from integrations.runtime.world import World
from world import TestClock

AFTER_MIDNIGHT = datetime(2026, 11, 17, 22, 30, tzinfo=UTC)  # the 18th in Kyiv


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    test_clock.set(AFTER_MIDNIGHT)
    return made


@pytest.mark.parametrize(("given_on", "status"), [("2026-11-18", 201), ("2026-11-19", 422)])
async def test_a_request_is_filed_with_the_consent_of_today(scene: flow.Scene, given_on: str, status: int) -> None:
    wish = scene.wish(consent={"scope": "general", "given_on": given_on})
    answer = await scene.call("clinician", "POST", "/v1/consultations", wish, status=status)
    if status == 422:
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/given_on"]


async def test_a_draft_is_opened_with_the_consent_of_today(scene: flow.Scene) -> None:
    asked = await scene.request(consent=None)
    given = {"scope": "general", "given_on": "2026-11-18"}
    assert (await scene.post("coordinator", f"/v1/consultations/{asked}/consent", given))["state"] == "offered"
