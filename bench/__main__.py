"""`python -m bench`: one table of figures, baselines of the same run, ratios and goals.

`QUICK=1` for a first look; `python -m bench mail reports` for a part.
"""

import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import uvloop

from bench import hooks, hospital, idle, live, pages, pure
from bench.frame import Bench, say
from bench.table import Line, show
from integrations.runtime import logs


async def _free_time(bench: Bench) -> list[Line]:
    return pure.free_time(bench.rounds)


async def _hospital(bench: Bench) -> list[Line]:
    return hospital.lines(bench.rounds)


async def _pages(bench: Bench) -> list[Line]:
    return await pages.lines([await bench.history(0), await bench.history(bench.long)], bench.rounds)


async def _invites(bench: Bench) -> list[Line]:
    return pure.invites(bench.rounds, (await bench.mentors()).world.settings)


async def _idle(bench: Bench) -> list[Line]:
    return await idle.lines(bench.rounds, 20 if bench.quick else 60)


async def _bare(bench: Bench) -> list[Line]:
    return await live.bare(await bench.mentors(), bench.rounds)


async def _mail(bench: Bench) -> list[Line]:
    return await live.mail(await bench.mentors(), 4 if bench.quick else 20)


async def _webhooks(bench: Bench) -> list[Line]:
    seconds, waiting = (4, 1_000) if bench.quick else (20, 3_000)
    return await hooks.webhook_lines(await bench.mentors(), bench.rounds, seconds, waiting)


async def _candidates(bench: Bench) -> list[Line]:
    return await live.candidates({size: await bench.mentors(size) for size in bench.sizes}, bench.rounds)


async def _reports(bench: Bench) -> list[Line]:
    return await live.reports(await bench.mentors(), bench.rounds, bench.cases)


async def _filing(bench: Bench) -> list[Line]:
    return await live.filing(await bench.mentors(), bench.rounds, bench.count)


async def _acceptances(bench: Bench) -> list[Line]:
    return await live.accepting(await bench.mentors(), 3, bench.count)


PARTS: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    "free_time": _free_time,
    "hospital": _hospital,
    "invites": _invites,
    "idle": _idle,
    "bare": _bare,
    # Before anything else leaves mails in the queue.
    "mail": _mail,
    "webhooks": _webhooks,
    "candidates": _candidates,
    "pages": _pages,
    "reports": _reports,
    "filing": _filing,
    "acceptances": _acceptances,
}
"""In the order in which they are measured; a goal's own module has a line here."""


async def measure(names: Sequence[str], *, quick: bool) -> list[Line]:
    """Take every figure of these parts, and say on the way what is under way."""
    lines: list[Line] = []
    async with AsyncExitStack() as stack:
        bench = Bench.of(stack, quick=quick)
        for name in names:
            say(name)
            lines += await _taken(name, bench)
    return lines


async def _taken(name: str, bench: Bench) -> list[Line]:
    """Take a part's figures; one that fails is a miss, and the others are taken all the same."""
    try:
        return await PARTS[name](bench)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        traceback.print_exc()
        return [Line(name, f"failed: {type(error).__name__}", is_met=False)]


def main() -> None:
    """Measure and print."""
    logs.configure("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go with us
    quick = os.environ.get("QUICK") == "1"
    began = time.perf_counter()
    names = [name for name in PARTS if name in (sys.argv[1:] or PARTS)]
    lines = uvloop.run(measure(names, quick=quick))  # as the server and the worker run
    today = datetime.now(UTC).date()
    print(f"{today}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"{'quick' if quick else 'whole'} run, {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}\n")
    print(show(lines))


if __name__ == "__main__":
    main()
