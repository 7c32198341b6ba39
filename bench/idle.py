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

from bench.processes import cpu_seconds
from bench.table import Line, at_most
from integrations.runtime import settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World

ROOT = Path(__file__).resolve().parent.parent
SETTLING_SECONDS = 12
PORT = 18_431
HELP, START, IDLE, TRANSACTIONS = 0.3, 1.5, 0.4, 5.0
"""What is wanted: seconds of processor time, the last a second."""
_DONE = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"


async def lines(rounds: int, seconds: int) -> list[Line]:
    """Start, wait, and read what the operating system and PostgreSQL counted."""
    shown = median([_cpu_of_command("--help") for _ in range(rounds)])
    with tempfile.TemporaryDirectory(prefix="pobratym-bench-") as name:
        Path(name).chmod(0o711)  # noqa: ASYNC240 - nothing else waits
        told = settings.Settings(data_dir=Path(name), base_url=f"http://127.0.0.1:{PORT}")
        async with worlds.opened(told) as world:
            return [_limited("--help: CPU", shown, "s", HELP), *await _running(world, seconds)]


async def _running(world: World, seconds: int) -> list[Line]:
    async with (
        _process(world, "serve", "--no-worker", "--port", str(PORT)) as api,
        _process(world, "worker") as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}") as client,
    ):
        await _until_ready(client)
        start = cpu_seconds(api.pid)
        await asyncio.sleep(SETTLING_SECONDS)
        begun, done = cpu_seconds(worker.pid), await _transactions(world)
        await asyncio.sleep(seconds)
        idle = (cpu_seconds(worker.pid) - begun) * 60 / seconds
        each_second = (await _transactions(world) - done) / seconds
        memory = {"serve --no-worker": _pss(api.pid), "worker": _pss(worker.pid)}
    return [
        _limited("serve, start to ready: CPU", start, "s", START),
        _limited("worker, idle a minute: CPU", idle, "s", IDLE),
        _limited("idle transactions a second", each_second, "", TRANSACTIONS),
        *(Line(f"{name}: memory of its own (PSS)", f"{kilobytes / 1024:.0f} MB") for name, kilobytes in memory.items()),
    ]


def _limited(name: str, value: float, unit: str, limit: float) -> Line:
    return at_most(name, f"{value:.2f} {unit}".strip(), f"{limit:g} {unit}".strip(), value / limit, 1)


def _cpu_of_command(*words: str) -> float:
    process = subprocess.Popen([ROOT / ".venv/bin/pobratym", *words], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


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
