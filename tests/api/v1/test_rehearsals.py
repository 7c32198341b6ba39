"""An admin rehearses other numbers on what was really chosen, and saves them with the rehearsal as reason."""

# ruff: noqa: ANN401 - bodies and answers are JSON

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

import build
from flow import Scene, instant
from integrations.runtime import rehearsing
from integrations.runtime.world import World
from service import housekeeping
from service.kernel import actor, clock
from service.people import privacy
from service.reporting import rehearsals
from world import TestClock

MORE: dict[str, Any] = {"priorities": {"urgent": {"per_wave": 3}}}
BAND = {"mean": 77.5, "low": None, "high": None}
LIKELY = {
    "shape": "published", "days": 91, "requests": 400, "seeds": 4, "behaviours": ["clock"],
    "figures": [{"behaviour": "clock", "name": "in_time", "now": BAND, "new": BAND, "change": None}],
}  # fmt: skip


async def likely(_: Mapping[str, Any]) -> Any:
    """Answer as the lab does, at once."""
    return LIKELY


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up(("mentor", "rival", "third", "fourth"))
    return made


def path(scene: Scene) -> str:
    return f"/v1/programmes/{scene.programme.id}/rehearsals"


def wish(scene: Scene, policy: Any = MORE, **fields: Any) -> dict[str, Any]:
    now = scene.clock.now()
    return {"policy": policy, "from": instant(now - timedelta(days=30)), "until": instant(now)} | fields


async def submitted(scene: Scene, policy: Any = MORE) -> str:
    scene.clock.forward(minutes=1)
    sent = await scene.call("admin", "POST", path(scene), wish(scene, policy), status=202)
    assert (sent.json()["state"], sent.json()["exact"], sent.json()["estimated"]) == ("waiting", None, None)
    return sent.headers["location"]


async def work(scene: Scene, estimating: Callable[[Any], Awaitable[Any]] = likely) -> bool:
    return await rehearsing.once(scene.world, asyncio.Event(), estimating)


async def rehearsed(scene: Scene, policy: Any = MORE) -> Any:
    location = await submitted(scene, policy)
    assert await work(scene)
    return await scene.get("admin", location)


async def lease_ends(scene: Scene) -> None:
    await scene.rows("UPDATE rehearsal SET lease_until = clock_timestamp() - interval '1 second'")


async def test_al_07_the_policy_in_force_gives_every_choice_again(scene: Scene) -> None:
    for _ in range(3):
        await scene.request()
        scene.clock.forward(minutes=3)
    await scene.request(priority="routine")
    done = await rehearsed(scene, {})
    assert (done["state"], done["problem"], done["decisions"], done["decisions_done"]) == ("done", None, 4, 4)
    assert done["exact"] == {"decisions": 4, "same": 4, "no_longer_exact": 0, "differing": 0, "examples": []}
    assert (done["one_step"]["others_asked"], done["one_step"]["first_pick_changed"]) == (0, 0)
    assert done["one_step"]["asked_before"] == done["one_step"]["asked_after"] == 7
    assert done["estimated"] == LIKELY


async def test_al_07_other_numbers_say_whom_they_would_have_asked(scene: Scene) -> None:
    await scene.request()
    done = await rehearsed(scene)
    (example,) = done["one_step"]["examples"]
    assert (example["asked_before"], example["asked_after"], example["both"]) == (2, 3, 2)
    assert (done["one_step"]["others_asked"], done["one_step"]["first_pick_changed"]) == (1, 0)
    assert done["exact"]["same"] == 1  # whatever the other numbers are
    text = json.dumps(done | {"by": None})
    assert not any(str(person.id) in text for person in scene.people.values())


async def test_al_07_one_changed_row_of_history_is_named(scene: Scene) -> None:
    for _ in range(3):
        await scene.request()
        scene.clock.forward(minutes=3)
    (row, *_) = await scene.rows("SELECT id FROM decision ORDER BY at")
    await scene.rows("UPDATE decision SET at = at + interval '1 second' WHERE id = :id", id=row.id)
    exact = (await rehearsed(scene))["exact"]
    assert (exact["same"], exact["differing"]) == (2, 1)
    (named,) = exact["examples"]
    assert (named["decision_id"], named["differs_in"]) == (str(row.id), ["record"])


async def test_al_07_what_can_no_longer_be_made_again_is_counted_apart(scene: Scene) -> None:
    await scene.request()
    await scene.rows("DELETE FROM mentor_fact")
    done = await rehearsed(scene)
    assert done["exact"] == {"decisions": 1, "same": 0, "no_longer_exact": 1, "differing": 0, "examples": []}
    assert done["one_step"]["decisions"] == 0


async def test_al_07_what_cannot_be_rehearsed_is_refused(scene: Scene) -> None:
    await scene.request()
    scene.clock.forward(minutes=1)
    for policy in ({"unknown": 1}, {"hold_minutes": "long"}, {"priorities": {"urgent": {"weights": {"luck": 1}}}}):
        answer = await scene.call("admin", "POST", path(scene), wish(scene, policy), status=422)
        assert answer.json()["errors"][0]["pointer"] == "/policy"
    tomorrow, later = (instant(scene.clock.now() + timedelta(days=days)) for days in (1, 2))
    for fields, pointer in (({"until": wish(scene)["from"]}, "/until"), ({"from": tomorrow, "until": later}, "/from")):
        answer = await scene.call("admin", "POST", path(scene), wish(scene, **fields), status=422)
        assert answer.json()["errors"][0]["pointer"] == pointer
    await scene.rows("UPDATE rulebook SET rules_version = 'another'")
    answer = (await scene.call("admin", "POST", path(scene), wish(scene), status=409)).json()
    assert answer["type"] == "/problems/not-comparable"
    (row,) = await scene.rows("SELECT at FROM decision")
    assert answer["comparable_from"] == instant(row.at + timedelta(seconds=1))
    since = wish(scene, **{"from": answer["comparable_from"]})
    assert (await scene.call("admin", "POST", path(scene), since, status=202)).json()["decisions"] == 0


async def test_al_07_more_choices_than_can_be_rehearsed_are_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsals, "MOST_DECISIONS", 1)
    await scene.request()
    await scene.request()
    scene.clock.forward(minutes=1)
    answer = (await scene.call("admin", "POST", path(scene), wish(scene), status=413)).json()
    assert (answer["type"], answer["decisions"], answer["most"]) == ("/problems/too-many-decisions", 2, 1)


async def test_al_07_a_time_ahead_ends_now(scene: Scene) -> None:
    ahead = wish(scene, until=instant(scene.clock.now() + timedelta(days=9)))
    sent = await scene.call("admin", "POST", path(scene), ahead, status=202)
    assert sent.json()["until"] == instant(scene.clock.now())


async def test_al_07_one_of_a_programme_goes_on_at_once(scene: Scene) -> None:
    location = await submitted(scene)
    answer = (await scene.call("admin", "POST", path(scene), wish(scene), status=409)).json()
    assert (answer["type"], answer["existing_id"]) == ("/problems/exists", location.rpartition("/")[2])
    assert await work(scene)
    await scene.call("admin", "POST", path(scene), wish(scene), status=202)


@pytest.mark.races
async def test_al_07_of_two_at_once_one_is_taken(scene: Scene) -> None:
    answers = await asyncio.gather(*(scene.call("admin", "POST", path(scene), wish(scene)) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]


async def test_al_07_a_repeated_call_is_one_rehearsal(scene: Scene) -> None:
    key = {"Idempotency-Key": "rehearse-1"}
    one = await scene.call("admin", "POST", path(scene), wish(scene), status=202, headers=key)
    other = await scene.call("admin", "POST", path(scene), wish(scene), status=202, headers=key)
    assert one.json() == other.json()
    assert other.headers["idempotency-replayed"] == "true"


async def test_al_07_a_list_has_those_of_the_programme_without_what_they_came_to(scene: Scene) -> None:
    first = await rehearsed(scene, {})
    second = await rehearsed(scene)
    listed = await scene.get("admin", f"{path(scene)}?limit=1")
    following = await scene.get("admin", f"{path(scene)}?limit=1&after={listed['next']}")
    assert [each["id"] for each in listed["items"] + following["items"]] == [first["id"], second["id"]]
    assert following["next"] is None
    assert listed["items"][0].keys() == first.keys() - {"exact", "one_step", "estimated"}


async def test_al_07_a_rehearsal_of_another_programme_is_not_there(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        elsewhere = await build.programme(w, code="elsewhere")
        theirs = await build.rehearsal(w, elsewhere)
        await build.grant(w, scene.people["admin"], "programme_admin", elsewhere)
    await scene.call("admin", "GET", f"/v1/programmes/{elsewhere.id}/rehearsals/{theirs.id}", status=200)
    await scene.call("admin", "GET", f"{path(scene)}/{theirs.id}", status=404)
    assert (await scene.get("admin", path(scene)))["items"] == []
    body = {"policy": {}, "rehearsal_id": str(theirs.id)}
    await _refused(scene, body)


async def _refused(scene: Scene, body: Any) -> str:
    programme = f"/v1/programmes/{scene.programme.id}"
    answer = await scene.call("admin", "PATCH", programme, body, status=422, headers={"If-Match": "*"})
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "/rehearsal_id"
    return str(fault["detail"])


async def test_al_07_a_policy_is_saved_with_the_rehearsal_as_its_reason(scene: Scene) -> None:
    await scene.request()
    location = await submitted(scene)
    body = {"policy": MORE, "rehearsal_id": location.rpartition("/")[2]}
    assert await _refused(scene, body) == "this rehearsal is not done"
    assert await work(scene)
    assert await _refused(scene, body | {"rehearsal_id": str(clock.new_id())}) == "no such rehearsal"
    assert await _refused(scene, body | {"policy": {"hold_minutes": 20}}) == "this rehearsal is of another policy"
    assert await scene.rows("SELECT 1 FROM policy_version") == []
    same = {"priorities": {"urgent": {"per_wave": 3, "wave_minutes": 240}}}  # which it is without being said
    programme = f"/v1/programmes/{scene.programme.id}"
    await scene.call("admin", "PATCH", programme, body | {"policy": same}, status=200, headers={"If-Match": "*"})
    rows = await scene.rows("SELECT CAST(rehearsal_id AS text) AS id FROM policy_version ORDER BY valid_from, id")
    assert rows[-1].id == body["rehearsal_id"]
    (event,) = await scene.rows("SELECT body FROM event WHERE type = 'policy.changed'")
    assert json.loads(event.body)["data"]["rehearsal_id"] == body["rehearsal_id"]


async def test_al_07_one_that_we_fail_at_is_told_as_such_and_stops_no_other(scene: Scene) -> None:
    location = await submitted(scene)
    await scene.rows("UPDATE rehearsal SET policy = '{\"unknown\": 1}'")
    assert await work(scene)
    failed = await scene.get("admin", location)
    assert (failed["state"], failed["problem"], failed["exact"]) == ("failed", "our_failure", None)
    assert not await work(scene)
    assert (await rehearsed(scene))["state"] == "done"


async def test_al_07_without_an_estimate_it_is_done_and_says_so(scene: Scene) -> None:
    async def silent(_: object) -> Any:
        raise rehearsing.NotEstimated("it took too long")

    location = await submitted(scene)
    assert await work(scene, silent)
    done = await scene.get("admin", location)
    assert (done["state"], done["problem"], done["estimated"]) == ("done", "not_estimated", None)
    assert done["exact"]["decisions"] == 0


async def test_al_07_one_whose_worker_was_killed_is_taken_up_again(scene: Scene) -> None:
    await scene.request()
    location = await submitted(scene)
    async with scene.world.database.apart() as w:
        killed = await rehearsals.claim(w)
    assert killed is not None
    assert (await scene.get("admin", location))["state"] == "running"
    assert not await work(scene)  # while the lease lasts
    await lease_ends(scene)
    assert await work(scene)
    assert (await scene.get("admin", location))["exact"]["same"] == 1
    async with scene.world.database.work(actor.TIMER) as w:
        with pytest.raises(rehearsals.Lost):  # it was not dead, only slow
            await rehearsals.settle(w, killed, {}, None)


async def test_al_07_a_worker_that_lost_its_lease_leaves_the_rehearsal_to_the_other(scene: Scene) -> None:
    location = await submitted(scene)

    async def overtaken(_: object) -> Any:
        await lease_ends(scene)
        assert await work(scene)
        return LIKELY | {"seeds": 99}

    assert await work(scene, overtaken)
    assert (await scene.get("admin", location))["estimated"]["seeds"] == LIKELY["seeds"]


async def test_al_07_one_that_kills_every_worker_ends(scene: Scene) -> None:
    location = await submitted(scene)
    for _ in range(rehearsals.MOST_ATTEMPTS):
        async with scene.world.database.apart() as w:
            assert await rehearsals.claim(w)
        await lease_ends(scene)
    assert await work(scene)
    failed = await scene.get("admin", location)
    assert (failed["state"], failed["problem"]) == ("failed", "worker_lost")
    assert not await work(scene)


async def test_al_07_a_worker_that_stops_leaves_it_as_it_was(scene: Scene) -> None:
    location = await submitted(scene)
    stop = asyncio.Event()
    ended = []

    async def endless(_: object) -> Any:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    assert await rehearsing.once(scene.world, stop, endless)
    assert ended == [True]
    left = await scene.get("admin", location)
    assert (left["state"], left["decisions_done"]) == ("waiting", 0)
    assert await work(scene)
    assert (await scene.rows("SELECT attempts FROM rehearsal"))[0].attempts == 1


async def test_al_07_a_worker_with_other_rules_leaves_it_to_others_and_the_last_one_says_so(scene: Scene) -> None:
    await scene.request()
    location = await submitted(scene)
    await scene.rows("UPDATE rulebook SET rules_version = 'another'")
    for _ in range(rehearsals.MOST_ATTEMPTS - 1):
        assert await work(scene)
        assert (await scene.get("admin", location))["state"] == "waiting"
        assert not await work(scene)
        await lease_ends(scene)
    assert await work(scene)
    failed = await scene.get("admin", location)
    assert (failed["state"], failed["problem"]) == ("failed", "other_rules")


async def test_al_07_it_is_kept_as_long_as_choices_and_for_ever_as_the_reason_of_a_policy(scene: Scene) -> None:
    kept = housekeeping.Kept(audit_days=1826)
    reason, other = await rehearsed(scene), await rehearsed(scene, {})
    programme = f"/v1/programmes/{scene.programme.id}"
    body = {"policy": MORE, "rehearsal_id": reason["id"]}
    await scene.call("admin", "PATCH", programme, body, status=200, headers={"If-Match": "*"})
    scene.clock.forward(days=399)
    await housekeeping.run(scene.world.database, kept)
    assert {str(row.id) for row in await scene.rows("SELECT id FROM rehearsal")} == {reason["id"], other["id"]}
    scene.clock.forward(days=2)
    await housekeeping.run(scene.world.database, kept)
    assert [str(row.id) for row in await scene.rows("SELECT id FROM rehearsal")] == [reason["id"]]


async def test_al_07_who_asked_for_it_is_told_so_of_themselves(scene: Scene) -> None:
    location = await submitted(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        (told,) = (await privacy.dossier(w, scene.people["admin"].email))["rehearsals"]
    assert str(told["id"]) == location.rpartition("/")[2]


async def test_al_07_the_lab_is_asked_in_a_process_of_its_own() -> None:
    question = {
        "now": {}, "new": MORE, "shape": "published", "seeds": 2, "behaviours": ["clock"], "days": 7, "requests": 20,
    }  # fmt: skip
    told = await rehearsing.ask_lab(question)
    assert (told["shape"], told["seeds"], told["behaviours"]) == ("published", 2, ["clock"])
    assert {each["name"] for each in told["figures"]} == {
        "in_time", "answered_h", "offers", "gini", "active", "unmatched",
    }  # fmt: skip
    with pytest.raises(rehearsing.NotEstimated, match="Unknown"):
        await rehearsing.ask_lab(question | {"behaviours": ["no such"]})
