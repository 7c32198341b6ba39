"""Everything that a process holds while it runs: settings, clock, keys, the database.

It is opened once at the start and handed to whoever needs it. It is never a global, so a test can swap a field.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import sqlalchemy as sa
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from integrations import outbound_http
from integrations.identity import access_tokens
from integrations.mail import maildir, smtp
from integrations.runtime import database_faults, migrate, postgres
from integrations.runtime.settings import Settings
from service.kernel import clock, crypto, outcomes, work

_TRUSTED_SECONDS = 1.0
_USED = "pobratym_used_at"


class Outbox(Protocol):
    """Where mail is handed over."""

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        """Hand the message over for one recipient."""
        ...

    async def probe(self, sender: str) -> outcomes.Away | None:
        """Tell what keeps every mail of this sender from being handed over, if anything does."""
        ...


@dataclass(slots=True)
class World:
    """What the edge, the worker and the commands share."""

    settings: Settings
    clock: clock.Clock
    keys: crypto.Keys
    engine: AsyncEngine
    database: work.Database
    outbox: Outbox
    tokens: access_tokens.AccessTokens
    outbound: httpx.AsyncClient  # for addresses that others name


class NotMigrated(Exception):
    """The database has an older schema than this program; the message says what to do."""


@asynccontextmanager
async def opened(
    settings: Settings, *, purpose: str = "api", statement_timeout_ms: int | None = None, migrating: bool = True
) -> AsyncIterator[World]:
    """Give the world until the block ends; the embedded database is started, and brought to this program's schema.

    A database named by its address is never migrated from here: raises NotMigrated when its schema is older.
    Raises postgres.CannotStart, database_faults.Unusable.
    """
    async with AsyncExitStack() as stack:
        url = await _database(settings, stack)
        engine = engine_of(settings, url, purpose=purpose, statement_timeout_ms=statement_timeout_ms)
        stack.push_async_callback(engine.dispose)
        outbound = await stack.enter_async_context(outbound_http.client(settings))
        if migrating:
            with database_faults.explained():
                await _have_schema(settings, engine)
        keys = crypto.Keys(settings.keys())
        time = clock.ManualClock(settings.clock_offset_path) if settings.clock == "manual" else clock.SystemClock()
        deadline = (settings.pool_timeout_ms + 2 * settings.statement_timeout_ms) / 1000 if purpose == "api" else None
        database = work.Database(engine, time, keys, deadline, carries_utf8=settings.smtputf8)
        outbox = outbox_of(settings)
        if isinstance(outbox, smtp.SmtpOutbox):
            stack.push_async_callback(outbox.aclose)
        issuer = access_tokens.AccessTokens(settings.base_url)
        yield World(settings, time, keys, engine, database, outbox, issuer, outbound)


def outbox_of(settings: Settings) -> smtp.SmtpOutbox | maildir.MaildirOutbox:
    """Send by SMTP where a server is named, else into a Maildir under the data directory."""
    if settings.smtp_url is not None:
        return smtp.SmtpOutbox(settings.smtp_url.get_secret_value())
    return maildir.MaildirOutbox(settings.data_dir / "mail")


def engine_of(settings: Settings, url: URL, *, purpose: str, statement_timeout_ms: int | None = None) -> AsyncEngine:
    """Give an engine whose connections carry the timeouts of the settings (invariant E5)."""
    limits = {
        "lock_timeout": settings.lock_timeout_ms,
        "statement_timeout": statement_timeout_ms or settings.statement_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_ms,
        # What is read is in memory or on solid disks. PostgreSQL's own 4 made it read whole tables for fifty mentors,
        # and its compiler needs longer for a statement of many joins than the statement does (bench, P2).
        "random_page_cost": 1.1,
        "jit": "off",
    }
    names = {name: str(value) for name, value in limits.items()} | {"application_name": f"pobratym {purpose}"}
    engine = create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_ms / 1000,
        hide_parameters=True,  # an error of the database must not quote what was being written
        connect_args={"server_settings": {**names, "timezone": "UTC"}, "timeout": settings.pool_timeout_ms / 1000},
    )
    for name in ("connect", "checkin"):
        sa.event.listen(engine.sync_engine, name, _note_use)
    sa.event.listen(engine.sync_engine, "checkout", _must_live)
    return engine


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = clock.monotonic()


def _must_live(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401 - the driver's
    """Replace a connection that is gone; it is pinged only after a second unused, as a ping costs three round trips."""
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError
    if clock.monotonic() - record.info[_USED] >= _TRUSTED_SECONDS:
        try:
            connection.ping()
        except Exception as error:
            raise sa.exc.DisconnectionError from error


async def _database(settings: Settings, stack: AsyncExitStack) -> URL:
    """Name the database, started if it is ours; off the loop, because a recovery may take long."""
    if settings.database_url is not None:
        return make_url(settings.database_url.get_secret_value())
    server = postgres.running(settings.data_dir)
    url = make_url((await asyncio.to_thread(server.__enter__)).url())
    stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
    return url


async def _have_schema(settings: Settings, engine: AsyncEngine) -> None:
    present = await migrate.present(engine)
    if migrate.serves(present):
        return
    if not settings.is_embedded:
        msg = (
            f"The database has schema {present or 'none'}, this program needs {migrate.head()}: run `pobratym migrate`."
        )
        raise NotMigrated(msg)
    await migrate.upgrade(engine)
