"""P8 and P9 for webhooks: what one worker delivers, beside the same client posting the same signed bytes in a loop."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import asyncpg

from bench import bad_sink, pace
from bench.scratch import Site, process
from bench.table import Line, at_least, ms
from integrations import outbound_http
from integrations.webhooks import sending
from service.kernel import access, actor, clock
from service.outbox import events, subscriptions

_ALLOW = "127.0.0.1"
_TOGETHER = 50
_WHY_WORKER = "Both are the same client; the worker also claims, settles and writes each attempt down."
_A_SECOND = 50
_WARM = 100


@dataclass(slots=True)
class Hospital:
    """An endpoint that is told of everything, and the process behind it."""

    site: Site
    institution_id: UUID
    process: "subprocess.Popen[str]"
    url: str
    endpoint_id: UUID

    async def happen(self, count: int) -> dict[str, float]:
        """Have so many events in one transaction; gives when each was committed, on the wall clock."""
        audience = events.Audience(institution_ids=(self.institution_id,))
        async with self.site.world.database.work(actor.TIMER) as w:
            told = [
                str(
                    events.record(w, "mentor.availability_changed", None, clock.new_id(), audience, state="verified").id
                )
                for _ in range(count)
            ]
        return dict.fromkeys(told, clock.wall().timestamp())

    async def is_quiet(self, seconds: int = 120) -> None:
        """Wait until nothing waits any more, but not for ever."""
        connection = await asyncpg.connect(self.site.dsn)
        for _ in range(seconds * 4):
            if not await connection.fetchval(
                "SELECT count(*) FROM delivery WHERE state = 'pending' AND endpoint_id = $1", self.endpoint_id
            ):
                break
            await asyncio.sleep(0.25)
        await connection.close()

    def arrived(self) -> dict[str, float]:
        """End the receiver; gives when each webhook came."""
        said, _ = self.process.communicate("")
        found: dict[str, float] = json.loads(said)
        return found


@asynccontextmanager
async def _registered(site: Site, *urls: str) -> AsyncIterator[tuple[UUID, list[UUID]]]:
    """Have endpoints of one institution, and take them away at the end: what follows is measured without them."""
    connection = await asyncpg.connect(site.dsn)
    institution_id: UUID = await connection.fetchval("SELECT id FROM institution ORDER BY id LIMIT 1")
    await connection.close()
    keeper = actor.Actor("person", None, frozenset({actor.Grant("coordinator", institution_id)}))
    async with site.world.database.work(keeper) as w:
        made = [(await subscriptions.register(w, {"url": url}, institution_id)).row.id for url in urls]
    try:
        yield institution_id, made
    finally:
        async with site.world.database.work(keeper) as w:
            for each in made:
                await subscriptions.delete(w, await access.visible_webhook_endpoint(w, each, lock=True))


@asynccontextmanager
async def _hospital(site: Site) -> AsyncIterator[Hospital]:
    with _program("bench.hook_sink") as running:
        url = f"http://127.0.0.1:{int(_line(running))}/"
        try:
            async with _registered(site, url) as (institution_id, (endpoint_id,)):
                yield Hospital(site, institution_id, running, url, endpoint_id)
        finally:
            running.terminate()


@asynccontextmanager
async def _bad_neighbours(site: Site) -> AsyncIterator["subprocess.Popen[str]"]:
    """Have a receiver of every bad kind, each with an endpoint that is told of everything."""
    with _program("bench.bad_sink") as running:
        try:
            async with _registered(site, *json.loads(_line(running)).values()):
                yield running
        finally:
            running.terminate()


def _called(running: "subprocess.Popen[str]") -> float:
    """End the bad receivers; gives when the first was called. Raises RuntimeError unless each kind was."""
    said, _ = running.communicate("")
    calls: dict[str, list[float]] = json.loads(said)
    print("   calls:", ", ".join(f"{kind} {len(at)}" for kind, at in calls.items()), file=sys.stderr, flush=True)
    if uncalled := [kind for kind, at in calls.items() if not at]:
        raise RuntimeError(f"never called, so nothing was measured beside them: {', '.join(uncalled)}")
    return min(at[0] for at in calls.values())


def _program(module: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", module]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def _line(running: "subprocess.Popen[str]") -> str:
    return (running.stdout or sys.stdin).readline()


def _worker(site: Site) -> Any:  # noqa: ANN401 - a context
    command = [sys.executable, "-c", "from api.cli import main; main.main()", "worker"]
    return process(command, site, POBRATYM_OUTBOUND_ALLOW=_ALLOW)


async def looped(site: Site, count: int) -> float:
    """Post the same signed bytes in a loop with the same client, one after another; gives webhooks a second."""
    body = events.body("mentor.availability_changed", site.now, {"id": str(clock.new_id()), "version": 1, "links": {}})
    told = site.world.settings.model_copy(update={"outbound_allow": (_ALLOW,)})
    content = body.encode()
    async with _hospital(site) as hospital, outbound_http.client(told) as client:
        sent = sending.headers_of("bench", content, clock.wall(), "v1", ["AAAA"])
        sent["Content-Type"] = "application/json; charset=utf-8"
        await client.post(hospital.url, content=content, headers=sent)
        began = clock.monotonic()
        for _ in range(count):
            (await client.post(hospital.url, content=content, headers=sent)).raise_for_status()
        return count / (clock.monotonic() - began)


@dataclass(frozen=True, slots=True)
class Drained:
    """When one worker's webhooks arrived, in order, and when it called the first receiver, whoever that was."""

    began: float
    came: list[float]

    @property
    def warm_rate(self) -> float:
        """Webhooks a second from the hundredth on, when the worker is up and warm."""
        return (len(self.came) - _WARM - 1) / (self.came[-1] - self.came[_WARM])

    @property
    def rate(self) -> float:
        """Webhooks a second from the first call to anybody until the receiver has all: nothing is left out."""
        return len(self.came) / (self.came[-1] - self.began)


async def drained(site: Site, count: int, *, is_beside_bad: bool = False) -> Drained:
    """Have one worker send what waits for one receiver, and, if wanted, as much to a bad one of every kind."""
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(_bad_neighbours(site)) if is_beside_bad else None
        hospital = await stack.enter_async_context(_hospital(site))
        for _ in range(count // _TOGETHER):
            await hospital.happen(_TOGETHER)
        with _worker(site):
            await hospital.is_quiet()
            # Before the worker is stopped, which finishes the calls that it has begun: the silent would take 15 s.
            called = _called(bad) if bad else None
        came = sorted(hospital.arrived().values())
    if len(came) < count:
        raise RuntimeError(f"{len(came)} of {count} webhooks have arrived")
    return Drained(min(came[0], called or came[0]), came)


async def _drained_lines(site: Site, rounds: int, count: int) -> list[Line]:
    """P9: a worker beside a loop, and beside itself with bad neighbours, turn by turn."""
    crowded, alone, looping = list[Drained](), list[Drained](), list[float]()
    for _ in range(rounds):
        crowded.append(await drained(site, count, is_beside_bad=True))
        alone.append(await drained(site, count))
        looping.append(await looped(site, count))
    here, there = median(each.warm_rate for each in alone), median(looping)
    ratio = median(mine.warm_rate / bare for mine, bare in zip(alone, looping, strict=True))
    line = at_least("P9 webhooks of one worker", f"{here:,.0f}/s", f"{there:,.0f}/s", ratio, 0.6, _WHY_WORKER)
    here, there = median(each.rate for each in crowded), median(each.rate for each in alone)
    ratio = median(mine.rate / bare.rate for mine, bare in zip(crowded, alone, strict=True))
    name = f"   the same beside {len(bad_sink.KINDS)} receivers of every bad kind"
    return [line, at_least(name, f"{here:,.0f}/s", f"{there:,.0f}/s", ratio, 0.8)]


async def webhook_lines(site: Site, rounds: int, seconds: int, count: int) -> list[Line]:
    """P9, then P8: from the commit until the receiver has it, 50 a second."""
    lines = await _drained_lines(site, rounds, count)
    async with _hospital(site) as hospital:
        with _worker(site):
            await hospital.happen(1)
            await hospital.is_quiet()  # the worker is up now
            committed: dict[str, float] = {}
            began = clock.monotonic()
            for number in range(_A_SECOND * seconds):
                await asyncio.sleep(max(0.0, began + number / _A_SECOND - clock.monotonic()))
                committed |= await hospital.happen(1)
            await hospital.is_quiet()
        came = hospital.arrived()
    waits = sorted(came[name] - at for name, at in committed.items() if name in came)

    middle, last, lost = median(waits), quantiles(waits, n=100)[98], len(committed) - len(waits)
    return [
        *lines,
        Line(
            "P8 commit until the webhook has arrived, median",
            ms(middle),
            "",
            None,
            "<= 100 ms",
            middle <= 0.1,
            pace.WHY,
        ),
        Line("P8 the same of 99 webhooks of 100", ms(last), "", None, "<= 1 s", last <= 1, pace.WHY),
        Line(f"   lost of {len(committed)} webhooks, 50/s", str(lost), "", None, "0", lost == 0),
    ]
