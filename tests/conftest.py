"""One database server for the whole run; per test a transaction that is rolled back, or a copy of its own.

`TESTS_DATABASE_URL` names another server to run the same tests on; its user must be able to make databases.
`TESTS_POOLER_URL` names a pooler before it, in transaction mode: then each test has a copy of its own, so that
its transactions are spread over the pooler's connections (`tests/behind_pooler.py`).
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import build
import comparing
import tracing
import world as simulated
from integrations.runtime import logs, migrate, postgres, settings
from integrations.runtime.world import World
from service.kernel import actor, clock, work

if TYPE_CHECKING:
    from fastapi import FastAPI

TEMPLATE = f"pobratym_template_{os.getpid()}"
POOLER = os.environ.get("TESTS_POOLER_URL")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "races: several transactions at once, on a copy of the database")
    logs.configure("critical")
    tracing.quicken()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: what is long and comes last is waited for by all others."""
    items.sort(key=lambda item: max((mark.args[0] for mark in item.iter_markers("load") if mark.args), default=0) * -1)


@pytest.fixture(scope="session", autouse=True)
def _nothing_kept_is_old() -> Iterator[None]:
    """Every ranking of every test compares the mentors it kept with what their rows say."""
    with comparing.rankings():
        yield


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A folder of our own: pytest shuts its own to other users when a run starts, and the server is another user."""
    with tempfile.TemporaryDirectory(prefix="pobratym-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def server_url(data_dir: Path) -> Iterator[URL]:
    """The server's own database, from which others are made."""
    given = os.environ.get("TESTS_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+asyncpg")
        return
    with postgres.running(data_dir, fast_unsafe=True) as server:
        yield make_url(server.url(postgres.SUPERUSER))


@pytest.fixture(scope="session")
async def template(server_url: URL) -> AsyncIterator[str]:
    """A database with the newest schema and no rows, to copy."""
    async with simulated.database(server_url, TEMPLATE) as url:
        engine = create_async_engine(url, poolclass=NullPool)
        await migrate.upgrade(engine)
        await engine.dispose()
        yield TEMPLATE


@pytest.fixture(scope="session")
async def shared_engine(server_url: URL, template: str, the_settings: settings.Settings) -> AsyncIterator[AsyncEngine]:
    """One database for all tests that roll back."""
    async with simulated.database(server_url, f"{template}_shared", template) as url:
        engine = simulated.engine(the_settings, url)
        yield engine
        await engine.dispose()


@pytest.fixture
def test_clock() -> simulated.TestClock:
    """A clock that stands still until the test moves it."""
    return simulated.TestClock()


@pytest.fixture
def stopped_wall(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The system's clock stands still, for what counts seconds by it: a machine that stalls is not to be counted."""
    at = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: at)
    return at


@pytest.fixture(scope="session")
def the_settings(data_dir: Path) -> settings.Settings:
    """Patient, because the machine may be slow: what times out is tested with settings of its own."""
    return settings.Settings(
        data_dir=data_dir,
        requests_per_minute=0,
        sign_ins_per_minute=0,
        pool_size=16,
        pool_timeout_ms=120_000,
        lock_timeout_ms=60_000,
        statement_timeout_ms=60_000,
        idle_in_transaction_timeout_ms=300_000,
        database_pooler="transaction" if POOLER else "none",
        statement_cache="off" if os.environ.get("TESTS_STATEMENT_CACHE") == "off" else "on",
    )


@pytest.fixture
async def world(
    request: pytest.FixtureRequest,
    server_url: URL,
    template: str,
    shared_engine: AsyncEngine,
    the_settings: settings.Settings,
    test_clock: simulated.TestClock,
) -> AsyncIterator[World]:
    """Everything a process holds, on a database without rows; with a copy of its own for tests marked `races`."""
    the_settings.position_path.unlink(missing_ok=True)  # of the database of the test before
    if request.node.get_closest_marker("races") is None and POOLER is None:
        async with simulated.rolled_back(shared_engine) as bind:
            yield simulated.made(the_settings, shared_engine, test_clock, bind)
        return
    async with simulated.database(server_url, f"pobratym_{clock.new_id().hex}", template) as url:
        engine = simulated.engine(the_settings, url, make_url(POOLER).set(database=url.database) if POOLER else None)
        yield simulated.made(the_settings, engine, test_clock)
        await engine.dispose()


@pytest.fixture
async def w(world: World) -> AsyncIterator[work.Work]:
    """A timer's unit of work, open during the test; beside `client`, use `async with world.database.work(...)`."""
    async with world.database.work(actor.TIMER) as unit:
        yield unit


@pytest.fixture(scope="session")
def application() -> "FastAPI":
    """The API, put together once: each test gives it its own world."""
    from api import app  # noqa: PLC0415 - most tests need no edge, and it is slow to import

    return app.create()


@pytest.fixture(scope="session")
def probing_application() -> "FastAPI":
    """The API with the probe resource beside the real ones."""
    import probe  # noqa: PLC0415 - as above
    from api import app  # noqa: PLC0415

    found = app.create()
    found.include_router(probe.router)
    return found


@pytest.fixture
async def client(application: "FastAPI", world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The API over this test's world, without a network, called from the machine itself."""
    async with simulated.calling(application, world) as found:
        yield found


@pytest.fixture
async def caller(world: World) -> dict[str, str]:
    """The headers of a coordinator."""
    async with world.database.work(actor.TIMER) as unit:
        who = await build.coordinator(unit, await build.institution(unit))
    return await build.bearer(world, who)


@pytest.fixture
async def probing(
    probing_application: "FastAPI", world: World, caller: dict[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    """The API with the probe resource; calls come from a coordinator."""
    async with simulated.calling(probing_application, world, headers=caller) as client:
        yield client
