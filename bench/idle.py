"""What it costs to start, and to do nothing: processor time, memory and transactions of an installation of its own."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import httpx

from bench import pace
from bench.processes import cpu_seconds, of_processor_time
from bench.table import Line, at_most, medians
from integrations.runtime import settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World

ROOT = Path(__file__).resolve().parent.parent
SETTLING_SECONDS = 12
PORT = 18_431
HELP, IDLE, TRANSACTIONS = 0.3, 0.4, 5.0
"""What is wanted: seconds of processor time where the goals were set (`pace`), the last a second."""
START = 2.3
"""Times what the libraries alone take. Release 0.1 took 3.2 times that, 2.1 s on the machine of the goal of 1.5 s."""
_DONE = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"


async def lines(rounds: int, seconds: int) -> list[Line]:
    """Start, wait, and read what the operating system and PostgreSQL counted."""
    shown = median([pace.cpu_of([str(ROOT / ".venv/bin/pobratym"), "--help"]) for _ in range(rounds)])
    with tempfile.TemporaryDirectory(prefix="pobratym-bench-") as name:
        Path(name).chmod(0o711)  # noqa: ASYNC240 - nothing else waits
        told = settings.Settings(data_dir=Path(name), base_url=f"http://127.0.0.1:{PORT}")
        async with worlds.opened(told) as world:
            starts = await _starts(world, rounds)
            return [of_processor_time("--help: CPU", shown, HELP), *starts, *await _running(world, seconds)]


async def _starts(world: World, rounds: int) -> list[Line]:
    async def started(*words: str) -> float:
        async with (
            _process(world, *words, "--port", str(PORT)) as process,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}") as client,
        ):
            await _until_ready(client)
            return cpu_seconds(process.pid)

    only, both, bare = await medians(
        rounds,
        lambda: started("serve", "--no-worker"),
        lambda: started("serve"),
        lambda: asyncio.to_thread(pace.libraries),
    )
    return [
        at_most(f"{name}, start to ready: CPU", f"{taken:.2f} s", f"{bare:.2f} s", taken / bare, START)
        for name, taken in (("serve --no-worker", only), ("serve", both))
    ]


async def _running(world: World, seconds: int) -> list[Line]:
    async with (
        _process(world, "serve", "--no-worker", "--port", str(PORT)) as api,
        _process(world, "worker") as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}") as client,
    ):
        await _until_ready(client)
        await asyncio.sleep(SETTLING_SECONDS)
        begun, done = cpu_seconds(worker.pid), await _transactions(world)
        await asyncio.sleep(seconds)
        idle = (cpu_seconds(worker.pid) - begun) * 60 / seconds
        each_second = (await _transactions(world) - done) / seconds
        memory = {"serve --no-worker": _pss(api.pid), "worker": _pss(worker.pid)}
    return [
        of_processor_time("worker, idle a minute: CPU", idle, IDLE),
        at_most("idle transactions a second", f"{each_second:.2f}", f"{TRANSACTIONS:g}", each_second / TRANSACTIONS, 1),
        *(Line(f"{name}: memory of its own (PSS)", f"{kilobytes / 1024:.0f} MB") for name, kilobytes in memory.items()),
    ]


@asynccontextmanager
async def _process(world: World, *words: str) -> AsyncIterator["subprocess.Popen[bytes]"]:
    told = {"DATA_DIR": str(world.settings.data_dir), "BASE_URL": world.settings.base_url, "LOG_LEVEL": "error"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    own = kept | {f"POBRATYM_{name}": value for name, value in told.items()} | {"POBRATYM_WORKER_PORT": "0"}
    process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for at the end, in a thread
        [sys.executable, "-m", "api", *words], cwd=ROOT, env=own
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _until_ready(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            if (await client.get("/health/ready")).is_success:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    message = "the API is not ready"
    raise TimeoutError(message)


def _pss(pid: int) -> int:
    """Give kilobytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


async def _transactions(world: World) -> int:
    connection = await world.connector.connect({"application_name": "pobratym bench"})
    try:
        done: int = await connection.fetchval(_DONE)
    finally:
        await connection.close()
    return done
