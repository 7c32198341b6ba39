"""News by push and text message: read by another implementation, told once, in time, to devices that are there."""

import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import http_ece
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwk, jws
from pydantic import SecretStr

import receiver
from integrations import outbound_http
from integrations.push import encryption
from integrations.runtime import doctor, health, logs, news_delivery
from integrations.runtime.world import World
from pages.scene import QUESTION, Scene
from service import housekeeping, tables, timers
from service.care import answers
from service.kernel import actor, clock, errors, outcomes
from service.kernel.work import Work
from service.outbox import mail_server, news, push_subscriptions
from service.people import devices, logins, people, preferences, privacy
from world import TestClock

PUSHED = ["offer.push", "call.push"]


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class Browser:
    """A browser that was subscribed: it holds its own key, and decrypts by http_ece."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: clock.random_bytes(16))

    @property
    def keys(self) -> dict[str, str]:
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {"p256dh": text_of(point), "auth": text_of(self.auth)}

    def receiver(self) -> push_subscriptions.Receiver:
        return push_subscriptions.Receiver(self.endpoint, **self.keys)

    def read(self, body: bytes) -> Any:  # noqa: ANN401 - JSON
        return json.loads(http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm"))


@pytest.fixture
async def scene(world: World, test_clock: TestClock) -> AsyncIterator[Scene]:
    made = Scene(world, test_clock)
    await made.set_up()
    world.settings = world.settings.model_copy(update={"outbound_allow": ("127.0.0.0/8",)})
    async with outbound_http.client(world.settings) as world.outbound:
        yield made


@pytest.fixture
async def service() -> AsyncIterator[receiver.Receiver]:
    """A push service, or a gateway."""
    async with receiver.opened() as made:
        made.status(201)
        yield made


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    logs.configure("error")


async def choose(scene: Scene, who: tables.Person, **changes: object) -> None:
    async def chosen(w: Work) -> None:
        await preferences.change(w, await preferences.own(w, lock=True), changes)

    await scene.act(who, chosen)


async def subscribe(scene: Scene, who: tables.Person, browser: Browser, family: UUID | None = None) -> UUID:
    await choose(scene, who, notices=PUSHED)
    made: UUID = await scene.act(who, push_subscriptions.subscribe, browser.receiver(), family, "Firefox, Android")
    await scene.act(who, push_subscriptions.signing_key)
    return made


async def tell(scene: Scene) -> None:
    """Do what a worker does: a sweep, and each delivery of news that is due."""
    await timers.once(scene.world.database)
    for row in await scene.rows("SELECT id FROM delivery WHERE kind IN ('push', 'sms') ORDER BY id"):
        await news_delivery.deliver(scene.world, row.id)


async def states(scene: Scene) -> list[str]:
    return [row.state for row in await scene.rows("SELECT state FROM delivery WHERE kind <> 'mail' ORDER BY id")]


async def test_ft_50_what_is_pushed_is_read_by_another_implementation_and_signed(
    scene: Scene, service: receiver.Receiver
) -> None:
    browser = Browser(service.url)
    await subscribe(scene, scene.mentor, browser)
    asked = await scene.ask(priority="asap")
    await tell(scene)
    (arrival,) = service.arrivals
    told = browser.read(arrival.body)
    assert told["title"] == "Your help is asked for, very urgently"
    assert set(told) == {"title", "body", "lang", "tag"}
    for secret in (QUESTION, asked.number, str(asked.id), "Chernihiv", "aediatric", scene.clinician.display_name):
        assert secret not in json.dumps(told)
    headers = arrival.headers
    assert (headers["content-encoding"], headers["urgency"]) == ("aes128gcm", "high")
    (offer,) = await scene.rows("SELECT answer_by FROM offer")
    assert int(headers["ttl"]) == (offer.answer_by - scene.clock.now()).total_seconds()
    assert len(headers["topic"]) == 32
    assert len(arrival.body) < 4_096
    scheme, proof, key = headers["authorization"].replace(",", "").split()
    public = key.removeprefix("k=")
    point = base64.urlsafe_b64decode(public + "=")
    numbers: dict[str, str | list[str]] = {
        "kty": "EC",
        "crv": "P-256",
        "x": text_of(point[1:33]),
        "y": text_of(point[33:]),
    }
    token = jws.deserialize_compact(proof.removeprefix("t="), jwk.ECKey.import_key(numbers), ["ES256"])
    claims = json.loads(token.payload)
    assert scheme == "vapid"
    assert claims["aud"] == service.url.removesuffix("/in")
    assert claims["sub"].startswith("mailto:")
    assert 0 < claims["exp"] - clock.wall().timestamp() <= 24 * 3600
    assert await states(scene) == ["delivered"]


@pytest.mark.parametrize("content", [b"", b"x", "ї".encode() * 512, bytes(range(256)) * 4])
def test_ft_50_every_message_is_as_long_and_reads_as_it_was(content: bytes) -> None:
    browser = Browser("https://push.example/x")
    body = encryption.encrypted(content, **browser.keys)
    read = http_ece.decrypt(body, private_key=browser.key, auth_secret=browser.auth, version="aes128gcm")
    assert read == content
    assert len(body) == 86 + encryption.MOST_BYTES + 1 + 16
    assert encryption.encrypted(content, **browser.keys) != body


def test_ft_50_what_is_no_key_or_too_long_is_not_encrypted() -> None:
    keys = Browser("https://push.example/x").keys
    for name, wrong in (
        ("p256dh", keys["auth"]),
        ("p256dh", text_of(b"\4" + bytes(64))),
        ("p256dh", "ї"),
        ("auth", "A" * 20),
    ):
        with pytest.raises(encryption.BadKey):
            encryption.encrypted(b"x", **keys | {name: wrong})
    with pytest.raises(ValueError, match="negative count"):  # longer than its padding
        encryption.encrypted(bytes(encryption.MOST_BYTES + 1), **keys)


async def test_ft_50_only_what_cannot_wait_is_pushed(scene: Scene, service: receiver.Receiver) -> None:
    await subscribe(scene, scene.mentor, Browser(service.url))
    pushes = []
    for priority in ("routine", "urgent", "asap", "stat"):
        await scene.ask(priority=priority, question=f"{QUESTION} {priority}")
        await tell(scene)
        pushes.append(len(service.arrivals))
    assert pushes == [0, 0, 1, 2]


@pytest.mark.parametrize("status", [404, 410])
async def test_ft_51_a_device_that_is_gone_is_forgotten_and_told_of(
    scene: Scene, service: receiver.Receiver, lines: io.StringIO, status: int
) -> None:
    service.status(status)
    browser = Browser(f"{service.url}/SECRET-PATH")
    await subscribe(scene, scene.mentor, browser)
    await scene.ask(priority="asap")
    await tell(scene)
    assert await scene.rows("SELECT 1 FROM push_subscription") == []
    assert await states(scene) == ["refused"]
    written = lines.getvalue()
    (line,) = [entry for entry in map(json.loads, written.splitlines()) if entry["event"] == "push_device_gone"]
    assert (line["status"], line["host"], line["kind"]) == (status, "127.0.0.1", "push")
    assert "SECRET-PATH" not in written
    backlog = await health.backlog(scene.world)
    assert backlog.attempts["push", "gone"] == 1
    scene.clock.forward(minutes=30)
    await tell(scene)
    assert len(service.arrivals) == 1


async def test_ft_51_one_thing_is_told_once_to_each_device(scene: Scene, service: receiver.Receiver) -> None:
    for name in ("a", "b"):
        await subscribe(scene, scene.mentor, Browser(f"{service.url}/{name}"))
    await scene.ask(priority="stat")
    async with scene.world.database.work(actor.TIMER) as w:
        (row,) = await scene.rows("SELECT id, consultation_id FROM offer")
        offer, asked = await w.read(tables.Offer, row.id), await w.read(tables.Consultation, row.consultation_id)
        await news.offer_sent(w, await w.read(tables.Person, scene.mentor.id), asked, offer)
    await tell(scene)
    await tell(scene)
    assert len(service.arrivals) == 2
    assert await states(scene) == ["delivered"] * 2


async def test_ft_51_a_mail_server_that_is_away_holds_no_push_back(scene: Scene, service: receiver.Receiver) -> None:
    await subscribe(scene, scene.mentor, Browser(service.url))
    async with scene.world.database.work(actor.TIMER) as w:
        await mail_server.note(w, clock.new_id(), outcomes.Away(None, "connect", phase="connect"), w.now)
        await mail_server.hold(w)
    await scene.ask(priority="asap")
    await tell(scene)
    assert await states(scene) == ["delivered"]


async def test_ft_51_after_three_hours_without_the_service_only_what_is_of_use_is_pushed(
    scene: Scene, service: receiver.Receiver
) -> None:
    service.status(503)
    browser = Browser(service.url)
    await subscribe(scene, scene.mentor, browser)
    await scene.ask(priority="asap")
    for _ in range(18):  # three hours, in which others are asked, and the same mentor anew
        await tell(scene)
        scene.clock.forward(minutes=10)
    await tell(scene)
    attempts = await scene.rows("SELECT attempt, state, useless_after FROM delivery WHERE kind = 'push'")
    assert max(row.attempt for row in attempts) <= 4
    assert {row.state for row in attempts if row.useless_after <= scene.clock.now()} <= {"dead", "dropped"}
    service.status(201)
    before = len(service.arrivals)
    await tell(scene)
    await tell(scene)
    open_offers = await scene.rows("SELECT 1 FROM offer WHERE state = 'pending'")
    assert len(service.arrivals) - before <= len(open_offers), "no storm: nothing of the past is told"
    before = len(service.arrivals)
    await scene.ask(priority="asap", question=f"{QUESTION} 2")
    await tell(scene)
    told = [browser.read(arrival.body)["tag"] for arrival in service.arrivals[before:]]
    assert told == ["offer"]


async def test_ft_51_a_service_that_asks_for_patience_gets_it_as_long_as_the_answer_is_of_use(
    scene: Scene, service: receiver.Receiver
) -> None:
    service.status(429, "Retry-After: 1200")
    await subscribe(scene, scene.mentor, Browser(service.url))
    await scene.ask(priority="asap")
    await tell(scene)
    scene.clock.forward(minutes=19)
    await tell(scene)
    assert len(service.arrivals) == 1
    service.status(201)
    scene.clock.forward(minutes=2)
    await tell(scene)
    assert len(service.arrivals) == 2


async def test_ft_51_a_refused_key_is_our_fault_and_is_told_by_log_and_doctor(
    scene: Scene, service: receiver.Receiver, lines: io.StringIO
) -> None:
    service.status(403)
    await subscribe(scene, scene.mentor, Browser(service.url))
    await scene.ask(priority="stat")
    for _ in range(4):
        await tell(scene)
        scene.clock.forward(minutes=6)
    assert await states(scene) == ["dead"]
    assert "news_refused_for_our_fault" in lines.getvalue()
    findings = [finding async for finding in doctor.database(scene.world)]
    (finding,) = [finding for finding in findings if finding.subject == "news"]
    assert not finding.is_well
    assert "key_refused" in finding.detail
    assert await scene.rows("SELECT 1 FROM push_subscription"), "it may be mended"


async def test_ft_52_a_call_that_begins_is_pushed_to_both_sides_once_and_not_when_it_was_moved(
    scene: Scene, service: receiver.Receiver
) -> None:
    there, here = Browser(f"{service.url}/m"), Browser(f"{service.url}/c")
    await subscribe(scene, scene.mentor, there)
    await subscribe(scene, scene.clinician, here)
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    scene.clock.set(offer.starts[0] - timedelta(minutes=11))
    await tell(scene)
    assert service.arrivals == []
    scene.clock.forward(minutes=2)
    await tell(scene)
    await tell(scene)
    assert len(service.arrivals) == 2
    told = there.read(next(each.body for each in service.arrivals if _reads(there, each.body)))
    assert told["tag"] == "call"
    assert asked.number not in json.dumps(told)
    scene.clock.forward(minutes=20)
    await tell(scene)
    assert len(service.arrivals) == 2


def _reads(browser: Browser, body: bytes) -> bool:
    try:
        return bool(browser.read(body))
    except Exception:  # noqa: BLE001 - http_ece raises many
        return False


async def test_ft_52_a_call_that_is_called_off_meanwhile_is_told_nobody(
    scene: Scene, service: receiver.Receiver
) -> None:
    await subscribe(scene, scene.mentor, Browser(service.url))
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    scene.clock.set(offer.starts[0] - timedelta(minutes=9))
    await timers.once(scene.world.database)
    await scene.rows("UPDATE appointment SET status = 'cancelled' RETURNING 1")
    await tell(scene)
    assert service.arrivals == []
    assert await states(scene) == ["dropped"]


@pytest.mark.parametrize(
    "end", ["sign_out", "everywhere", "address", "disabled", "no_role", "switched_off", "answered", "unsubscribed"]
)
async def test_ft_53_what_has_ended_is_pushed_no_more(scene: Scene, service: receiver.Receiver, end: str) -> None:
    signed_in = await scene.act(scene.mentor, _sign_in(scene.mentor.email))
    family = UUID(bytes=signed_in.token_id.bytes)
    made = await subscribe(scene, scene.mentor, Browser(service.url), family)
    await scene.ask(priority="asap")
    (offer,) = await scene.rows("SELECT id FROM offer")

    async def changed(w: Work, **changes: object) -> None:
        await people.change(w, await w.read(tables.Person, scene.mentor.id), changes, [] if not changes else None)

    async def switch_off(w: Work) -> None:
        await preferences.change(w, await preferences.own(w, lock=True), {"notices": ["call.push"]})

    ways: dict[str, Any] = {
        "sign_out": lambda w: devices.end(w, family),
        "everywhere": devices.end_all,
        "unsubscribed": lambda w: push_subscriptions.unsubscribe(w, made),
        "switched_off": switch_off,
        "answered": lambda w: answers.decline(w, offer.id, "busy"),
        "disabled": lambda w: changed(w, state="disabled"),
        "no_role": changed,
        "address": lambda w: changed(w, email="other@hospital.example"),
    }
    if end in {"disabled", "no_role", "address"}:
        async with scene.world.database.work(actor.TIMER) as w:
            await ways[end](w)
    else:
        await scene.act(scene.mentor, ways[end])
    await tell(scene)
    assert service.arrivals == []
    assert await states(scene) == ["dropped"]
    if end in {"sign_out", "everywhere", "address", "disabled", "no_role"}:
        await housekeeping.run(scene.world.database, housekeeping.Kept(audit_days=400))
        assert await scene.rows("SELECT 1 FROM push_subscription") == []


def _sign_in(email: str) -> Any:  # noqa: ANN401 - a verb
    async def sign_in(w: Work) -> logins.SignedIn:
        token = await logins.link_token(w, email, timedelta(minutes=5))
        await w.finish()
        return await logins.exchange(w, token, logins.Browser("Firefox", is_own_device=True))

    return sign_in


async def test_ft_53_a_browser_is_one_persons_and_goes_on_with_their_next_visit(
    scene: Scene, service: receiver.Receiver
) -> None:
    browser = Browser(service.url)
    made = {"endpoint": browser.endpoint, "expirationTime": None, "keys": browser.keys}
    form = {"made": json.dumps(made)}
    async with scene.browser(scene.mentor) as visited:
        assert (await visited.post("/profile/push", data=form)).status_code == 303
        (row,) = await scene.rows("SELECT id, family_id FROM push_subscription")
        again = await visited.post("/profile/push", data=form)
        assert again.status_code == 303
        assert len(await scene.rows("SELECT 1 FROM push_subscription")) == 1
        await visited.post(await scene.sign_in_path(scene.mentor))
        (later,) = await scene.rows("SELECT id, family_id FROM push_subscription")
        assert later.id == row.id
        assert later.family_id != row.family_id
        await visited.post(await scene.sign_in_path(scene.clinician))
        assert await scene.rows("SELECT 1 FROM push_subscription") == [], "somebody else sits there now"
    async with scene.browser(scene.clinician) as visited:
        assert (await visited.post("/profile/push", data=form)).status_code == 303
    async with scene.browser(scene.mentor) as visited:
        assert (await visited.post("/profile/push", data=form)).status_code == 303
    rows = await scene.rows("SELECT person_id FROM push_subscription")
    assert [row.person_id for row in rows] == [scene.mentor.id]


async def test_ft_53_ten_devices_of_a_person_at_most_the_oldest_goes(scene: Scene) -> None:
    ids = []
    for number in range(push_subscriptions.MOST + 2):
        ids.append(await subscribe(scene, scene.mentor, Browser(f"http://127.0.0.1:9/{number}")))
        scene.clock.forward(seconds=1)
    rows = await scene.rows("SELECT id FROM push_subscription")
    assert {row.id for row in rows} == set(ids[2:])


async def test_ft_53_what_is_kept_of_a_device_is_sealed_given_out_and_erased(scene: Scene) -> None:
    await subscribe(scene, scene.mentor, Browser("http://127.0.0.1:9/SECRET-PATH"))
    ((sealed,),) = await scene.rows("SELECT sealed FROM push_subscription")
    assert b"SECRET" not in sealed
    async with scene.world.database.work(actor.TIMER) as w:
        given = await privacy.dossier(w, scene.mentor.email)
        assert [device["device"] for device in given["devices_told"]] == ["Firefox, Android"]
        assert "SECRET" not in repr(given)
        await privacy.erase(w, scene.mentor.email)
    assert await scene.rows("SELECT 1 FROM push_subscription") == []


async def test_ft_54_text_messages_are_off_until_there_is_a_gateway_and_a_number(
    scene: Scene, service: receiver.Receiver, lines: io.StringIO
) -> None:
    with pytest.raises(errors.Invalid):
        await choose(scene, scene.mentor, notices=["offer.sms"])
    await choose(scene, scene.mentor, notices=["offer.sms"], phone="+33 1 23 45 67 89")
    async with scene.browser(scene.mentor) as browser:
        assert 'value="offer.sms"' not in (await browser.get("/profile")).text
    await scene.ask(priority="asap")
    await tell(scene)
    assert await states(scene) == ["refused"]
    assert "news_refused_for_our_fault" in lines.getvalue()
    token = SecretStr("gateway-token-0123456789")
    scene.world.settings = scene.world.settings.model_copy(update={"sms_url": service.url, "sms_token": token})
    async with scene.browser(scene.mentor) as browser:
        assert 'value="offer.sms"' in (await browser.get("/profile")).text
    asked = await scene.ask(priority="asap", question=f"{QUESTION} 2")
    await tell(scene)
    (arrival,) = service.arrivals
    sent = json.loads(arrival.body)
    assert sent["to"] == "+33123456789"
    assert sent["text"].startswith("Your help is asked for, very urgently.")
    assert sent["text"].endswith(f"{scene.world.settings.base_url}/")
    assert asked.number not in sent["text"]
    assert arrival.headers["authorization"] == "Bearer gateway-token-0123456789"
    assert UUID(sent["reference"]).version == 7
    assert "+33123456789" not in lines.getvalue()


async def test_ft_54_what_a_gateway_says_decides_what_becomes_of_it(scene: Scene, service: receiver.Receiver) -> None:
    scene.world.settings = scene.world.settings.model_copy(update={"sms_url": service.url})
    await choose(scene, scene.mentor, notices=["offer.sms"], phone="+33123456789")
    said = ((200, "delivered"), (422, "refused"), (401, "ours"), (500, "retry"), (410, "retry"))
    for status, _ in said:
        service.status(status)
        await scene.ask(priority="stat", question=f"{QUESTION} {status}")
        await tell(scene)
    rows = await scene.rows("SELECT outcome FROM delivery_attempt ORDER BY delivery_id, attempt")
    assert [row[0] for row in rows] == [outcome for _, outcome in said]
    last = json.loads(service.arrivals[-1].body)["reference"]
    scene.clock.forward(minutes=1)
    await tell(scene)
    assert last in [json.loads(arrival.body)["reference"] for arrival in service.arrivals[5:]]
