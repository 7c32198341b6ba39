"""What a hospital's system does by itself, from its token to the report, and what stays closed to it."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import build
import flow
import world as simulated
from api.edge import openapi, scopes
from flow import Scene
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor, clock, errors
from service.people import logins

Json = dict[str, Any]
pytestmark = pytest.mark.races


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


class System:
    """The partner hospital's system, by tokens that are always fresh."""

    def __init__(self, scene: Scene, row: tables.Client) -> None:
        self.scene, self.row = scene, row

    async def call(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        bearer = await build.bearer(self.scene.world, self.row)
        return await self.scene.client.request(method, path, json=body, headers=bearer | headers)


@pytest.fixture
async def system(scene: Scene) -> System:
    async with scene.world.database.work(actor.TIMER) as w:
        return System(scene, await build.system(w, scene.lille))


async def audited(scene: Scene) -> set[tuple[str, str]]:
    rows = await scene.rows("SELECT DISTINCT action, subject FROM audit WHERE actor_kind = 'system'")
    return {(row.action, row.subject) for row in rows}


async def test_a_system_accepts_for_its_mentor_logs_the_session_and_reads_the_report(
    scene: Scene, system: System
) -> None:
    await scene.request()
    offer = await scene.offer()
    assert "question" not in (await system.call("GET", f"/v1/offers/{offer['id']}")).json()
    key = {"Idempotency-Key": "accepting"}
    path, body = f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]}
    booked = await system.call("POST", path, body, **key)
    assert booked.status_code == 200, booked.text
    assert (await system.call("POST", path, body, **key)).headers["idempotency-replayed"] == "true"
    start = flow.read_instant(booked.json()["starts_at"])
    scene.clock.set(start + timedelta(hours=1))
    happened = {
        "started_at": flow.instant(start),
        "ended_at": flow.instant(start + timedelta(minutes=20)),
        "outcome": "advice_given",
    }
    logged = await system.call("POST", f"/v1/appointments/{booked.json()['id']}/session", happened)
    assert logged.status_code == 201, logged.text
    corrected = await system.call("POST", f"/v1/sessions/{logged.json()['id']}/corrections", happened)
    assert corrected.status_code == 201, corrected.text
    for what in ("log", "log/verification", "report"):
        answer = await system.call("GET", f"/v1/memoranda/{scene.memorandum.id}/{what}")
        assert answer.status_code == 200, answer.text
    rows = await scene.rows("SELECT DISTINCT logged_by FROM log_entry")
    assert [row.logged_by for row in rows] == [system.row.id]


@pytest.fixture
async def asking_system(scene: Scene) -> System:
    async with scene.world.database.work(actor.TIMER) as w:
        return System(scene, await build.system(w, scene.asking))


async def test_the_asking_hospitals_system_logs_and_corrects_the_session(scene: Scene, asking_system: System) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    happened = flow.happened(booked)
    logged = await asking_system.call("POST", f"/v1/appointments/{booked['id']}/session", happened)
    assert logged.status_code == 201, logged.text
    corrected = await asking_system.call("POST", f"/v1/sessions/{logged.json()['id']}/corrections", happened)
    assert corrected.status_code == 201, corrected.text
    rows = await scene.rows("SELECT logged_by FROM log_entry")
    assert [row.logged_by for row in rows] == [asking_system.row.id] * 2


ACTS: dict[str, tuple[Json, str]] = {
    "cancel": ({"reason": "power"}, "cancelled"),
    "no-show": ({"who": "mentor"}, "noshow"),
    "reschedule": ({}, "booked"),
}


@pytest.mark.parametrize("verb", ACTS)
async def test_the_asking_hospitals_system_acts_for_its_side_and_the_audit_says_which_it_was(
    scene: Scene, asking_system: System, verb: str
) -> None:
    booked = await scene.booked()
    body, status = ACTS[verb]
    if verb == "reschedule":
        body = {"starts_at": await scene.later_start(booked)}
    if verb == "no-show":
        scene.clock.set(flow.read_instant(booked["ends_at"]))
    answer = await asking_system.call("POST", f"/v1/appointments/{booked['id']}/{verb}", body)
    assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    rows = await scene.rows("SELECT person_id, subject_id FROM audit WHERE actor_kind = 'system'")
    assert [(row.person_id, str(row.subject_id)) for row in rows] == [(asking_system.row.id, booked["id"])]


async def test_what_the_asking_hospitals_system_calls_off_is_called_off_by_its_side(
    scene: Scene, asking_system: System
) -> None:
    booked = await scene.booked()
    await asking_system.call("POST", f"/v1/appointments/{booked['id']}/cancel", {"reason": "power"})
    assert (await scene.state()).consultation == "cancelled"


async def test_a_third_hospitals_system_finds_nothing_to_act_on(scene: Scene) -> None:
    booked = await scene.booked()
    async with scene.world.database.work(actor.TIMER) as w:
        third = System(scene, await build.system(w, await build.partner(w)))
    for verb, (body, _) in ACTS.items():
        wanted = body or {"starts_at": booked["starts_at"]}
        assert (await third.call("POST", f"/v1/appointments/{booked['id']}/{verb}", wanted)).status_code == 404


async def test_a_system_declines_for_its_mentor(scene: Scene, system: System) -> None:
    await scene.request()
    offer = await scene.offer()
    answer = await system.call("POST", f"/v1/offers/{offer['id']}/decline", {"reason": "busy"})
    assert (answer.status_code, answer.json()["state"]) == (200, "declined")


async def test_a_system_keeps_the_hours_of_its_mentors_and_of_nobody_elses(scene: Scene, system: System) -> None:
    path = f"/v1/mentors/{scene.people['mentor'].id}/availability"
    read = await system.call("GET", path)
    body = {"zone": "Europe/Paris", "weekly": [{"day": "tue", "from": "08:00", "until": "12:00"}], "exceptions": []}
    put = await system.call("PUT", path, body, **{"If-Match": read.headers["etag"]})
    assert (put.status_code, put.json()["weekly"]) == (200, body["weekly"])
    assert await audited(scene) == {("changed", "mentor_availability")}
    async with scene.world.database.work(actor.TIMER) as w:
        stranger = await build.mentor(w, await build.partner(w))
    other = f"/v1/mentors/{stranger.id}/availability"
    assert (await system.call("PUT", other, body, **{"If-Match": "*"})).status_code == 404


async def registered(scene: Scene, system: System, **members: object) -> httpx.Response:
    wish: Json = {
        "email": "new.mentor@lille.example",
        "display_name": "New mentor",
        "zone": "Europe/Paris",
        "roles": [{"role": "mentor", "institution_id": str(scene.lille.id)}],
    }
    return await system.call("POST", "/v1/people", wish | members)


PROFILE = {
    "specialties": ["paediatrics"],
    "languages": [{"code": "en", "level": "C1"}],
    "caps": {"sessions_per_week": 3, "offers_per_week": 5},
    "notice_minutes": 0,
    "buffer_minutes": 10,
    "treats_children": True,
    "opt_ins": [],
}


async def test_no_offer_reaches_a_mentor_whom_a_system_registered_until_a_person_verifies(
    scene: Scene, system: System
) -> None:
    made = await registered(scene, system)
    assert made.status_code == 201, made.text
    mentor = made.json()["id"]
    path, any_version = f"/v1/mentors/{mentor}", {"If-Match": "*"}
    assert (await system.call("PUT", f"{path}/profile", PROFILE, **any_version)).status_code == 200
    verify = f"/v1/people/{mentor}/verification"
    assert (await system.call("POST", verify, {"until": "2028-01-01"})).status_code == 403
    asked = await scene.request()
    answer = await scene.call("coordinator", "GET", f"/v1/consultations/{asked}/candidates")
    assert "mentor_unverified" in next(
        each["reasons"] for each in answer.json()["excluded"] if mentor in str(each["mentor"])
    )
    await scene.call("partner", "POST", verify, {"until": "2028-01-01"}, status=200)
    assert (await system.call("PUT", f"{path}/profile", PROFILE, **any_version)).status_code == 403


@pytest.mark.parametrize("role", ["coordinator", "clinician"])
async def test_a_system_gives_no_role_but_a_mentors(scene: Scene, system: System, role: str) -> None:
    roles = [{"role": role, "institution_id": str(scene.lille.id)}]
    assert (await registered(scene, system, roles=roles)).status_code == 403


async def test_a_system_registers_nobody_elsewhere(scene: Scene, system: System) -> None:
    roles = [{"role": "mentor", "institution_id": str(scene.asking.id)}]
    assert (await registered(scene, system, roles=roles)).status_code == 403


def described(application: FastAPI) -> dict[str, str | None]:
    """Every call for the signed in, with the scope that its description names for systems."""
    found: dict[str, str | None] = {}
    for path, operations in openapi.describe(application)["paths"].items():
        for method, operation in operations.items():
            if operation.get("security"):
                named = [each["oauth2"] for each in operation["security"] if "oauth2" in each]
                unnamed = "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
                found[f"{method.upper()} {unnamed}"] = " ".join(named[0]) if named else None
    return found


def test_the_table_of_scopes_names_calls_that_exist_and_the_description_says_the_same(application: FastAPI) -> None:
    told = {call: scope for call, scope in described(application).items() if scope is not None}
    assert told == dict(scopes.NEEDED)
    assert {scope for scope in told.values() if scope} | {"consultations:write"} == set(vocabulary.SCOPES)


@pytest.mark.load
async def test_each_call_is_opened_by_its_scope_and_by_no_other(
    application: FastAPI, scene: Scene, system: System
) -> None:
    every, wrong = frozenset(vocabulary.SCOPES), []
    held = {frozenset(), every, *(frozenset({name}) for name in every), *(every - {name} for name in every)}
    bearers = {each: await build.bearer(scene.world, system.row, each) for each in held}
    for call, scope in described(application).items():
        tried = {frozenset({scope}): True, every - {scope}: False} if scope else {every: scope is not None}
        for having, is_open in tried.items():
            method, path = call.replace("{}", str(clock.new_id())).split(" ")
            answer = await scene.client.request(method, path, headers=bearers[having], json={})
            if is_open == (b"/problems/insufficient-scope" in answer.content):
                wrong.append(f"{call} {sorted(having)} {answer.status_code}")
    assert wrong == []


async def test_an_entry_of_the_audit_names_the_system(scene: Scene, system: System) -> None:
    await registered(scene, system)
    rows = await scene.rows("SELECT person_id, action FROM audit WHERE actor_kind = 'system'")
    assert [(row.person_id, row.action) for row in rows] == [(system.row.id, "created")]


async def links_mailed(scene: Scene, email: str) -> int:
    """Ask for a sign-in link; the answer is the same for everybody, so what was mailed is counted."""
    answer = await scene.client.post("/v1/auth/sign-in-links", json={"email": email})
    assert (answer.status_code, answer.content) == (202, b"")
    return len(await scene.rows("SELECT 1 FROM link WHERE purpose = 'sign_in'"))


async def test_whom_a_system_registered_signs_in_once_a_person_has_verified_them_and_ever_after(
    scene: Scene, system: System
) -> None:
    made = (await registered(scene, system)).json()
    assert await links_mailed(scene, made["email"]) == 0
    async with scene.world.database.work(actor.STRANGER) as w:
        with pytest.raises(errors.NotFound):
            await logins.link_token(w, made["email"], logins.LINK_LIFE)
    verify = f"/v1/people/{made['id']}/verification"
    await scene.call("partner", "POST", verify, {"until": "2026-11-01"}, status=200)  # refuses them: it is past
    assert await links_mailed(scene, made["email"]) == 0
    await scene.call("partner", "POST", verify, {"until": "2026-11-17"}, status=200)
    scene.clock.forward(days=7)
    assert await links_mailed(scene, made["email"]) == 1


async def test_whom_a_system_registered_signs_in_once_a_person_has_given_them_their_roles(
    scene: Scene, system: System
) -> None:
    made = (await registered(scene, system)).json()
    path, any_version = f"/v1/people/{made['id']}", {"If-Match": "*"}
    await scene.call("partner", "PATCH", path, {"display_name": "Mentor"}, headers=any_version, status=200)
    assert await links_mailed(scene, made["email"]) == 0
    roles = [{"role": "mentor", "institution_id": str(scene.lille.id)}]
    await scene.call("partner", "PATCH", path, {"roles": roles}, headers=any_version, status=200)
    assert await links_mailed(scene, made["email"]) == 1
