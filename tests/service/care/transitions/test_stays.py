"""What takes nobody away, or leaves part of what depends on them, leaves that as it is: column by column (FT-01).

The columns are those of the table "When somebody changes" in docs/concepts.md; `tests/test_changes.py` holds the two
together.
"""

from collections.abc import Awaitable, Callable

import pytest

import flow
import leaving
from flow import Scene
from leaving import disabled, moved, patch
from service.kernel import actor, errors
from service.people import privacy
from standing import COLUMNS, STAYS, depending


async def department(scene: Scene) -> None:
    role = {"role": "clinician", "institution_id": str(scene.asking.id), "department": "ward 7"}
    await patch(scene, "clinician", {"roles": [role]})


async def name(scene: Scene) -> None:
    for who in ("clinician", "mentor"):
        await patch(scene, who, {"display_name": "Anne Martin"})


async def language(scene: Scene) -> None:
    await patch(scene, "mentor", {"locale": "uk"})
    await patch(scene, "clinician", {"locale": "en"})


async def zone(scene: Scene) -> None:
    for who in ("clinician", "mentor"):
        await patch(scene, who, {"zone": "Asia/Tokyo"})


async def address(scene: Scene) -> None:
    await scene.rows(
        "UPDATE person SET email = 'anne@hospital.example' WHERE id = :id RETURNING 1", id=scene.people["mentor"].id
    )


async def caps(scene: Scene) -> None:
    await scene.rows("UPDATE mentor_profile SET sessions_per_week = 0, offers_per_week = 0 RETURNING 1")


async def away(scene: Scene) -> None:
    await leaving.away(scene, "mentor")


async def institution(scene: Scene) -> None:
    await scene.rows(
        "UPDATE institution SET zone = 'Europe/Berlin', working_weekdays = '{0}', name = 'X', shows_its_name = true"
        " RETURNING 1"
    )


async def last_coordinator(scene: Scene) -> None:
    await disabled(scene, "coordinator")


async def clinician_gone(scene: Scene) -> None:
    await disabled(scene, "clinician")


async def clinician_moved(scene: Scene) -> None:
    await moved(scene, "clinician")


async def clinician_back(scene: Scene) -> None:
    await disabled(scene, "clinician")
    await scene.sweep()
    await patch(scene, "clinician", {"state": "active"})


async def erasure(scene: Scene) -> None:
    """It is refused while anything waits for the person."""
    for who in ("mentor", "clinician"):
        async with scene.world.database.work(actor.TIMER) as w:
            with pytest.raises(errors.Conflict):
                await privacy.erase(w, scene.people[who].email)


CHANGES: list[tuple[str, Callable[[Scene], Awaitable[None]]]] = [
    ("clinician disabled", clinician_gone),
    ("clinician's role ended or moved", clinician_moved),
    ("clinician enabled again", clinician_back),
    ("person erased", erasure),
    ("department changed", department),
    ("renamed", name),
    ("address changed", address),
    ("person's zone changed", zone),
    ("language changed", language),
    ("mentor paused, away, or caps lowered", caps),
    ("mentor paused, away, or caps lowered", away),
    ("last coordinator gone", last_coordinator),
    ("institution's zone, working days, name", institution),
]


async def everything(scene: Scene) -> None:
    """An advice is promised, a time is booked, another one held, and a request is out."""
    await scene.request(mode="written")
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    await scene.booked()
    await flow.held(scene)
    await scene.request()


@pytest.mark.parametrize(("row", "change"), CHANGES, ids=[change.__name__ for _, change in CHANGES])
async def test_ft_01_what_a_change_does_not_touch_stays_as_it_is(
    scene: Scene, row: str, change: Callable[[Scene], Awaitable[None]]
) -> None:
    await everything(scene)
    await scene.sweep()
    before = await depending(scene)
    assert all(before[column] for column in COLUMNS if column != "Who is told"), before
    await change(scene)
    await scene.sweep()
    await scene.sweep()
    after = await depending(scene)
    assert {column: after[column] for column in STAYS[row]} == {column: before[column] for column in STAYS[row]}


def test_ft_01_every_change_that_leaves_something_is_made() -> None:
    assert {row for row, _ in CHANGES} == STAYS.keys()
