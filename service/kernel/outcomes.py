"""What came of one attempt to deliver something, as a value and never as an exception.

The adapters return it; `service.outbox` settles the delivery by it. When the next attempt is due is not decided here.
"""

from dataclasses import dataclass
from typing import cast

from service import vocabulary


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has taken it; `status` is its own code, where it has one, `response` the beginning of its answer.

    `is_whole` is False when either side cut off the rest of the answer.
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
    phase: vocabulary.SmtpPhase | None = None  # of a mail: at which step


@dataclass(frozen=True, slots=True)
class Full(Retry):
    """The recipient's mailbox takes nothing for now: it is full, or gets too much at a time."""


@dataclass(frozen=True, slots=True)
class Ours(Retry):
    """The server refuses who we are or what we send: it may take it once an operator has mended that."""


@dataclass(frozen=True, slots=True)
class Cut(Retry):
    """The conversation ended under the mail. That says nothing of the mail, unless it happens to it alone."""


@dataclass(frozen=True, slots=True)
class Away(Retry):
    """The server takes no mail at all now: no mail is to blame, and none is the worse for it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never work as it is; no further attempt is of use."""

    error: str
    status: int | None = None
    response: str | None = None
    phase: vocabulary.SmtpPhase | None = None


@dataclass(frozen=True, slots=True)
class Unsendable(Refused):
    """It will never work, and the receiver is not the reason: the mail cannot be made, or we may not send."""


@dataclass(frozen=True, slots=True)
class Gone(Refused):
    """The receiver has ended: it takes neither this delivery nor any other."""


Outcome = Delivered | Retry | Refused


def word(outcome: Outcome) -> vocabulary.AttemptOutcome:
    """Name the outcome as attempts and figures do."""
    return cast("vocabulary.AttemptOutcome", type(outcome).__name__.lower())
