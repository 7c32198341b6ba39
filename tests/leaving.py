"""The ways in which somebody comes to be no longer who may act."""

# ruff: noqa: ANN401 - bodies are JSON

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import build
import flow
from flow import Scene
from service import tables
from service.kernel import actor, clock

Leave = Callable[[Scene, str], Awaitable[None]]


async def patch(scene: Scene, who: str, body: Any) -> None:
    """Have the admin change that person."""
    path = f"/v1/people/{scene.people[who].id}"
    tag = (await scene.call("admin", "GET", path, status=200)).headers["etag"]
    await scene.call("admin", "PATCH", path, body, status=200, headers={"If-Match": tag})


async def disabled(scene: Scene, who: str) -> None:
    """They are disabled."""
    await patch(scene, who, {"state": "disabled"})


async def by_another_program(scene: Scene, who: str) -> None:
    """They are disabled by a program that knows nothing of this."""
    await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING 1", id=scene.people[who].id)


async def moved(scene: Scene, who: str) -> None:
    """They do the same at another hospital."""
    role = "clinician" if who in {"clinician", "colleague"} else "mentor"
    async with scene.world.database.work(actor.TIMER) as w:
        elsewhere = await build.partner(w)
    await patch(scene, who, {"roles": [{"role": role, "institution_id": str(elsewhere.id)}]})


async def another_role(scene: Scene, who: str) -> None:
    """They do something else at the same hospital."""
    role, place = ("mentor", scene.asking) if who in {"clinician", "colleague"} else ("clinician", scene.lille)
    await patch(scene, who, {"roles": [{"role": role, "institution_id": str(place.id)}]})


async def unverified(scene: Scene, who: str) -> None:
    """The mentor's verification is taken back."""
    await verified_until(scene, who, flow.instant(scene.clock.now() - timedelta(minutes=1)))


async def verification_over(scene: Scene, who: str) -> None:
    """The mentor's verification ends at this instant."""
    await verified_until(scene, who, flow.instant(scene.clock.now()))


async def verified_until(scene: Scene, who: str, until: str) -> None:
    """The mentor is verified until then."""
    await scene.post("partner", f"/v1/people/{scene.people[who].id}/verification", {"until": until})


async def away(scene: Scene, who: str) -> None:
    """The mentor is marked as away, since yesterday and for a month."""
    wall = scene.clock.now().replace(tzinfo=None)
    during: dict[str, Any] = {"from_wall": wall - timedelta(days=1), "until_wall": wall + timedelta(days=30)}
    async with scene.world.database.work(actor.TIMER) as w:
        absence = tables.AvailabilityException(id=clock.new_id(), person_id=scene.people[who].id, kind="away", **during)
        await build.add(w, absence)


LEAVING = [disabled, by_another_program, moved, another_role]
LOSING = [*LEAVING, unverified, verification_over]
