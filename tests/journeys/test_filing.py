"""A clinician of several hospitals files for the one whose memorandum covers the case (FT-05)."""

from typing import Any

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
    return made


async def another_hospital(scene: flow.Scene, *, is_first: bool, **memorandum: Any) -> tables.Institution:  # noqa: ANN401 - columns
    """A second hospital of the clinician and the coordinator; with fields it has a memorandum too."""
    async with scene.world.database.work(actor.TIMER) as w:
        place = await build.institution(w, code="second", name="Друга", name_en="Second")
        await build.grant(w, scene.people["clinician"], "clinician", place)
        await build.grant(w, scene.people["coordinator"], "coordinator", place)
        if memorandum:
            await build.memorandum(w, place, scene.lille, **memorandum)
    if is_first:  # the grant that comes first in the rows had been taken, whatever its memoranda
        await scene.rows(
            "UPDATE role_grant SET id = CAST(:id AS uuid) WHERE institution_id = :place AND person_id = :person"
            " RETURNING 1",
            id="00000000-0000-7000-8000-000000000001",
            place=place.id,
            person=scene.people["clinician"].id,
        )
    return place


async def file(scene: flow.Scene, who: str = "clinician", **fields: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    return await scene.call(who, "POST", "/v1/consultations", scene.wish(**fields))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("who", ["clinician", "coordinator"])
@pytest.mark.parametrize(
    "other",
    [{}, {"areas": ["neurosurgery"]}, {"activities": ["visit"]}, {"valid_until": "2026-11-16"}, {"status": "signed"}],
)
async def test_ft_05_the_hospital_whose_memorandum_covers_the_case_is_taken(
    scene: flow.Scene, who: str, is_first: bool, other: dict[str, Any]
) -> None:
    if "valid_until" in other:
        other = {"valid_until": scene.clock.now().date()}
    await another_hospital(scene, is_first=is_first, **other)
    acting = {"clinician_id": str(scene.people["clinician"].id)} if who == "coordinator" else {}
    filed = await file(scene, who, **acting)
    assert filed.status_code == 201, filed.text
    assert (filed.json()["institution_id"], filed.json()["state"]) == (str(scene.asking.id), "offered")


@pytest.mark.parametrize("who", ["clinician", "coordinator"])
async def test_ft_05_when_two_cover_it_both_are_named_and_one_is_chosen(scene: flow.Scene, who: str) -> None:
    other = await another_hospital(scene, is_first=False, areas=["paediatrics"])
    acting = {"clinician_id": str(scene.people["clinician"].id)} if who == "coordinator" else {}
    refused = await file(scene, who, **acting)
    assert refused.status_code == 422, refused.text
    (fault,) = refused.json()["errors"]
    assert fault["pointer"] == "/institution_id"
    assert str(other.id) in fault["detail"]
    assert str(scene.asking.id) in fault["detail"]
    for place in (other, scene.asking):
        filed = await file(scene, who, institution_id=str(place.id), **acting)
        assert (filed.status_code, filed.json()["institution_id"]) == (201, str(place.id))


async def test_ft_05_when_none_covers_it_the_first_is_taken_and_the_reasons_are_shown(scene: flow.Scene) -> None:
    await another_hospital(scene, is_first=False, areas=["neurosurgery"])
    await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING 1")
    filed = await file(scene)
    assert (filed.status_code, filed.json()["state"]) == (201, "unmatched")
    shown = await scene.get("coordinator", f"/v1/consultations/{filed.json()['id']}/candidates")
    assert {reason for mentor in shown["excluded"] for reason in mentor["reasons"]} >= {"no_memorandum"}


async def test_ft_05_a_named_hospital_is_one_of_the_clinicians(scene: flow.Scene) -> None:
    for place in (scene.lille.id, scene.programme.id):
        refused = await file(scene, institution_id=str(place))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/institution_id")


async def test_ft_05_a_coordinator_files_for_their_own_hospital_only(scene: flow.Scene) -> None:
    other = await another_hospital(scene, is_first=False, areas=["paediatrics"])
    await scene.rows(
        "DELETE FROM role_grant WHERE person_id = :person AND institution_id = :place RETURNING 1",
        person=scene.people["coordinator"].id,
        place=other.id,
    )
    acting = {"clinician_id": str(scene.people["clinician"].id)}
    assert (await file(scene, "coordinator", **acting)).json()["institution_id"] == str(scene.asking.id)
    assert (await file(scene, "coordinator", institution_id=str(other.id), **acting)).status_code == 422
