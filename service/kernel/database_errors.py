"""What each refusal of the database means for whoever asked: one table, for requests, the worker and readiness.

By SQLSTATE (PostgreSQL, appendix A). What is not here is a fault of ours, and its traceback is wanted.
"""

from dataclasses import dataclass

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


@dataclass(frozen=True, slots=True)
class Meaning:
    """Why the database does not serve now, as `ready` names it; when it is worth asking again."""

    name: str
    retry_after_seconds: int


READ_ONLY = Meaning("database_read_only", 5)
UNREACHABLE = Meaning("database_unreachable", 1)
FULL = Meaning("database_full", 30)
FAILING = Meaning("database_failing", 30)
REFUSES_US = Meaning("database_refuses_us", 30)
SCHEMA_OUTDATED = Meaning("schema_outdated", 30)
NO_PLACE = Meaning("database_without_this_month", 30)
"""A table of which each month is a part has none for this one: a housekeeper, or `pobratym migrate`, makes it."""
CORRUPT = Meaning("database_corrupt", 0)
"""Never tried again: what is damaged gets no better by reading it."""

_MEANINGS = {
    "25006": READ_ONLY,  # a standby, or one that was told to be
    "53100": FULL,
    "53400": FAILING,  # a limit of its configuration
    "58": FAILING,  # the system under it: 58030 I/O, 58P01 a file is gone
    "53": UNREACHABLE,  # too little memory, too many connections
    "57014": UNREACHABLE,  # took too long
    "57P": UNREACHABLE,  # shut down, crashed, starts
    "08": UNREACHABLE,
    "25P03": UNREACHABLE,  # a session that idled
    "25P04": UNREACHABLE,
    "55006": UNREACHABLE,  # in use by others
    "55P03": UNREACHABLE,  # a lock was not available in time
    "28": REFUSES_US,
    "3D000": REFUSES_US,
    "3F000": REFUSES_US,
    "42501": REFUSES_US,
    "42P01": SCHEMA_OUTDATED,
    "42703": SCHEMA_OUTDATED,
    "XX001": CORRUPT,
    "XX002": CORRUPT,
}
_NO_PARTITION = "23514"
_CUT = (asyncpg.InternalClientError, asyncpg.InterfaceError, PoolTimeout, OSError)


def driver_error(error: BaseException) -> BaseException | None:
    """Give the driver's own error, which SQLAlchemy may have wrapped."""
    return getattr(error.orig, "__cause__", None) if isinstance(error, DBAPIError) else error


def code(error: BaseException) -> str:
    """Give the SQLSTATE of an error, or `connection` for one of the way to the database."""
    return getattr(driver_error(error), "sqlstate", None) or "connection"


def meaning(error: BaseException) -> Meaning | None:
    """Give what an error of the database or of the way to it means; None for one that is our own fault."""
    cause = driver_error(error)
    state = getattr(cause, "sqlstate", None) or ""
    # PostgreSQL says that no part takes a row by the code of a CHECK, of which only a real one has a name.
    if state == _NO_PARTITION and getattr(cause, "constraint_name", None) is None:
        return NO_PLACE
    for length in (5, 3, 2):
        if len(state) >= length and state[:length] in _MEANINGS:
            return _MEANINGS[state[:length]]
    if isinstance(cause, asyncpg.DataError):  # the driver's own: a value that no column holds
        return None
    is_cut = isinstance(cause, _CUT) or getattr(error, "connection_invalidated", False)
    return UNREACHABLE if is_cut and not state else None


def is_unanswered(error: BaseException) -> bool:
    """Tell whether the server may have done what it was asked: its connection ended before it answered.

    A refusal that it sends is an answer, unless it is the one by which it ends the session.
    """
    state = getattr(driver_error(error), "sqlstate", None) or ""
    return not state or state.startswith(("57P", "08", "25P0"))


def reason(error: BaseException) -> Meaning:
    """Give why the database does not serve, by this error or by the one that it was made of."""
    cause: BaseException | None = error
    while cause is not None:
        found = meaning(cause)
        if found is not None:
            return found
        cause = cause.__cause__
    return UNREACHABLE


def sqlstate(error: BaseException) -> str | None:
    """Give the code of the server's refusal, from this error or the one that it was made of; None if it gave none."""
    cause: BaseException | None = error
    while cause is not None:
        state: str | None = getattr(driver_error(cause), "sqlstate", None)
        if state:
            return state
        cause = cause.__cause__
    return None
