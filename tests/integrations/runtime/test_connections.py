"""Connections as a real `pobratym serve` process treats them, seen through raw sockets."""

import asyncio
import base64
import contextlib
import http.client
import os
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL

import postoffice
import world as simulated
from service.kernel import clock

pytestmark = pytest.mark.slow
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
CONNECTIONS = 20
HALF_A_HEAD = b"GET /health/live HTTP/1.1\r\nHost: pobratym\r\nX-Half: "
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: pobratym\r\n\r\n"


class Served:
    """A process that serves, with short deadlines, and what to talk to it with."""

    def __init__(self, port: int) -> None:
        self.port = port

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer(self, *pieces: bytes, pause: float = 0) -> bytes:
        """Send the pieces, and give all that comes until the server closes."""
        async with self.connected() as (reader, writer):
            reading = asyncio.create_task(_all_of(reader))
            for piece in pieces:
                writer.write(piece)
                with contextlib.suppress(OSError):
                    await writer.drain()
                if pause:
                    await asyncio.wait([reading], timeout=pause)
            return await reading

    async def figure(self, reason: str) -> float:
        async with httpx.AsyncClient(timeout=postoffice.PATIENCE_SECONDS) as client:
            text = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text
        name = f'pobratym_connections_ended_total{{reason="{reason}"}} '
        return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0)


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            received += piece
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture(scope="module")
async def served(server_url: URL, template: str, data_dir: Path) -> AsyncIterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with simulated.database(server_url, f"pobratym_{clock.new_id().hex}", template) as url:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("POBRATYM_")} | {
            "POBRATYM_DATABASE_URL": url.render_as_string(hide_password=False),
            "POBRATYM_SECRET_KEYS": f"test:{KEY}",
            "POBRATYM_DATA_DIR": str(data_dir),
            "POBRATYM_HEAD_SECONDS": "1",
            "POBRATYM_BODY_SECONDS": "1",
            "POBRATYM_ANSWER_SECONDS": "1",
            "POBRATYM_CONNECTIONS": str(CONNECTIONS),
            "POBRATYM_SIGN_INS_PER_MINUTE": "0",
            "POBRATYM_LOG_LEVEL": "error",
        }
        program = "from api.cli.main import main; main()"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, "serve", "--no-worker", "--port", str(port),
            cwd=postoffice.ROOT, env=environment,
        )  # fmt: skip
        try:
            await postoffice.until(lambda: _is_live(port))
            yield Served(port)
        finally:
            process.terminate()
            await process.wait()


async def _is_live(port: int) -> bool:
    async with httpx.AsyncClient() as client:
        with contextlib.suppress(httpx.HTTPError):
            return (await client.get(f"http://127.0.0.1:{port}/health/live")).is_success
    return False


async def test_sec_06_half_a_head_is_given_up_and_said_so(served: Served) -> None:
    before = await served.figure("head_too_slow")
    answers = await asyncio.gather(*(served.answer(HALF_A_HEAD) for _ in range(CONNECTIONS - 2)))

    assert {status(answer) for answer in answers} == {408}
    assert b"/problems/request-timeout" in answers[0]
    assert await served.figure("head_too_slow") == before + CONNECTIONS - 2


@pytest.mark.parametrize(
    "pieces",
    [
        [HALF_A_HEAD, *[b"x"] * 40],
        [b"\r\n"] * 40,
        [b"G", b"E", *[b"T"] * 38],
        [WHOLE, *[b"\r\n"] * 40],
    ],
    ids=["a byte at a time", "empty lines", "a method without an end", "behind an answer"],
)
async def test_sec_06_a_head_that_trickles_is_given_up_as_well(served: Served, pieces: list[bytes]) -> None:
    answer = await served.answer(*pieces, pause=0.1)

    assert status(answer) in {0, 200, 400, 408}  # what matters: the connection was closed by the server


async def test_sec_06_a_connection_that_says_nothing_is_closed(served: Served) -> None:
    assert await served.answer() == b""


async def test_sec_06_a_head_without_an_end_is_cut_off(served: Served) -> None:
    answer = await served.answer(b"GET / HTTP/1.1\r\nX-Long: ", *[b"x" * 50_000] * 20)

    assert status(answer) == 431


async def test_sec_06_a_body_that_stops_coming_is_given_up(served: Served) -> None:
    head = (
        b"POST /sign-in HTTP/1.1\r\nHost: pobratym\r\nContent-Length: 60000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nemail="
    )

    assert status(await served.answer(head)) == 408
    assert status(await served.answer(head, *[b"x"] * 60, pause=0.1)) == 408


async def test_sec_06_one_connection_too_many_is_answered_and_the_others_go_on(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(served.connected()) for _ in range(CONNECTIONS)]
        surplus = await served.answer()
        reader, writer = opened[0]
        writer.write(WHOLE)
        first = await reader.readuntil(b"\r\n")

    assert status(surplus) == 503
    assert status(first) == 200
    await postoffice.until(lambda: _is_live(served.port))
    assert await served.figure("full") >= 1


async def test_sec_06_an_answer_that_nobody_reads_is_given_up(served: Served) -> None:
    before = await served.figure("answer_not_read")
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: pobratym\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(asked * 100)

        async def is_given_up() -> bool:
            return await served.figure("answer_not_read") > before

        await postoffice.until(is_given_up)


async def test_sec_06_what_is_no_http_is_answered_and_closed(served: Served) -> None:
    assert status(await served.answer(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")) == 400


async def test_sec_06_unknown_paths_are_counted_under_one_label(served: Served) -> None:
    base = f"http://127.0.0.1:{served.port}"
    async with httpx.AsyncClient(base_url=base, timeout=postoffice.PATIENCE_SECONDS) as client:
        for number in range(20):
            for method in ("GET", "POST", "BREW"):
                await client.request(method, f"/canary-{number}/x?y={number}")
        text = (await client.get("/metrics")).text

    assert "canary" not in text
    routes = {line.split('route="')[1].split('"')[0] for line in text.splitlines() if 'route="' in line}
    assert {route for route in routes if not route.startswith("/")} == {"unknown"}


async def test_sec_05_a_client_that_is_still_sending_sees_the_answer(served: Served) -> None:
    head = b"POST /v1/inbound/mail HTTP/1.1\r\nHost: pobratym\r\nContent-Length: 26214400\r\n\r\n"
    unread = await served.answer(head)
    sending = await served.answer(head, *[b"x" * 65_536] * 400)
    waiting = await served.answer(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))

    assert [status(answer) for answer in (unread, sending, waiting)] == [404, 404, 404]
    assert b"connection: close" in sending.lower()


async def test_sec_05_leave_to_send_is_given_once_the_caller_is_known(served: Served) -> None:
    head = (
        b"POST /v1/auth/sign-in-links HTTP/1.1\r\nHost: pobratym\r\nContent-Length: 33\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    async with served.connected() as (reader, writer):
        writer.write(head)
        leave = await reader.readuntil(b"\r\n\r\n")
        writer.write(b'{"email": "nobody@zebra.example"}')
        answer = await reader.read()

    assert status(leave) == 100
    assert status(answer) == 202


@pytest.mark.parametrize("path", ["/nowhere", "/v1/consultations", "/v1/imports"])
@pytest.mark.parametrize("library", ["urllib", "httpx", "http.client"])
async def test_sec_05_libraries_that_send_the_whole_body_first_read_the_answer(
    served: Served, path: str, library: str
) -> None:
    address = f"http://127.0.0.1:{served.port}{path}"
    body = bytes(25_000_000)
    got = await asyncio.to_thread(LIBRARIES[library], address, body)
    assert got == (404 if path == "/nowhere" else 401)


def by_urllib(address: str, body: bytes) -> int:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    return caught.value.code


def by_http_client(address: str, body: bytes) -> int:
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("POST", parts.path, iter([body[:1_000_000]] * 25))  # chunked
    status = connection.getresponse().status
    connection.close()
    return status


def by_httpx(address: str, body: bytes) -> int:
    kind = {"Content-Type": "application/json"}
    return httpx.post(address, content=body, headers=kind, timeout=postoffice.PATIENCE_SECONDS).status_code


LIBRARIES = {"urllib": by_urllib, "http.client": by_http_client, "httpx": by_httpx}


async def test_sec_05_a_body_without_an_end_is_not_read_for_ever(served: Served) -> None:
    sent = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while sent < 200_000_000:
            writer.write(b"F4240\r\n" + bytes(1_000_000) + b"\r\n")
            await writer.drain()
            sent += 1_000_000
    assert sent < 100_000_000
    writer.close()
    assert status(await _all_of(reader)) in (404, 0)


async def test_sec_06_a_refusal_of_a_connection_has_the_phrase_of_its_status(served: Served) -> None:
    assert (await served.answer(HALF_A_HEAD)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert (await served.answer(b"no http at all\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")
