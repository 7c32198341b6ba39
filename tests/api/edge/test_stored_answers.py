"""An answer that is told again for its Idempotency-Key: every POST route, told twice, and again when things changed.

One story calls every route. Each call is repeated at once, and must say the same; then again after the role of who
called has ended, after the people were erased, and after the texts were forgotten.
"""

# ruff: noqa: ANN401 - bodies and answers are JSON

import dataclasses
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import build
import flow
import world as simulated
from api.edge import openapi
from integrations.runtime.world import World
from service.kernel import actor
from service.people import privacy

pytestmark = pytest.mark.races

SECRETS = {"secret", "client_secret"}
WRITTEN = ("question", "department", "cancelnote", "declinenote", "advice", "conclusion", "feedback", "callednote")
REGISTERED = ("personname", "membernote", "clientname", "activitynote", "memorandumnote")
PUBLIC = ("/v1/institutions", "/v1/programmes", "/v1/specialties")
"""What everybody who is signed in reads, whatever their role."""
OWN = ("/v1/offers", "/v1/appointments", "/v1/sessions")
"""What somebody took part in is theirs to see for life, without the texts."""


def canary(name: str) -> str:
    return f"canary{name}zebra"


@dataclasses.dataclass(frozen=True)
class Told:
    """A call that was answered with success, and its answer."""

    who: str
    path: str
    body: Any
    key: str
    answer: httpx.Response

    @property
    def shown(self) -> Any:
        return self.answer.json() if self.answer.content else None


@dataclasses.dataclass
class Repeating(flow.Scene):
    """A scene in which every POST has a key and is sent twice."""

    told: list[Told] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)

    async def call(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        if method != "POST":
            return await super().call(who, method, path, body, status=status, headers=headers)
        key = f"key-{next(self.numbers)}"
        answer = await super().call(who, method, path, body, status=status, headers={"Idempotency-Key": key})
        if answer.is_success:
            call = Told(who, path, body, key, answer)
            self.told.append(call)
            again = await self.again(call)
            assert again.headers["idempotency-replayed"] == "true", (path, again.text)
            assert (again.status_code, again.headers.get("location")) == (status, answer.headers.get("location"))
            if not path.endswith("/assign"):
                hidden = dict.fromkeys(SECRETS & call.shown.keys())
                assert again.json() == call.shown | hidden, path
        return answer

    async def again(self, call: Told) -> httpx.Response:
        return await super().call(call.who, "POST", call.path, call.body, headers={"Idempotency-Key": call.key})

    async def the_registry(self) -> None:
        """Make one of everything that an admin or a coordinator makes."""
        made = await self.post("admin", "/v1/programmes", _PROGRAMME, 201)
        await self.post("admin", "/v1/specialties", {"code": "burns", "parent": None, "name_en": "Burns",
                                                     "name_uk": "Опіки", "is_bookable": True}, 201)  # fmt: skip
        network = await self.post("admin", "/v1/institutions", {"kind": "network", "name": "Network"}, 201)
        hospital = {"kind": "hospital", "name": "Member", "aliases": ["First", "Second"], "note": canary("membernote")}
        member = await self.post("admin", "/v1/institutions", hospital, 201)
        path = f"/v1/institutions/{member['id']}/memberships"
        joined = await self.post("admin", path, {"network_id": network["id"], "from": "2026-01-01"}, 201)
        await self.post("admin", f"{path}/{joined['id']}/end", {"until": "2027-01-01"})
        doctor = {"email": "canary.doctor@zebra.example", "display_name": canary("personname"), "locale": "uk",
                  "zone": "Europe/Kyiv", "roles": [{"role": "mentor", "institution_id": str(self.lille.id)}],
                  }  # fmt: skip
        person = await self.post("partner", "/v1/people", doctor, 201)
        await self.post("partner", f"/v1/people/{person['id']}/verification", {"until": "2027-06-30"})
        agreed = await self.post("admin", "/v1/memoranda", self._memorandum(), 201)
        await self.post("admin", f"/v1/memoranda/{agreed['id']}/transitions", {"to": "signed", "on": "2026-01-01"})
        done = {"kind": "education", "on": "2026-10-02", "note": canary("activitynote")}
        first = await self.post("coordinator", f"/v1/memoranda/{self.memorandum.id}/activities", done, 201)
        await self.post("admin", f"/v1/programmes/{made['id']}/activities", done, 201)
        await self.post("coordinator", f"/v1/activities/{first['id']}/corrections", done | {"on": "2026-10-03"}, 201)

    def _memorandum(self) -> dict[str, Any]:
        return {
            "programme_id": str(self.programme.id),
            "kind": "bilateral",
            "parties": [
                {"institution_id": str(self.asking.id), "side": "requesting"},
                {"institution_id": str(self.lille.id), "side": "partner"},
            ],
            "signed": {"date": "2026-01-01", "precision": "on"},
            "valid_from": "2026-01-01",
            "note": canary("memorandumnote"),
        }

    async def the_systems(self) -> None:
        """Make a partner system and a webhook endpoint, and do all that there is to do with them."""
        wish = {"institution_id": str(self.lille.id), "client_name": canary("clientname"), "scope": "events:read"}
        made = await self.post("partner", "/v1/clients", wish, 201)
        await self.post("partner", f"/v1/clients/{made['client_id']}/rotate-secret", {"overlap_hours": 1})
        at = {"url": "https://receiver.example/hook", "types": ["appointment.booked"], "signature": "v1a"}
        hook = await self.post("partner", "/v1/webhook-endpoints", at, 201)
        path = f"/v1/webhook-endpoints/{hook['id']}"
        await self.post("partner", f"{path}/rotate-secret", {"overlap_hours": 2})
        tested = await self.post("partner", f"{path}/test", status=202)
        await self.rows("UPDATE delivery SET state = 'dead', next_attempt_at = NULL WHERE endpoint_id = :id",
                        id=hook["id"])  # fmt: skip
        await self.post("partner", f"/v1/webhook-endpoints/deliveries/{tested['id']}/resend", status=202)
        since = flow.instant(self.clock.now() - timedelta(days=1))
        await self.post("partner", f"{path}/recover", {"since": since}, 202)

    async def the_cases(self) -> None:
        """Walk the flow, so that every step of it is taken."""
        texts: dict[str, Any] = {
            "question": canary("question"),
            "department": canary("department"),
            "tags": ["canary-tag-zebra"],
        }
        asked = await self.request(consent=None, **texts)
        await self.post("clinician", f"/v1/consultations/{asked}/consent", flow.given_today(self))
        mine = await self.offer()
        await self.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy", "note": canary("declinenote")})
        theirs = await self.offer("rival")
        later = flow.instant(flow.read_instant(theirs["starts"][0]) + timedelta(minutes=30))
        await self.post("rival", f"/v1/offers/{theirs['id']}/counter", {"starts": [later]})
        await self.post("clinician", f"/v1/offers/{theirs['id']}/counter/decline")
        await self.post("rival", f"/v1/offers/{theirs['id']}/counter", {"starts": [later]})
        booked = await self.post("clinician", f"/v1/offers/{theirs['id']}/counter/accept", {"starts_at": later})
        moved = {"starts_at": await self.later_start(booked, 60)}
        await self.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", moved)
        note = {"reason": "illness", "note": canary("callednote")}
        await self.post("clinician", f"/v1/appointments/{booked['id']}/cancel", note)
        asked = await self.request(**texts)
        colleague = {"clinician_id": str(self.people["colleague"].id)}
        await self.post("coordinator", f"/v1/consultations/{asked}/assign", colleague)
        await self.post("coordinator", f"/v1/consultations/{asked}/cancel",
                        {"reason": "other", "note": canary("cancelnote")})  # fmt: skip
        await self._advice(texts)
        await self._by_hand(texts)
        await self._session(texts)
        missed = await self.booked(**texts)
        self.clock.set(flow.read_instant(missed["starts_at"]) + timedelta(minutes=20))
        await self.post("clinician", f"/v1/appointments/{missed['id']}/no-show", {"who": "mentor"})

    async def _advice(self, texts: Mapping[str, Any]) -> None:
        asked = await self.request(mode="written", **texts)
        mine = await self.offer()
        await self.post("mentor", f"/v1/offers/{mine['id']}/accept", {})
        await self.post("mentor", f"/v1/consultations/{asked}/advice", {"text": canary("advice"), "minutes": 20}, 201)

    async def _by_hand(self, texts: Mapping[str, Any]) -> None:
        await flow.nobody(self)
        asked = await self.request(**texts)
        await self.rows("UPDATE mentor_profile SET verified_until = '2030-01-01' RETURNING 1")
        chosen = {"mentor_id": str(self.people["mentor"].id)}
        offered = await self.post("coordinator", f"/v1/consultations/{asked}/offers", chosen, 201)
        held = chosen | {"starts_at": offered["starts"][0]}
        await self.post("coordinator", f"/v1/consultations/{asked}/holds", held, 201)
        await self.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})

    async def _session(self, texts: Mapping[str, Any]) -> None:
        booked = await self.booked(**texts)
        self.clock.set(flow.read_instant(booked["ends_at"]))
        happened = flow.happened(booked) | {"conclusion": canary("conclusion")}
        logged = await self.post("mentor", f"/v1/appointments/{booked['id']}/session", happened, 201)
        told = {"is_useful": True, "note": canary("feedback")}
        await self.post("clinician", f"/v1/sessions/{logged['id']}/feedback", told, 201)
        await self.post("mentor", f"/v1/sessions/{logged['id']}/corrections", happened, 201)

    async def stored(self) -> str:
        """Give every stored answer, opened."""
        rows = await self.rows("SELECT id, headers, body FROM idempotency_key")
        return "\n".join(json.dumps(row.headers) + self.world.keys.decrypt(row.body, row.id) for row in rows)


_PROGRAMME = {"code": "other", "name": "Інша", "name_en": "Other", "country": "UA", "zone": "Europe/Kyiv"}


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Repeating:
    made = Repeating(world, test_clock, client)
    await made.set_up()
    return made


async def the_story(scene: Repeating) -> None:
    await scene.the_registry()
    await scene.the_systems()
    await scene.the_cases()


def found(text: str) -> list[str]:
    """Name the canaries that stand in the text."""
    return sorted(set(re.findall(r"canary[-.]?\w+", text)))


async def test_sec_02_every_post_route_tells_the_same_again_and_keeps_no_text_of_it(
    scene: Repeating, application: FastAPI
) -> None:
    await the_story(scene)

    described = openapi.describe(application)["paths"]
    posts = {
        path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for path, operations in described.items()
        if "post" in operations and not path.startswith(("/v1/auth/", "/oauth2/"))
    }
    told = {path for path, pattern in posts.items() for call in scene.told if pattern.fullmatch(call.path)}
    assert set(posts) - told == set()
    assert len(found("".join(call.answer.text for call in scene.told))) > len((*WRITTEN, *REGISTERED))
    kept = await scene.stored()
    assert found(kept) == []
    for person in scene.people.values():
        assert person.email not in kept
        assert person.display_name not in kept


async def test_sec_02_after_the_role_ended_a_repetition_is_refused_like_a_reading(scene: Repeating) -> None:
    await the_story(scene)
    await scene.rows("DELETE FROM role_grant RETURNING 1")
    await scene.rows("UPDATE person SET version = version + 1 RETURNING 1")

    answers = [(call, await scene.again(call)) for call in scene.told]
    given = {call.path for call, answer in answers if answer.is_success}
    assert {answer.status_code for _, answer in answers if not answer.is_success} == {404}
    assert {path for path in given if not path.startswith((*PUBLIC, *OWN))} == set()
    assert found("".join(answer.text for call, answer in answers if not call.path.startswith(PUBLIC))) == []


async def test_sec_02_a_disabled_person_is_told_nothing_again(scene: Repeating) -> None:
    await scene.the_cases()
    tokens = {who: await build.bearer(scene.world, person) for who, person in scene.people.items()}
    await scene.rows("UPDATE person SET state = 'disabled' RETURNING 1")

    for call in scene.told:
        headers = tokens[call.who] | {"Idempotency-Key": call.key}
        assert (await scene.client.post(call.path, json=call.body, headers=headers)).status_code == 401


async def test_sec_02_a_repetition_that_shows_case_text_is_audited_as_a_reading(scene: Repeating) -> None:
    await scene.request(question=canary("question"))
    (call,) = scene.told
    count = "SELECT count(*) AS n FROM audit WHERE action = 'read_case_text' AND subject_id = :id"
    (before,) = await scene.rows(count, id=call.shown["id"])
    again = await scene.again(call)
    (after,) = await scene.rows(count, id=call.shown["id"])

    assert again.json()["question"] == canary("question")
    assert after.n == before.n + 1


async def test_sec_02_what_was_forgotten_or_erased_is_not_told_again(scene: Repeating) -> None:
    await scene.the_registry()
    await scene._advice({"question": canary("question")})
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, "canary.doctor@zebra.example")
        await privacy.erase(w, scene.people["clinician"].email)
    await scene.rows("UPDATE advice SET text = NULL RETURNING 1")

    texts = "".join([(await scene.again(call)).text for call in scene.told])
    assert canary("personname") not in texts
    assert "canary.doctor" not in texts
    assert canary("question") not in texts
    assert canary("advice") not in texts


async def test_sec_02_the_state_of_then_stands_beside_the_texts_of_now(scene: Repeating) -> None:
    asked = await scene.request(question=canary("question"), tags=["blast"])
    call = scene.told[0]
    await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})
    again = (await scene.again(call)).json()

    assert again == call.shown
