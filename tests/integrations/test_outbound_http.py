"""The client for addresses that others name: what a setting lets through, and nothing else inside."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from integrations import outbound_http
from integrations.runtime.settings import Settings
from integrations.runtime.world import World
from integrations.webhooks import sending


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A receiver on loopback that sends everybody elsewhere."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("allowed", "host"), [(("127.0.0.0/8",), "127.0.0.1"), (("localhost",), "localhost"), (("localhost",), "LOCALHOST")]
)
async def test_what_the_setting_lets_through_is_reached_and_sends_nobody_on(
    allowed: tuple[str, ...], host: str, port: int
) -> None:
    async with outbound_http.client(Settings(outbound_allow=allowed)) as client:
        answer = await client.get(f"http://{host}:{port}/")
    assert (answer.status_code, answer.text) == (302, "ok")


@pytest.mark.parametrize(
    ("allowed", "host"), [((), "127.0.0.1"), (("localhost",), "127.0.0.1"), (("127.0.0.0/8",), "localhost")]
)
async def test_what_it_does_not_let_through_is_refused(allowed: tuple[str, ...], host: str, port: int) -> None:
    async with outbound_http.client(Settings(outbound_allow=allowed)) as client:
        with pytest.raises(outbound_http.Refused):
            await client.get(f"http://{host}:{port}/")


async def test_a_name_server_that_hangs_cannot_outlast_the_callers_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: time.sleep(1))
    async with outbound_http.client(Settings()) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get("https://receiver.example/")


async def test_wh_09_no_step_of_a_call_ends_before_the_whole(world: World) -> None:
    async with outbound_http.client(world.settings) as client:
        assert (client.timeout.read or 0) >= sending.DEADLINE_SECONDS
