"""Receivers that are slow, huge, endless, broken or badly certified: each costs its own endpoint, and little."""

import asyncio
import contextlib
import gzip
import itertools
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import flow
import postoffice
import receiver
from integrations import outbound_http, outbound_posts
from integrations.runtime import webhook_lanes
from integrations.runtime.settings import Settings
from integrations.webhooks import sending
from receiver import happen, log
from service.kernel import actor, outcomes
from service.outbox import webhooks as service_webhooks
from service.rules.delivery import receiver as fares

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = Settings(outbound_allow=("127.0.0.0/8",))
OK = b"HTTP/1.1 200 OK\r\n"


PATIENT, HASTY = 60.0, 0.4
"""Deadlines in seconds: one that nothing reaches, however slow the machine; one that soon ends what has no end."""


async def served(
    serve: receiver.Serve, certificate: ssl.SSLContext | None = None, deadline_seconds: float = PATIENT
) -> outcomes.Outcome:
    """Send one webhook to what serves like this."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await serve(reader, writer)

    async with receiver.serving(once, certificate) as port, outbound_http.client(LOOPBACK) as client:
        return await sent(client, f"http{'s' if certificate else ''}://127.0.0.1:{port}/", deadline_seconds)


async def sent(client: httpx.AsyncClient, url: str, deadline_seconds: float = PATIENT) -> outcomes.Outcome:
    return await sending.post(
        client, url, "id", "{}", signature="v1", secrets=["AAAA"], deadline_seconds=deadline_seconds
    )


def drips(head: bytes, drop: bytes) -> receiver.Serve:
    """Say the head, then a drop at a time for ever: each read has something, and never is there an end."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    return serve


def floods(head: bytes, wave: bytes) -> receiver.Serve:
    """Say the head, then as much as is taken."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(wave)
            await writer.drain()

    return serve


def says(*parts: bytes) -> receiver.Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(parts)
        await writer.drain()

    return serve


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def resets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
HOSTILE: dict[str, tuple[receiver.Serve, str]] = {
    "never answers": (silent, "timeout"),
    "drips the status line": (drips(b"", b"H"), "timeout"),
    "drips headers": (drips(OK, b"X-Drop: 1\r\n"), "timeout"),
    "drips early hints": (drips(b"", HINTS), "timeout"),
    "floods with early hints": (floods(b"", HINTS * 100), "too_large"),
    "floods with headers": (floods(OK, b"X-Flood: " + b"x" * 900 + b"\r\n"), "too_large"),
    "one endless header": (floods(OK + b"X: ", b"x" * 4096), "too_large"),
    "resets": (resets, "broken_answer"),
    "hangs up": (says(), "broken_answer"),
    "speaks another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "broken_answer"),
    "a status that is none": (says(b"HTTP/1.1 2x0 OK\r\n\r\n"), "broken_answer"),
    "headers that are none": (says(OK, b"\x00\xff\r\n\r\n"), "broken_answer"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_wh_09_a_hostile_receiver_is_a_failure_within_the_deadline(kind: str) -> None:
    serve, error = HOSTILE[kind]
    # What is ended by the deadline is tried with a short one; what is ended before it, with one that does not end it.
    deadline_seconds = HASTY if error == "timeout" else PATIENT
    async with asyncio.timeout(PATIENT / 2):
        assert await served(serve, deadline_seconds=deadline_seconds) == outcomes.Retry(None, error)


@pytest.mark.parametrize(
    "wait",
    [
        b"Mon, 01 Jan 99999999999999 00:00:00 GMT",
        b"Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        b"Mon, 01 Jan 0001 00:00:00 +2359",
        b"9" * 400,
        b"-1",
        b"soon",
    ],
)
async def test_a_wait_that_is_none_steers_nothing(wait: bytes) -> None:
    outcome = await served(says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + wait + b"\r\n\r\n"))
    assert isinstance(outcome, outcomes.Retry)
    assert (outcome.error, outcome.status) == ("status", 503)


@pytest.mark.parametrize(
    ("head", "wave"),
    [
        (OK + b"\r\n", b"x" * 65_536),
        (OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65_536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 65_535 + b"\r\n"),
    ],
    ids=["without an end", "of a declared size", "in chunks"],
)
async def test_wh_10_a_huge_answer_is_not_read_and_its_status_counts(head: bytes, wave: bytes) -> None:
    async with asyncio.timeout(PATIENT / 2):  # before the deadline: what has no end is broken off by us
        outcome = await served(floods(head, wave))
    assert outcome == outcomes.Delivered(200, "x" * 1_024, is_whole=False)


async def test_wh_10_an_answer_that_breaks_off_counts_by_its_status_and_is_not_whole() -> None:
    outcome = await served(says(OK + b"Content-Length: 9\r\n\r\n", b"begun"))
    assert outcome == outcomes.Delivered(200, "begun", is_whole=False)


async def test_wh_10_an_answer_that_comes_to_its_end_is_whole() -> None:
    assert await served(says(OK + b"Content-Length: 4\r\n\r\n", b"done")) == outcomes.Delivered(200, "done")


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
UNENDED: dict[str, receiver.Serve] = {
    "hangs": drips(b"Content-Length: 9\r\n\r\n", b""),
    "hangs without a length": drips(b"\r\n", b""),
    "hangs between chunks": drips(CHUNKED + b"1\r\nx\r\n", b""),
    "drips": drips(b"Content-Length: 60000\r\n\r\n", b"x"),
    "drips trailers": drips(CHUNKED + b"0\r\n", b"X-Drop: 1\r\n"),
    "breaks off": says(b"Content-Length: 9\r\n\r\n", b"begun"),
    "breaks off in a chunk": says(CHUNKED, b"9\r\nbegun"),
    "declares too much": says(b"Content-Length: 99999999999\r\n\r\n", b"x"),
    "is too large": floods(b"\r\n", b"x" * 65_536),
    "has garbage for a chunk": says(CHUNKED, b"zz\r\nnot a chunk"),
    "has garbage for a trailer": says(CHUNKED, b"0\r\n\x00\xff\r\n\r\n"),
    "lies about its encoding": says(b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n", b"what"),
}
RESULTS: dict[bytes, tuple[type, int | None]] = {
    b"200 OK": (outcomes.Delivered, None),
    b"202 Accepted": (outcomes.Delivered, None),
    b"410 Gone": (outcomes.Gone, None),
    b"404 Not Found": (outcomes.Retry, None),
    b"302 Found\r\nLocation: /": (outcomes.Retry, None),
    b"503 Busy\r\nRetry-After: 120": (outcomes.Retry, 120),
}


@pytest.mark.parametrize("status", RESULTS, ids=[status[:3].decode() for status in RESULTS])
@pytest.mark.parametrize("rest", UNENDED)
async def test_ft_28_the_status_counts_whatever_becomes_of_the_rest(
    rest: str, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound_posts, "BODY_SECONDS", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + status + b"\r\n")
        await UNENDED[rest](reader, writer)

    async with asyncio.timeout(PATIENT / 2):
        outcome = await served(serve)
    kind, wait = RESULTS[status]
    assert type(outcome) is kind
    assert outcome.status == int(status[:3])
    assert getattr(outcome, "after_seconds", None) == wait


@pytest.mark.parametrize("rest", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_ft_28_an_answer_without_content_that_sends_some_is_delivered(rest: bytes) -> None:
    outcome = await served(says(b"HTTP/1.1 204 No Content\r\n" + rest + b"\r\n", b"5\r\nstuff\r\n0\r\n\r\n"))
    assert isinstance(outcome, outcomes.Delivered)
    assert outcome.status == 204


async def test_ft_28_a_body_that_outlasts_the_whole_deadline_takes_nothing_back() -> None:
    outcome = await served(drips(OK + b"Content-Length: 9\r\n\r\n", b""), deadline_seconds=HASTY)
    assert outcome == outcomes.Delivered(200, "", is_whole=False)


@pytest.mark.parametrize("status", [b"100 Continue", b"101 Switching Protocols", b"102 Processing", b"199 Odd"])
async def test_ft_28_a_head_that_is_no_answer_yet_is_no_success(status: bytes) -> None:
    async with asyncio.timeout(PATIENT / 2):
        outcome = await served(says(b"HTTP/1.1 " + status + b"\r\n\r\n"))
    assert isinstance(outcome, outcomes.Retry)


@pytest.mark.races
async def test_ft_28_a_receiver_whose_bodies_hang_gets_everything_once(
    outbound: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound_posts, "BODY_SECONDS", 0.05)
    monkeypatch.setattr(fares, "PAUSE_SECONDS", 0.01)
    names = list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.append(re.findall(rb"webhook-id: (\S+)", await reader.readuntil(b"\r\n\r\n"))[0].decode())
        await drips(OK + b"Content-Length: 9\r\n\r\n", b"")(reader, writer)

    async with receiver.serving(serve) as port:
        made = await receiver.endpoint(outbound, f"http://127.0.0.1:{port}/")
        await happen(outbound, 6)
        await receiver.sent(outbound, made)
    assert len(set(names)) == len(names) == 6
    assert {(delivery["state"], len(delivery["attempts"])) for delivery in await log(outbound, made)} == {
        ("delivered", 1)
    }


async def test_a_compressed_answer_is_never_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    outcome = await served(says(head, bomb))
    assert isinstance(outcome, outcomes.Delivered)
    assert len(outcome.response or "") <= 1_024


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a server shows that nobody has vouched for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    began = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, began, began + timedelta(days=9999))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(certificate: ssl.SSLContext) -> None:
    assert await served(says(OK, b"\r\n"), certificate) == outcomes.Retry(None, "tls_failed")


async def test_what_does_not_listen_has_failed() -> None:
    async with receiver.opened() as hospital:
        pass
    async with outbound_http.client(LOOPBACK) as client:
        assert await sent(client, hospital.url) == outcomes.Retry(None, "connect_failed")


async def test_a_cookie_that_a_receiver_sets_is_not_kept() -> None:
    async with receiver.opened() as hospital, outbound_http.client(LOOPBACK) as client:
        hospital.status(200, "Set-Cookie: a=b")
        for _ in range(2):
            await sent(client, hospital.url)
    assert [arrival.headers.get("cookie") for arrival in hospital.arrivals] == [None, None]


# --- nobody else pays --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def going(scene: flow.Scene, endpoints: "Iterable[UUID]") -> AsyncIterator[webhook_lanes.Lanes]:
    """Have the lanes of these endpoints run."""
    found = webhook_lanes.Lanes(scene.world, deadline_seconds=30)
    for endpoint_id in endpoints:
        found.wake(endpoint_id)
    try:
        yield found
    finally:
        await found.stop()


@pytest.mark.races
async def test_wh_12_slow_receivers_take_their_few_places_and_hold_up_nobody(outbound: flow.Scene) -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(receiver.opened(receiver.Receiver(seconds=2))) for _ in range(4)]
        quick = await stack.enter_async_context(receiver.opened())
        made = [await receiver.endpoint(outbound, one.url) for one in (*slow, quick)]
        await happen(outbound, 60)
        async with going(outbound, [UUID(one["id"]) for one in made]):
            await postoffice.until(lambda: len(quick.arrivals) == 60)
            begun = [len(one.arrivals) for one in slow]
    assert all(count < 60 for count in begun)
    assert {one.most_in_flight for one in slow} == {fares.EACH}
    assert quick.most_in_flight <= fares.EACH


@pytest.mark.races
async def test_a_very_slow_receiver_gets_one_call_at_a_time(
    outbound: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fares, "SLOW_SECONDS", 0.2)
    async with receiver.opened(receiver.Receiver(seconds=0.3)) as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound, 20)
        async with going(outbound, [UUID(made["id"])]):
            await postoffice.until(lambda: len(hospital.arrivals) == fares.EACH + 1)
            most_at_first, hospital.most_in_flight = hospital.most_in_flight, 0
            await postoffice.until(lambda: len(hospital.arrivals) == fares.EACH + 4)
            most_later = hospital.most_in_flight
    assert (most_at_first, most_later) == (fares.EACH, 1)


def cut_off(calls: list[str], most: list[int]) -> receiver.Serve:
    """Take everything with an answer that has no end; keeps the ids, and how many were in flight with each."""
    under_way: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = re.findall(rb"webhook-id: (\S+)", await reader.readuntil(b"\r\n\r\n"))[0].decode()
        under_way.add(name)
        calls.append(name)
        most.append(len(under_way))
        try:
            await asyncio.sleep(0.02)
            await floods(OK + b"\r\n", b"x" * 65_536)(reader, writer)
        finally:
            under_way.discard(name)

    return serve


async def delivered(scene: flow.Scene, count: int) -> bool:
    return len(await scene.rows("SELECT 1 FROM delivery WHERE state = 'delivered'")) >= count


@pytest.mark.races
async def test_wh_12_a_receiver_whose_answers_have_no_end_gets_four_calls_and_then_a_pause(
    outbound: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fares, "PAUSE_SECONDS", 3_600)
    calls, most = list[str](), list[int]()
    async with receiver.serving(cut_off(calls, most)) as port:
        made = await receiver.endpoint(outbound, f"http://127.0.0.1:{port}/")
        await happen(outbound, 12)
        async with going(outbound, [UUID(made["id"])]):
            await postoffice.until(lambda: delivered(outbound, fares.EACH))
            await asyncio.sleep(0.3)  # in which it would have had all twelve
            states = await outbound.rows("SELECT state, attempt FROM delivery ORDER BY state, attempt")
    assert len(calls) == fares.EACH
    assert [tuple(row) for row in states] == [("delivered", 1)] * 4 + [("pending", 0)] * 8


@pytest.mark.races
async def test_wh_12_a_receiver_whose_answers_have_no_end_gets_all_one_call_at_a_time(
    outbound: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fares, "PAUSE_SECONDS", 0.05)
    calls, most = list[str](), list[int]()
    async with receiver.serving(cut_off(calls, most)) as port:
        made = await receiver.endpoint(outbound, f"http://127.0.0.1:{port}/")
        await happen(outbound, 10)
        await receiver.sent(outbound, made)
    assert len(set(calls)) == len(calls) == 10
    assert set(most[fares.EACH :]) == {1}
    assert {delivery["state"] for delivery in await log(outbound, made)} == {"delivered"}


async def test_a_call_that_goes_wrong_by_our_own_fault_takes_no_other_along(
    outbound: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = sending.post
    calls = itertools.count()

    async def flawed(*args: Any, **named: Any) -> outcomes.Outcome:  # noqa: ANN401 - as they come
        if next(calls) == 1:
            raise RuntimeError
        return await post(*args, **named)

    monkeypatch.setattr(sending, "post", flawed)
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound, 4)
        await receiver.sent(outbound, made)
    states = sorted(delivery["state"] for delivery in await log(outbound, made))
    assert states == ["delivered", "delivered", "delivered", "pending"]
    errors = [attempt["error"] for delivery in await log(outbound, made) for attempt in delivery["attempts"]]
    assert sorted(errors, key=str) == [None, None, None, "broken_answer"]


@pytest.mark.races
async def test_a_lane_that_is_stopped_finishes_its_calls_and_gives_back_the_rest(outbound: flow.Scene) -> None:
    async with receiver.opened(receiver.Receiver(seconds=0.3)) as hospital:
        made = await receiver.endpoint(outbound, hospital.url)
        await happen(outbound, 40)
        async with going(outbound, [UUID(made["id"])]):
            await postoffice.until(lambda: hospital.in_flight == fares.EACH)
    rows = await outbound.rows("SELECT state, attempt, next_attempt_at FROM delivery ORDER BY state")
    assert [row.attempt for row in rows if row.state == "delivered"] == [1] * len(hospital.arrivals)
    waiting = [row for row in rows if row.state == "pending"]
    assert len(waiting) == 40 - len(hospital.arrivals) > 20
    assert {(row.attempt, row.next_attempt_at) for row in waiting} == {(0, outbound.clock.now())}


async def test_a_late_worker_does_not_settle_what_was_claimed_again(outbound: flow.Scene) -> None:
    made = await receiver.endpoint(outbound, "http://127.0.0.1:1/")
    await happen(outbound)
    lots = []
    for _ in range(2):
        async with outbound.world.database.work(actor.TIMER) as w:
            lots.append(await service_webhooks.claim(w, UUID(made["id"]), 10))
        outbound.clock.forward(seconds=61)
        await postoffice.leases_end(outbound)
    late, quick = lots
    assert late is not None
    assert quick is not None
    for lot, outcome in ((quick, outcomes.Delivered(200)), (late, outcomes.Retry(None, "late"))):
        async with outbound.world.database.work(actor.TIMER) as w:
            await service_webhooks.settle(w, lot, [service_webhooks.Attempt(lot.parcels[0], outcome, w.now, 1)])
    (delivery,) = await log(outbound, made)
    assert [attempt["attempt"] for attempt in delivery["attempts"]] == [2]
    assert delivery["state"] == "delivered"
