"""One unit of work: one transaction, one instant, one actor. The only commit of the project.

Whatever a verb does (rows, events, deliveries, jobs) is in the transaction of its Work or did not happen.
A deadlock or serialization failure is retried here and nowhere else; a broken constraint becomes the domain's error.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSessionTransaction
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from service import tables
from service.kernel import actor as actors
from service.kernel import clock, closing, crypto, database_errors, driver_texts, errors, queue, recent_changes
from service.kernel.fetched import Fetched
from service.rules.time import availability
from service.tables import columns

T = TypeVar("T")
Row = TypeVar("Row", bound=SQLModel)
Rows = sa.Result[*tuple[Any, ...]]
RETRIES = 3
_RETRYABLE = {"40001", "40P01"}
_WARNING, _WARNED = "01000", "pobratym_warned"
_STALE = asyncpg.InvalidCachedStatementError  # a migration changed its columns after it was prepared
_BAD_INPUT = {"22021", "22P05", "22P02", "22003", "22007", "22008", "22023"}
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(key) FROM unnest(:keys) WITH ORDINALITY AS sorted (key, place) ORDER BY place"
).bindparams(sa.bindparam("keys", type_=ARRAY(sa.BigInteger)))

CONSTRAINTS: dict[str, Callable[[], errors.DomainError]] = {
    "ex_seat_occupied_once": errors.SlotTaken,
    "uq_offer_open": lambda: errors.Exists("This mentor has an open offer for this consultation."),
    "uq_appointment_live": errors.SlotTaken,
    "uq_person_email": lambda: errors.Exists("A person with this address is registered."),
    "uq_advice_consultation_id": errors.AlreadyLogged,
    "uq_feedback_side": errors.AlreadyLogged,
    "uq_log_entry_corrects": lambda: errors.Exists("This entry has been corrected: correct the newer one."),
    "uq_role_grant": lambda: errors.Exists("This role is granted."),
    "uq_institution_code": lambda: errors.Exists("An institution has this code."),
    "uq_memorandum_code": lambda: errors.Exists("A memorandum has this code."),
    "uq_address_change_number": lambda: errors.Conflict("This person's address was changed meanwhile."),
    "uq_rehearsal_going": lambda: errors.Exists("A rehearsal of this programme is under way: wait until it is done."),
    "uq_programme_code": lambda: errors.Exists("A programme has this code."),
    "uq_institution_code_any_case": lambda: errors.Exists("An institution has this code."),
    "uq_memorandum_code_any_case": lambda: errors.Exists("A memorandum has this code."),
    "uq_programme_code_any_case": lambda: errors.Exists("A programme has this code."),
}

_ORDER = {table.name: place for place, table in enumerate(tables.metadata.sorted_tables)}


@dataclass(slots=True)
class Work:
    """What a verb needs: the open session, the one instant, who acts, the keys."""

    session: AsyncSession
    now: datetime
    actor: actors.Actor
    keys: crypto.Keys
    request_id: str | None = None
    traceparent: str | None = None  # that the request came with (W3C Trace Context)
    tzdata_version: str = availability.TZDATA_VERSION  # of the zone data by which this process expands zones
    jobs: list[queue.Job] = field(default_factory=list)  # to put into the queue when this commits
    pending: list[SQLModel] = field(default_factory=list)  # rows to insert at the next flush
    written: dict[type[SQLModel], list[Mapping[str, object]]] = field(default_factory=dict)  # to insert at the end
    rows_read: dict[type[SQLModel], dict[object, SQLModel]] = field(default_factory=dict)  # what `read` has read
    locked: set[UUID] = field(default_factory=set)  # people
    is_bulk: bool = False  # thousands of rows: inserted at once, and not followed afterwards
    is_apart: bool = False  # no transaction: statements only, and no rows to send
    is_holding: bool = False  # what was added and changed is sent later (`holding`)
    connection: AsyncConnection | None = None  # for `fetch`
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)  # for `Database.counted`, when this commits
    facts_seen: dict[UUID, datetime] = field(default_factory=dict)  # the Database's: see `care.decisions`
    new_facts: dict[UUID, datetime] = field(default_factory=dict)  # added to it when this commits
    carries_utf8: bool = False  # the operator says that the mail server takes SMTPUTF8 (`email_addresses`)
    base_path: str = ""  # what stands before each address of the API that a client is told
    as_of: datetime | None = None  # what is read was so then; None where it is so now

    def add(self, *rows: SQLModel) -> None:
        """Insert the rows before the next statement."""
        self.pending.extend(rows)

    def write(self, kind: type[SQLModel], values: Mapping[str, object]) -> None:
        """Insert a row at the end, with all others of its table: one that nothing in this Work reads or changes again.

        Such rows are many, and tracking objects would cost ten times as much. All rows of a table name the same
        columns; an event's webhooks are written with it. Not for use in a savepoint: a rollback of that would not take
        the row back.
        """
        self.written.setdefault(kind, []).append(values)

    async def flush(self) -> None:
        """Send what was added and changed: in the order of the foreign keys, which the session alone does not know."""
        if self.is_holding:
            return
        if self.pending or self.session.dirty or self.session.deleted:
            self._needs_transaction()
            await self.session.run_sync(self._send)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Send nothing meanwhile, so that what is not finished is not written twice: what is asked does not need it."""
        before, self.is_holding = self.is_holding, True
        try:
            yield
        finally:
            self.is_holding = before

    async def finish(self, *, is_over: bool = False) -> None:
        """Send everything: rows of `add` and `write`, the webhooks of events, and the jobs for the worker.

        Once the work `is_over` nobody changes its new rows any more: the session need not know those of a case.
        """
        if is_over and all(type(row) in closing.OF_A_CASE for row in self.pending):
            while self.pending:
                self.write(type(self.pending[0]), closing.values_of(self.pending.pop(0)))
        await self.flush()
        written, self.written, jobs, self.jobs = self.written, {}, self.jobs, []
        if written:
            self._needs_transaction()
        rows = {kind: written[kind] for kind in sorted(written, key=_place)}
        for text, values in await closing.statements(rows, jobs, closing.Origin(self.request_id, self.traceparent)):
            connection = await self.session.connection()
            await connection.exec_driver_sql(text, values)

    def _needs_transaction(self) -> None:
        if self.is_apart:
            msg = "rows need a transaction"
            raise RuntimeError(msg)

    def _send(self, session: Session) -> None:
        pending, self.pending = sorted(self.pending, key=_place_of), []
        for _, rows in itertools.groupby(pending, key=_place_of):
            if self.is_bulk:
                _insert(session, list(rows))
                continue
            session.add_all(rows)
            session.flush()
        session.flush()

    # Three ways to ask the database: `sql` for any statement; `fetch` for a text that every request or many rows need,
    # at a fifth of the processor time; `read`, `find` and `read_all` for rows by their ids, each read once.

    async def sql(
        self, statement: sa.Executable, values: Mapping[str, object] | None = None, *, after_changes: bool = True
    ) -> Rows:
        """Run a statement in this transaction, after what was added and changed is sent.

        With `after_changes` off, the changes are sent later, all at once: the statement does not need them.
        """
        if after_changes:
            await self.flush()
        result: Rows = await self.session.exec(statement, params=values)  # type: ignore[call-overload]
        return result

    async def fetch(
        self, statement: sa.Executable, values: Mapping[str, object], ids: Mapping[UUID, UUID] | None = None
    ) -> Sequence[Any]:
        """Run a statement as `sql` does, but by the driver itself; gives rows only (decision 0026).

        For statements that live as long as the program, because each is kept as the driver takes it. Values and columns
        are the driver's: arrays are lists, JSON is text. In place of the ids that the statement itself has go those of
        `ids`: one that was made for the shape of an actor is asked for the actor (decision 0094).
        """
        # The idea: SQLAlchemy needs half a millisecond of processor time for a statement, whatever it asks, and asyncpg
        # a tenth. So the statement goes straight to the asyncpg connection that the session holds, which puts it into
        # the same transaction and savepoint. Three things are SQLAlchemy's work and must not be lost. It begins the
        # transaction with its first statement: as long as the driver is in none, the statement goes the ordinary way
        # and begins it. It names the placeholders, which `driver_texts` compiles to the driver's numbers once.
        # And it gives up a connection whose state nobody knows: after anything but an error of PostgreSQL's own (a lost
        # connection, a cancellation in the middle of an answer) the connection is invalidated here in the same way.
        await self.flush()
        if self.connection is None:
            self.connection = await self.session.connection()
        driver: Any = self.connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
        if not (self.is_apart or driver.is_in_transaction()):
            if ids is None:
                return (await self.sql(statement, values)).all()
            await self.sql(_NOTHING, {})
        text, arguments = driver_texts.of(statement, values, ids or {})
        try:
            rows: Sequence[Any] = await driver.fetch(text, *arguments, record_class=Fetched)
        except BaseException as error:
            if driver.is_closed() and isinstance(error, Exception):
                raise errors.Unavailable from error
            if not isinstance(error, asyncpg.PostgresError):  # the connection's state is unknown
                await self.connection.invalidate(error)  # this also cancels the running statement
            raise
        return rows

    async def read(self, kind: type[Row], row_id: object) -> Row:
        """Give the row of this id, read once in a unit of work; it must exist."""
        return (await self.read_all(kind, [row_id]))[row_id]

    async def find(self, kind: type[Row], row_id: object) -> Row | None:
        """Give the row of this id as `read` does, or None."""
        return (await self.read_all(kind, [row_id])).get(row_id)

    async def read_all(self, kind: type[Row], row_ids: Iterable[object]) -> dict[Any, Row]:
        """Give the rows of these ids by id, each read once in a unit of work; ids without a row are left out."""
        rows: dict[object, Any] = self.rows_read.setdefault(kind, {})
        ids = list(dict.fromkeys(row_ids))
        missing = [row_id for row_id in ids if row_id not in rows]
        if missing:
            loaded = await self.session.exec(_of_ids(kind), params={"ids": missing})
            rows.update((getattr(row, _key(kind).key), row) for row in loaded)
        return {row_id: rows[row_id] for row_id in ids if row_id in rows}

    def keep(self, row: SQLModel) -> None:
        """Record a row that another statement loaded, so that `read` does not load it again."""
        self.rows_read.setdefault(type(row), {})[getattr(row, _key(type(row)).key)] = row

    async def delete(self, row: SQLModel) -> None:
        """Delete the row with the next statement."""
        self.rows_read.get(type(row), {}).pop(getattr(row, _key(type(row)).key), None)
        await self.session.delete(row)

    def savepoint(self) -> AsyncSessionTransaction:
        """Open a part of the transaction that can be rolled back alone: what `finish` sends inside it."""
        return self.session.begin_nested()

    async def lock_people(self, people: Iterable[UUID]) -> None:
        """Hold each person's advisory lock until the end, in sorted order: unsorted, overlapping inserts deadlock."""
        person_ids = set(people)
        if person_ids <= self.locked:
            return
        keys = [int.from_bytes(person_id.bytes[8:], signed=True) for person_id in sorted(person_ids)]
        with self.holding():
            await self.fetch(_LOCK, {"keys": keys})
        self.locked |= person_ids

    def touch(self, row: columns.Versioned) -> None:
        """Raise the row's version, for a change without an event."""
        row.version += 1

    def unseal(self, value: bytes | None, row_id: UUID) -> str | None:
        """Read a sealed column."""
        return None if value is None else self.keys.decrypt(value, row_id)

    def seal(self, text: str | None, row_id: UUID) -> bytes | None:
        """Prepare a sealed column."""
        return None if text is None else self.keys.encrypt(text, row_id)


class Database:
    """The one place that opens and commits transactions."""

    def __init__(
        self,
        engine: AsyncEngine | AsyncConnection,
        time: clock.Clock,
        keys: crypto.Keys,
        deadline_seconds: float | None = None,
        *,
        carries_utf8: bool = False,
        base_path: str = "",
    ) -> None:
        """Work on `engine` (whose connections carry the timeouts of invariant E5) by the clock `time`.

        No unit of work takes longer than the deadline: a server that hangs keeps no timeout of its own. `carries_utf8`
        says that mail reaches addresses in letters other than Latin; `base_path` stands before our own addresses.
        """
        self.deadline_seconds = deadline_seconds
        self.engine = engine
        # A connection, which tests give, is in a transaction already, and units of work follow one another on it.
        self.is_pooled = isinstance(engine, AsyncEngine)
        self._apart = (
            engine.execution_options(isolation_level="AUTOCOMMIT") if isinstance(engine, AsyncEngine) else engine
        )
        self.clock = time
        self.keys = keys
        self.carries_utf8 = carries_utf8
        self.counted: Counter[tuple[str, str]] = Counter()
        """What this process did so far, by what and which kind of it: for the operators' figures."""
        self.facts_seen: dict[UUID, datetime] = {}  # rows of `closing.STANDING`, by when this process last wrote each
        self.base_path = base_path
        self.notes_changes = False  # for whom a replica that is late must not be asked
        self.tzdata_version = availability.TZDATA_VERSION  # a field, so that a test can be two programs

    @asynccontextmanager
    async def work(
        self, actor: actors.Actor, request_id: str | None = None, traceparent: str | None = None
    ) -> AsyncIterator[Work]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        An error that is recorded (`DomainError.is_recorded`) is raised again after the commit.
        """
        recorded: errors.DomainError | None = None
        async with self._open(self.engine, actor, request_id) as w:
            w.traceparent = traceparent
            try:
                yield w
            except errors.DomainError as error:
                if not error.is_recorded:
                    raise
                recorded = error
            await w.finish(is_over=True)
            if self.notes_changes and actor.person_id:
                await recent_changes.note(w, actor.person_id, clock.wall())
        if recorded is not None:
            raise recorded

    @asynccontextmanager
    async def apart(self, request_id: str | None = None) -> AsyncIterator[Work]:
        """Commit each statement by itself, so that it stays whatever comes after it.

        For counting calls, and for what only reads: a statement sees what is committed when it begins, in a transaction
        or without one, and BEGIN and COMMIT would be two round trips more.
        """
        async with self._open(self._apart, actors.STRANGER, request_id) as w:
            w.is_apart = True
            yield w
            await w.finish()

    @asynccontextmanager
    async def _open(
        self, bind: AsyncEngine | AsyncConnection, actor: actors.Actor, request_id: str | None
    ) -> AsyncIterator[Work]:
        # What ends a COMMIT before its answer leaves open whether it was done; what ends anything before it undoes all,
        # and what ends the connection after it undoes nothing (OPS-06).
        stage, is_confirmed = "working", True
        try:
            async with (
                asyncio.timeout(self.deadline_seconds),
                AsyncSession(bind, expire_on_commit=False, autoflush=False) as session,
            ):
                w = Work(
                    session,
                    self.clock.now(),
                    actor,
                    self.keys,
                    request_id,
                    carries_utf8=self.carries_utf8,
                    base_path=self.base_path,
                    tzdata_version=self.tzdata_version,
                    facts_seen=self.facts_seen,
                )
                yield w
                stage = "committing"
                is_confirmed = await session.run_sync(_commit)
                stage = "committed"
                self.counted.update(w.counted)
                self.facts_seen.update(w.new_facts)
        except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            self.counted["database_errors", database_errors.code(error)] += 1
            if _spoils_the_pool(error):
                self._replace_connections()
            if stage == "working" or not database_errors.is_unanswered(error):
                raise _translated(error) from error
            if stage == "committing":
                raise errors.OutcomeUnknown from error
        except (PoolTimeout, ConnectionError, OSError) as error:
            self.counted["database_errors", database_errors.code(error)] += 1
            if isinstance(error, TimeoutError):  # a server that hangs answers on no other connection
                self._replace_connections()
            if stage == "working":
                raise errors.Unavailable from error
            if stage == "committing":
                raise errors.OutcomeUnknown from error
        if not is_confirmed:
            raise errors.OutcomeUnknown

    def _replace_connections(self) -> None:
        """Have each connection of the pool replaced when it is next wanted.

        Were the pool disposed of, those that others hold would be nobody's, and never closed.
        """
        if isinstance(self.engine, AsyncEngine):
            self.engine.pool._invalidate_time = clock.wall().timestamp()  # noqa: SLF001 - it has no other way

    async def run(self, actor: actors.Actor, body: Callable[[Work], Awaitable[T]]) -> T:
        """Do `body` in one transaction, again after a deadlock or serialization failure."""

        async def attempt() -> T:
            async with self.work(actor) as w:
                return await body(w)

        return await retrying(attempt)


def watch_commits(engine: AsyncEngine) -> None:
    """Have each connection of the engine remember what the server warns of, for `_commit`."""

    @sa.event.listens_for(engine.sync_engine, "connect")
    def watch(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - the driver's
        def remember(_: object, message: asyncpg.PostgresLogMessage) -> None:
            if message.sqlstate == _WARNING:
                record.info[_WARNED] = True

        connection.driver_connection.add_log_listener(remember)


def _commit(session: Session) -> bool:
    """Commit; tells whether the server has confirmed it without a warning.

    A server that no longer waits for its synchronous standby says so by a warning, in its own language, and that it has
    committed. It knows of no other warning at that point (PostgreSQL, `SyncRepWaitForLSN`).
    """
    info = session.connection().connection.info if session.in_transaction() else {}
    info.pop(_WARNED, None)
    session.commit()
    return not info.pop(_WARNED, False)


class Retryable(errors.Unavailable):
    """The database could not order this among others; nothing was done, try again"""


async def retrying(attempt: Callable[[], Awaitable[T]]) -> T:
    """Give the result of the first of three attempts that no deadlock or serialization failure ends."""
    for count in range(1, RETRIES):
        try:
            return await attempt()
        except Retryable:
            await asyncio.sleep(0.02 * count * (1 + clock.jitter()))
    return await attempt()


_NOTHING = sa.text("SELECT")
"""Begins a transaction."""


@cache
def _of_ids(kind: type[Row]) -> SelectOfScalar[Row]:
    key = _key(kind)
    ids = sa.bindparam("ids", type_=ARRAY(key.type))
    return select(kind).where(key == sa.any_(ids))


def _key(kind: type[SQLModel]) -> Any:  # noqa: ANN401 - a class attribute of a table
    return getattr(kind, sa.inspect(kind).primary_key[0].name)


def _insert(session: Session, rows: Sequence[SQLModel]) -> None:
    """Insert the rows of one table, a part of them at once, so that no statement takes too long."""
    for first in range(0, len(rows), closing.AT_ONCE):
        values = [row.model_dump() for row in rows[first : first + closing.AT_ONCE]]
        session.connection().execute(sa.insert(type(rows[0])), values)


def _place_of(row: SQLModel) -> int:
    return _place(type(row))


def _place(kind: type[SQLModel]) -> int:
    return _ORDER[str(kind.__tablename__)]


def _spoils_the_pool(error: Exception) -> bool:
    """Tell whether the other connections are no better: they prepared the same, or lead to what is a standby now."""
    is_stale = isinstance(database_errors.driver_error(error), _STALE)
    return is_stale or database_errors.meaning(error) is database_errors.READ_ONLY


def _translated(error: Exception) -> Exception:
    """Give the domain's error for what the database or its driver refused."""
    driver_error = database_errors.driver_error(error)
    state, name = getattr(driver_error, "sqlstate", None), getattr(driver_error, "constraint_name", None)
    if state in _RETRYABLE or isinstance(driver_error, _STALE):
        return Retryable()
    if name in CONSTRAINTS:
        return CONSTRAINTS[name]()
    if state in _BAD_INPUT or type(driver_error) is asyncpg.DataError:
        return errors.Invalid("", "a value is outside what can be stored")
    meaning = database_errors.meaning(error)
    if meaning is None or meaning is database_errors.CORRUPT:
        return error
    kind = errors.DatabaseReadOnly if meaning is database_errors.READ_ONLY else errors.Unavailable
    return kind(meaning.retry_after_seconds)
