"""What I have chosen for myself, and what waits for me, over the API."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from flow import Scene
from integrations.runtime.world import World
from world import TestClock

PREFERENCES, WORKLIST = "/v1/me/preferences", "/v1/me/worklist"


@pytest.fixture
async def scene(world: World, client: httpx.AsyncClient, test_clock: TestClock) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


async def choose(scene: Scene, who: str, body: Any, status: int = 200) -> Any:  # noqa: ANN401 - JSON
    answer = await scene.call(who, "PATCH", PREFERENCES, body, status=status, headers={"If-Match": "*"})
    return answer.json()


async def test_nothing_is_chosen_for_anybody(scene: Scene) -> None:
    for who in scene.people:
        assert await scene.get(who, PREFERENCES) == {
            "notices": [], "digest_hour": 7, "phone": None, "shows_phone": False,
        }  # fmt: skip


async def test_what_is_chosen_stands_and_is_ones_own(scene: Scene) -> None:
    wish = {"notices": ["digest.mail"], "digest_hour": 0, "phone": "+380 (44) 123-45-67", "shows_phone": True}
    stored = wish | {"phone": "+380441234567"}
    assert await choose(scene, "mentor", wish) == stored
    assert await scene.get("mentor", PREFERENCES) == stored
    assert (await scene.get("rival", PREFERENCES))["phone"] is None
    assert "phone" not in await scene.get("admin", f"/v1/people/{scene.people['mentor'].id}")
    assert await choose(scene, "mentor", {"digest_hour": 23}) == stored | {"digest_hour": 23}
    assert await choose(scene, "mentor", {"phone": None}) == stored | {
        "digest_hour": 23, "phone": None, "shows_phone": False,
    }  # fmt: skip
    assert await choose(scene, "mentor", {"notices": []}) == {
        "notices": [], "digest_hour": 7, "phone": None, "shows_phone": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"notices": ["digest.sms"]}, "/notices/0"),
        ({"notices": None}, "/notices"),
        ({"notices": ["digest.mail"] * 21}, "/notices"),
        ({"digest_hour": 24}, "/digest_hour"),
        ({"digest_hour": -1}, "/digest_hour"),
        ({"digest_hour": "7"}, "/digest_hour"),
        ({"phone": "044 123 45 67"}, "/phone"),
        ({"phone": "+0441234567"}, "/phone"),
        ({"phone": "+38044123456789012"}, "/phone"),
        ({"phone": "+380 CALL ME NOW"}, "/phone"),
        ({"phone": "+\u0663\u0668\u0660\u0664\u0664\u0661\u0662\u0663\u0664"}, "/phone"),
        ({"phone": "+380441234567\n"}, None),
        ({"shows_phone": True}, "/shows_phone"),
        ({"mail": True}, "/mail"),
    ],
)
async def test_a_choice_is_read_strictly(scene: Scene, body: Any, pointer: str | None) -> None:  # noqa: ANN401 - JSON
    answer = await choose(scene, "mentor", body, 422 if pointer else 200)
    assert pointer is None or answer["errors"][0]["pointer"] == pointer


async def test_a_choice_needs_the_version_that_was_read(scene: Scene) -> None:
    tag = (await scene.call("mentor", "GET", PREFERENCES)).headers["etag"]
    await scene.call("mentor", "PATCH", PREFERENCES, {"digest_hour": 6}, status=428)
    await scene.call("mentor", "PATCH", PREFERENCES, {"digest_hour": 6}, status=200, headers={"If-Match": tag})
    await scene.call("mentor", "PATCH", PREFERENCES, {"digest_hour": 5}, status=412, headers={"If-Match": tag})


async def test_the_worklist_says_what_waits_with_whom_until_when_and_where(scene: Scene) -> None:
    case = await scene.request(mode="written")
    offer = await scene.offer()
    clinician, mentor = (str(scene.people[name].id) for name in ("clinician", "mentor"))
    (entry,) = (await scene.get("mentor", WORKLIST))["items"]
    assert entry == {
        "kind": "offer",
        "subject": "offer",
        "subject_id": offer["id"],
        "consultation_id": case,
        "consultation_number": (await scene.get("mentor", f"/v1/consultations/{case}"))["number"],
        "due_at": offer["answer_by"],
        "whose_turn": mentor,
        "with": clinician,
        "starts_at": None,
        "starts": [],
        "specialty": "paediatrics",
        "priority": "urgent",
        "page": f"/offers/{offer['id']}",
    }
    of_partner = {each["subject_id"]: each for each in (await scene.get("partner", WORKLIST))["items"]}
    assert of_partner[offer["id"]] == entry | {"with": None}  # who answers in the mentor's place sees no case
    assert (await scene.get("clinician", WORKLIST)) == {"items": [], "next": None}


async def test_the_worklist_has_the_times_that_can_still_be_taken(scene: Scene) -> None:
    await scene.request()
    offer = await scene.offer()
    assert offer["starts"]
    (entry,) = (await scene.get("mentor", WORKLIST))["items"]
    assert entry["starts"] == offer["starts"]
    later = [(flow.read_instant(start) + timedelta(days=1)).isoformat() for start in offer["starts"][:2]]
    await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": later})
    (entry,) = (await scene.get("clinician", WORKLIST))["items"]
    assert (entry["kind"], len(entry["starts"])) == ("counter", len(later))


async def test_the_worklist_comes_in_pages_and_is_tagged_by_what_it_says(scene: Scene) -> None:
    for _ in range(3):
        await scene.request(mode="written")
        scene.clock.forward(minutes=1)
    whole = (await scene.get("partner", WORKLIST))["items"]
    assert len(whole) > 2
    first = await scene.call("partner", "GET", f"{WORKLIST}?limit=2", status=200)
    found, following = first.json()["items"], first.json()["next"]
    while following:
        page = await scene.get("partner", f"{WORKLIST}?limit=2&after={following}")
        found, following = [*found, *page["items"]], page["next"]
    assert found == whole
    assert [entry["due_at"] for entry in found] == sorted(entry["due_at"] for entry in found)
    headers = {"If-None-Match": first.headers["etag"]}
    assert (await scene.call("partner", "GET", f"{WORKLIST}?limit=2", headers=headers)).status_code == 304
    for wrong in ("x", "WzFd", "WyIyMDI2LTExLTE2VDA4OjAwOjAwWiIsIiIsIngiXQ"):
        await scene.call("mentor", "GET", f"{WORKLIST}?after={wrong}", status=422)


async def test_a_request_for_which_nobody_is_found_waits_for_its_clinician_and_the_coordinator(scene: Scene) -> None:
    case = await scene.request(languages=["fr"])
    for who in ("clinician", "coordinator"):
        (entry,) = (await scene.get(who, WORKLIST))["items"]
        assert (entry["kind"], entry["subject_id"]) == ("unmatched", case)
        assert entry["whose_turn"] == str(scene.people["clinician"].id)
    assert (await scene.get("colleague", WORKLIST))["items"] == []


async def test_a_call_is_listed_a_day_before_it_and_until_it_is_logged(scene: Scene) -> None:
    call = await scene.booked()
    starts_at = flow.read_instant(call["starts_at"])
    scene.clock.set(starts_at - timedelta(hours=24, seconds=1))
    kinds = []
    for at in (timedelta(hours=-24, seconds=-1), timedelta(hours=-24), timedelta(), timedelta(minutes=30)):
        scene.clock.set(starts_at + at)
        kinds.append([entry["kind"] for entry in (await scene.get("mentor", WORKLIST))["items"]])
    assert kinds == [[], ["join"], ["join"], ["log"]]
