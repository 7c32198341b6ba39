"""The world of a test: a clock that is set by hand, fixed keys, databases that vanish."""

import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import sqlalchemy as sa
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from integrations import outbound_http
from integrations.identity import access_tokens
from integrations.runtime import database_address, presence
from integrations.runtime.connector import Connector
from integrations.runtime.settings import Settings
from integrations.runtime.world import World, engine_of, outbox_of
from service.kernel import crypto, work

if TYPE_CHECKING:
    from fastapi import FastAPI

MONDAY = datetime(2026, 11, 16, 8, tzinfo=UTC)
KEYS = crypto.Keys({"test": bytes(range(32))})


class TestClock:
    """Tells what it was set to, Monday 2026-11-16T08:00:00Z at first."""

    __test__ = False

    def __init__(self) -> None:
        self.instant = MONDAY

    def now(self) -> datetime:
        return self.instant

    def set(self, instant: datetime | None) -> None:
        self.instant = instant or MONDAY

    def forward(self, **how_long: float) -> datetime:
        """Let time pass, as in `forward(hours=2)`."""
        self.instant += timedelta(**how_long)
        return self.instant


_KNOW = "UPDATE installation SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())"


@asynccontextmanager
async def database(server: URL, name: str, template: str = "template1") -> AsyncIterator[URL]:
    """A database copied from `template`, dropped at the end."""
    await _outside(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    if template != "template1":  # a copy would be held as such
        await _outside(server.set(database=name), _KNOW)
    try:
        yield server.set(database=name)
    finally:
        await _outside(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def rolled_back(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which every commit is a savepoint, and nothing stays.

    Units of work follow one another on it; two at once need a database of their own (`races`).
    """
    async with engine.connect() as connection:
        outer = await connection.begin()
        await connection.begin_nested()  # only below a savepoint do sessions make their own
        yield connection
        await outer.rollback()


_CONNECTORS: "weakref.WeakKeyDictionary[AsyncEngine, Connector]" = weakref.WeakKeyDictionary()


def engine(settings: Settings, url: URL, pooler: URL | None = None) -> AsyncEngine:
    """An engine over the database; through the pooler if one is named, which refuses what sessions begin with."""
    seconds = settings.pool_timeout_ms / 1000
    direct = Connector(database_address.parse(text_of(url)), usual_seconds=seconds)
    through = Connector(database_address.parse(text_of(pooler)), usual_seconds=seconds) if pooler else direct
    made = engine_of(settings, through, purpose="api" if pooler else "test")
    _CONNECTORS[made] = direct
    return made


def text_of(url: URL) -> str:
    """Give the address as an operator writes it, and as asyncpg reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def made(settings: Settings, engine: AsyncEngine, clock: TestClock, bind: AsyncConnection | None = None) -> World:
    """A world on the engine, or on one connection of it."""
    database = work.Database(bind or engine, clock, KEYS, carries_utf8=settings.smtputf8, base_path=settings.base_path)
    issuer, outbound = access_tokens.AccessTokens(settings.base_url), outbound_http.client(settings)
    here = presence.of_this_process("api_with_worker", "0.test")
    here.probe_seconds = 0.0  # each question is asked anew
    connector, outbox = _CONNECTORS[engine], outbox_of(settings)
    return World(settings, clock, KEYS, engine, connector, database, outbox, issuer, outbound, here, database)


def calling(
    app: "FastAPI", world: World, *, headers: Mapping[str, str] | None = None, address: str = "127.0.0.1"
) -> httpx.AsyncClient:
    """A client of the application over this world, whose calls come from `address`."""
    app.state.world = world
    transport = httpx.ASGITransport(app, client=(address, 50000))
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


async def _outside(server: URL, sql: str) -> None:
    maker = create_async_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with maker.connect() as connection:
        await connection.execute(sa.text(sql))
    await maker.dispose()
