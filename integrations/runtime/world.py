"""Everything that a process holds while it runs: settings, clock, keys, the database.

It is opened once at the start and handed to whoever needs it. It is never a global, so a test can swap a field.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import sqlalchemy as sa
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from integrations import outbound_http
from integrations.identity import access_tokens
from integrations.mail import maildir, smtp
from integrations.runtime import database_address, database_faults, postgres, replicas, schema_version, tracing
from integrations.runtime import presence as presences
from integrations.runtime.connector import Connector
from integrations.runtime.live_streams import Streams
from integrations.runtime.settings import Settings
from service import vocabulary
from service.kernel import actor, clock, crypto, outcomes, partitions, processes, work

_TRUSTED_SECONDS = 2.0
_USED = "pobratym_used_at"
_SERVING = ("api", "api with worker")
_THROUGH_POOLER = (*_SERVING, "command")
_REPORTING = (*_THROUGH_POOLER, "doctor")
_NEEDS_NO_SESSION = ("api", "command")
_KINDS: Mapping[str, vocabulary.ProcessKind] = {"worker": "worker", "api with worker": "api_with_worker"}
"""Of process, by purpose; a command is none that anybody watches, and says nothing."""


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
    connector: Connector  # past a pooler, for what listens or needs a session of its own
    database: work.Database
    outbox: Outbox
    tokens: access_tokens.AccessTokens
    outbound: httpx.AsyncClient  # for addresses that others name
    presence: presences.Presence
    watching: work.Database  # over one connection of its own, so that a busy pool keeps nobody from seeing how it is
    revive: Callable[[], bool] | None = None  # starts the embedded server if it is gone; blocks, raises CannotStart
    reviving: asyncio.Lock = field(default_factory=asyncio.Lock)  # whoever calls `revive` holds it
    replica: replicas.Replica | None = None  # for reports, which are read by `replicas.read`
    tracer: trace.Tracer = field(default_factory=trace.NoOpTracer)
    streams: Streams = field(init=False)  # the browsers that follow what changes from this process

    def __post_init__(self) -> None:
        """Have no streams; they may take half of the connections that clients have to this process."""
        self.streams = Streams(self.settings.connections // 2)


class NotMigrated(Exception):
    """The database has an older schema than this program; the message says what to do."""


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    purpose: str = "api",
    version: str = "",
    statement_timeout_ms: int | None = None,
    migrating: bool = True,
) -> AsyncIterator[World]:
    """Give the world until the block ends; the embedded database is started, and brought to this program's schema.

    `version` is the program's, as a process that serves or works says of itself.
    A database named by its address is never migrated from here: raises NotMigrated when its schema is older.
    Raises postgres.CannotStart, database_faults.Unusable, and BadSettings where a pooler is in the way.
    """
    if purpose not in _NEEDS_NO_SESSION:
        settings.check_direct_way()
    async with AsyncExitStack() as stack:
        pooled, direct = await _connectors(settings, stack)
        through = pooled if purpose in _THROUGH_POOLER else direct
        engine = engine_of(settings, through, purpose=purpose, statement_timeout_ms=statement_timeout_ms)
        stack.push_async_callback(engine.dispose)
        outbound = await stack.enter_async_context(outbound_http.client(settings))
        if migrating:
            with database_faults.explained():
                await _have_schema(settings, engine)
        keys = crypto.Keys(settings.keys())
        time = clock.ManualClock(settings.clock_offset_path) if settings.clock == "manual" else clock.SystemClock()
        patience = (settings.pool_timeout_ms + 2 * settings.statement_timeout_ms) / 1000
        deadline = patience if purpose in _SERVING else None
        database = work.Database(
            engine, time, keys, deadline, carries_utf8=settings.smtputf8, base_path=settings.base_path
        )
        if settings.is_embedded and migrating:
            async with database.work(actor.TIMER) as w:  # it may have slept for months, and have no place for this one
                await partitions.make_all(w)
        outbox = outbox_of(settings)
        if isinstance(outbox, smtp.SmtpOutbox):
            stack.push_async_callback(outbox.aclose)
        issuer = access_tokens.AccessTokens(settings.base_url)
        presence = presences.of_this_process(_KINDS.get(purpose, "api"), version)
        watching_engine = engine_of(settings, through, purpose=purpose, size=1)
        stack.push_async_callback(watching_engine.dispose)
        watching = work.Database(watching_engine, time, keys, processes.BEAT_SECONDS)
        world = World(settings, time, keys, engine, direct, database, outbox, issuer, outbound, presence, watching)
        if settings.is_embedded:
            world.revive = functools.partial(postgres.revive, settings.data_dir)
        if purpose in _REPORTING:
            world.replica = _replica(world, stack, purpose, statement_timeout_ms)
        world.tracer = await stack.enter_async_context(tracing.opened(settings, presence.identity))
        tracing.watch(world.tracer, engine)
        if world.replica is not None and isinstance(world.replica.database.engine, AsyncEngine):
            tracing.watch(world.tracer, world.replica.database.engine)
        yield world


def outbox_of(settings: Settings) -> smtp.SmtpOutbox | maildir.MaildirOutbox:
    """Send by SMTP where a server is named, else into a Maildir under the data directory."""
    if settings.smtp_url is not None:
        return smtp.SmtpOutbox(settings.smtp_url.get_secret_value())
    return maildir.MaildirOutbox(settings.data_dir / "mail")


def engine_of(
    settings: Settings,
    connector: Connector,
    *,
    purpose: str,
    statement_timeout_ms: int | None = None,
    size: int | None = None,
) -> AsyncEngine:
    """Give an engine of `size` connections, else `pool_size`, which carry the timeouts of the settings (invariant E5).

    A pooler refuses them, as it lends its connections to whoever comes: there they stand at the role
    (`migrate.keep_at_role`).
    """
    session = {"application_name": f"pobratym {purpose}", "timezone": "UTC"}
    is_refused = connector.address.is_pooled or (settings.pooler != "none" and purpose in _THROUGH_POOLER)
    if not is_refused:
        session |= session_settings(settings, statement_timeout_ms)
    caches = {} if settings.statement_cache == "on" else {"statement_cache_size": 0}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        pool_size=size or settings.pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # who asks each second has the connection of a moment ago, which needs no ping
        pool_timeout=settings.pool_timeout_ms / 1000,
        hide_parameters=True,  # an error of the database must not quote what was being written
        connect_args={
            "async_creator_fn": functools.partial(connector.connect, session, **caches),
            **({"prepared_statement_cache_size": 0} if caches else {}),
        },
    )
    for name in ("connect", "checkin"):
        sa.event.listen(engine.sync_engine, name, _note_use)
    sa.event.listen(engine.sync_engine, "checkout", _must_live)
    work.watch_commits(engine)
    return engine


def _replica(
    world: World, stack: AsyncExitStack, purpose: str, statement_timeout_ms: int | None
) -> replicas.Replica | None:
    """Give what reads the replica that the settings name, in transactions that the server lets write nothing.

    From now on the primary notes who changes what. Nothing is connected before something is read.
    """
    address = world.settings.read_address()
    if address is None:
        return None
    connector = Connector(address, usual_seconds=world.settings.pool_timeout_ms / 1000)
    engine = engine_of(world.settings, connector, purpose=purpose, statement_timeout_ms=statement_timeout_ms)
    stack.push_async_callback(engine.dispose)
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    primary = world.database
    primary.notes_changes = True
    database = work.Database(
        reading,
        primary.clock,
        primary.keys,
        primary.deadline_seconds,
        carries_utf8=primary.carries_utf8,
        base_path=primary.base_path,
    )
    return replicas.Replica(database, connector)


def session_settings(settings: Settings, statement_timeout_ms: int | None = None) -> dict[str, str]:
    """Give the server's settings that each of our sessions works under, by name; times are milliseconds."""
    return {
        "lock_timeout": str(settings.lock_timeout_ms),
        "statement_timeout": str(statement_timeout_ms or settings.statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(settings.idle_in_transaction_timeout_ms),
        # What is read is in memory or on solid disks. PostgreSQL's own 4 made it read whole tables for fifty mentors,
        # and its compiler needs longer for a statement of many joins than the statement does (bench, P2).
        "random_page_cost": "1.1",
        "jit": "off",
    }


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = clock.monotonic()


def _must_live(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401 - the driver's
    """Replace a connection that is gone; pinged only after two seconds unused: a ping costs three round trips."""
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError
    if clock.monotonic() - record.info[_USED] >= _TRUSTED_SECONDS:
        try:
            connection.ping()
        except Exception as error:
            raise sa.exc.DisconnectionError from error


async def _connectors(settings: Settings, stack: AsyncExitStack) -> tuple[Connector, Connector]:
    """Give the way to the database that requests take, and the one past a pooler; they are the same where none is.

    An embedded server is started, off the loop, because a recovery may take long.
    """
    seconds = settings.pool_timeout_ms / 1000
    if not settings.is_embedded:
        pooled, direct = settings.address(), settings.direct_address()
        past = Connector(direct, usual_seconds=seconds)
        return (past if pooled == direct else Connector(pooled, usual_seconds=seconds)), past
    server = postgres.running(settings.data_dir)
    url = (await asyncio.to_thread(server.__enter__)).url()
    stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
    embedded = Connector(database_address.parse(url), usual_seconds=seconds)
    return embedded, embedded


async def _have_schema(settings: Settings, engine: AsyncEngine) -> None:
    present = await schema_version.present(engine)
    if schema_version.serves(present):
        return
    if not settings.is_embedded:
        needed = schema_version.head()
        msg = f"The database has schema {present or 'none'}, this program needs {needed}: run `pobratym migrate`."
        raise NotMigrated(msg)
    from integrations.runtime import migrate  # noqa: PLC0415 - Alembic is slow to import, and seldom needed

    await migrate.upgrade(engine)
