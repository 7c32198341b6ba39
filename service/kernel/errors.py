"""Everything that can go wrong in the domain, by name.

The first line of a class's docstring is the problem's title, its name in kebab case the problem's type, its
attributes the extension members. Status numbers are the edge's business (`api/edge/problems.py`).

    DomainError
    ├── Unauthenticated      the caller is nobody we know
    │   └── LinkInvalid
    ├── Forbidden            known, but may not do this at all
    │   ├── GateRefused      a rule of the gate says no
    │   ├── InsufficientScope
    │   └── LocalOnly
    ├── NotFound             missing, or not yours: the same answer
    ├── Invalid              the input breaks a rule that a schema cannot say
    │   ├── PersonalDataFound
    │   ├── SessionInFuture
    │   ├── ModeNotOffered
    │   ├── TimeNotBookable
    │   └── IdempotencyKeyReused
    ├── Conflict             right in itself, wrong in this state
    │   ├── OfferClosed
    │   ├── OfferExpired
    │   ├── SlotTaken
    │   ├── HoldExpired
    │   ├── AlreadyLogged
    │   ├── IllegalTransition
    │   ├── TooEarly
    │   ├── TooLate
    │   ├── Disputed             refused, and told to both sides' coordinators
    │   ├── JoinNotOpen
    │   ├── LogForked
    │   ├── NotComparable
    │   └── Exists
    ├── TooManyDecisions
    ├── PreconditionRequired, StaleVersion
    ├── TooManyRequests
    └── Unavailable          try again later; nothing was done
        ├── DatabaseReadOnly
        └── OutcomeUnknown   it may have been done: the connection ended while it was being committed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from service.rules.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: a JSON pointer into the body, query or path, and what is wrong there."""

    pointer: str
    detail: str


class DomainError(Exception):
    """Something went wrong"""

    is_recorded: ClassVar[bool] = False  # what was written before it was raised is committed all the same

    def __init__(self, detail: str | None = None, **members: object) -> None:
        """Keep what the problem document shows; `detail` never holds case text."""
        super().__init__(detail or self.title())
        self.detail = detail
        self.members = members

    @classmethod
    def title(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class Unauthenticated(DomainError):
    """You are not signed in, or your token is no longer valid"""


class LinkInvalid(Unauthenticated):
    """This link is used up, expired or not ours"""


class Forbidden(DomainError):
    """Your role does not allow this"""


class GateRefused(Forbidden):
    """The rules of the programme do not allow this consultation"""

    def __init__(self, reasons: Sequence[str]) -> None:
        """Name every failing rule."""
        super().__init__(Sentence("Refused by: {reasons}.", reasons=tuple(reasons)), reasons=list(reasons))


class InsufficientScope(Forbidden):
    """This system's access token is not good for this call"""

    def __init__(self, scope: str | None) -> None:
        """Name the scope that the call needs; None where no system is let in."""
        super().__init__("No scope opens this call to systems." if scope is None else None, scope=scope)
        self.scope = scope


class LocalOnly(Forbidden):
    """This address answers to the machine itself only"""


class NotFound(DomainError):
    """There is no such thing, or it is not yours to see"""


class Invalid(DomainError):
    """The request is understood but breaks a rule"""

    def __init__(self, pointer: str, detail: str, *more: Fault) -> None:
        """Name the field at fault by its JSON pointer."""
        faults = [Fault(pointer, detail), *more]
        super().__init__(
            detail,
            errors=[{"pointer": fault.pointer, "detail": fault.detail} for fault in faults],
        )


class PersonalDataFound(DomainError):
    """The text seems to name a person: take it out, or confirm that it does not"""

    def __init__(self, spans: Sequence[tuple[str, int, int, str]]) -> None:
        """Point at each span as (field, start, end, kind), never at the text itself."""
        super().__init__(
            "Send the same request with these spans in confirmed_spans if they are a false alarm.",
            errors=[{"pointer": f"/{field}", "detail": f"looks like a {kind}"} for field, _, _, kind in spans],
            spans=[{"field": field, "start": start, "end": end, "kind": kind} for field, start, end, kind in spans],
        )


class SessionInFuture(Invalid):
    """A session is logged after it happened"""


class ModeNotOffered(Invalid):
    """This mode is not offered yet"""


class TimeNotBookable(Invalid):
    """This time cannot be booked"""


class IdempotencyKeyReused(DomainError):
    """This idempotency key was used with another body"""


class Conflict(DomainError):
    """The state of things does not allow this now"""


class OfferClosed(Conflict):
    """This offer is closed"""


class OfferExpired(Conflict):
    """The time to answer this offer is over"""


class SlotTaken(Conflict):
    """Somebody is already occupied at that time"""

    def __init__(self, starts: Sequence[datetime] = ()) -> None:
        """Propose the next best times, if any are known."""
        super().__init__(
            None,
            next_starts=[start.isoformat().replace("+00:00", "Z") for start in starts],
        )


class HoldExpired(Conflict):
    """The held time was released"""


class AlreadyLogged(Conflict):
    """This was logged already"""


class IllegalTransition(Conflict):
    """This step does not follow from the present state"""

    def __init__(self, subject: str, from_state: str, to_state: str) -> None:
        """Name both states."""
        super().__init__(
            Sentence(
                "A {subject} that is {from_state} cannot become {to_state}.",
                subject=subject,
                from_state=from_state,
                to_state=to_state,
            ),
            from_state=from_state,
            to_state=to_state,
        )


class TooEarly(Conflict):
    """The time for this has not come yet"""

    def __init__(self, opens_at: datetime) -> None:
        """Say when it comes."""
        instant = opens_at.isoformat().replace("+00:00", "Z")
        super().__init__(Sentence("Not before {instant}.", instant=instant), opens_at=instant)


class TooLate(Conflict):
    """The time for this is over"""

    def __init__(self, closed_at: datetime, instead: str | None) -> None:
        """Say since when, and name the step that is right now, if there is one."""
        instant = closed_at.isoformat().replace("+00:00", "Z")
        advised = "Over since {instant}. The agreed time is over: log what happened instead."
        key = advised if instead == "log_session" else "Over since {instant}."
        super().__init__(Sentence(key, instant=instant), closed_at=instant, instead=instead)


class Disputed(Conflict):
    """The other side says otherwise: the coordinators of both sides have been told"""

    is_recorded = True


class JoinNotOpen(Conflict):
    """The room opens ten minutes before the start and closes an hour after the end"""


class LogForked(Conflict):
    """What you have read of this log is no longer in it: the database was restored"""

    def __init__(self, position: int) -> None:
        """Name the entry that the caller has read, and the log does not have."""
        super().__init__(
            Sentence(
                "Entry {position} is missing, or another one now. Read the log from its beginning.", position=position
            )
        )


class NotComparable(Conflict):
    """Some of these choices were made by other rules than ours of now"""

    def __init__(self, last_at: datetime) -> None:
        """Name the first second from which all can be compared; the last that cannot was made at `last_at`."""
        instant = (last_at.replace(microsecond=0) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        super().__init__(Sentence("They can be compared from {instant} on.", instant=instant), comparable_from=instant)


class Exists(Conflict):
    """There is one already"""

    def __init__(self, detail: str, existing_id: UUID | None = None) -> None:
        """Name the one that exists when the caller may see it."""
        super().__init__(detail, **({"existing_id": str(existing_id)} if existing_id else {}))


class TooManyDecisions(DomainError):
    """There are too many choices of mentors in this time for one rehearsal"""

    def __init__(self, decisions: int, most: int) -> None:
        """Say how many there are, and how many there may be."""
        sentence = Sentence("There are {decisions}, and at most {most} at once.", decisions=decisions, most=most)
        super().__init__(sentence, decisions=decisions, most=most)


class PreconditionRequired(DomainError):
    """Send If-Match with the ETag you last read"""


class StaleVersion(DomainError):
    """It has changed since you read it"""


class TooManyRequests(DomainError):
    """Too many requests"""

    def __init__(self, retry_after_seconds: int) -> None:
        """Say when to come back."""
        super().__init__(Sentence("Try again in {seconds} s.", seconds=retry_after_seconds))
        self.retry_after_seconds = retry_after_seconds


class Unavailable(DomainError):
    """We cannot do this right now; nothing was done, try again"""

    def __init__(self, retry_after_seconds: int = 1) -> None:
        """Say when it is worth trying again."""
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class DatabaseReadOnly(Unavailable):
    """The database takes no changes right now; nothing was done, try again"""


class OutcomeUnknown(Unavailable):
    """We do not know whether this was done; repeat it with the same Idempotency-Key"""
