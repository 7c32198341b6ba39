"""What the bench runs on: an embedded server of its own, databases of several sizes, the API in its own process."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bench import data
from integrations.runtime import migrate, postgres, settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service.kernel import actor, clock
from service.people import browser_sessions, logins
from service.reporting import rollups

_KEY = "bench:" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
Wanted = tuple[str, str, str | None, object]
WithHeaders = tuple[str, str, str | None, object, dict[str, str]]


@dataclass(slots=True)
class Site:
    """One database, the world over it, and the process that serves it."""

    name: str
    socket_folder: Path
    now: datetime
    world: World
    port: int = 0
    tokens: dict[UUID, tuple[str, float]] = field(default_factory=dict)  # with when it was made, by the monotonic clock

    @property
    def dsn(self) -> str:
        """Name the database for asyncpg and PostgreSQL's programs."""
        return f"postgresql://{postgres.SUPERUSER}@/{self.name}?host={self.socket_folder}"

    async def token(self, who: str) -> str:
        """Give an access token of the person of this name in `data`."""
        return await self.token_of(data.uid(who))

    async def token_of(self, person_id: UUID) -> str:
        """Give an access token of the person, with most of its life to come: a run is longer than one."""
        _, made_at = self.tokens.get(person_id, ("", float("-inf")))
        if clock.monotonic() - made_at > logins.ACCESS_LIFE.total_seconds() / 3:
            async with self.world.database.work(actor.STRANGER) as w:
                token, _ = await self.world.tokens.issue(w, person_id, clock.new_id())
            self.tokens[person_id] = token, clock.monotonic()
        return self.tokens[person_id][0]

    async def cookie(self, email: str) -> str:
        """Give the cookie of a browser in which the person with this address is signed in; it stands for a token."""
        async with self.world.database.work(actor.TIMER) as w:
            link = await logins.link_token(w, email, timedelta(minutes=15))
        async with self.world.database.work(actor.STRANGER) as w:
            return f"session={await browser_sessions.begin(w, link, logins.Browser())}"

    def load(self, clients: Sequence[Sequence[Wanted | WithHeaders]]) -> "Load":
        """Send the requests from another process, a connection a client, and wait for all answers."""
        spec = {"host": "127.0.0.1", "port": self.port, "clients": [list(each) for each in clients]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(spec, file, default=str)
            file.flush()
            said = subprocess.run(
                [sys.executable, "-m", "bench.load", file.name], check=False, capture_output=True, text=True
            )
        if said.returncode:
            raise RuntimeError(said.stderr[-2000:])
        found = json.loads(said.stdout)
        return Load(found["seconds"], [tuple(answer) for answer in found["answers"]])


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: seconds of all, and per request status, seconds, and the words of a refusal."""

    seconds: float
    answers: list[Any]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds

    @property
    def median(self) -> float:
        """The median answer, in seconds."""
        ordered = sorted(seconds for _, seconds, _ in self.answers)
        return float(ordered[len(ordered) // 2])

    def count(self, *statuses: int) -> int:
        """Count the answers of these statuses."""
        return sum(status in statuses for status, _, _ in self.answers)

    def must_be(self, *statuses: int) -> "Load":
        """Give the load itself, unless something else was answered: then a figure would mean nothing."""
        for status, _, said in self.answers:
            if status not in statuses:
                raise RuntimeError(f"{status}: {said}")
        return self


Fill = Callable[[asyncpg.Connection, Site], Awaitable[None]]
"""Puts rows into an empty database."""


@contextmanager
def server() -> Iterator[Path]:
    """Have an embedded server, durable as in production, until the block ends; gives its socket's folder."""
    with tempfile.TemporaryDirectory(prefix="pobratym-bench-") as folder:
        Path(folder).chmod(0o755)
        with postgres.running(Path(folder)) as running:
            yield running.socket_folder


_making = asyncio.Lock()
"""Migrations run one after the other: Alembic's `op` is one for the process."""


@asynccontextmanager
async def site(socket_folder: Path, name: str, fill: Fill, *, is_folded: bool = True) -> AsyncIterator[Site]:
    """Have a database of its own, made and filled; unless it is said, with its past folded as by a housekeeper."""
    url = f"postgresql+asyncpg://{postgres.SUPERUSER}@/{name}?host={socket_folder}"
    async with _making:
        maker = await asyncpg.connect(f"postgresql://{postgres.SUPERUSER}@/postgres?host={socket_folder}")
        await maker.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # left by a part that failed
        await maker.execute(f'CREATE DATABASE "{name}"')
        await maker.close()
        engine = create_async_engine(url, poolclass=NullPool)
        await migrate.upgrade(engine)
        await engine.dispose()
    now = datetime.now(UTC)
    with _environment(environment(url, socket_folder)):
        told = settings.load()
    async with worlds.opened(told, statement_timeout_ms=600_000) as world:
        made = Site(name, socket_folder, now, world)
        connection = await asyncpg.connect(made.dsn)
        await fill(connection, made)
        await connection.close()
        while is_folded and await rollups.fold(made.world.database):
            pass
        yield made


def environment(url: str, socket_folder: Path) -> dict[str, str]:
    """Say by which settings processes work on a database of the bench."""
    return {
        "POBRATYM_DATABASE_URL": url,
        "POBRATYM_DATA_DIR": str(socket_folder.parent / "data"),
        "POBRATYM_SECRET_KEYS": _KEY,
        "POBRATYM_BASE_URL": "http://127.0.0.1:8000",
        "POBRATYM_REQUESTS_PER_MINUTE": "0",
        "POBRATYM_SIGN_INS_PER_MINUTE": "0",
        "POBRATYM_LOG_LEVEL": "warning",
    }


@contextmanager
def served(made: Site) -> Iterator[Site]:
    """Have one process serve the site's database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made.port = probe.getsockname()[1]
    options = ("--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools")
    command = [sys.executable, "-m", "uvicorn", "bench.served:create", "--factory", "--port", str(made.port), *options]
    with process(command, made):
        for _ in range(1200):  # a busy machine needs more than half a minute for the first answer
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{made.port}/bench/hello"):
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("the server does not answer")
        yield made


@contextmanager
def process(command: Sequence[str], made: Site, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Have a program run on the site's database until the block ends."""
    url = made.world.settings.database_url
    told = environment(url.get_secret_value() if url else "", made.socket_folder) | more
    running = subprocess.Popen(command, env=os.environ | told, text=True, stdout=subprocess.PIPE)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            raise


@contextmanager
def _environment(told: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def in_thread(call: Any, *arguments: object) -> Any:  # noqa: ANN401 - whatever it gives
    """Wait for something that blocks."""
    return await asyncio.to_thread(call, *arguments)
