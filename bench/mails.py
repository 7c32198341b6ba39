"""The mail server of the bench, and waiting until it has everything."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from bench.scratch import Site


class Sink:
    """An SMTP server of its own process, which takes everything and remembers when."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        """Wait until it listens."""
        self._running = running
        self.port = int((running.stdout or sys.stdin).readline())

    def said(self) -> dict[str, float]:
        """End it; gives when each mail came, by the local part of its Message-ID: that of ours is the delivery's id."""
        said, _ = self._running.communicate("")
        found: dict[str, float] = json.loads(said)
        return found


@contextmanager
def sink() -> Iterator[Sink]:
    """Have one until the block ends."""
    command = [sys.executable, "-m", "bench.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as running:
        try:
            yield Sink(running)
        finally:
            if running.poll() is None:
                running.terminate()


async def until_delivered(site: Site, seconds: int = 900) -> None:
    """Wait until no mail waits: parts before may have left thousands. Raises TimeoutError."""
    connection = await asyncpg.connect(site.dsn)
    try:
        for _ in range(seconds * 4):
            if not await connection.fetchval("SELECT count(*) FROM delivery WHERE state = 'pending' AND kind = 'mail'"):
                return
            await asyncio.sleep(0.25)
        raise TimeoutError
    finally:
        await connection.close()
