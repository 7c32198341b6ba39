"""The database is away, or taken up by others: 503 with Retry-After, alive, and back by itself without a restart.

`AWAY_SECONDS` says for how long it is away (60).
"""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import asyncpg
import httpx
import pytest

import postoffice
from drills import load, site
from integrations.runtime import presence

pytestmark = pytest.mark.drill

AWAY_SECONDS = int(os.environ.get("AWAY_SECONDS", "60"))
CROWD = 30


async def answers_while(running: site.Site, gone: asyncio.Future[None]) -> list[httpx.Response]:
    """Ask both healths and file a request, again and again until the future is done; gives every answer."""
    said: list[httpx.Response] = []
    headers = running.bearers["clinician0"]
    await asyncio.sleep(2 * presence.PROBE_SECONDS)  # until then what was found out before is believed
    while not gone.done():
        said.append(await running.client.get("/health/live"))
        said.append(await running.client.get("/health/ready"))
        said.append(await running.client.post("/v1/consultations", json=running.scene.wish(), headers=headers))
        await asyncio.sleep(0.5)
    return said


def by_path(said: list[httpx.Response]) -> dict[str, set[tuple[int, bool]]]:
    """Sort the answers: (status, whether it says when to come again) for each path."""
    found: dict[str, set[tuple[int, bool]]] = {}
    for answer in said:
        found.setdefault(answer.request.url.path, set()).add((answer.status_code, "retry-after" in answer.headers))
    return found


async def works_again(running: site.Site) -> None:
    """A request is filed and its mails leave, by the same processes as before."""
    await postoffice.until(running.is_ready, 60)
    headers = running.bearers["clinician0"]
    before = len(await running.scene.rows("SELECT 1 FROM delivery WHERE state = 'delivered'"))
    answer = await running.client.post("/v1/consultations", json=running.scene.wish(), headers=headers)
    assert answer.status_code == 201, answer.text
    await load.settled(running)
    assert len(await running.scene.rows("SELECT 1 FROM delivery WHERE state = 'delivered'")) > before
    assert {name: process.poll() for name, process in running.processes.items()} == {"api": None, "worker": None}


async def test_a_database_that_is_down_makes_503_and_is_found_again_without_a_restart(folder: Path) -> None:
    async with site.opened(folder) as running:
        await running.kill("postgres")
        gone = asyncio.ensure_future(asyncio.sleep(AWAY_SECONDS))
        said = by_path(await answers_while(running, gone))
        await running.revive("postgres")
        await works_again(running)
    assert said == {
        "/health/live": {(200, False)},
        "/health/ready": {(503, False)},
        "/v1/consultations": {(503, True)},
    }


async def test_a_database_that_hangs_makes_503_and_is_found_again_without_a_restart(folder: Path) -> None:
    async with site.opened(folder) as running:
        with site.thawed(running):
            running.signal_database(signal.SIGSTOP)
            gone = asyncio.ensure_future(asyncio.sleep(AWAY_SECONDS))
            said = by_path(await answers_while(running, gone))
        await works_again(running)
    assert said == {
        "/health/live": {(200, False)},
        "/health/ready": {(503, False)},
        "/v1/consultations": {(503, True)},
    }


async def test_an_exhausted_pool_makes_503_and_neither_a_hang_nor_a_500(folder: Path) -> None:
    async with site.opened(folder, POOL_SIZE="2", POOL_TIMEOUT_MS="500") as running:
        url = running.world.connector.address.text.replace("postgresql+asyncpg:", "postgresql:")
        holder = await asyncpg.connect(url)
        headers = running.bearers["clinician0"]
        async with holder.transaction():
            await holder.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
            calls = [running.client.get("/v1/me", headers=headers) for _ in range(CROWD)]
            said = await asyncio.gather(*calls)
            live = await running.client.get("/health/live")
        await holder.close()
        counted = Counter((answer.status_code, "retry-after" in answer.headers) for answer in said)
        await works_again(running)
    assert counted == {(503, True): CROWD}
    assert live.status_code == 200
