"""Many requests that are filed at once: their first waves are the worker's, and the answers say so (decision 0078)."""

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import build
import crowd
import flow
from api.edge import batches
from integrations.runtime.world import World
from service import timers
from service.care import offers
from service.kernel import actor
from world import TestClock

if TYPE_CHECKING:
    from fastapi import FastAPI

LATER = {"Prefer": "respond-async"}
RECEIPTS = "SELECT payload ->> 'template' AS template FROM delivery WHERE payload ->> 'template' LIKE 'receipt%'"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def filed(scene: flow.Scene, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of the request's body
    """File one of many, and give the answer."""
    body = {name: value for name, value in scene.wish(**fields).items() if value is not None}
    answer = await scene.call("clinician", "POST", "/v1/consultations", body, status=201, headers=LATER)
    found: dict[str, Any] = answer.json()
    return found


async def receipts(scene: flow.Scene) -> list[str]:
    """Give which receipts were mailed."""
    return [row.template for row in await scene.rows(RECEIPTS)]


@pytest.mark.parametrize("is_draft_first", [False, True])
async def test_the_first_wave_of_one_of_many_is_made_by_the_worker(scene: flow.Scene, *, is_draft_first: bool) -> None:
    body = scene.wish()
    consent = body.pop("consent") if is_draft_first else None
    answer = await scene.call("clinician", "POST", "/v1/consultations", body, status=201, headers=LATER)
    path = f"/v1/consultations/{answer.json()['id']}"
    if consent:
        await scene.look()
        assert (answer.json()["first_wave_due"], "Preference-Applied" in answer.headers) == (False, False)
        answer = await scene.call("clinician", "POST", f"{path}/consent", consent, status=200, headers=LATER)
    said = answer.json()
    assert (said["state"], said["first_wave_due"]) == ("open", True)
    assert answer.headers["Preference-Applied"] == "respond-async"
    change = await scene.change()
    assert ([kind for kind, _ in change.events], change.mails) == (["consultation.opened"], [])
    listed = (await scene.get("clinician", "/v1/consultations"))["items"]
    assert [one["first_wave_due"] for one in listed] == [True]
    await scene.sweep()
    change = await scene.change()
    assert sorted(kind for kind, _ in change.events) == ["consultation.offered", "offer.sent", "offer.sent"]
    assert sorted(change.mails) == [("offer", "mentor"), ("offer", "rival"), ("receipt", "clinician")]
    after = await scene.call("clinician", "GET", path, headers={"If-None-Match": answer.headers["ETag"]}, status=200)
    assert (after.json()["state"], after.json()["first_wave_due"]) == ("offered", False)
    await scene.sweep()
    assert (await scene.change()).events == []


async def test_a_request_of_its_own_is_answered_with_its_wave(scene: flow.Scene) -> None:
    for headers in ({}, {"Prefer": "return=minimal"}):
        answer = await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=headers)
        assert (answer.json()["state"], answer.json()["first_wave_due"]) == ("offered", False)
        assert "Preference-Applied" not in answer.headers
    assert await receipts(scene) == ["receipt", "receipt"]


async def test_a_repeated_request_of_many_is_filed_once_and_answered_alike(scene: flow.Scene) -> None:
    keyed = LATER | {"Idempotency-Key": "one"}
    first, again = [
        await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=keyed)
        for _ in range(2)
    ]
    assert (first.json(), first.headers["Preference-Applied"]) == (again.json(), again.headers["Preference-Applied"])
    await scene.sweep()
    assert await receipts(scene) == ["receipt"]


async def test_with_nobody_to_ask_the_worker_tells_clinician_and_coordinator(scene: flow.Scene) -> None:
    said = await filed(scene, languages=["ja"])
    await scene.sweep()
    assert (await scene.get("clinician", f"/v1/consultations/{said['id']}"))["state"] == "unmatched"
    change = await scene.change()
    assert sorted(change.mails) == [("receipt_unmatched", "clinician"), ("unmatched", "coordinator")]


async def test_a_mentor_chosen_by_hand_before_the_wave_brings_the_one_receipt(scene: flow.Scene) -> None:
    said = await filed(scene)
    path = f"/v1/consultations/{said['id']}"
    chosen = {"mentor_id": str(scene.people["mentor"].id)}
    await scene.post("coordinator", f"{path}/offers", chosen, 201)
    await scene.sweep()
    assert await receipts(scene) == ["receipt"]
    assert not (await scene.get("clinician", path))["first_wave_due"]


async def test_what_is_withdrawn_before_its_wave_asks_nobody(scene: flow.Scene) -> None:
    said = await filed(scene)
    await scene.post("clinician", f"/v1/consultations/{said['id']}/cancel", {"reason": "resolved_locally"})
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])


async def test_a_wave_that_was_begun_and_lost_is_made_by_whoever_comes_next(scene: flow.Scene) -> None:
    said = await filed(scene)

    async def killed() -> None:
        async with scene.world.database.work(actor.TIMER) as w:
            await offers.wave_if_due(w, said["id"])
            await w.finish()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await killed()
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert sorted(kind for kind, _ in change.events) == ["consultation.offered", "offer.sent", "offer.sent"]


@pytest.mark.races
async def test_of_many_at_once_each_is_filed_and_two_workers_make_each_wave_once(scene: flow.Scene) -> None:
    bearer = await build.bearer(scene.world, scene.people["clinician"])
    answers = await crowd.at_once(
        *(scene.client.post("/v1/consultations", json=scene.wish(), headers=bearer | LATER) for _ in range(12))
    )
    assert [(answer.status_code, answer.json()["first_wave_due"]) for answer in answers] == [(201, True)] * 12
    failures = await asyncio.gather(*(timers.once(scene.world.database) for _ in range(2)))
    assert failures == [[], []]
    await timers.once(scene.world.database)  # whoever found a row locked left it
    waves = await scene.rows(
        "SELECT waves, (SELECT count(*) FROM offer o WHERE consultation_id = c.id) FROM consultation c"
    )
    assert [tuple(row) for row in waves] == [(1, 2)] * 12
    assert await receipts(scene) == ["receipt"] * 12


async def test_many_take_turns_and_others_wait_for_none_of_them(
    scene: flow.Scene, application: "FastAPI", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LONGEST_TURN_SECONDS", 0)
    async with application.state.batch_turn:
        late = await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=503, headers=LATER)
        assert late.headers["Retry-After"]
        await scene.request()
        assert len((await scene.get("clinician", "/v1/consultations"))["items"]) == 1
    await filed(scene)


async def test_sec_05_whoever_may_no_more_when_their_turn_has_come_files_nothing(
    scene: flow.Scene, application: "FastAPI", monkeypatch: pytest.MonkeyPatch
) -> None:
    turn: asyncio.Lock = application.state.batch_turn
    wish = scene.wish(clinician_id=str(scene.people["clinician"].id))
    monkeypatch.setattr(scene.client, "_transport", httpx.ASGITransport(_in_one_piece(application)))
    async with turn:
        queued = asyncio.create_task(
            scene.call("coordinator", "POST", "/v1/consultations", wish, status=401, headers=LATER)
        )
        while not turn._waiters:  # noqa: ASYNC110 - a lock tells nobody who waits
            await asyncio.sleep(0)
        async with scene.world.database.work(actor.TIMER) as w:
            disabled = sa.text("UPDATE person SET state = 'disabled' WHERE id = :id")
            await w.sql(disabled, {"id": scene.people["coordinator"].id})
    await queued
    assert await scene.rows("SELECT id FROM consultation") == []


def _in_one_piece(application: "FastAPI") -> ASGIApp:
    """Give the application as a server calls it with a body that is there at once: httpx's comes in two pieces."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        async def whole() -> Message:
            first = await receive()
            return {**first, "more_body": False}

        await application(scope, whole, send)

    return called


@pytest.mark.parametrize(
    ("values", "is_preferred"),
    [
        (["respond-async"], True),
        (["Respond-Async"], True),
        (["respond-async, wait=10"], True),
        (["return=minimal; foo=1 , respond-async;x"], True),
        (["return=minimal", "respond-async"], True),
        ([], False),
        ([""], False),
        (["wait=10"], False),
        (["return=respond-async"], False),
        (["respond-asynchronous"], False),
    ],
)
def test_the_preference_is_read_as_rfc_7240_has_it(values: list[str], *, is_preferred: bool) -> None:
    headers = Headers(raw=[(b"prefer", value.encode()) for value in values])
    assert batches.is_one_of_many(headers) == is_preferred
