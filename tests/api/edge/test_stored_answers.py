"""An answer that is told again for its Idempotency-Key: every POST route, told twice, and again when things changed.

One story calls every route. Each call is repeated at once, and must say the same; then again after the role of who
called has ended, after the people were erased, and after the texts were forgotten.
"""

import re

import httpx
import pytest
from fastapi import FastAPI

import build
import world as simulated
from api.edge import openapi
from integrations.runtime.world import World
from repeating import OWN, PUBLIC, Repeating, canary, found, the_story
from service.kernel import actor
from service.people import privacy

pytestmark = pytest.mark.races


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Repeating:
    made = Repeating(world, test_clock, client)
    await made.set_up()
    return made


async def test_sec_02_every_post_route_tells_the_same_again_and_keeps_no_text_of_it(
    scene: Repeating, application: FastAPI
) -> None:
    await the_story(scene)

    described = openapi.describe(application)["paths"]
    posts = {
        path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for path, operations in described.items()
        if "post" in operations and not path.startswith(("/v1/auth/", "/oauth2/", "/v1/consultations/preview"))
    }
    told = {path for path, pattern in posts.items() for call in scene.told if pattern.fullmatch(call.path)}
    assert set(posts) - told == set()
    assert len(found("".join(call.answer.text for call in scene.told))) > 20
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
    refused = {(call.path.rpartition("/")[2], answer.status_code) for call, answer in answers if not answer.is_success}
    assert ("rehearsals", 403) in refused  # of a programme that everybody sees
    assert {status for name, status in refused if name != "rehearsals"} == {404}
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
    await scene.advice()
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, "canary.doctor@zebra2.example")
        await privacy.erase(w, scene.people["clinician"].email)
    await scene.rows("UPDATE advice SET text = NULL RETURNING 1")

    texts = "".join([(await scene.again(call)).text for call in scene.told])
    assert "canary.doctor" not in texts
    assert [
        word for word in found(texts) if any(name in word for name in ("person", "question", "advice", "tag"))
    ] == []


async def test_sec_02_the_state_of_then_stands_beside_the_texts_of_now(scene: Repeating) -> None:
    asked = await scene.request(question=canary("question"), tags=["blast"])
    call = scene.told[0]
    await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "other"})
    again = (await scene.again(call)).json()

    assert again == call.shown
