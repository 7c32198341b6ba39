"""The whole thing as an operator runs it, in a folder of its own: PostgreSQL, an API process, a worker process."""

import asyncio
import base64
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

import build
import flow
import postoffice
import world as simulated
from integrations.runtime import migrate, postgres, settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service.kernel import actor, clock, work

ALWAYS = [(day, 0, 1440) for day in range(7)]
CLINICIANS, MENTORS = 6, 6


class Site:
    """What runs, who the people are, and how to kill, freeze and start again each process."""

    def __init__(self, world: World, client: httpx.AsyncClient, port: int, **more: str) -> None:
        self.world, self.client, self.port, self.more = world, client, port, more
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.bearers: dict[str, dict[str, str]] = {}
        self.scene = flow.Scene(world, simulated.TestClock(), client)

    async def people(self) -> None:
        """Have clinicians and mentors at any hour, and their headers: nobody signs in while the database is away."""
        await self.scene.set_up(mentors=())
        async with self.world.database.work(actor.TIMER) as w:
            for number in range(CLINICIANS):
                self.scene.people[f"clinician{number}"] = await build.clinician(w, self.scene.asking)
            for number in range(MENTORS):
                profile = {"sessions_per_week": 100, "offers_per_week": 100}
                self.scene.people[f"mentor{number}"] = await build.mentor(
                    w, self.scene.lille, weekly=ALWAYS, profile=profile
                )
        for name, who in self.scene.people.items():
            self.bearers[name] = await build.bearer(self.world, who)

    def names(self, kind: str) -> list[str]:
        """List the people whose names begin like this."""
        return [name for name in self.bearers if name.rstrip("0123456789") == kind]

    async def start(self, *names: str) -> None:
        """Start the API or the worker, and wait until the API answers."""
        commands = {"api": ["serve", "--no-worker", "--port", str(self.port)], "worker": ["worker"]}
        for name in names:
            self.processes[name] = self._spawn(*commands[name])
        if "api" in names:
            await postoffice.until(self.is_ready)

    def _spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command(*arguments), cwd=postoffice.ROOT, env=self.environment())

    @contextlib.asynccontextmanager
    async def running(self, folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Have a command of the program in the folder run, with its complaints to be read, at most until the end."""
        told = self.environment(folder)
        process = await asyncio.create_subprocess_exec(
            *command(*arguments), cwd=folder, env=told, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    def environment(self, folder: Path = postoffice.ROOT) -> dict[str, str]:
        """Give what a process of the program in the folder needs to work here."""
        ours = {
            "DATA_DIR": str(self.world.settings.data_dir),
            "BASE_URL": self.world.settings.base_url,
            "CLOCK": "manual",
            "LOG_LEVEL": "error",
            "REQUESTS_PER_MINUTE": "0",
            "SIGN_INS_PER_MINUTE": "0",
        }
        named = {f"POBRATYM_{name}": value for name, value in (ours | self.more).items()}
        return os.environ | {"PYTHONPATH": str(folder)} | named

    async def is_ready(self) -> bool:
        """Ask the API whether it can work."""
        return await is_ready(self.client)

    async def kill(self, name: str) -> None:
        """End it by SIGKILL, in the middle of whatever it does."""
        if name == "postgres":
            self.signal_database(signal.SIGKILL)
            self._cluster.rename(self._lost)  # else its users start it again at once
        else:
            self.processes[name].kill()
            self.processes[name].wait()

    async def revive(self, name: str) -> None:
        """Start it again, as whoever supervises it would."""
        if name == "postgres":
            self._lost.rename(self._cluster)
            server = postgres.running(self.world.settings.data_dir)
            await asyncio.to_thread(server.__enter__)
            await asyncio.to_thread(server.__exit__, None, None, None)
        else:
            await self.start(name)

    @property
    def _cluster(self) -> Path:
        return self.world.settings.data_dir / "postgres" / "data"

    @property
    def _lost(self) -> Path:
        return self._cluster.with_name("lost")

    def signal_database(self, number: signal.Signals) -> None:
        """Send the signal to PostgreSQL's every process."""
        pid_file = self._cluster / "postmaster.pid"
        postmaster = int(pid_file.read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def over(self, connection: AsyncConnection) -> "Site":
        """Give the same place as this one connection sees it, uncommitted changes and all."""
        database = work.Database(connection, self.world.clock, self.world.keys)
        return Site(dataclasses.replace(self.world, database=database), self.client, self.port)

    def end(self) -> None:
        """Stop what still runs."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.asynccontextmanager
async def opened(data_dir: Path, **more: str) -> AsyncIterator[Site]:
    """Have everything running until the block ends; `more` are settings of the processes."""
    port = free_port()
    told = settings.Settings(data_dir=data_dir, clock="manual", base_url=f"http://127.0.0.1:{port}")
    async with (
        worlds.opened(told) as world,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=60, limits=httpx.Limits(max_connections=None)
        ) as client,
    ):
        if not isinstance(world.clock, clock.ManualClock):
            raise TypeError(world.clock)
        world.clock.set(simulated.MONDAY)
        made = Site(world, client, port, **more)
        try:
            await made.people()
            await made.start("api", "worker")
            yield made
        finally:
            made.end()


KEYS = f"test:{base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip('=')}"


@contextlib.asynccontextmanager
async def over(url: str, data_dir: Path, *, is_new: bool = True, **more: str) -> AsyncIterator[Site]:
    """Have the API and the worker over a database named by its address, by the system's clock.

    A new database is migrated and gets its people; over another one nothing is started.
    """
    port = free_port()
    named = {"DATABASE_URL": url, "SECRET_KEYS": KEYS, "BASE_URL": f"http://127.0.0.1:{port}", "CLOCK": "system"}
    told = settings.load({f"POBRATYM_{name}": value for name, value in (named | more).items()} | {
        "POBRATYM_DATA_DIR": str(data_dir)
    })  # fmt: skip
    async with (
        worlds.opened(told, migrating=False) as world,
        httpx.AsyncClient(base_url=told.base_url, timeout=60, limits=httpx.Limits(max_connections=None)) as client,
    ):
        made = Site(world, client, port, **(named | more))
        made.scene.clock.set(clock.wall())
        try:
            if is_new:
                await migrate.upgrade(world.engine)
                await made.people()
                await made.start("api", "worker")
            yield made
        finally:
            made.end()


@contextlib.contextmanager
def thawed(site: Site) -> Iterator[None]:
    """Have a frozen database go on at the end, whatever happens: a frozen one can be stopped by nobody."""
    try:
        yield
    finally:
        site.signal_database(signal.SIGCONT)


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Ask an API whether it can work."""
    with contextlib.suppress(httpx.TransportError):
        return (await client.get("/health/ready")).status_code == 200
    return False


def command(*arguments: str) -> list[str]:
    """Give what starts the program of the working directory."""
    return [sys.executable, "-c", "from api.cli.main import main; main()", *arguments]


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
