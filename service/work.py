"""One unit of work: one transaction, one instant, one actor. The only commit of the project.

Whatever a verb does (rows, events, deliveries, jobs) is in the transaction of its Work or did not happen.
A deadlock or serialization failure is retried here and nowhere else; a broken constraint becomes the domain's error.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from service import actor as actors
from service import clock, crypto, errors, fanout, queue, tables
from service.tables import columns

T = TypeVar("T")
Rows = sa.Result[*tuple[Any, ...]]
RETRIES = 3
_RETRYABLE = {"40001", "40P01"}
_UNAVAILABLE = {
    "55P03",
    "57014",
    "57P01",
    "57P02",
    "57P03",
    "53300",
    "25P03",
    "08000",
    "08003",
    "08006",
    "08001",
}
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
    "uq_programme_code": lambda: errors.Exists("A programme has this code."),
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
    jobs: list[tuple[UUID, int]] = field(default_factory=list)  # deliveries to hand to a worker when this commits
    told: list[UUID] = field(default_factory=list)  # events whose webhooks become rows when this commits

    pending: list[SQLModel] = field(default_factory=list)  # rows to insert at the next flush

    def add(self, *rows: SQLModel) -> None:
        """Have the rows inserted before the next statement."""
        self.pending.extend(rows)

    async def flush(self) -> None:
        """Send what was added and changed: in the order of the foreign keys, which the session alone does not know."""
        pending, self.pending = sorted(self.pending, key=_place), []
        for _, rows in itertools.groupby(pending, key=_place):
            self.session.add_all(rows)
            await self.session.flush()
        await self.session.flush()

    async def sql(self, statement: sa.Executable, values: Mapping[str, object] | None = None) -> Rows:
        """Run a statement in this transaction, after what was added and changed."""
        await self.flush()
        result: Rows = await self.session.exec(statement, params=values)  # type: ignore[call-overload]
        return result

    async def lock_people(self, people: Iterable[UUID]) -> None:
        """Hold each person's advisory lock until the end, in sorted order: unsorted, overlapping inserts deadlock."""
        keys = [int.from_bytes(person.bytes[8:], signed=True) for person in sorted(set(people))]
        await self.sql(_LOCK, {"keys": keys})

    def touch(self, row: columns.Versioned) -> None:
        """Let the row's version rise, for a change that no event tells."""
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
        self, engine: AsyncEngine, time: clock.Clock, keys: crypto.Keys, deadline_seconds: float | None = None
    ) -> None:
        """Work on `engine` (whose connections carry the timeouts of reliability §1) by the clock `time`.

        No unit of work takes longer than the deadline: a server that hangs keeps no timeout of its own.
        """
        self.deadline_seconds = deadline_seconds
        self.engine = engine
        self.clock = time
        self.keys = keys

    @asynccontextmanager
    async def work(self, actor: actors.Actor, request_id: str | None = None) -> AsyncIterator[Work]:
        """Open a transaction that commits when the block ends and rolls back when it raises."""
        try:
            async with (
                asyncio.timeout(self.deadline_seconds),
                AsyncSession(self.engine, expire_on_commit=False, autoflush=False) as session,
            ):
                w = Work(session, self.clock.now(), actor, self.keys, request_id)
                yield w
                await w.flush()
                await fanout.put(session, w.told, w.now)
                await queue.put(session, w.jobs)
                await session.commit()
        except DBAPIError as error:
            raise _translated(error) from error
        except (PoolTimeout, ConnectionError, OSError) as error:
            raise errors.Unavailable from error

    async def run(self, actor: actors.Actor, body: Callable[[Work], Awaitable[T]]) -> T:
        """Do `body` in one transaction, again if the database asks for it."""

        async def attempt() -> T:
            async with self.work(actor) as w:
                return await body(w)

        return await retrying(attempt)


class Retryable(errors.Unavailable):
    """The database could not order this among others; nothing was done, try again"""


async def retrying(attempt: Callable[[], Awaitable[T]]) -> T:
    """Give the result of the first attempt that no deadlock or serialization failure ends, of three."""
    for count in range(1, RETRIES):
        try:
            return await attempt()
        except Retryable:
            await asyncio.sleep(0.02 * count * (1 + clock.jitter()))
    return await attempt()


def _place(row: SQLModel) -> int:
    return _ORDER[str(type(row).__tablename__)]


def _translated(error: DBAPIError) -> Exception:
    """Find the domain's word for what the database refused."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in _RETRYABLE:
        return Retryable()
    if isinstance(error, IntegrityError):
        name = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
        if name in CONSTRAINTS:
            return CONSTRAINTS[name]()
    if state in _UNAVAILABLE or error.connection_invalidated:
        return errors.Unavailable()
    if state in _BAD_INPUT or (not state and type(getattr(error.orig, "__cause__", None)).__name__ == "DataError"):
        return errors.Invalid("", "a value is outside what can be stored")
    return error
