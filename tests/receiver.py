"""A partner's receiver on a real socket of this machine, which answers as a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import flow
from integrations.runtime import webhook_lanes
from service.kernel import actor, clock
from service.kernel.work import Work
from service.outbox import events

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Arrival:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps every request; answers 204 unless `answers` (raw responses, one each, the last for ever) say otherwise."""

    answers: list[bytes] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    seconds: float = 0.0
    url: str = ""

    @property
    def ids(self) -> list[str]:
        """Name the webhooks, in the order in which they came."""
        return [arrival.headers["webhook-id"] for arrival in self.arrivals]

    def status(self, code: int, *headers: str) -> None:
        """Answer with this status from now on."""
        lines = [f"HTTP/1.1 {code} Said", "Content-Length: 0", *headers]
        self.answers = ["\r\n".join([*lines, "", ""]).encode()]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request after another."""
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.arrivals.append(Arrival(headers, body))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            await asyncio.sleep(self.seconds)
            self.in_flight -= 1
            answer = self._answer()
            writer.write(answer)
            await writer.drain()
            if not answer:
                break

    def _answer(self) -> bytes:
        if not self.answers:
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.asynccontextmanager
async def opened(
    receiver: Receiver | None = None, certificate: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Have a receiver that listens on loopback."""
    made = receiver or Receiver()
    async with serving(made.serve, certificate) as port:
        made.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}/in"
        yield made


@contextlib.asynccontextmanager
async def serving(serve: Serve, certificate: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Have a server on loopback; gives its port. Whoever is still served at the end is hung up on."""
    served: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            served.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=certificate)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(served):
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


async def sent(scene: flow.Scene, made: Any, deadline_seconds: float = 60) -> None:  # noqa: ANN401 - JSON
    """Send the endpoint everything that is due now."""
    await webhook_lanes.Lanes(scene.world, deadline_seconds).drain(UUID(made["id"]))


async def log(scene: flow.Scene, made: Any, who: str = "coordinator") -> list[Any]:  # noqa: ANN401 - JSON
    """Read the endpoint's deliveries, newest first."""
    return list((await scene.get(who, f"/v1/webhook-endpoints/{made['id']}/deliveries?limit=200"))["items"])


async def happen(scene: flow.Scene, count: int = 1) -> None:
    """Have so many events of the memorandum, in one transaction."""
    async with scene.world.database.work(actor.TIMER) as w:
        for _ in range(count):
            tell(w, scene)


def tell(w: Work, scene: flow.Scene) -> str:
    """Record one event of the memorandum, and give its id."""
    audience = events.Audience(scene.programme.id, scene.memorandum.id, (scene.asking.id, scene.lille.id))
    case = clock.new_id()
    made = events.record(w, "session.logged", None, case, audience, state="advice_given", consultation_id=case)
    return str(made.id)


async def endpoint(scene: flow.Scene, url: str, who: str = "coordinator", **fields: Any) -> Any:  # noqa: ANN401 - JSON
    """Register an endpoint, and give what the API answered."""
    return await scene.post(who, "/v1/webhook-endpoints", {"url": url} | fields, 201)
