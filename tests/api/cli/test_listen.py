"""`pobratym listen`: what is signed is shown and kept once, what is not is refused."""

import base64
import io
import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from rich.console import Console

import build
import flow
import receiver
from api.cli import listen
from integrations.runtime.world import World
from integrations.webhooks import sending
from service import timers
from service.kernel import actor, clock, outcomes
from world import TestClock

KEY = base64.b64encode(bytes(range(32))).decode()
BODY = (
    '{"type":"offer.sent","timestamp":"2026-11-20T10:35:00Z",'
    '"data":{"id":"0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11","version":1,"state":"pending","links":{}}}'
)


def made(store: Path, secret: str | None = f"whsec_{KEY}") -> tuple[listen.Listener, io.StringIO]:
    shown = io.StringIO()
    return listen.Listener(store, secret, Console(file=shown, width=200)), shown


async def posted(found: listen.Listener, key: str = KEY, body: str = BODY) -> outcomes.Outcome:
    transport = httpx.ASGITransport(found.app)  # type: ignore[arg-type]  # its own kinds of mapping
    async with httpx.AsyncClient(transport=transport) as client:
        return await sending.post(client, "http://here/", "event-1", body, signature="v1", secrets=[key])


async def test_what_is_signed_with_the_secret_is_shown_and_kept_once(tmp_path: Path) -> None:
    found, shown = made(tmp_path / "arrivals.jsonl")
    for _ in range(2):
        assert isinstance(await posted(found), outcomes.Delivered)
    (kept,) = (tmp_path / "arrivals.jsonl").read_text().splitlines()
    assert json.loads(kept) == {"id": "event-1", **json.loads(BODY), "how": "verified"}
    first, second = shown.getvalue().splitlines()
    assert "offer.sent" in first
    assert second.endswith("(again)")


@pytest.mark.parametrize(
    ("key", "body"), [(base64.b64encode(bytes(32)).decode(), BODY), (KEY, "[]"), (KEY, "{"), (KEY, '{"data": 1}')]
)
async def test_what_is_not_signed_or_no_event_is_refused_and_not_kept(tmp_path: Path, key: str, body: str) -> None:
    found, _ = made(tmp_path / "arrivals.jsonl")
    outcome = await posted(found, key, body)
    assert isinstance(outcome, outcomes.Retry)
    assert outcome.status == 400
    assert not (tmp_path / "arrivals.jsonl").exists()


async def test_without_a_secret_everything_is_taken_and_called_unverified(tmp_path: Path) -> None:
    found, shown = made(tmp_path / "arrivals.jsonl", None)
    await posted(found)
    assert "unverified" in shown.getvalue()


@pytest.mark.parametrize(("seconds", "is_genuine"), [(0, True), (299, True), (-299, True), (302, False), (-302, False)])
def test_a_signature_is_genuine_within_five_minutes(seconds: int, is_genuine: bool) -> None:
    now = clock.wall()
    headers = sending.headers_of("id", b"{}", now, "v1", [KEY])
    late = now.replace(microsecond=0) + timedelta(seconds=seconds)
    assert sending.is_genuine(f"whsec_{KEY}", headers, b"{}", late) is is_genuine


async def test_events_that_are_asked_for_are_kept_in_their_order(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    scene = flow.Scene(world, test_clock, client)
    await scene.set_up()
    async with world.database.work(actor.TIMER) as w:
        ids = [receiver.tell(w, scene) for _ in range(3)]
    await timers.place_events(world.database)
    found, _ = made(tmp_path / "arrivals.jsonl")
    client.headers = httpx.Headers(await build.bearer(world, scene.people["coordinator"]))
    cursor = await found.ask(client)
    assert await found.ask(client, cursor) == cursor
    kept = [json.loads(line)["id"] for line in (tmp_path / "arrivals.jsonl").read_text().splitlines()]
    assert kept == ids
