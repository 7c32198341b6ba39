"""A browser that follows a stream of events of the application, without a network: what it is told, as it comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.types import ASGIApp, Message


class Follower:
    """One stream: its status and headers once it has begun, and what it told so far."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.is_over = asyncio.Event()
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.state: dict[str, Any] = {"ending": []}  # as a connection of ours has it
        self._more = asyncio.Event()

    async def receive(self) -> Message:
        """Say nothing until the browser goes away."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Hear."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.begun.set()
        self._more.set()

    @property
    def told(self) -> list[str]:
        """What has changed, as it was told."""
        return [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]

    @property
    def ids(self) -> list[str]:
        """The ids of what was told."""
        return [line.removeprefix("id: ") for line in self.text.splitlines() if line.startswith("id: ")]

    async def hears(self, what: str) -> None:
        """Wait until it is told this."""
        async with asyncio.timeout(60):
            while what not in self.told:
                self._more.clear()
                await self._more.wait()


@contextlib.asynccontextmanager
async def following(
    application: ASGIApp, cookies: Mapping[str, str], headers: Mapping[str, str] = {}
) -> AsyncIterator[Follower]:
    """Have a browser with these cookies that follows, once it has the answer's first bytes."""
    follower = Follower()
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    sent = {"host": "testserver", "cookie": cookie, **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/live", "raw_path": b"/live", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("testserver", 80), "state": follower.state,
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    answering: Any = application(scope, follower.receive, follower.send)
    running: asyncio.Task[None] = asyncio.create_task(answering)
    running.add_done_callback(lambda _: follower.is_over.set())
    try:
        async with asyncio.timeout(60):
            await follower.begun.wait()
        yield follower
    finally:
        follower.gone.set()
        async with asyncio.timeout(60):
            await running
