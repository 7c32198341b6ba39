"""Notes are case text (invariant D4): the people of the case read them, one by one, and each reading is remembered."""

from typing import Any

import httpx
import pytest

import flow
import world as simulated
from flow import Scene
from integrations.runtime.world import World
from service.kernel import actor
from service.people import privacy

DECLINED, CALLED_OFF, WITHDRAWN, ANSWERED = "she is my sister", "my ward is full", "seen by a colleague", "it helped"
READERS = ("clinician", "coordinator")
STRANGERS = ("admin", "partner")


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


async def read_by(scene: Scene) -> list[tuple[str, str]]:
    """Who has read which kind of text of the case, but for its question."""
    rows = await scene.rows(
        "SELECT person_id, subject FROM audit WHERE action = 'read_case_text' AND subject <> 'consultation' ORDER BY id"
    )
    return [(scene.name(row.person_id), row.subject) for row in rows]


async def declined(scene: Scene) -> tuple[str, dict[str, Any]]:
    await scene.request()
    theirs = await scene.offer("rival")
    path = f"/v1/offers/{theirs['id']}"
    answer = await scene.post("rival", f"{path}/decline", {"reason": "conflict", "note": DECLINED})
    return path, answer


async def test_the_note_of_a_decline_is_read_by_the_requesting_side_alone(scene: Scene) -> None:
    path, answer = await declined(scene)
    assert answer["note"] is None  # who has declined reads the case no longer
    assert [(await scene.get(who, path))["note"] for who in READERS] == [DECLINED, DECLINED]
    assert [(await scene.get(who, path))["note"] for who in (*STRANGERS, "rival")] == [None, None, None]
    assert await read_by(scene) == [("clinician", "offer"), ("coordinator", "offer")]


async def test_a_list_of_offers_holds_no_note(scene: Scene) -> None:
    await declined(scene)
    listed = (await scene.get("clinician", "/v1/offers"))["items"]
    assert {offer["note"] for offer in listed} == {None}
    assert await read_by(scene) == []


async def test_the_note_of_a_cancellation_is_read_by_the_requesting_side_alone(scene: Scene) -> None:
    booked = await scene.booked()
    path = f"/v1/appointments/{booked['id']}"
    answer = await scene.post("mentor", f"{path}/cancel", {"reason": "busy", "note": CALLED_OFF})
    assert answer["note"] is None
    assert [(await scene.get(who, path))["note"] for who in READERS] == [CALLED_OFF, CALLED_OFF]
    assert [(await scene.get(who, path))["note"] for who in ("partner", "mentor")] == [None, None]
    assert {row["note"] for row in (await scene.get("clinician", "/v1/appointments"))["items"]} == {None}
    assert await read_by(scene) == [("clinician", "appointment"), ("coordinator", "appointment")]


async def test_the_note_of_a_withdrawal_is_read_by_the_requesting_side_alone(scene: Scene) -> None:
    asked = await scene.request()
    path = f"/v1/consultations/{asked}"
    answer = await scene.post("clinician", f"{path}/cancel", {"reason": "other", "note": WITHDRAWN})
    assert answer["note"] == WITHDRAWN
    before = await scene.rows("SELECT id FROM audit WHERE action = 'read_case_text'")
    assert [(await scene.get(who, path))["note"] for who in READERS] == [WITHDRAWN, WITHDRAWN]
    assert len(await scene.rows("SELECT id FROM audit WHERE action = 'read_case_text'")) == len(before) + 2
    assert [(await scene.get(who, path))["note"] for who in ("admin", "mentor")] == [None, None]
    assert {row["note"] for row in (await scene.get("clinician", "/v1/consultations"))["items"]} == {None}


async def test_the_note_of_an_answer_is_read_by_both_sides_while_they_read_the_case(scene: Scene) -> None:
    booked = await flow.logged(scene)
    (session,) = await scene.rows("SELECT id FROM session")
    path = f"/v1/sessions/{session.id}/feedback"
    given = await scene.post("clinician", path, {"is_useful": True, "note": ANSWERED}, 201)
    assert given["note"] == ANSWERED
    for who in ("mentor", *READERS):
        assert [row["note"] for row in (await scene.get(who, path))["items"]] == [ANSWERED]
    assert [row["note"] for row in (await scene.get("partner", path))["items"]] == [None]
    assert ("mentor", "feedback") in await read_by(scene)
    assert booked["id"]


async def test_a_note_that_was_erased_is_no_longer_read(scene: Scene) -> None:
    path, _ = await declined(scene)
    await scene.rows("UPDATE offer SET note = NULL RETURNING 1")
    assert (await scene.get("clinician", path))["note"] is None
    assert await read_by(scene) == []


async def test_who_wrote_a_note_can_be_given_who_has_read_it(scene: Scene) -> None:
    path, _ = await declined(scene)
    await scene.get("clinician", path)
    async with scene.world.database.work(actor.TIMER) as w:
        found = await privacy.dossier(w, scene.people["rival"].email)
    readings = [(scene.name(row["person_id"]), row["subject"]) for row in found["who_read_their_texts"]]
    assert readings == [("clinician", "offer")]
