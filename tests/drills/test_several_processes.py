"""`serve --workers 2` as an operator runs it: both answer, one of them is killed, and all of them are stopped."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import postoffice
from drills import site
from integrations.runtime.world import World

pytestmark = [pytest.mark.drill, pytest.mark.races]
CONNECTIONS = 16
HALF_OF_A_REQUEST = (
    b"POST /sign-in HTTP/1.1\r\nHost: pobratym\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)


class Served:
    """A parent, the processes that it started, and who of them answers."""

    def __init__(self, parent: asyncio.subprocess.Process, port: int) -> None:
        self.parent, self.port = parent, port

    def children(self) -> set[int]:
        """Give the processes that serve."""
        known = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text().split()
        return {int(pid) for pid in known if b"spawn_main" in _command_of(int(pid))}

    async def answering(self) -> set[int]:
        """Open some connections, ask over each of them, and give the processes that hold their other ends."""
        async with contextlib.AsyncExitStack() as stack:
            opened = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(CONNECTIONS)]
            for _, writer in opened:
                stack.callback(writer.close)
                writer.write(b"GET /health/ready HTTP/1.1\r\nHost: pobratym\r\n\r\n")
            for reader, _ in opened:
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            ends = {writer.get_extra_info("sockname")[1] for _, writer in opened}
            return {pid for pid in self.children() if set(_inodes_of(pid)) & set(self._inodes(ends))}

    def _inodes(self, ends: set[int]) -> Iterator[str]:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, ours, theirs, *_, inode = line.split()[:10]
            if int(ours.split(":")[1], 16) == self.port and int(theirs.split(":")[1], 16) in ends:
                yield f"socket:[{inode}]"


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _inodes_of(pid: int) -> Iterator[str]:
    for held in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield str(held.readlink())


def _is_gone(pid: int) -> bool:
    return _command_of(pid) == b""  # of a zombie as well


@contextlib.asynccontextmanager
async def serving(world: World, port: int) -> AsyncIterator[Served]:
    parent = await started(world, port)
    found = Served(parent, port)
    children: set[int] = set()
    try:
        await postoffice.until(lambda: _answer_all(found))
        children = found.children()
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            parent.kill()
        await parent.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def started(world: World, port: int, workers: int = 2) -> asyncio.subprocess.Process:
    command = site.command("serve", "--no-worker", "--workers", str(workers), "--port", str(port))
    return await asyncio.create_subprocess_exec(
        *command, cwd=postoffice.ROOT, env=postoffice.environment(world), stderr=asyncio.subprocess.PIPE
    )


async def _answer_all(served: Served) -> bool:
    with contextlib.suppress(OSError, AssertionError):
        return len(await served.answering()) == 2
    return False


async def test_drill_one_of_two_processes_is_killed_and_all_end_on_sigterm(world: World) -> None:
    port = site.free_port()
    async with serving(world, port) as served:
        first = served.children()
        assert len(first) == 2
        killed = min(first)
        os.kill(killed, signal.SIGKILL)

        async def is_replaced() -> bool:
            return await _answer_all(served) and killed not in served.children()

        await postoffice.until(is_replaced)
        now = served.children()
        assert len(now) == 2
        assert now & first == first - {killed}

        async with asyncio.timeout(postoffice.PATIENCE_SECONDS):
            begun = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
            for reader, writer in begun:
                writer.write(HALF_OF_A_REQUEST)
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            served.parent.terminate()
            await postoffice.until(lambda: _is_refused(port))
            for reader, writer in begun:
                writer.write(b"email")
                assert (await reader.readline()).split()[1] in {b"400", b"422"}
                await reader.read()
                writer.close()
            assert await served.parent.wait() in {0, -signal.SIGTERM}
        assert all(_is_gone(pid) for pid in now)
        assert not _is_taken(port)


async def test_drill_nobody_serves_on_behind_a_parent_that_was_killed(world: World) -> None:
    port = site.free_port()
    async with serving(world, port) as served:
        left = served.children()
        served.parent.kill()
        await postoffice.until(lambda: all(map(_is_gone, left)))
        assert not _is_taken(port)


@pytest.mark.parametrize("workers", [1, 2])
async def test_drill_a_port_that_is_taken_is_one_sentence(world: World, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await started(world, port, workers)
        _, complaint = await process.communicate()
    assert (process.returncode, complaint.decode()) == (1, f"127.0.0.1:{port}: Address already in use\n")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
