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

from bench.scratch import Site, process
from bench.table import Line, at_least, ms
from integrations import http, webhooks
from service import access, actor, clock, events, subscriptions

_ALLOW = "127.0.0.1"
_TOGETHER = 50
_A_SECOND = 50
_NEIGHBOURS = 4


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
async def _hospital(site: Site, *, is_silent: bool = False) -> AsyncIterator[Hospital]:
    """Have an endpoint, and take it away at the end: what follows is to be measured without it."""
    connection = await asyncpg.connect(site.dsn)
    institution_id: UUID = await connection.fetchval("SELECT id FROM institution ORDER BY id LIMIT 1")
    await connection.close()
    keeper = actor.Actor("person", None, frozenset({actor.Grant("coordinator", institution_id)}))
    with _sink(*(["silent"] if is_silent else [])) as running:
        url = f"http://127.0.0.1:{int((running.stdout or sys.stdin).readline())}/"
        async with site.world.database.work(keeper) as w:
            made = await subscriptions.register(w, {"url": url}, institution_id)
        try:
            yield Hospital(site, institution_id, running, url, made.row.id)
        finally:
            running.terminate()
            async with site.world.database.work(keeper) as w:
                await subscriptions.delete(w, await access.visible_webhook_endpoint(w, made.row.id, lock=True))


def _sink(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.hook_sink", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def _worker(site: Site) -> Any:  # noqa: ANN401 - a context
    command = [sys.executable, "-c", "from api import cli; cli.main()", "worker"]
    return process(command, site, POBRATYM_OUTBOUND_ALLOW=_ALLOW)


async def looped(site: Site, count: int) -> float:
    """Post the same signed bytes in a loop with the same client, one after another; gives webhooks a second."""
    body = events.body("mentor.availability_changed", site.now, {"id": str(clock.new_id()), "version": 1, "links": {}})
    told = site.world.settings.model_copy(update={"outbound_allow": (_ALLOW,)})
    content = body.encode()
    async with _hospital(site) as hospital, http.client(told) as client:
        sent = webhooks.headers_of("bench", content, clock.wall(), "v1", ["AAAA"])
        sent["Content-Type"] = "application/json; charset=utf-8"
        await client.post(hospital.url, content=content, headers=sent)
        began = clock.monotonic()
        for _ in range(count):
            (await client.post(hospital.url, content=content, headers=sent)).raise_for_status()
        return count / (clock.monotonic() - began)


async def drained(site: Site, count: int, neighbours: int = 0) -> float:
    """Have one worker send what waits; gives webhooks a second, from the hundredth on, when it is up and warm.

    As many neighbours are sent the same, and never answer.
    """
    async with AsyncExitStack() as stack:
        for _ in range(neighbours):
            await stack.enter_async_context(_hospital(site, is_silent=True))
        hospital = await stack.enter_async_context(_hospital(site))
        for _ in range(count // _TOGETHER):
            await hospital.happen(_TOGETHER)
        with _worker(site):
            await hospital.is_quiet()
        came = sorted(hospital.arrived().values())
    return (len(came) - 101) / (came[-1] - came[100])


async def webhook_lines(site: Site, rounds: int, seconds: int, count: int) -> list[Line]:
    """P9: a worker beside a loop, turn by turn. P8: from the commit until the receiver has it, 50 a second."""
    pairs = [(await drained(site, count), await looped(site, count)) for _ in range(rounds)]
    here, there = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    ratio = median(mine / bare for mine, bare in pairs)
    lines = [at_least("P9 webhooks of one worker", f"{here:,.0f}/s", f"{there:,.0f}/s", ratio, 0.6)]
    beside = [(await drained(site, count, _NEIGHBOURS), await drained(site, count)) for _ in range(3)]
    here, there = median(pair[0] for pair in beside), median(pair[1] for pair in beside)
    ratio = median(crowded / alone for crowded, alone in beside)
    name = f"   the same beside {_NEIGHBOURS} receivers that never answer"
    lines.append(at_least(name, f"{here:,.0f}/s", f"{there:,.0f}/s", ratio, 0.8))
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
        Line("P8 commit until the webhook has arrived, median", ms(middle), "", None, "<= 100 ms", middle <= 0.1),
        Line("P8 the same, 99 of 100", ms(last), "", None, "<= 1 s", last <= 1),
        Line(f"   lost of {len(committed)} webhooks, 50/s", str(lost), "", None, "0", lost == 0),
    ]
