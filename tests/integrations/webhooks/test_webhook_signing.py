"""Webhooks, from the change to the bytes at the partner: signed so that the published libraries agree, thin, once."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

import flow
import receiver
from integrations.webhooks import sending
from receiver import Arrival, happen, sent
from service.kernel import actor, clock
from service.outbox import webhooks as lots

PATH = "/v1/webhook-endpoints"
VERIFIER = Path(__file__).parent / "verify.js"
SECRET = base64.b64encode(bytes(range(32))).decode()
Json = Any


def python_accepts(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Ask the published Python library."""
    try:
        standardwebhooks.Webhook(secret).verify(body, headers)
    except (standardwebhooks.WebhookVerificationError, ValueError):
        return False
    return True


def javascript_accepts(cases: list[tuple[str, dict[str, str], bytes]]) -> list[bool]:
    """Ask the published JavaScript library."""
    if shutil.which("node") is None:
        pytest.skip("no node on this machine: the JavaScript library is left out")
    told = json.dumps([{"secret": s, "headers": h, "body": b.decode("latin-1")} for s, h, b in cases])
    found = subprocess.run(["node", VERIFIER], input=told.encode(), capture_output=True, check=False, timeout=60)
    assert found.returncode == 0, f"the library cannot run (make setup-node): {found.stderr.decode()[-500:]}"
    verdicts: list[bool] = json.loads(found.stdout)
    return verdicts


# --- signing -----------------------------------------------------------------------------------------------------


async def test_wh_01_every_delivery_has_the_three_headers_and_both_published_libraries_accept_it(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await outbound.booked()
        await sent(outbound, made)
    cases = [(made["secret"], arrival.headers, arrival.body) for arrival in hospital.arrivals]
    assert all(python_accepts(*case) for case in cases)
    assert all(javascript_accepts(cases))
    for arrival in hospital.arrivals:
        assert re.fullmatch(r"\d{10}", arrival.headers["webhook-timestamp"])
        assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", arrival.headers["webhook-signature"])
        assert "." not in arrival.headers["webhook-id"]
    assert len(set(hospital.ids)) == len(hospital.ids)
    assert "appointment.booked" in {json.loads(arrival.body)["type"] for arrival in hospital.arrivals}


async def test_wh_01_id_and_body_are_the_same_on_a_retry_and_the_timestamp_is_the_attempts_on_the_wall_clock(
    outbound: flow.Scene,
) -> None:
    outbound.clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound)
        hospital.status(500)
        await sent(outbound, made)
        outbound.clock.forward(days=1)
        hospital.status(200)
        await sent(outbound, made)
    first, second = hospital.arrivals
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    for arrival in hospital.arrivals:
        assert abs(int(arrival.headers["webhook-timestamp"]) - clock.wall().timestamp()) < 60
        assert python_accepts(made["secret"], arrival.headers, arrival.body)


def forged() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """What both libraries must refuse: one bit flipped anywhere, out of tolerance, another secret."""
    body = b'{"type":"offer.sent","timestamp":"2026-11-20T10:35:00Z","data":{"id":"1","version":1,"links":{}}}'
    now = clock.wall()
    right = sending.headers_of("message", body, now, "v1", [SECRET])
    secret = f"whsec_{SECRET}"
    for place in range(len(body) * 8):
        changed = bytearray(body)
        changed[place // 8] ^= 1 << place % 8
        if bytes(changed).isascii():
            yield f"bit {place}", secret, right, bytes(changed)
    version, _, signature = right["webhook-signature"].partition(",")
    signed = base64.b64decode(signature)
    for place in range(len(signed) * 8):
        # of the decoded bytes: the last character of base64 also holds bits that mean nothing
        changed = bytearray(signed)
        changed[place // 8] ^= 1 << place % 8
        other = f"{version},{base64.b64encode(changed).decode()}"
        yield f"signature bit {place}", secret, right | {"webhook-signature": other}, body
    for name in ("webhook-id", "webhook-timestamp"):
        yield name, secret, right | {name: f"{right[name][:-1]}x"}, body
    for name in right:
        yield f"no {name}", secret, {n: v for n, v in right.items() if n != name}, body
    for minutes in (-6, 6):
        at = now + timedelta(minutes=minutes)
        yield f"{minutes} min", secret, sending.headers_of("message", body, at, "v1", [SECRET]), body
    yield "other secret", f"whsec_{base64.b64encode(bytes(32)).decode()}", right, body


def test_wh_03_both_published_libraries_refuse_a_flipped_bit_a_time_out_of_tolerance_and_another_secret() -> None:
    cases = list(forged())
    assert len(cases) > 850
    assert [name for name, *case in cases if python_accepts(*case)] == []  # type: ignore[arg-type]
    verdicts = javascript_accepts([(secret, headers, body) for _, secret, headers, body in cases])
    assert [case[0] for case, is_accepted in zip(cases, verdicts, strict=True) if is_accepted] == []


def test_wh_03_our_signature_is_the_librarys_for_the_same_instant() -> None:
    at = datetime(2026, 11, 21, 15, tzinfo=UTC)
    ours = sending.headers_of("message", b"{}", at, "v1", [SECRET])["webhook-signature"]
    assert ours == standardwebhooks.Webhook(f"whsec_{SECRET}").sign("message", at, "{}")


async def test_wh_02_a_secret_is_whsec_with_32_random_bytes_its_own_for_each_endpoint_and_shown_once(
    outbound: flow.Scene,
) -> None:
    made = [await receiver.endpoint(outbound, "https://hospital.example/in") for _ in range(2)]
    secrets = [one["secret"] for one in made]
    assert len({base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets}) == 2
    assert {len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) for secret in secrets} == {32}
    shown = await outbound.get("coordinator", f"{PATH}/{made[0]['id']}")
    listed = await outbound.get("coordinator", PATH)
    assert "secret" not in shown
    assert secrets[0] not in json.dumps(listed)


async def test_wh_02_a_secret_lies_in_no_row_as_it_is(outbound: flow.Scene) -> None:
    made = await receiver.endpoint(outbound, "https://hospital.example/in")
    text = made["secret"].removeprefix("whsec_")
    (row,) = await outbound.rows("SELECT sealed FROM webhook_secret")
    assert text.encode() not in row.sealed
    assert base64.b64decode(text) not in row.sealed
    key = {"Idempotency-Key": "once"}
    body = {"url": "https://hospital.example/in"}
    first = await outbound.call("coordinator", "POST", PATH, body, headers=key, status=201)
    again = await outbound.call("coordinator", "POST", PATH, body, headers=key, status=201)
    assert again.json() == first.json() | {"secret": None}
    kept = await outbound.rows("SELECT CAST(body AS text) AS text FROM idempotency_key")
    assert first.json()["secret"] not in kept[0].text


async def test_wh_02_an_endpoint_with_ed25519_is_signed_for_with_a_key_that_only_we_hold(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url, signature="v1a")
        await happen(outbound)
        await sent(outbound, made)
    assert made["secret"] is None
    key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(made["public_key"].removeprefix("whpk_")))
    (arrival,) = hospital.arrivals
    version, _, signature = arrival.headers["webhook-signature"].partition(",")
    head = f"{arrival.headers['webhook-id']}.{arrival.headers['webhook-timestamp']}.".encode()
    key.verify(base64.b64decode(signature), head + arrival.body)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature), head + arrival.body + b" ")
    assert version == "v1a"


async def rotated(scene: flow.Scene, made: Json, **fields: int) -> Json:
    return await scene.post("coordinator", f"{PATH}/{made['id']}/rotate-secret", fields or None)


async def arrived(scene: flow.Scene, hospital: receiver.Receiver, made: Json) -> Arrival:
    """Have one more event sent, and give what came."""
    await happen(scene)
    await sent(scene, made)
    return hospital.arrivals[-1]


async def test_wh_04_after_a_rotation_old_and_new_both_sign_for_a_day(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        new = await rotated(outbound, made)
        outbound.clock.forward(hours=23, minutes=59)
        before = await arrived(outbound, hospital, made)
        outbound.clock.forward(minutes=2)
        after = await arrived(outbound, hospital, made)
    assert len(before.headers["webhook-signature"].split(" ")) == 2
    assert [python_accepts(one["secret"], before.headers, before.body) for one in (made, new)] == [True, True]
    assert [python_accepts(one["secret"], after.headers, after.body) for one in (made, new)] == [False, True]


async def test_wh_04_a_secret_whose_key_is_gone_does_not_keep_the_other_from_signing(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        new = await rotated(outbound, made)
        sealed = "UPDATE webhook_secret SET sealed = '\\x026b31' || gen_random_uuid()::text::bytea"
        await outbound.rows(f"{sealed} WHERE expires_at IS NOT NULL RETURNING 1")
        arrival = await arrived(outbound, hospital, made)
        assert python_accepts(new["secret"], arrival.headers, arrival.body)
        async with outbound.world.database.work(actor.TIMER) as w:
            assert await lots.unreadable(w) == 0
        await outbound.rows(f"{sealed} RETURNING 1")
        async with outbound.world.database.work(actor.TIMER) as w:
            assert await lots.unreadable(w) == 1


async def test_wh_04_an_overlap_of_none_ends_the_old_secret_at_once_and_longer_than_a_week_is_refused(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        new = await rotated(outbound, made, overlap_hours=0)
        arrival = await arrived(outbound, hospital, made)
    assert [python_accepts(one["secret"], arrival.headers, arrival.body) for one in (made, new)] == [False, True]
    await outbound.post("coordinator", f"{PATH}/{made['id']}/rotate-secret", {"overlap_hours": 169}, 422)


async def test_wh_04_at_most_ten_old_secrets_sign(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        for _ in range(10):
            await rotated(outbound, made)
        await outbound.post("coordinator", f"{PATH}/{made['id']}/rotate-secret", None, 409)
        arrival = await arrived(outbound, hospital, made)
        outbound.clock.forward(days=1)
        await rotated(outbound, made)
    assert len(arrival.headers["webhook-signature"].split(" ")) == 11
    assert python_accepts(made["secret"], arrival.headers, arrival.body)


async def test_wh_04_a_later_rotation_with_a_shorter_overlap_ends_all_earlier_secrets_when_it_says(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        second = await rotated(outbound, made, overlap_hours=168)
        third = await rotated(outbound, made, overlap_hours=1)
        outbound.clock.forward(hours=1)
        arrival = await arrived(outbound, hospital, made)
    held = [python_accepts(one["secret"], arrival.headers, arrival.body) for one in (made, second, third)]
    assert held == [False, False, True]


async def test_wh_04_a_rotation_that_ends_all_old_secrets_at_once_is_possible_with_ten_of_them(
    outbound: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        for _ in range(10):
            await rotated(outbound, made)
        await rotated(outbound, made, overlap_hours=0)
        arrival = await arrived(outbound, hospital, made)
    assert len(arrival.headers["webhook-signature"].split(" ")) == 1


async def test_wh_05_wh_06_what_is_sent_is_small_thin_and_what_was_recorded(outbound: flow.Scene) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await flow.logged(outbound)
        await sent(outbound, made)
    recorded = {str(row.id): row.body for row in await outbound.rows("SELECT id, body FROM event")}
    assert {arrival.headers["webhook-id"]: arrival.body.decode() for arrival in hospital.arrivals} == recorded
    for arrival in hospital.arrivals:
        body = json.loads(arrival.body)
        assert len(arrival.body) <= 20_000
        assert body.keys() == {"type", "timestamp", "data"}
        assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", body["type"])
        assert body["data"].keys() <= flow.THIN
        assert arrival.headers["content-type"] == "application/json; charset=utf-8"
    everything = b"".join(arrival.body for arrival in hospital.arrivals)
    secrets = [flow.QUESTION, *(p.email for p in outbound.people.values()), outbound.people["mentor"].display_name]
    assert [text for text in secrets if text.encode() in everything] == []
