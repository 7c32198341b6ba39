"""Says in one sentence why a database cannot be used, to the operator who named it."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_ADDRESS = "is POBRATYM_DATABASE_URL right?"
_LATER = "it is busy, or somebody holds what this needs; try again."
_POOLER = "a pooler in transaction mode stands before it: set POBRATYM_DATABASE_POOLER=transaction."
_ADVICE = {  # by the beginning of the SQLSTATE; what is not here is a fault of ours, and its traceback is wanted
    "08P01": _POOLER,
    "26000": _POOLER,
    "42P05": _POOLER,
    "08": _LATER,
    "25006": "it only lets read; is it a standby?",
    "28": _ADDRESS,
    "3D": _ADDRESS,
    "42501": "its user may not do this; is it the owner of the database?",
    "53": _LATER,
    "55P03": _LATER,
    "57": _LATER,
}
_REASONS = (  # the first that fits
    (ssl.SSLCertVerificationError, "its certificate is not trusted, or names another host"),
    (ssl.SSLError, "no TLS can be agreed on"),
    (socket.gaierror, "no host has this name"),
    (ConnectionRefusedError, "nothing listens there"),
    (TimeoutError, "no answer in time"),
    (ConnectionError, "it ended the connection"),
    (FileNotFoundError, "there is no socket"),
    (PermissionError, "this user may not open it"),
    (OSError, "it cannot be reached"),
    (asyncpg.TargetServerAttributeNotMatched, "it has another role (target_session_attrs)"),
    (asyncpg.InvalidAuthorizationSpecificationError, "it refuses this user or password"),
    (asyncpg.InvalidCatalogNameError, "it has no such database"),
    (asyncpg.TooManyConnectionsError, "it has no connection left"),
    (asyncpg.CannotConnectNowError, "it starts or stops"),
    (asyncpg.PostgresError, "it refuses"),
)


class Unusable(Exception):
    """The database does not answer, or refuses; the message says so in one sentence, without its address."""


def reason(error: BaseException) -> str:
    """Say why a server could not be used, in our words: the driver's may hold the address and the password."""
    return next((words for kind, words in _REASONS if isinstance(error, kind)), "it cannot be used")


def told(error: BaseException) -> str:
    """Say which hosts were tried (`Connector` notes them), why each was of no use, and the error's kind."""
    wrapped = getattr(error, "orig", None) or error
    cause = (wrapped.__cause__ or wrapped) if wrapped is not error else error
    return f"{'; '.join(getattr(cause, '__notes__', ())) or reason(cause)} ({type(cause).__name__})"


@contextmanager
def explained() -> Iterator[None]:
    """Raise Unusable when a database does not answer the calls of the block, or refuses them."""
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        advice = next((text for prefix, text in _ADVICE.items() if state.startswith(prefix)), None)
        if advice is None:
            raise
        msg = f"The database cannot be used: {told(error)}: {advice}"
        raise Unusable(msg) from error
    except (PoolTimeout, OSError) as error:
        msg = f"The database cannot be reached: {told(error)}. Is its server running? And {_ADDRESS}"
        raise Unusable(msg) from error
