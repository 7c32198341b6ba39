"""The worker's own port: alive while its loops move, ready while it can work, figures for whoever may see them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest

import postoffice
from api.cli import health as asking
from api.edge import metrics
from drills import site
from integrations.runtime import presence, worker_port
from integrations.runtime.world import World
from service.kernel import clock

pytestmark = pytest.mark.races


@pytest.fixture
def working(world: World) -> World:
    """A process that only works."""
    here = presence.of_this_process("worker", "0.test")
    here.probe_seconds = 0.0
    told = world.settings.model_copy(update={"worker_port": site.free_port()})
    return dataclasses.replace(world, presence=here, settings=told)


@pytest.fixture
async def port(working: World) -> AsyncIterator[httpx.AsyncClient]:
    url = f"http://127.0.0.1:{working.settings.worker_port}"
    async with worker_port.opened(working, "127.0.0.1", metrics.shown), httpx.AsyncClient(base_url=url) as client:
        await postoffice.until(lambda: asyncio.to_thread(asking.is_alive, working.settings.worker_port))
        yield client


async def test_ops_07_a_worker_is_alive_while_its_loops_move(working: World, port: httpx.AsyncClient) -> None:
    working.presence.moved("timers")
    assert (await port.get("/health/live")).json() == {"status": "ok", "reasons": []}
    working.presence._loops["timers"].moved_at = clock.monotonic() - 61
    stuck = await port.get("/health/live")
    assert (stuck.status_code, stuck.json()["reasons"]) == (503, ["timers"])


async def test_ops_07_a_worker_is_ready_while_its_database_takes_changes(
    working: World, port: httpx.AsyncClient
) -> None:
    assert (await port.get("/health/ready")).status_code == 200
    async with working.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE process RENAME TO gone")
    ready = await port.get("/health/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["schema_outdated"])


async def test_ops_07_a_worker_shows_its_figures(working: World, port: httpx.AsyncClient) -> None:
    working.presence.moved("timers")
    await working.presence.beat(working.database)
    text = (await port.get("/metrics")).text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures["pobratym_worker_beat_timestamp_seconds"]) > 1_700_000_000
    assert any(name.startswith("pobratym_loop_seconds") and 'loop="timers"' in name for name in figures)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/me", 404), ("POST", "/health/live", 405), ("HEAD", "/health/live", 200)],
)
async def test_ops_07_the_port_answers_three_addresses_only(
    port: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await port.request(method, path)).status_code == status


async def test_ops_07_figures_that_fail_are_an_answer_too(working: World) -> None:
    def fail(_: object) -> tuple[bytes, str]:
        raise LookupError

    url = f"http://127.0.0.1:{working.settings.worker_port}"
    async with worker_port.opened(working, "127.0.0.1", fail), httpx.AsyncClient(base_url=url) as client:
        await postoffice.until(lambda: asyncio.to_thread(asking.is_alive, working.settings.worker_port))
        assert (await client.get("/metrics")).status_code == 500


async def test_ops_07_a_port_that_is_taken_keeps_no_mail_back(working: World, port: httpx.AsyncClient) -> None:
    async with worker_port.opened(working, "127.0.0.1", metrics.shown):
        assert (await port.get("/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (("python", "-m", "api", "worker", "--host", "0.0.0.0"), 8001),
        (("python", "-m", "api", "serve", "--host", "0.0.0.0", "--no-worker"), 8000),
        (("python", "-m", "api", "serve", "--port", "9000"), 9000),
    ],
)
def test_ops_07_the_image_asks_the_port_of_whichever_command_runs(command: tuple[str, ...], asked: int) -> None:
    assert asking.port_of(command) == asked


def test_ops_07_nobody_at_the_port_is_not_alive() -> None:
    assert not asking.is_alive(site.free_port())
