"""What became of one attempt to hand something over: a value, never an exception.

The adapters say it, the deliveries settle it. It must not decide when the next attempt is due.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has taken it; `status` is its own code, where it has one, `response` the first it said.

    What it said further may have been broken off, by either side: it is not whole then.
    """

    status: int | None
    response: str | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later; `after_seconds` is the wait the other side asked for, if it did."""

    after_seconds: int | None
    error: str
    status: int | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never work as it is; no further attempt is of use."""

    error: str
    status: int | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Unsendable(Refused):
    """It will never work, and the receiver is not the reason: the mail cannot be made, or we may not send."""


@dataclass(frozen=True, slots=True)
class Gone(Refused):
    """The receiver wants nothing any more: not this, and nothing else."""


Outcome = Delivered | Retry | Refused
