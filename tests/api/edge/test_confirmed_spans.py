"""A false alarm may be confirmed wherever a free text is checked (invariant D3), and every free text is checked."""

from typing import Any

import httpx
import pytest

import flow
from flow import Scene
from integrations.runtime.world import World
from world import TestClock

TEXT = "Device 123456789: which model?"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


async def refused_then_confirmed(
    scene: Scene, who: str, method: str, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx.Response:
    """The first answer says where, the same with these places confirmed goes through, and that is remembered."""
    refused = await scene.call(who, method, path, body, status=422, headers=headers or {})
    assert refused.json()["type"] == "/problems/personal-data-found"
    assert "123456789" not in refused.text
    spans = [{name: span[name] for name in ("field", "start", "end")} for span in refused.json()["spans"]]
    answer = await scene.call(who, method, path, body | {"confirmed_spans": spans}, headers=headers or {})
    assert answer.status_code in {200, 201}, answer.text
    rows = await scene.rows("SELECT details FROM audit WHERE action = 'confirmed_false_alarm'")
    assert [row.details["spans"] for row in rows] == [refused.json()["spans"]]
    return answer


async def test_in_the_note_to_a_withdrawal(scene: Scene) -> None:
    asked = await scene.request()
    body = {"reason": "other", "note": TEXT}
    await refused_then_confirmed(scene, "clinician", "POST", f"/v1/consultations/{asked}/cancel", body)


async def test_in_the_note_to_a_decline(scene: Scene) -> None:
    await scene.request()
    path = f"/v1/offers/{(await scene.offer())['id']}/decline"
    await refused_then_confirmed(scene, "mentor", "POST", path, {"reason": "insufficient_info", "note": TEXT})


async def test_in_the_note_to_a_cancelled_appointment(scene: Scene) -> None:
    booked = await scene.booked()
    path = f"/v1/appointments/{booked['id']}/cancel"
    await refused_then_confirmed(scene, "clinician", "POST", path, {"reason": "other", "note": TEXT})


async def test_in_the_note_to_a_feedback(scene: Scene) -> None:
    booked = await flow.logged(scene)
    (row,) = await scene.rows("SELECT id FROM session WHERE appointment_id = :id", id=booked["id"])
    await refused_then_confirmed(
        scene, "clinician", "POST", f"/v1/sessions/{row.id}/feedback", {"is_useful": True, "note": TEXT}
    )


async def test_in_the_reason_of_an_override(scene: Scene) -> None:
    await flow.alone(scene)
    asked = await scene.request()
    await scene.rows("UPDATE mentor_profile SET verified_until = now() + interval '9 years' RETURNING 1")
    override = {"rule": "budget_spent", "reason": "Order 123456789"}
    body = {"mentor_id": str(scene.people["rival"].id), "override": override}
    await refused_then_confirmed(scene, "coordinator", "POST", f"/v1/consultations/{asked}/offers", body)


async def test_in_the_reason_of_a_memorandums_step(scene: Scene) -> None:
    path = f"/v1/memoranda/{scene.memorandum.id}/transitions"
    await refused_then_confirmed(scene, "admin", "POST", path, {"to": "suspended", "on": "2026-11-16", "reason": TEXT})


@pytest.mark.parametrize("field", ["note", "source"])
async def test_in_what_a_memorandum_says(scene: Scene, field: str) -> None:
    path = f"/v1/memoranda/{scene.memorandum.id}"
    answer = await refused_then_confirmed(scene, "admin", "PATCH", path, {field: TEXT}, {"If-Match": "*"})
    assert answer.json()[field] == TEXT
    parties = [
        {"institution_id": str(scene.asking.id), "side": "requesting"},
        {"institution_id": str(scene.lille.id), "side": "partner"},
    ]
    new = {"programme_id": str(scene.programme.id), "kind": "bilateral", "parties": parties, field: TEXT}
    refused = await scene.call("admin", "POST", "/v1/memoranda", new, status=422)
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [f"/{field}"]


async def test_in_the_note_on_an_institution(scene: Scene) -> None:
    path = f"/v1/institutions/{scene.asking.id}"
    await refused_then_confirmed(scene, "admin", "PATCH", path, {"note": TEXT}, {"If-Match": "*"})
    new = {"name": "Лікарня", "kind": "hospital", "note": TEXT}
    await scene.call("admin", "POST", "/v1/institutions", new, status=422)


@pytest.mark.parametrize("field", ["aliases", "sources"])
async def test_in_the_aliases_and_sources_of_an_institution(scene: Scene, field: str) -> None:
    new = {"name": "Лікарня", "kind": "hospital", field: ["first", TEXT]}
    refused = await scene.call("admin", "POST", "/v1/institutions", new, status=422)
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [f"/{field}/1"]
    answer = await refused_then_confirmed(scene, "admin", "POST", "/v1/institutions", new)
    assert answer.json()[field] == ["first", TEXT]


async def test_in_the_new_aliases_of_an_institution(scene: Scene) -> None:
    path = f"/v1/institutions/{scene.asking.id}"
    await refused_then_confirmed(scene, "admin", "PATCH", path, {"aliases": [TEXT]}, {"If-Match": "*"})


async def test_in_the_tags_of_a_mentor(scene: Scene) -> None:
    path = f"/v1/mentors/{scene.people['mentor'].id}/profile"
    body = await scene.get("mentor", path) | {"tags": ["zeta", "Ivanenko.1984-03-02", "model.123456789"]}
    refused = await scene.call("mentor", "PUT", path, body, status=422, headers={"If-Match": "*"})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/tags/1", "/tags/1", "/tags/2"]
    answer = await refused_then_confirmed(scene, "mentor", "PUT", path, body, {"If-Match": "*"})
    assert answer.json()["tags"] == sorted(body["tags"])


async def test_in_the_tags_of_a_request(scene: Scene) -> None:
    wish = scene.wish(tags=["blast", "0501234567", "Ivanenko.1984-03-02"])
    refused = await scene.call("clinician", "POST", "/v1/consultations", wish, status=422)
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/tags/1", "/tags/2", "/tags/2"]
    answer = await refused_then_confirmed(scene, "clinician", "POST", "/v1/consultations", wish)
    assert answer.json()["tags"] == wish["tags"]


async def test_what_is_no_finding_is_not_remembered_as_confirmed(scene: Scene) -> None:
    await scene.request(confirmed_spans=[{"field": "question", "start": 0, "end": 1}])
    assert await scene.rows("SELECT 1 FROM audit WHERE action = 'confirmed_false_alarm'") == []
