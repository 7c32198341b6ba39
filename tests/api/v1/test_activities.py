"""What else a memorandum brings, over HTTP: logged by those who may, sealed in the chain, corrected by new entries."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.outbox import events
from service.registry import memorandum_log
from service.rules import chain

Json = dict[str, Any]
VISIT: Json = {
    "kind": "traineeship",
    "period": "2026-10",
    "days": 10,
    "people": {"op": ">", "count": 12},
    "specialties": ["paediatrics"],
    "note": "Observed two operations.",
    "source": "Ministry, 2026-11-11",
}


class Scene:
    """A memorandum between two hospitals, who works at them, and the ministry."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        self.world, self.client = world, client

    async def set_up(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            self.asking, self.partner = await build.institution(w), await build.partner(w)
            self.programme = await build.programme(w)
            self.memorandum = await build.memorandum(w, self.asking, self.partner)
            await build.specialty(w)
            self.people = {
                "coordinator": await build.coordinator(w, self.asking),
                "partner": await build.coordinator(w, self.partner),
                "mentor": await build.mentor(w, self.partner),
                "admin": await build.admin(w),
                "stranger": await build.coordinator(w, await build.institution(w)),
            }

    async def call(self, who: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = await build.bearer(self.world, self.people[who])
        return await self.client.request(method, path, headers=headers, json=body)

    @property
    def path(self) -> str:
        return f"/v1/memoranda/{self.memorandum.id}/activities"

    @property
    def of_programme(self) -> str:
        return f"/v1/programmes/{self.programme.id}/activities"

    async def logged(self, who: str = "coordinator", **fields: object) -> Json:
        answer = await self.call(who, "POST", self.path, VISIT | fields)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found


@pytest.fixture
async def scene(world: World, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, client)
    await made.set_up()
    return made


async def test_an_activity_is_read_by_the_other_side_as_it_was_given(scene: Scene) -> None:
    place = {"institution_id": str(scene.partner.id), "direction": "to"}
    made = await scene.logged(institutions=[place])
    (found,) = (await scene.call("partner", "GET", scene.path)).json()["items"]

    assert found == made
    assert {key: found[key] for key in VISIT} == VISIT
    assert (found["institutions"], found["is_corrected"], found["corrects"]) == ([place], False, None)
    assert (await scene.call("mentor", "GET", f"/v1/activities/{made['id']}")).json() == made


async def test_an_activity_is_an_entry_of_the_memorandums_chain_without_its_note(scene: Scene) -> None:
    made = await scene.logged()
    log = await scene.call("admin", "GET", f"/v1/memoranda/{scene.memorandum.id}/log")
    (entry,) = log.json()["items"]
    body = {key: value for key, value in entry.items() if key not in {"hash", "previous_hash"}}

    assert (entry["id"], entry["kind"], entry["facts"]["activity"]) == (made["id"], "activity", "traineeship")
    assert entry["hash"] == chain.entry_hash(chain.GENESIS, body)
    assert entry["facts"]["people"] == {"op": ">", "count": 12}
    assert "Observed" not in log.text
    assert "Ministry" not in log.text


async def test_a_note_is_sealed_at_rest(scene: Scene) -> None:
    await scene.logged()
    async with scene.world.database.work(actor.TIMER) as w:
        (stored,) = (await w.sql(sa.text("SELECT note FROM activity"))).scalars()
    assert b"Observed" not in stored


async def test_a_correction_is_a_new_entry_and_the_old_one_stays(scene: Scene) -> None:
    old = await scene.logged()
    answer = await scene.call("partner", "POST", f"/v1/activities/{old['id']}/corrections", VISIT | {"days": 9})
    new = answer.json()
    listed = (await scene.call("admin", "GET", scene.path)).json()["items"]
    log = (await scene.call("admin", "GET", f"/v1/memoranda/{scene.memorandum.id}/log")).json()["items"]
    kept = (await scene.call("admin", "GET", f"/v1/activities/{old['id']}")).json()

    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/activities/{new['id']}")
    assert (new["corrects"], new["days"], [each["id"] for each in listed]) == (old["id"], 9, [new["id"]])
    assert [entry["corrects"] for entry in log] == [None, old["id"]]
    assert (kept["is_corrected"], kept["days"]) == (True, 10)


async def test_an_activity_is_corrected_once(scene: Scene) -> None:
    path = f"/v1/activities/{(await scene.logged())['id']}/corrections"
    assert [(await scene.call("partner", "POST", path, VISIT)).status_code for _ in range(2)] == [201, 409]


async def test_the_chain_holds_over_activities_and_their_corrections(scene: Scene) -> None:
    first = await scene.logged()
    await scene.call("coordinator", "POST", f"/v1/activities/{first['id']}/corrections", VISIT | {"people": None})
    await scene.logged(kind="donation", period=None, days=None, people=None, specialties=[])
    async with scene.world.database.work(actor.TIMER) as w:
        assert await memorandum_log.verify(w, scene.memorandum.id) == chain.Verification(
            ok=True, entries=3, head=(await memorandum_log.anchors(w))[0].head.hash
        )


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE activity SET people_count = 700",
        "UPDATE activity SET kind = 'visit'",
        "UPDATE activity SET source = 'elsewhere'",
        "UPDATE activity SET is_corrected = true",
        "UPDATE activity_specialty SET specialty_code = 'medicine'",
        "DELETE FROM activity_specialty",
        "UPDATE activity_institution SET direction = 'from'",
    ],
)
async def test_an_activity_changed_by_hand_is_named(scene: Scene, edit: str) -> None:
    made = await scene.logged(institutions=[{"institution_id": str(scene.partner.id), "direction": "to"}])
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text(edit))
        found = await memorandum_log.verify(w, scene.memorandum.id)
    assert (found.ok, found.first_broken) == (False, made["id"])


async def test_an_activity_slipped_in_beside_the_chain_is_named(scene: Scene) -> None:
    await scene.logged()
    async with scene.world.database.work(actor.TIMER) as w:
        slipped = tables.Activity(
            id=scene.programme.id,
            programme_id=scene.programme.id,
            memorandum_id=scene.memorandum.id,
            kind="grant",
            created_at=w.now,
        )
        await build.add(w, slipped)
        found = await memorandum_log.verify(w, scene.memorandum.id)
    assert (found.ok, found.first_broken) == (False, str(slipped.id))


async def test_an_event_tells_both_sides_of_an_activity(scene: Scene) -> None:
    made = await scene.logged()
    async with scene.world.database.work(actor.TIMER) as w:
        (event,) = (await w.sql(sa.text("SELECT * FROM event WHERE type = 'activity.logged'"))).all()
    assert event.institution_ids == sorted([scene.asking.id, scene.partner.id])
    assert events.read(event.body)["data"]["links"] == {"self": f"/v1/activities/{made['id']}"}
    assert "note" not in event.body


async def test_what_names_somebody_is_refused_until_it_is_confirmed(scene: Scene) -> None:
    body = VISIT | {"note": "Ring +380 44 123 45 67"}
    refused = await scene.call("coordinator", "POST", scene.path, body)
    spans = [{key: span[key] for key in ("field", "start", "end")} for span in refused.json()["spans"]]

    assert (refused.status_code, spans[0]["field"]) == (422, "note")
    assert "44 123" not in refused.text
    assert (await scene.call("coordinator", "POST", scene.path, body | {"confirmed_spans": spans})).status_code == 201


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"on": "2026-11-01"}, "/on"),
        ({"from": "2026-10-01"}, "/period"),
        ({"period": None, "from": "2026-10-05", "until": "2026-10-05"}, "/until"),
        ({"period": None, "from": "2026-10-05", "until": "2026-10-10"}, "/days"),
        ({"period": "2026-12"}, "/period"),
        ({"period": None, "on": "2026-11-17"}, "/on"),
        ({"period": None, "from": "2026-11-17"}, "/from"),
        ({"specialties": ["paediatrics", "witchcraft"]}, "/specialties/1"),
        ({"institutions": [{"institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "direction": "to"}]},
         "/institutions/0/institution_id"),
        ({"period": "2026-Q5"}, "/period"),
        ({"people": {"op": "!", "count": 1}}, "/people/op"),
        ({"kind": "telepathy"}, "/kind"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_with_its_place(scene: Scene, fields: dict[str, Any], pointer: str) -> None:
    answer = await scene.call("coordinator", "POST", scene.path, VISIT | fields)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_institution_is_named_once(scene: Scene) -> None:
    twice = [{"institution_id": str(scene.partner.id), "direction": end} for end in ("from", "to")]
    answer = await scene.call("coordinator", "POST", scene.path, VISIT | {"institutions": twice})
    assert answer.json()["errors"][0]["pointer"] == "/institutions"


async def test_an_activity_without_a_memorandum_is_seen_by_those_who_took_part(scene: Scene) -> None:
    part = {"institutions": [{"institution_id": str(scene.partner.id), "direction": "to"}]}
    made = [(await scene.call("admin", "POST", scene.of_programme, VISIT | more)).json() for more in (part, {})]
    seen = {who: (await scene.call(who, "GET", scene.of_programme)).json()["items"] for who in scene.people}

    assert [each["id"] for each in seen["admin"]] == [each["id"] for each in made]
    assert [each["id"] for each in seen["partner"]] == [made[0]["id"]]
    assert seen["stranger"] == seen["coordinator"] == []
    assert (await scene.call("stranger", "GET", f"/v1/activities/{made[0]['id']}")).status_code == 404


async def test_an_activity_without_a_memorandum_is_corrected_by_an_admin(scene: Scene) -> None:
    part = {"institutions": [{"institution_id": str(scene.partner.id), "direction": "to"}]}
    made = (await scene.call("admin", "POST", scene.of_programme, VISIT | part)).json()
    path = f"/v1/activities/{made['id']}/corrections"
    assert (await scene.call("partner", "POST", path, VISIT)).status_code == 403
    assert (await scene.call("admin", "POST", path, VISIT)).json()["corrects"] == made["id"]


async def test_pages_of_activities_follow_one_another(scene: Scene) -> None:
    made = [(await scene.logged())["id"] for _ in range(3)]
    first = (await scene.call("admin", "GET", f"{scene.path}?limit=2")).json()
    second = (await scene.call("admin", "GET", f"{scene.path}?limit=2&after={first['next']}")).json()
    assert [each["id"] for page in (first, second) for each in page["items"]] == made
    assert second["next"] is None
