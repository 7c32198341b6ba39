"""`python -m bench`: one table of figures, baselines of the same run, ratios and goals.

`QUICK=1` for a first look; `python -m bench mail reports` for a part.
"""

import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import uvloop

from bench import hooks, idle, live, pure, scratch
from bench.table import Line, show
from integrations.runtime import logs


async def measure(*, quick: bool) -> list[Line]:
    """Fill the databases, take every figure, and say on the way what is under way."""
    rounds, count, cases = (3, 80, 20_000) if quick else (5, 160, 50_000)
    sizes: tuple[int, ...] = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    if "candidates" not in (sys.argv[1:] or ["candidates"]):
        sizes = (10_000,)
    lines = pure.free_time(rounds)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch.server())
        sites = {}
        for size in sizes:
            _say(f"filling a database with {size:,} mentors")
            sites[size] = await stack.enter_async_context(
                scratch.site(folder, f"mentors_{size}", size, cases if size == 10_000 else cases // 10)
            )
            stack.enter_context(scratch.served(sites[size]))
        site = sites[10_000]
        lines += pure.invites(rounds, site.world.settings)
        steps: list[tuple[str, Callable[[], Awaitable[list[Line]]]]] = [
            ("idle", lambda: idle.lines(rounds, 20 if quick else 60)),
            ("bare", lambda: live.bare(site, rounds)),
            # Before anything else leaves mails in the queue.
            ("mail", lambda: live.mail(site, 4 if quick else 20)),
            ("webhooks", lambda: hooks.webhook_lines(site, rounds, 4 if quick else 20, 1_000 if quick else 3_000)),
            ("candidates", lambda: live.candidates(sites, rounds)),
            ("reports", lambda: live.reports(site, rounds, cases)),
            ("filing", lambda: live.filing(site, rounds, count)),
            ("acceptances", lambda: live.accepting(site, 3, count)),
        ]
        for name, step in steps:
            if name in (sys.argv[1:] or dict(steps)):
                _say(name)
                lines += await _taken(name, step)
    return lines


async def _taken(name: str, step: Callable[[], Awaitable[list[Line]]]) -> list[Line]:
    """Take a step's figures; one that fails is a miss, and the others are taken all the same."""
    try:
        return await step()
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        traceback.print_exc()
        return [Line(name, f"failed: {type(error).__name__}", is_met=False)]


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    logs.configure("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go with us
    quick = os.environ.get("QUICK") == "1"
    began = time.perf_counter()
    lines = uvloop.run(measure(quick=quick))  # as the server and the worker run
    today = datetime.now(UTC).date()
    print(f"{today}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"{'quick' if quick else 'whole'} run, {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}\n")
    print(show(lines))


if __name__ == "__main__":
    main()
