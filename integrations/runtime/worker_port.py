"""The worker's own port: whether it lives, whether it can work, and its figures. Three addresses and nothing else.

It is no server of requests: it reads one short head, answers and closes. So a worker needs no framework for it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import structlog

from integrations.runtime import health
from integrations.runtime.world import World
from service.kernel import errors

Figures = Callable[[health.Backlog], tuple[bytes, str]]
_HEAD_SECONDS, _MOST_HEAD_BYTES = 5.0, 8_192
_TRY_SECONDS = 5.0
_JSON = "application/json"
_log = structlog.get_logger("pobratym.port")


class Port:
    """What the port tells of the world of its worker."""

    def __init__(self, world: World, figures: Figures) -> None:
        """Word the backlog as `figures` does."""
        self._world, self._figures = world, figures

    async def answer(self, method: str, path: str, address: str, authorization: str) -> tuple[int, str, bytes]:
        """Give status, media type and body."""
        answers: dict[str, Callable[[str, str], Awaitable[tuple[int, str, bytes]]]] = {
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/metrics": self._shown,
        }
        if path not in answers:
            return HTTPStatus.NOT_FOUND, _JSON, b"{}"
        if method not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, _JSON, b"{}"
        return await answers[path](address, authorization)

    async def _live(self, *_: str) -> tuple[int, str, bytes]:
        stuck = self._world.presence.stuck()
        return _told("stuck" if stuck else "ok", stuck)

    async def _ready(self, *_: str) -> tuple[int, str, bytes]:
        reasons = await health.faults(self._world)
        return _told("unready" if reasons else "ready", reasons)

    async def _shown(self, address: str, authorization: str) -> tuple[int, str, bytes]:
        if not health.may_see_figures(self._world.settings, address, authorization):
            return HTTPStatus.FORBIDDEN, _JSON, b"{}"
        try:
            body, media_type = self._figures(await health.backlog(self._world))
        except errors.Unavailable:
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, b"{}"
        return HTTPStatus.OK, media_type, body

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close, whatever is asked and however slowly the answer is taken."""
        try:
            # What cannot be read as a head, or does not come in time (an OSError), is no question to answer.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        lines = (line.partition(":") for line in head.split("\r\n")[1:])
        fields = {name.lower(): value.strip() for name, _, value in lines}
        address = (writer.get_extra_info("peername") or ("",))[0]
        try:
            status, media_type, body = await self.answer(
                method, target.partition("?")[0], address, fields.get("authorization", "")
            )
        except Exception as error:  # noqa: BLE001 - whoever asks must read that something is wrong here
            _log.error("worker_port_failed", error=type(error).__name__)
            status, media_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, _JSON, b"{}"
        answer = (
            f"HTTP/1.1 {status:d} {HTTPStatus(status).phrase}",
            f"Content-Type: {media_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        writer.write("\r\n".join(answer).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body))
        async with asyncio.timeout(_HEAD_SECONDS):
            await writer.drain()


def _told(status: str, reasons: list[str]) -> tuple[int, str, bytes]:
    code = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return code, _JSON, json.dumps({"status": status, "reasons": reasons}).encode()


@contextlib.asynccontextmanager
async def opened(world: World, host: str, figures: Figures) -> AsyncIterator[None]:
    """Answer until the block ends; a port that another program has is said, and tried again: mail does not wait."""
    number = world.settings.worker_port
    listening = asyncio.create_task(_listen(host, number, Port(world, figures))) if number else None
    try:
        yield
    finally:
        if listening is not None:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening


async def _listen(host: str, number: int, port: Port) -> None:
    is_told = False
    while True:
        try:
            server = await asyncio.start_server(port.talk, host, number, limit=_MOST_HEAD_BYTES)
        except OSError as error:
            if not is_told:
                _log.error("worker_port_taken", port=number, error=type(error).__name__)
            is_told = True
            await asyncio.sleep(_TRY_SECONDS)
        else:
            async with server:
                await server.serve_forever()
