"""A mail server of the test's own, and a worker in a process of its own that can be killed."""

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from aiosmtpd import smtp

import flow
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from service.kernel import outcomes

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 900 if os.environ.get("DRILLS") == "1" else 120
"""How long a wait may last: a drill's processes may share two cores with much else; it says itself how long it took."""


class PostOffice:
    """Takes mail slowly, keeps every attempt by its Message-ID, and refuses the first attempt of each `every`-th."""

    def __init__(self, every: int, seconds: float) -> None:
        self.every, self.seconds = every, seconds
        self.attempts: dict[str, list[bytes]] = defaultdict(list)
        self.taken: list[str] = []
        self.url = ""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def handle_DATA(self, _server: smtp.SMTP, _session: smtp.Session, envelope: smtp.Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        name = content.split(b"Message-ID: <", 1)[1].split(b"@", 1)[0].decode()
        self.attempts[name].append(content)
        await asyncio.sleep(self.seconds)  # a call in flight is what a kill must hit
        await self.may_answer.wait()
        if self.every and len(self.attempts[name]) == 1 and len(self.attempts) % self.every == 0:
            return "451 try later"
        self.taken.append(name)
        return "250 OK"


class Reachable:
    """What every outbox of a test has: a server that is there."""

    async def probe(self, _sender: str) -> outcomes.Away | None:
        return None


@contextlib.asynccontextmanager
async def opened(every: int = 0, seconds: float = 0.005) -> AsyncIterator[PostOffice]:
    """Have a server that listens on this machine."""
    office = PostOffice(every, seconds)
    listener = await asyncio.get_running_loop().create_server(lambda: smtp.SMTP(office), "127.0.0.1", 0)
    office.url = f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield office
    finally:
        listener.close()


def environment(world: World, **more: str) -> dict[str, str]:
    """Give what a process of ours needs to work on this test's database, with the test's keys."""
    key = base64.urlsafe_b64encode(bytes(range(32))).decode()  # as world.KEYS
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "POBRATYM_DATABASE_URL": world.connector.address.text,
        "POBRATYM_SECRET_KEYS": f"test:{key.rstrip('=')}",
        "POBRATYM_DATA_DIR": str(world.settings.data_dir),
        "POBRATYM_LOG_LEVEL": "error",
        **{f"POBRATYM_{name}": value for name, value in more.items()},
    }


def start(command: str, world: World, **settings: str) -> subprocess.Popen[bytes]:
    """Start `pobratym <command>` in a process of its own."""
    program = ["-c", "from api.cli.main import main; main()", *command.split()]
    return subprocess.Popen([sys.executable, *program], cwd=ROOT, env=environment(world, **settings))


async def until(condition: object, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition (a function, or one that gives an awaitable) holds; fails when it never does."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()  # type: ignore[operator]
            if await found if hasattr(found, "__await__") else found:
                return
            await asyncio.sleep(0.02)


async def deliver_all(scene: flow.Scene) -> None:
    """Try once everything that is due now, oldest first."""
    for row in await scene.rows("SELECT id FROM delivery WHERE state = 'pending' ORDER BY id"):
        await mail_delivery.deliver(scene.world, row.id)


async def leases_end(scene: flow.Scene) -> None:
    """Let a minute pass by the database's clock: what was claimed is free again."""
    await scene.rows(
        "UPDATE delivery SET leased_until = leased_until - interval '61 s' WHERE leased_until IS NOT NULL RETURNING 1"
    )
