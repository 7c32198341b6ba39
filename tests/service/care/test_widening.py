"""What would help when nobody is found, told before filing and after, and done with one call."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.runtime.world import World
from world import TestClock

STORED = ("consultation", "consultation_window", "offer", "event", "delivery", "audit", "idempotency_key", "decision")
PREVIEW = "/v1/consultations/preview"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def stored(scene: flow.Scene) -> list[int]:
    return [(await scene.rows(f"SELECT count(*) AS rows FROM {table}"))[0].rows for table in STORED]


async def unmatched(scene: flow.Scene, **fields: Any) -> Any:  # noqa: ANN401 - JSON
    """A request in a language that no mentor speaks."""
    filed = await scene.post("clinician", "/v1/consultations", scene.wish(languages=["pl"]) | fields, 201)
    assert filed["state"] == "unmatched"
    return filed


def helps(told: Any) -> list[tuple[list[tuple[str, str | None]], int]]:  # noqa: ANN401 - JSON
    return [([(each["kind"], each["code"]) for each in one["changes"]], one["mentors"]) for one in told["would_help"]]


async def test_a_preview_says_how_many_may_be_asked_and_stores_nothing(scene: flow.Scene) -> None:
    """The same body as a filing, with its question or without; nobody is named, nobody is told."""
    await scene.get("clinician", "/v1/me")  # the first call of all makes a signing key
    before, wish = await stored(scene), scene.wish()
    told = await scene.post("clinician", PREVIEW, wish)
    assert (told["may_be_asked"], told["would_help"], told["promise"]) == (2, [], None)
    headers = {"Idempotency-Key": "the-same"}
    without = {name: value for name, value in wish.items() if name != "question"}
    answer = await scene.call("clinician", "POST", PREVIEW, without, status=200, headers=headers)
    assert answer.json() == told
    assert await stored(scene) == before
    assert not [person.id for person in scene.people.values() if str(person.id) in answer.text]


async def test_a_preview_counts_the_reasons_and_says_what_would_help(scene: flow.Scene) -> None:
    """Nobody speaks Polish; both mentors speak English; without consent nothing leaves the country."""
    told = await scene.post("clinician", PREVIEW, scene.wish(languages=["pl"]))
    assert (told["may_be_asked"], told["reasons"]) == (0, {"no_common_language": 2})
    assert told["promise"]["kind"] == "nobody_eligible"
    assert helps(told)[0] == ([("language", "en")], 2)
    without_consent = {name: value for name, value in scene.wish().items() if name != "consent"}
    told = await scene.post("clinician", PREVIEW, without_consent)
    assert helps(told)[0] == ([("consent", None)], 2)


async def test_a_preview_says_the_same_as_the_filing_then_does(scene: flow.Scene) -> None:
    """Windows of the clinician included: an hour at night suits nobody."""
    night = (scene.clock.now() + timedelta(days=1)).replace(hour=23, minute=0)
    windows = [{"from": flow.instant(night), "until": flow.instant(night + timedelta(hours=1))}]
    wish = scene.wish(priority="routine", windows=windows)
    told = await scene.post("clinician", PREVIEW, wish)
    assert told["may_be_asked"] == 0
    assert ([("hours", None)], 2) in helps(told)
    filed = await scene.post("clinician", "/v1/consultations", wish, 201)
    assert filed["state"] == "unmatched"
    assert await scene.get("clinician", f"/v1/consultations/{filed['id']}/outlook") == {
        name: told[name] for name in ("may_be_asked", "reasons", "would_help")
    }


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"specialty": "no.such"}, "/specialty"),
        ({"mode": "board"}, "/mode"),
        ({"question_language": "uk"}, "/question_language"),
        ({"windows": [{"from": "2026-11-10T08:00:00Z", "until": "2026-11-10T09:00:00Z"}]}, "/windows/0/until"),
    ],
)
async def test_a_preview_refuses_what_a_filing_refuses(scene: flow.Scene, wrong: dict[str, Any], pointer: str) -> None:
    refused = await scene.call("clinician", "POST", PREVIEW, scene.wish() | wrong, status=422)
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_one_call_makes_the_request_wider_and_mentors_are_asked_at_once(scene: flow.Scene) -> None:
    """What was told is sent back as it is."""
    filed = await unmatched(scene)
    told = await scene.get("clinician", f"/v1/consultations/{filed['id']}/outlook")
    changes = told["would_help"][0]["changes"]
    wider = await scene.post("clinician", f"/v1/consultations/{filed['id']}/widen", {"changes": changes})
    assert (wider["state"], wider["languages"]) == ("offered", ["pl", "en"])
    assert wider["version"] > filed["version"]
    assert {offer["state"] for offer in (await scene.get("clinician", "/v1/offers"))["items"]} == {"pending"}
    outlook = await scene.get("clinician", f"/v1/consultations/{filed['id']}/outlook")
    assert (outlook["may_be_asked"], outlook["would_help"]) == (0, [])  # both were asked: nobody is left


async def test_the_same_call_twice_has_one_effect(scene: flow.Scene) -> None:
    """Twelve hours more are until an instant: pressed twice they are no day."""
    filed = await unmatched(scene)
    until = flow.instant(flow.read_instant(filed["answer_due_at"]) + timedelta(hours=12))
    changes = [
        {"kind": "time", "until": until},
        {"kind": "language", "code": "en"},
        {"kind": "translation"},
        {"kind": "either"},
        {"kind": "hours"},
    ]
    for _ in range(2):
        wider = await scene.post("clinician", f"/v1/consultations/{filed['id']}/widen", {"changes": changes})
        assert (wider["answer_due_at"], wider["languages"], wider["mode"]) == (until, ["pl", "en"], "either")
        assert wider["windows"] == []
    later = flow.instant(flow.read_instant(until) + timedelta(hours=12, seconds=1))
    body = {"changes": [{"kind": "time", "until": later}]}
    refused = await scene.call("clinician", "POST", f"/v1/consultations/{filed['id']}/widen", body, status=422)
    assert refused.json()["errors"][0]["pointer"] == "/changes/0/until"
    at_once = {"changes": [{"kind": "time", "until": flow.instant(flow.read_instant(until) + timedelta(hours=n))}
                           for n in (12, 24)]}  # fmt: skip
    refused = await scene.call("clinician", "POST", f"/v1/consultations/{filed['id']}/widen", at_once, status=422)
    assert refused.json()["errors"][0]["pointer"] == "/changes/1/until"


async def test_more_time_helps_once_the_answer_was_due(scene: flow.Scene) -> None:
    """A request that waited for nobody until its end: twelve hours from now, and the mentors are asked."""
    await flow.nobody(scene)
    filed = await scene.post("clinician", "/v1/consultations", scene.wish(), 201)
    await scene.rows("UPDATE mentor_profile SET verified_until = '2030-01-01' RETURNING 1")
    scene.clock.set(flow.read_instant(filed["answer_due_at"]) + timedelta(hours=1))
    told = await scene.get("clinician", f"/v1/consultations/{filed['id']}/outlook")
    (best, *_) = told["would_help"]
    assert [each["kind"] for each in best["changes"]] == ["time"]
    assert best["changes"][0]["until"] == flow.instant(scene.clock.now() + timedelta(hours=12))
    wider = await scene.post("clinician", f"/v1/consultations/{filed['id']}/widen", {"changes": best["changes"]})
    assert wider["state"] == "offered"


async def test_a_wider_consent_has_the_day_on_which_the_patient_gave_it(scene: flow.Scene) -> None:
    """Without one it is refused; countries that were named before stay named."""
    given = scene.clock.now().date().isoformat()
    consent = {"scope": "countries", "countries": ["IL"], "given_on": given}
    filed = await scene.post("clinician", "/v1/consultations", scene.wish(consent=consent), 201)
    assert filed["state"] == "unmatched"
    path, body = f"/v1/consultations/{filed['id']}/widen", {"changes": [{"kind": "country", "code": "FR"}]}
    refused = await scene.call("clinician", "POST", path, body, status=422)
    assert refused.json()["errors"][0]["pointer"] == "/given_on"
    assert (await scene.post("clinician", path, body | {"given_on": given}))["state"] == "offered"
    (row,) = await scene.rows("SELECT consent_scope, consent_countries FROM consultation")
    assert (row.consent_scope, row.consent_countries) == ("countries", ["FR", "IL"])


async def test_a_request_whose_mentors_still_think_is_made_wider_too(scene: flow.Scene) -> None:
    """Those who were asked keep their time; the next wave asks whom the change has opened."""
    await scene.rows(
        "UPDATE person_language SET code = 'fr' WHERE person_id = :p RETURNING 1", p=scene.people["rival"].id
    )
    asked = await scene.request()
    wider = await scene.post(
        "clinician", f"/v1/consultations/{asked}/widen", {"changes": [{"kind": "language", "code": "fr"}]}
    )
    assert wider["state"] == "offered"
    assert len((await scene.get("clinician", "/v1/offers"))["items"]) == 1
    await scene.sweep()
    await scene.next_wave()
    assert {offer["mentor_id"] for offer in (await scene.get("clinician", "/v1/offers"))["items"]} == {
        str(scene.people[name].id) for name in ("mentor", "rival")
    }


@pytest.mark.parametrize("state", ["draft", "scheduled", "cancelled"])
async def test_only_a_request_that_seeks_its_mentor_is_made_wider(scene: flow.Scene, state: str) -> None:
    """A draft is filed anew or consented to; what is agreed, or over, is not sought for."""
    if state == "draft":
        asked = await scene.request(consent=None)
    elif state == "scheduled":
        asked = (await scene.booked())["consultation_id"]
    else:
        asked = await scene.request()
        await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})
    body = {"changes": [{"kind": "language", "code": "fr"}]}
    assert (await scene.call("clinician", "POST", f"/v1/consultations/{asked}/widen", body)).status_code == 409
    assert (await scene.call("clinician", "GET", f"/v1/consultations/{asked}/outlook")).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "language"},
        {"kind": "language", "code": "FR"},
        {"kind": "country", "code": "fr"},
        {"kind": "either", "code": "fr"},
        {"kind": "time"},
        {"kind": "hours", "until": "2026-11-20T08:00:00Z"},
        {"kind": "specialty"},
    ],
)
async def test_a_change_that_is_not_whole_is_refused(scene: flow.Scene, change: dict[str, str]) -> None:
    filed = await unmatched(scene)
    answer = await scene.call("clinician", "POST", f"/v1/consultations/{filed['id']}/widen", {"changes": [change]})
    assert answer.status_code == 422, answer.text
