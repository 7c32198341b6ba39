"""What processes cost and bring: a worker that has nothing to do (G3), and two processes of the API beside one (G9)."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from bench import history, pace
from bench.scratch import Site, Wanted, in_thread, process
from bench.table import Line, at_least, at_most, medians

STATEMENTS, CPU, FASTER = 5.0, 0.3, 1.5
"""Of an idle worker: a second, and seconds of processor time a minute. Of two processes: reads beside those of one."""
SETTLING_SECONDS = 12
_COMMAND = [sys.executable, "-c", "from api.cli import main; main.main()"]
_READS = 640
_CONNECTIONS = 32
"""The kernel shares connections out by their addresses: of eight one process may get seven."""
_LISTEN = "0A"
"""A socket's state in /proc/net/tcp."""
_TICKS = os.sysconf("SC_CLK_TCK")


async def idle_worker(site: Site, what: str, seconds: int) -> list[Line]:
    """G3: statements and processor time of a worker while nothing is due."""
    connection = await asyncpg.connect(site.dsn)
    await connection.execute(f"ALTER DATABASE {site.name} SET log_statement = 'all'")  # of sessions that begin now
    server_log = Path(await connection.fetchval("SELECT current_setting('data_directory')")) / "server.log"
    with process([*_COMMAND, "worker"], site, POBRATYM_WORKER_PORT="0") as worker:
        await asyncio.sleep(SETTLING_SECONDS)
        cpu, written = cpu_seconds(worker.pid), server_log.stat().st_size
        await asyncio.sleep(seconds)
        cpu = (cpu_seconds(worker.pid) - cpu) * 60 / seconds
        said = await in_thread(_written_since, server_log, written)
    await connection.execute(f"ALTER DATABASE {site.name} RESET log_statement")
    await connection.close()
    statements = sum(said.count(kind) for kind in (b"LOG:  statement: ", b"LOG:  execute ")) / seconds
    return [
        at_most(f"G3 idle worker, {what}: statements a second", f"{statements:.1f}", "5", statements / STATEMENTS, 1),
        of_processor_time(f"G3 idle worker, {what}: CPU a minute", cpu, CPU),
    ]


def of_processor_time(name: str, taken: float, limit: float) -> Line:
    """Judge seconds of processor time by a limit that holds where the goals were set: it is as much longer as here."""
    here = limit * pace.times_slower()
    return at_most(name, f"{taken:.2f} s", f"{here:.2f} s", taken / here, 1)


def cpu_seconds(pid: int) -> float:
    """Give the processor time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _written_since(file: Path, offset: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read()


async def two_of_them(site: Site, rounds: int) -> list[Line]:
    """G9: reads a second of two processes at one port beside those of one, in turns; and where the cores went."""
    token = await site.token_of(history.uid("clinician 1"))
    wanted: list[Wanted] = [("GET", "/v1/consultations", token, None)] * (_READS // _CONNECTIONS)
    spent: dict[str, float] = defaultdict(float)
    with _served_by(site, 1) as (by_one, _), _served_by(site, 2) as (by_two, parent):
        who = {"the two processes": parent, "PostgreSQL": await _postmaster(site), "the client": os.getpid()}

        async def rate(of: Site) -> float:
            before, began = {name: _family_seconds(pid) for name, pid in who.items()}, time.perf_counter()
            loaded = await in_thread(of.load, [wanted] * _CONNECTIONS)
            if of is by_two:
                spent["all"] += (time.perf_counter() - began) * (os.cpu_count() or 1)
                for name, pid in who.items():
                    spent[name] += _family_seconds(pid) - before[name]
            return float(loaded.must_be(200).rate)

        one, two = await medians(rounds, lambda: rate(by_one), lambda: rate(by_two))
    shares = ", ".join(f"{name} {spent[name] / spent['all']:.0%}" for name in who)
    rest = 1 - sum(spent[name] for name in who) / spent["all"]
    why = f"of the {os.cpu_count()} cores, while two serve: {shares}, others and idle {rest:.0%}"
    name = "G9 two API processes beside one, reads"
    return [at_least(name, f"{two:.0f}/s", f"{one:.0f}/s", two / one, FASTER, why), Line("   " + why, "")]


async def _postmaster(site: Site) -> int:
    connection = await asyncpg.connect(site.dsn)
    try:
        folder = await connection.fetchval("SELECT current_setting('data_directory')")
    finally:
        await connection.close()
    return int(Path(folder, "postmaster.pid").read_text().split()[0])  # noqa: ASYNC240 - nothing else waits


def _family_seconds(pid: int) -> float:
    """Give the processor time of a process, of those that it began, and of those of them that have ended."""
    of_children = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            fields = path.read_text().rpartition(")")[2].split()
            of_children += (int(fields[11]) + int(fields[12])) / _TICKS if int(fields[1]) == pid else 0
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu_seconds(pid) + (int(own[13]) + int(own[14])) / _TICKS + of_children


@contextmanager
def _served_by(site: Site, processes: int) -> Iterator[tuple[Site, int]]:
    """Have so many processes serve the site's database at a port of their own, without a worker; gives the first id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*_COMMAND, "serve", "--no-worker", "--workers", str(processes), "--port", str(port)]
    with process(command, site) as running:
        of_them = dataclasses.replace(site, port=port)
        _wait_until_all_answer(of_them, processes)
        yield of_them, running.pid


def _wait_until_all_answer(site: Site, processes: int) -> None:
    """Wait until so many listen at the port; raises TimeoutError."""
    for _ in range(1200):
        if _listening(site.port) == processes:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{site.port}/health/ready"):
                return
        time.sleep(0.1)
    message = "the API does not listen"
    raise TimeoutError(message)


def _listening(port: int) -> int:
    """Count the sockets that listen at the port."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(f":{port:04X}") and row[3] == _LISTEN for row in rows)
