"""Endpoints of partners over HTTP: whose they are, what they see, what may be their address."""

from datetime import date
from typing import Any

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from receiver import happen, log, tell
from service import housekeeping, tables
from service.kernel import actor, clock
from service.outbox import subscriptions
from world import TestClock

PATH = "/v1/webhook-endpoints"
URL = "https://hospital.example/in"
Json = Any


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def register(scene: flow.Scene, who: str = "coordinator", status: int = 201, **fields: Any) -> Json:  # noqa: ANN401 - JSON
    return await scene.post(who, PATH, {"url": URL} | fields, status)


async def change(scene: flow.Scene, made: Json, **fields: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    path = f"{PATH}/{made['id']}"
    shown = await scene.call("coordinator", "GET", path)
    return await scene.call("coordinator", "PATCH", path, fields, headers={"If-Match": shown.headers["etag"]})


async def told(scene: flow.Scene, made: Json) -> list[str]:
    """Name the types of what is on its way to the endpoint."""
    rows = await scene.rows(
        "SELECT e.type FROM delivery d JOIN event e ON e.id = d.event_id WHERE d.endpoint_id = :id ORDER BY e.id",
        id=made["id"],
    )
    return [row.type for row in rows]


@pytest.mark.parametrize(
    "url",
    [
        "http://hospital.example/in",
        "https://hospital.example:8443/in",
        "https://user:secret@hospital.example/in",
        "https://127.0.0.1/in",
        "https://[::1]/in",
        "https://10.1.2.3/in",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://hospital.example\\@127.0.0.1/",
        "https://",
        "ftp://hospital.example/",
        "https://hospital.example/ in",
        "https://hospital.example:99999/",
        "https://[::1/in",
        "https://xn--/",
        "https://xn--a.example.com/",
        "https://xn--zz-.example.com/x",
    ],
)
async def test_wh_17_an_address_that_is_not_https_on_443_outside_is_refused(scene: flow.Scene, url: str) -> None:
    refused = await register(scene, url=url, status=422)
    assert [fault["pointer"] for fault in refused["errors"]] == ["/url"]
    made = await register(scene)
    assert (await change(scene, made, url=url)).status_code == 422


async def test_wh_15_an_endpoint_sees_what_concerns_its_own_hospital_and_no_other(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        stranger = await build.institution(w)
        scene.people["stranger"] = await build.coordinator(w, stranger)
        own = await build.memorandum(w, stranger, scene.lille, programme_id=scene.programme.id)
    asking, answering, third = [await register(scene, who) for who in ("coordinator", "partner", "stranger")]
    await scene.booked()
    assert await told(scene, third) == []
    assert "appointment.booked" in await told(scene, asking)
    assert set(await told(scene, asking)) - set(await told(scene, answering)) == {"consultation.opened"}
    for path in (f"/v1/events?memorandum={own.id}", f"/v1/events?memorandum={scene.memorandum.id}"):
        assert (await scene.get("stranger", path))["items"] == []


async def test_wh_15_a_party_goes_on_being_told_after_the_memorandum_has_ended(scene: flow.Scene) -> None:
    made = await register(scene, "partner")
    path = f"/v1/memoranda/{scene.memorandum.id}/transitions"
    await scene.post("admin", path, {"to": "terminated", "on": "2026-11-16", "reason": "done"})
    async with scene.world.database.work(actor.TIMER) as w:
        tell(w, scene)
    assert await told(scene, made) == ["memorandum.expired", "session.logged"]


async def test_wh_15_the_members_of_a_network_are_told_of_its_memorandum(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        network = await build.partner(w)
        memorandum = await build.memorandum(w, scene.asking, network, programme_id=scene.programme.id)
        row_id, from_on = clock.new_id(), date(2026, 1, 1)
        joined = tables.Membership(id=row_id, institution_id=scene.lille.id, network_id=network.id, from_on=from_on)
        await build.add(w, joined)
    made = await register(scene, "partner")
    path = f"/v1/memoranda/{memorandum.id}/transitions"
    await scene.post("admin", path, {"to": "suspended", "on": "2026-11-16", "reason": "pause"})
    assert await told(scene, made) == ["memorandum.suspended"]


async def test_wh_15_types_and_memoranda_narrow_what_is_sent(scene: flow.Scene) -> None:
    by_type = await register(scene, types=["offer.sent", "consultation.opened"])
    by_memorandum = await register(scene, memoranda=[str(scene.memorandum.id)])
    by_both = await register(scene, memoranda=[str(scene.memorandum.id)], types=["consultation.opened"])
    await scene.request()
    assert set(await told(scene, by_type)) == {"consultation.opened", "offer.sent"}
    assert set(await told(scene, by_memorandum)) == {"offer.sent", "consultation.offered"}
    assert await told(scene, by_both) == []


async def test_a_type_that_is_none_and_a_memorandum_that_is_not_theirs_are_refused(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.memorandum(w, await build.institution(w), scene.lille, programme_id=scene.programme.id)
    refused = await register(scene, types=["offer.sent", "offer.eaten"], status=422)
    assert refused["errors"][0]["pointer"] == "/types/1"
    await register(scene, memoranda=[str(other.id)], status=404)


async def test_a_paused_endpoint_is_sent_nothing_and_recovers_what_happened_meanwhile(scene: flow.Scene) -> None:
    made = await register(scene)
    since = flow.instant(scene.clock.now())
    paused = await change(scene, made, state="paused")
    assert (paused.json()["state"], paused.json()["why"]) == ("paused", "by_hand")
    await scene.request()
    assert await told(scene, made) == []
    for path in ("test", "recover"):
        body = {"since": since} if path == "recover" else None
        await scene.post("coordinator", f"{PATH}/{made['id']}/{path}", body, 409)
    active = await change(scene, made, state="active")
    assert (active.json()["state"], active.json()["why"]) == ("active", None)
    await scene.post("coordinator", f"{PATH}/{made['id']}/recover", {"since": since}, 202)
    assert len(await told(scene, made)) == 4


async def test_what_waited_for_a_paused_endpoint_for_a_fortnight_is_let_go(scene: flow.Scene) -> None:
    made = await register(scene)
    await happen(scene)
    await change(scene, made, state="paused")
    states = []
    for days in (13, 2):
        scene.clock.forward(days=days)
        await housekeeping.run(scene.world.database, housekeeping.Kept(365))
        states += [delivery["state"] for delivery in await log(scene, made)]
    assert states == ["pending", "dropped"]


async def test_an_endpoint_that_is_deleted_is_gone_with_what_waited_for_it(scene: flow.Scene) -> None:
    made = await register(scene)
    await scene.request()
    await scene.call("coordinator", "DELETE", f"{PATH}/{made['id']}", status=204)
    await scene.request()
    assert (await scene.get("coordinator", PATH))["items"] == []
    assert (await scene.call("coordinator", "GET", f"{PATH}/{made['id']}")).status_code == 404
    states = {row.state for row in await scene.rows("SELECT state FROM delivery WHERE kind = 'webhook'")}
    assert states == {"dropped"}
    assert await scene.rows("SELECT 1 FROM webhook_secret") == []


async def test_a_change_needs_the_version_that_was_read(scene: flow.Scene) -> None:
    made = await register(scene)
    path = f"{PATH}/{made['id']}"
    await scene.call("coordinator", "PATCH", path, {"state": "paused"}, status=428)
    await scene.call("coordinator", "PATCH", path, {"state": "paused"}, headers={"If-Match": '"7"'}, status=412)


async def test_an_institution_has_at_most_twenty_endpoints(scene: flow.Scene) -> None:
    for _ in range(subscriptions.MOST_ENDPOINTS):
        made = await register(scene)
    await register(scene, status=409)
    await scene.call("coordinator", "DELETE", f"{PATH}/{made['id']}", status=204)
    await register(scene)


async def test_who_keeps_two_institutions_names_the_one(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await build.grant(w, scene.people["coordinator"], "coordinator", scene.lille)
        elsewhere = await build.institution(w)
    refused = await register(scene, status=422)
    assert refused["errors"][0]["pointer"] == "/institution_id"
    made = await register(scene, institution_id=str(scene.lille.id))
    assert made["institution_id"] == str(scene.lille.id)
    await register(scene, institution_id=str(elsewhere.id), status=403)


async def test_the_log_of_deliveries_comes_a_page_at_a_time_newest_first(scene: flow.Scene) -> None:
    made = await register(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        ids = [tell(w, scene) for _ in range(5)]
    path = f"{PATH}/{made['id']}/deliveries?limit=2"
    page = await scene.get("coordinator", path)
    found = [item["webhook_id"] for item in page["items"]]
    while page["next"]:
        page = await scene.get("coordinator", f"{path}&after={page['next']}")
        found += [item["webhook_id"] for item in page["items"]]
    assert sorted(found) == sorted(ids)
    assert (await scene.get("coordinator", f"{path}&state=dead"))["items"] == []


async def test_the_endpoints_that_a_revoked_system_made_are_paused_and_those_of_people_go_on(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        system = await build.system(w, scene.asking)
        other = await build.system(w, scene.asking)
    ids = {}
    for row in (system, other):
        answer = await scene.client.post(PATH, json={"url": URL}, headers=await build.bearer(scene.world, row))
        assert (answer.status_code, answer.json()["created_by"]) == (201, str(row.id))
        ids[row.id] = answer.json()["id"]
    ids[scene.people["coordinator"].id] = (await register(scene))["id"]
    await scene.call("coordinator", "DELETE", f"/v1/clients/{system.id}", status=204)
    seen = {each["id"]: each for each in (await scene.get("coordinator", PATH))["items"]}
    paused = seen.pop(ids[system.id])
    assert (paused["state"], paused["why"], paused["created_by"]) == ("paused", "by_hand", str(system.id))
    assert {each["state"] for each in seen.values()} == {"active"}
    rows = await scene.rows("SELECT person_id FROM audit WHERE action = 'paused' AND subject = 'webhook_endpoint'")
    assert [row.person_id for row in rows] == [scene.people["coordinator"].id]
    await scene.request()
    assert await told(scene, paused) == []


async def test_of_many_attempts_at_a_delivery_the_newest_fifty_are_shown(scene: flow.Scene) -> None:
    made = await register(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        for _ in range(2):
            tell(w, scene)
    ids = [row.id for row in await scene.rows("SELECT id FROM delivery WHERE kind = 'webhook'")]
    async with scene.world.database.work(actor.TIMER) as w:
        for number in range(1, 61):
            tried = tables.DeliveryAttempt(
                delivery_id=ids[0], attempt=number, at=w.now, duration_ms=1, outcome="failed", error="timeout"
            )
            await build.add(w, tried)
    shown = {
        each["id"]: each["attempts"]
        for each in (await scene.get("coordinator", f"{PATH}/{made['id']}/deliveries"))["items"]
    }
    assert [each["attempt"] for each in shown[str(ids[0])]] == list(range(11, 61))
    assert shown[str(ids[1])] == []
