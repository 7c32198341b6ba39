"""Who may confirm an address that a coordinator changed: a second person, and not a second account of the same one."""

from typing import Any
from uuid import UUID

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    async with world.database.work(actor.TIMER) as w:
        made.people["second"] = await build.coordinator(w, made.lille)
    return made


async def test_sec_03_a_second_account_of_the_one_who_changed_it_confirms_nothing(scene: flow.Scene) -> None:
    wish: dict[str, Any] = {
        "email": "other@lille.example",
        "display_name": "Other",
        "locale": "en",
        "zone": "Europe/Paris",
        "roles": [{"role": "coordinator", "institution_id": str(scene.lille.id)}],
    }
    made = await scene.post("partner", "/v1/people", wish, 201)
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["double"] = await w.read(tables.Person, UUID(made["id"]))
    scene.clock.forward(days=30)
    path = f"/v1/people/{scene.people['mentor'].id}"
    changed = {"email": "mentor.new@lille.example"}
    await scene.call("partner", "PATCH", path, changed, status=200, headers={"If-Match": "*"})

    await scene.call("double", "POST", f"{path}/address-confirmation", status=403)
    await scene.call("second", "POST", f"{path}/address-confirmation", status=200)
