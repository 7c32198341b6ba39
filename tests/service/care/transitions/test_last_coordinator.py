"""The last coordinator of a hospital leaves: the admins hear of it once, with what depends on them."""

from collections.abc import Awaitable, Callable

import pytest

import build
from flow import Scene
from leaving import by_another_program, disabled, patch
from service.kernel import actor
from service.people import privacy

Leave = Callable[[Scene, str], Awaitable[None]]


async def role_ended(scene: Scene, who: str) -> None:
    """They are a clinician of the same hospital from now on."""
    await patch(scene, who, {"roles": [{"role": "clinician", "institution_id": str(scene.asking.id)}]})


async def moved(scene: Scene, who: str) -> None:
    """They coordinate another hospital."""
    async with scene.world.database.work(actor.TIMER) as w:
        elsewhere = await build.institution(w)
    await patch(scene, who, {"roles": [{"role": "coordinator", "institution_id": str(elsewhere.id)}]})


async def erased(scene: Scene, who: str) -> None:
    """All that is known of them is deleted."""
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, scene.people[who].email)


async def told(scene: Scene) -> list[tuple[str, str]]:
    return [mail for mail in (await scene.change()).mails if mail[0] == "uncoordinated"]


@pytest.mark.parametrize("leave", [disabled, by_another_program, role_ended, moved, erased])
async def test_ft_02_the_admins_are_told_once_when_the_last_coordinator_leaves(scene: Scene, leave: Leave) -> None:
    await scene.sweep()
    await scene.booked()
    await scene.request(consent=None)
    await scene.look()
    await leave(scene, "coordinator")
    await scene.sweep()
    assert await told(scene) == [("uncoordinated", "admin")]
    await scene.sweep()
    assert await told(scene) == []
    (mail,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'uncoordinated'")
    assert mail.payload["values"]["institution_id"] == str(scene.asking.id)
    assert mail.payload["values"]["depending"] == {"cases": 2, "unattended": 0, "calls": 1, "offers": 0, "unlinked": 0}


async def test_ft_02_what_waits_at_a_partner_without_a_coordinator_is_counted(scene: Scene) -> None:
    await scene.request()
    await scene.sweep()
    await scene.look()
    await disabled(scene, "partner")
    await scene.sweep()
    assert await told(scene) == [("uncoordinated", "admin")]
    (mail,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'uncoordinated'")
    assert mail.payload["values"]["depending"] == {"cases": 0, "unattended": 0, "calls": 0, "offers": 2, "unlinked": 0}


async def test_ft_02_nobody_is_told_while_another_coordinator_remains_and_again_only_after_one_came_back(
    scene: Scene,
) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["second"] = await build.coordinator(w, scene.asking)
    await scene.sweep()
    await scene.look()
    await disabled(scene, "second")
    await scene.sweep()
    assert await told(scene) == []
    for _ in range(2):
        await disabled(scene, "coordinator")
        await scene.sweep()
        assert await told(scene) == [("uncoordinated", "admin")]
        await patch(scene, "coordinator", {"state": "active"})
        await scene.sweep()
        assert await told(scene) == []


async def test_ft_02_an_institution_that_nobody_ever_coordinated_troubles_nobody(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await build.institution(w, kind="ministry")
    await scene.sweep()
    assert await told(scene) == []


async def test_ft_02_admins_of_the_programmes_of_the_hospital_hear_not_those_of_another(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.programme(w, code="other")
        scene.people["elsewhere"] = await build.admin(w, other)
        lonely = await build.institution(w)
        scene.people["alone"] = await build.coordinator(w, lonely)
    await scene.sweep()
    await scene.look()
    await disabled(scene, "coordinator")
    await scene.sweep()
    assert await told(scene) == [("uncoordinated", "admin")]
    await disabled(scene, "alone")  # of a place without any programme: whoever there is
    await scene.sweep()
    assert sorted(await told(scene)) == [("uncoordinated", "admin"), ("uncoordinated", "elsewhere")]


async def test_ft_02_a_coordinator_whose_address_takes_no_mail_is_not_the_only_one_who_hears(scene: Scene) -> None:
    await scene.rows(
        "UPDATE person SET mail_refused_at = created_at WHERE id = :id RETURNING 1", id=scene.people["coordinator"].id
    )
    await scene.request()
    scene.clock.forward(hours=9)
    await scene.look()
    await scene.sweep()
    mails = (await scene.change()).mails
    assert {("alert", "coordinator"), ("alert", "admin")} <= set(mails)
