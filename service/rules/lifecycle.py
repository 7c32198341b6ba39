"""The states of a consultation, an offer, an appointment and a memorandum, and the small decisions about them.

Every change of state in the service goes through `step`, so that these tables are the whole truth.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar, cast

from service import vocabulary

_OFFER, _APPOINTMENT = "offer", "appointment"
Table = Mapping[str, frozenset[str]]
State = TypeVar("State", bound=str)  # those of one subject


def _table(rows: Mapping[str, str]) -> Table:
    return MappingProxyType({state: frozenset(following.split()) for state, following in rows.items()})


CONSULTATION = _table({
    "draft": "open cancelled",
    # scheduled at once: a counter or an offer is accepted after the wave around it has ended
    "open": "offered scheduled unmatched cancelled expired",
    "offered": "open scheduled unmatched cancelled expired",
    "unmatched": "open offered scheduled cancelled expired",
    "scheduled": "open completed cancelled",
    "completed": "",
    "cancelled": "",
    "expired": "",
})  # fmt: skip
OFFER = _table({
    "pending": "accepted declined countered expired withdrawn",
    "countered": "accepted pending declined expired withdrawn",
    "accepted": "",
    "declined": "",
    "expired": "",
    "withdrawn": "",
})  # fmt: skip
APPOINTMENT = _table({
    "pending": "booked cancelled",
    "booked": "fulfilled cancelled noshow",
    "fulfilled": "",
    "cancelled": "",
    "noshow": "",
})  # fmt: skip
MEMORANDUM = _table({
    "draft": "signed terminated",
    "signed": "active expired terminated",
    "active": "suspended expired terminated",
    "suspended": "active expired terminated",
    "expired": "",
    "terminated": "",
})  # fmt: skip
TABLES: Mapping[str, Table] = MappingProxyType({
    "consultation": CONSULTATION,
    "offer": OFFER,
    "appointment": APPOINTMENT,
    "memorandum": MEMORANDUM,
})  # fmt: skip

SEEKING = frozenset(vocabulary.SEEKING)


class IllegalTransition(ValueError):
    """The subject cannot go from the one state to the other."""

    def __init__(self, subject: str, from_state: str, to_state: str) -> None:
        """Keep what was tried."""
        super().__init__(f"{subject}: {from_state} -> {to_state}")
        self.subject = subject
        self.from_state = from_state
        self.to_state = to_state


class TooLate(ValueError):
    """The time for this has passed; `at` is when it did."""

    def __init__(self, subject: str, at: datetime) -> None:
        """Keep what is late, and since when."""
        super().__init__(f"{subject}: too late since {at.isoformat()}")
        self.subject = subject
        self.at = at


def step(subject: str, from_state: State, to_state: State) -> State:
    """Give the new state, or raise IllegalTransition; `subject` names one of TABLES."""
    if to_state not in TABLES[subject].get(from_state, frozenset()):
        raise IllegalTransition(subject, from_state, to_state)
    return to_state


def path(subject: str, from_state: State, to_state: State) -> tuple[State, ...]:
    """Give the shortest way to `to_state`, without the first state; raises IllegalTransition if there is none."""
    ways: list[tuple[State, ...]] = [(from_state,)]
    reached = {from_state}
    while ways:
        way = ways.pop(0)
        if way[-1] == to_state:
            return way[1:]
        following = cast("list[State]", sorted(TABLES[subject].get(way[-1], frozenset()) - reached))
        reached.update(following)
        ways += [(*way, state) for state in following]
    raise IllegalTransition(subject, from_state, to_state)


def _answer(state: str, to_state: str, answer_by: datetime, now: datetime) -> str:
    new = step(_OFFER, state, to_state)
    if now >= answer_by:
        raise TooLate(_OFFER, answer_by)
    return new


def accept(state: str, answer_by: datetime, now: datetime) -> str:
    """Let the mentor take a pending offer; raises TooLate from `answer_by` on, whether or not the sweep has run."""
    if state == "countered":  # a counter is taken by the requesting side: accept_counter
        raise IllegalTransition(_OFFER, state, "accepted")
    return _answer(state, "accepted", answer_by, now)


def decline(state: str, answer_by: datetime, now: datetime) -> str:
    """Let the mentor decline, a countered offer too; raises TooLate when a pending one is over."""
    return step(_OFFER, state, "declined") if state == "countered" else _answer(state, "declined", answer_by, now)


def counter(state: str, answer_by: datetime, now: datetime) -> str:
    """Let the mentor propose other times; raises TooLate from `answer_by` on."""
    return _answer(state, "countered", answer_by, now)


def accept_counter(state: str) -> str:
    """Let the requesting side take one of the mentor's times: no time limit but the times themselves."""
    if state != "countered":
        raise IllegalTransition(_OFFER, state, "accepted")
    return "accepted"


def decline_counter(state: str, answer_by: datetime, now: datetime) -> str:
    """Let the requesting side decline the mentor's times: pending again until the offer's time, else expired."""
    if state != "countered":
        raise IllegalTransition(_OFFER, state, "pending")
    return "pending" if now < answer_by else "expired"


def expire(state: str, answer_by: datetime, now: datetime) -> str:
    """Give `expired` for a pending offer whose time is over, else the state as it is (a counter waits)."""
    return "expired" if state == "pending" and now >= answer_by else state


def withdraw(state: str) -> str:
    """Give `withdrawn` for an offer that still waits, else the state as it is."""
    return "withdrawn" if state in vocabulary.WAITING_OFFER else state


def confirm_hold(status: str, held_until: datetime, now: datetime) -> str:
    """Let a held time be booked: just before its expiry wins, from the expiry on raises TooLate."""
    new = step(_APPOINTMENT, status, "booked")
    if now >= held_until:
        raise TooLate(_APPOINTMENT, held_until)
    return new


def expire_hold(status: str, held_until: datetime, now: datetime) -> str:
    """Give `cancelled` for a hold that is over, else the status as it is."""
    return "cancelled" if status == "pending" and now >= held_until else status


def after_loss(side: str) -> str:
    """Give the consultation's state when an appointment is cancelled or missed by that side."""
    return "cancelled" if side == "requesting" else "open"


def expire_consultation(state: str, expires_at: datetime, now: datetime) -> str:
    """Give `expired` for a consultation still without an agreement a day after its answer was due."""
    return "expired" if state in SEEKING and now >= expires_at else state
