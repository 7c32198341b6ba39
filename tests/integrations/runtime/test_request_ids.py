"""From a request to what it brought about: the mail, the webhook, each attempt and its line in the log."""

import io
import json

import httpx
import pytest

import flow
from integrations.runtime import logs, mail_delivery
from integrations.runtime.world import World
from integrations.webhooks import sending
from service.kernel import actor, clock
from service.outbox import deliveries, mail_desk, webhooks
from world import TestClock

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def asked(scene: flow.Scene, **headers: str) -> tuple[str, tuple[str, str | None]]:
    """Ask for a consultation with these headers; gives the answer's request id, and what the mails' rows say."""
    await scene.rows("DELETE FROM delivery RETURNING 1")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=named)
    rows = await scene.rows("SELECT DISTINCT request_id, traceparent FROM delivery")
    (row,) = rows
    return answer.headers["x-request-id"], (row.request_id, row.traceparent)


async def test_what_a_request_brings_about_bears_its_id_and_trace(scene: flow.Scene) -> None:
    await scene.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    request_id, row = await asked(scene, traceparent=TRACE, x_request_id="gateway-0001")
    kinds = await scene.rows("SELECT DISTINCT kind FROM delivery")
    assert (request_id, row) == ("gateway-0001", ("gateway-0001", TRACE))
    assert {kind for (kind,) in kinds} == {"mail", "webhook"}


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        TRACE.upper(),
        f"{TRACE}-00",
        TRACE[:-1],
        f" {TRACE}x",
        TRACE.replace("00-4", "ff-4", 1),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
    ],
)
async def test_a_trace_that_is_none_and_an_id_of_65_characters_are_ignored(scene: flow.Scene, malformed: str) -> None:
    request_id, row = await asked(scene, traceparent=malformed, x_request_id="x" * 65)
    assert clock.own_id(request_id) == request_id
    assert row == (request_id, None)


@pytest.mark.parametrize(("given", "is_passed_on"), [(None, True), ("patient-Ivanenko", False)])
async def test_a_mail_bears_our_id_and_nothing_that_the_caller_chose(
    scene: flow.Scene, *, given: str | None, is_passed_on: bool
) -> None:
    request_id, _ = await asked(scene, **({"x_request_id": given} if given else {}))
    (mail_id,) = (await scene.rows("SELECT id FROM delivery WHERE kind = 'mail' LIMIT 1"))[0]
    async with scene.world.database.work(actor.TIMER) as w:
        claim = await deliveries.claim(w, mail_id)
    assert claim is not None
    content = mail_delivery.compose(scene.world, claim).decode()
    assert (f"X-Request-Id: {request_id}\r\n" in content) == is_passed_on
    assert ("X-Request-Id" in content) == is_passed_on
    assert mail_delivery.compose(scene.world, claim).decode() == content


async def test_a_webhook_bears_our_id(scene: flow.Scene) -> None:
    await scene.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    request_id, _ = await asked(scene)
    (endpoint_id,) = (await scene.rows("SELECT endpoint_id FROM delivery WHERE kind = 'webhook' LIMIT 1"))[0]
    async with scene.world.database.work(actor.TIMER) as w:
        lot = await webhooks.claim(w, endpoint_id, 1)
    assert lot is not None
    (parcel,) = lot.parcels
    seen: list[httpx.Headers] = []

    def take(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(204)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        for id_ in (clock.own_id(parcel.request_id), None):
            await sending.post(
                client, lot.url, "m", parcel.body, request_id=id_, signature=lot.signature, secrets=lot.secrets
            )
    assert [headers.get("x-request-id") for headers in seen] == [request_id, None]


async def test_an_attempt_that_fails_is_logged_under_its_request_and_a_mail_says_which_it_was(
    scene: flow.Scene,
) -> None:
    request_id, _ = await asked(scene, traceparent=TRACE)
    (mail_id,) = (await scene.rows("SELECT id FROM delivery WHERE kind = 'mail' LIMIT 1"))[0]
    await scene.rows('UPDATE delivery SET payload = \'{"template": "x"}\' WHERE id = :id RETURNING 1', id=mail_id)
    async with scene.world.database.work(actor.TIMER) as w:
        explained = await mail_desk.explain(w, mail_id)
    assert explained is not None
    assert (explained.mail.request_id, explained.mail.traceparent) == (request_id, TRACE)
    assert explained.queued_at is not None
    lines = io.StringIO()
    logs.configure("warning", lines)
    try:
        await mail_delivery.deliver(scene.world, mail_id)
    finally:
        logs.configure("critical")
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert (line["event"], line["request_id"], line["traceparent"]) == ("mail_attempt_failed", request_id, TRACE)
