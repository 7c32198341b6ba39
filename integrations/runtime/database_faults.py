"""Says in one sentence why a database cannot be used, to the operator who named it."""

from collections.abc import Iterator
from contextlib import contextmanager

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


class Unusable(Exception):
    """The database does not answer, or refuses; the message says so in one sentence, without its address."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise Unusable when a database does not answer the calls of the block, or refuses them.

    Only the kind of the driver's error is told: its words may hold the address and the password.
    """
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        advice = next((text for prefix, text in _ADVICE.items() if state.startswith(prefix)), None)
        if advice is None:
            raise
        kind = type(getattr(error.orig, "__cause__", None) or error.orig).__name__
        msg = f"The database cannot be used ({kind}): {advice}"
        raise Unusable(msg) from error
    except (PoolTimeout, OSError) as error:
        msg = f"The database cannot be reached ({type(error).__name__}): is its server running? And {_ADDRESS}"
        raise Unusable(msg) from error
