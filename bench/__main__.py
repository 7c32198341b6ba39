"""`python -m bench`: one table of figures, baselines of the same run, ratios and goals.

`QUICK=1` for a first look; `python -m bench mail reports` for a part.
"""

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import uvloop

from bench import (
    decisions,
    figures,
    growth,
    hooks,
    hospital,
    idle,
    live,
    pace,
    pages,
    processes,
    pure,
    results,
    simulated,
    weights,
    writes,
)
from bench.frame import Bench, say
from bench.scratch import Site
from bench.table import Line, judged, show
from integrations.runtime import logs


async def _free_time(bench: Bench) -> list[Line]:
    return pure.free_time(bench.rounds)


async def _hospital(bench: Bench) -> list[Line]:
    return hospital.lines(bench.rounds)


async def _pages(bench: Bench) -> list[Line]:
    return await pages.lines([await bench.history(0), await bench.history(bench.long)], bench.rounds)


async def _weights(bench: Bench) -> list[Line]:
    return await weights.lines(await bench.history(0), bench.rounds)


async def _invites(bench: Bench) -> list[Line]:
    return pure.invites(bench.rounds, (await bench.mentors()).world.settings)


async def _idle(bench: Bench) -> list[Line]:
    return await idle.lines(bench.rounds, 20 if bench.quick else 40)


async def _idle_worker(bench: Bench) -> list[Line]:
    seconds = 20 if bench.quick else 40
    lines = await processes.idle_worker(await bench.history(0), "no past", seconds)
    return lines + await processes.idle_worker(await bench.history(bench.long), "a long past", seconds)


async def _processes(bench: Bench) -> list[Line]:
    return await processes.two_of_them(await bench.history(0), bench.rounds)


async def _bare(bench: Bench) -> list[Line]:
    return await live.bare(await bench.mentors(), bench.rounds)


async def _mail(bench: Bench) -> list[Line]:
    return await live.mail(await bench.mentors(), 4 if bench.quick else 20)


async def _webhooks(bench: Bench) -> list[Line]:
    seconds, waiting = (4, 1_000) if bench.quick else (20, 3_000)
    return await hooks.webhook_lines(await bench.mentors(), bench.rounds, seconds, waiting)


async def _candidates(bench: Bench) -> list[Line]:
    return await live.candidates({size: await bench.mentors(size) for size in bench.sizes}, bench.rounds)


async def _filing(bench: Bench) -> list[Line]:
    return await live.filing(await bench.mentors(), bench.rounds, bench.count)


async def _one_filing(bench: Bench) -> list[Line]:
    return await writes.one_filing(await bench.mentors(), bench.rounds)


async def _decisions(bench: Bench) -> list[Line]:
    return await decisions.lines(await bench.mentors(), bench.rounds)


async def _lab(bench: Bench) -> list[Line]:
    return simulated.lines(quick=bench.quick)


async def _batch(bench: Bench) -> list[Line]:
    return await writes.batch(await bench.mentors())


async def _acceptances(bench: Bench) -> list[Line]:
    return await live.accepting(await bench.mentors(), 3, bench.count)


PARTS: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    "free_time": _free_time,
    "hospital": _hospital,
    "invites": _invites,
    "idle": _idle,
    "idle_worker": _idle_worker,
    "processes": _processes,
    "bare": _bare,
    # Before anything else leaves mails in the queue.
    "mail": _mail,
    "webhooks": _webhooks,
    "candidates": _candidates,
    "pages": _pages,
    "weights": _weights,
    "reports": figures.reports,
    "analysts": figures.analysts,
    "filing": _filing,
    "one_filing": _one_filing,
    "batch": _batch,
    "decisions": _decisions,
    "lab": _lab,
    "acceptances": _acceptances,
    "growth": growth.reading,
    "bytes": growth.leaving,
}
"""In the order in which they are measured; a goal's own module has a line here."""


def _large(names: Collection[str], bench: Bench) -> Iterator[Awaitable[Site]]:
    """Give the large databases that the parts need: filled at once, before anything is measured, as that takes longest.

    The largest first, so that none is left to be filled alone.
    """
    if {"idle_worker", "pages", "growth", "bytes"} & set(names):
        yield bench.history(bench.long)
    if "reports" in names:
        yield bench.sessions(bench.long)
    if "candidates" in names:
        yield bench.mentors(bench.sizes[-1])
    if "analysts" in names:
        yield figures.to_multiply(bench)


async def measure(names: Sequence[str], lines: list[Line], took: dict[str, float], *, quick: bool) -> None:
    """Take every figure of these parts into `lines`, and the seconds of each into `took`; say what is under way."""
    async with AsyncExitStack() as stack:
        bench = Bench.of(stack, quick=quick)
        began = time.perf_counter()
        await bench.fill(_large(names, bench))
        took["to fill large databases"] = time.perf_counter() - began
        for place, name in enumerate(names, 1):
            say(f"part {place} of {len(names)}, {name}, after {sum(took.values()):.0f} s")
            began = time.perf_counter()
            lines += await _taken(name, bench)
            took[name] = time.perf_counter() - began
            say(f"part {place} of {len(names)}, {name}, took {took[name]:.0f} s")


async def _taken(name: str, bench: Bench) -> list[Line]:
    """Take a part's figures; one that fails is a miss, and the others are taken all the same."""
    try:
        return await PARTS[name](bench)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        traceback.print_exc()
        return [Line(name, f"failed: {type(error).__name__}", is_met=False)]


def main() -> None:
    """Measure and print; say what is worse than at the last result that is kept."""
    logs.configure("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go with us
    told = _told()
    if told.docs:
        results.write_page()
        return
    quick = os.environ.get("QUICK") == "1"
    lines: list[Line] = []
    took: dict[str, float] = {}
    is_whole = False
    try:
        uvloop.run(measure(told.parts or list(PARTS), lines, took, quick=quick))  # as the server and the worker run
        is_whole = True
    finally:  # whoever breaks it off sees what was measured until then
        seconds = sum(took.values())
        _print(lines, took, f"{'quick' if quick else 'whole'} run{'' if is_whole else ', broken off'}, {seconds:.0f} s")
    if told.save:
        results.save(results.Result.of(told.save, lines, today=datetime.now(UTC).date(), seconds=seconds), told.parts)


def _print(lines: Sequence[Line], took: Mapping[str, float], what: str) -> None:
    print(f"{datetime.now(UTC).date()}, {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {what}, load {os.getloadavg()[0]:.1f},")
    print(f"{pace.times_slower():.1f} times slower than where goals in seconds were set\n\n{show(lines)}\n")
    print(judged(lines))
    for before in results.kept()[-1:]:
        worse = results.flags(lines, before)
        print(f"\nMore than a tenth worse than {before.name}: {len(worse)}. Measure again before you believe it.")
        print("\n".join(f"- {one}" for one in worse))
    print(f"\nSeconds: {', '.join(f'{name} {seconds:.0f}' for name, seconds in took.items())}")


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and print one table of ratios.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument(
        "--save",
        metavar="NAME",
        help="keep the ratios as bench/results/NAME.json; of parts, beside those that are there",
    )
    parser.add_argument("--docs", action="store_true", help="put the results that are kept into docs/benchmarks.md")
    told = parser.parse_args()
    if unknown := set(told.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return told


if __name__ == "__main__":
    main()
