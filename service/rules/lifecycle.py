"""The states of a consultation, an offer, an appointment and a memorandum, and the small decisions about them.

Every change of state in the service goes through `step`, and everything that somebody does with a case is asked for
in a table of when it may be done (`BOOKED`, `HELD`, `OFFERED`, `SOUGHT`), so that these tables are the whole truth.
docs/concepts.md shows the second ones with the same words; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar, cast

from service import vocabulary
from service.rules.policy import Policy

_OFFER, _APPOINTMENT = "offer", "appointment"
Table = Mapping[str, frozenset[str]]
State = TypeVar("State", bound=str)  # those of one subject


def _table(rows: Mapping[str, str]) -> Table:
    return MappingProxyType({state: frozenset(following.split()) for state, following in rows.items()})


CONSULTATION = _table({
    "draft": "open cancelled",
    # scheduled at once: a counter or an offer is accepted after the wave around it has ended
    # completed at once: they met after all, whom somebody had reported as absent
    "open": "offered scheduled unmatched completed cancelled expired",
    "offered": "open scheduled unmatched completed cancelled expired",
    "unmatched": "open offered scheduled completed cancelled expired",
    "scheduled": "open completed cancelled",
    "completed": "",
    "cancelled": "completed",  # by a report that the clinician did not come, which was wrong
    "expired": "",
})  # fmt: skip
OFFER = _table({
    "pending": "accepted declined countered late expired withdrawn",
    "late": "accepted declined countered expired withdrawn",
    "countered": "accepted pending late declined expired withdrawn",
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
    "noshow": "fulfilled",  # who reported it says that they met after all
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
    """The time for this has passed; `at` is when it did, `instead` the step that is right now."""

    def __init__(self, subject: str, at: datetime, instead: str | None = None) -> None:
        """Keep what is late, and since when."""
        super().__init__(f"{subject}: too late since {at.isoformat()}")
        self.subject = subject
        self.at = at
        self.instead = instead


class TooEarly(ValueError):
    """The time for this comes at `at`."""

    def __init__(self, subject: str, at: datetime) -> None:
        """Keep what is early, and when its time comes."""
        super().__init__(f"{subject}: too early until {at.isoformat()}")
        self.subject = subject
        self.at = at


class May(StrEnum):
    """What a cell of the tables says; the words are those of docs/concepts.md."""

    YES = "yes"
    NO = "no"
    PROPOSE = "as a proposal"
    PROPOSE_A_WHILE = "as a proposal, for 24 hours"
    LOG_INSTEAD = "no: log it instead"
    NOT_YET = "not yet"
    ONCE_WAITED = "after 10 minutes"
    ROOM_OPENS = "10 minutes before"
    ROOM_STAYS = "for an hour"
    TAKEN_BACK = "after a no-show, by the side that reported it"
    OTHER_TIME = "another bookable time, or in writing"
    LATE = "yes, the offer is late"
    OVER = "yes, the offer is over"


PHASES = MappingProxyType({
    "booked": ("before the start", "from the start to the end", "after the end", "after the log"),
    "held": ("before the hold ends", "from then on"),
    "offered": ("before answer_by", "late", "once it is closed", "when all its times have passed"),
    "sought": ("before the answer is due", "from then on", "once it is closed"),
})  # fmt: skip
"""The columns of each table.

"After the log" is once a time is fulfilled, missed or cancelled. Late is from answer_by on while the case seeks
a mentor and its answer is not due: until `closes_at`.
"""

ROOM_OPENS_BEFORE = timedelta(minutes=10)
ROOM_STAYS_OPEN = timedelta(hours=1)

_Steps = Mapping[str, tuple[May, ...]]


def _steps(rows: Mapping[str, tuple[May, ...]]) -> _Steps:
    return MappingProxyType(dict(rows))


BOOKED = _steps({
    # From its start on nobody moves a time alone: the other side may be waiting in the room. A power cut is the usual
    # reason, and lasts for hours.
    "move": (May.YES, May.PROPOSE, May.PROPOSE_A_WHILE, May.NO),
    "agree": (May.YES, May.YES, May.YES, May.NO),  # until the proposed time begins
    "decline_move": (May.YES, May.YES, May.YES, May.NO),
    "cancel_appointment": (May.YES, May.YES, May.LOG_INSTEAD, May.NO),
    "cancel_consultation": (May.YES, May.YES, May.LOG_INSTEAD, May.NO),
    "assign": (May.YES, May.YES, May.LOG_INSTEAD, May.NO),
    "consent": (May.YES, May.YES, May.YES, May.NO),
    "replace_mentor": (May.YES, May.YES, May.LOG_INSTEAD, May.NO),  # asking by hand, and every acceptance
    "hold": (May.NO, May.NO, May.NO, May.NO),
    "advice": (May.NO, May.NO, May.NO, May.NO),
    "join": (May.ROOM_OPENS, May.YES, May.ROOM_STAYS, May.ROOM_STAYS),
    "report_no_show": (May.NOT_YET, May.ONCE_WAITED, May.ONCE_WAITED, May.NO),
    "log_session": (May.YES, May.YES, May.YES, May.TAKEN_BACK),  # they may meet earlier than agreed
    "correct_session": (May.NO, May.NO, May.NO, May.YES),
    "feedback": (May.NO, May.NO, May.NO, May.YES),
})  # fmt: skip
HELD = _steps({
    "confirm": (May.YES, May.NO),
    "release": (May.YES, May.YES),
})  # fmt: skip
OFFERED = _steps({
    "accept": (May.YES, May.YES, May.NO, May.OTHER_TIME),
    "decline": (May.YES, May.YES, May.NO, May.YES),
    "counter": (May.YES, May.YES, May.NO, May.YES),
    "show_again": (May.YES, May.YES, May.NO, May.YES),
    "decline_after_counter": (May.YES, May.YES, May.YES, May.YES),
    "accept_counter": (May.YES, May.YES, May.YES, May.NO),
    "decline_counter": (May.YES, May.LATE, May.OVER, May.YES),
})  # fmt: skip
SOUGHT = _steps({
    "consent": (May.YES, May.YES, May.NO),
    "widen": (May.YES, May.YES, May.NO),
    "assign": (May.YES, May.YES, May.NO),
    "cancel_consultation": (May.YES, May.YES, May.NO),
    "manual_offer": (May.YES, May.NO, May.NO),
    "hold": (May.YES, May.NO, May.NO),
    "advice": (May.YES, May.YES, May.NO),  # late advice is advice
    "hand_back_advice": (May.YES, May.YES, May.NO),
})  # fmt: skip
STEP_TABLES: Mapping[str, _Steps] = MappingProxyType({
    "booked": BOOKED,
    "held": HELD,
    "offered": OFFERED,
    "sought": SOUGHT,
})  # fmt: skip
"""What somebody does with a case, and when they may do it. Whether a state allows it too, `step` says."""

_BEFORE, _DURING, _AFTER, _LOGGED = range(4)


@dataclass(frozen=True, slots=True)
class BookedTime:
    """A booked time as the table `BOOKED` reads it: half-open, and whether it is fulfilled, missed or cancelled."""

    starts_at: datetime
    ends_at: datetime
    is_over: bool = False


def _phase(time: BookedTime, now: datetime) -> int:
    if time.is_over:
        return _LOGGED
    if now < time.starts_at:
        return _BEFORE
    return _DURING if now < time.ends_at else _AFTER


def may(step_name: str, time: BookedTime, now: datetime, numbers: Policy) -> May:
    """Give YES, PROPOSE or TAKEN_BACK, as the table `BOOKED` says for now.

    Raises TooEarly, TooLate, and IllegalTransition for what is never done in this phase.
    """
    cell = BOOKED[step_name][_phase(time, now)]
    waited_at = time.starts_at + timedelta(minutes=numbers.no_show_grace_minutes)
    opens_at = {
        May.NOT_YET: waited_at,
        May.ONCE_WAITED: waited_at,
        May.ROOM_OPENS: time.starts_at - ROOM_OPENS_BEFORE,
    }.get(cell)
    if opens_at is not None and now < opens_at:
        raise TooEarly(step_name, opens_at)
    closes_at = {
        May.PROPOSE_A_WHILE: time.ends_at + timedelta(hours=numbers.move_grace_hours),
        May.ROOM_STAYS: time.ends_at + ROOM_STAYS_OPEN,
        May.LOG_INSTEAD: time.ends_at,
    }.get(cell)
    if closes_at is not None and now >= closes_at:
        raise TooLate(step_name, closes_at, None if cell is May.ROOM_STAYS else "log_session")
    if cell is May.NO:
        raise IllegalTransition("appointment", PHASES["booked"][_phase(time, now)], step_name)
    if cell in {May.PROPOSE, May.PROPOSE_A_WHILE}:
        return May.PROPOSE
    return cell if cell is May.TAKEN_BACK else May.YES


def must_not_be_due(step_name: str, answer_due_at: datetime | None, now: datetime) -> None:
    """Go on if the table `SOUGHT` allows the step now; raises TooLate when the answer was due before."""
    if answer_due_at is not None and now >= answer_due_at and SOUGHT[step_name][1] is May.NO:
        raise TooLate(step_name, answer_due_at)


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


def steps_now(time: BookedTime, now: datetime, numbers: Policy) -> Mapping[str, May]:
    """Give what may be done with a booked time now, and how: what pages show a button for."""
    allowed = {}
    for name in BOOKED:
        try:
            allowed[name] = may(name, time, now, numbers)
        except (TooEarly, TooLate, IllegalTransition):
            continue
    return allowed


def closes_at(answer_by: datetime, consultation_state: str, answer_due_at: datetime | None) -> datetime:
    """Give from when on an offer is answered no more.

    `answer_by` asks the next mentor, it does not close the door: while the case seeks one, an answer is taken until the
    case's own is due.
    """
    if consultation_state in SEEKING and answer_due_at is not None:
        return max(answer_by, answer_due_at)
    return answer_by


def _answer(step_name: str, state: str, to_state: str, closes_at: datetime, now: datetime) -> str:
    new = step(_OFFER, state, to_state)
    if now >= closes_at and OFFERED[step_name][_CLOSED] is May.NO:
        raise TooLate(_OFFER, closes_at)
    return new


_CLOSED = PHASES["offered"].index("once it is closed")


def accept(state: str, closes_at: datetime, now: datetime) -> str:
    """Let the mentor take an offer; raises TooLate from `closes_at` on, whether or not the sweep has run."""
    if state == "countered":  # a counter is taken by the requesting side: accept_counter
        raise IllegalTransition(_OFFER, state, "accepted")
    return _answer("accept", state, "accepted", closes_at, now)


def decline(state: str, closes_at: datetime, now: datetime) -> str:
    """Let the mentor decline, a countered offer too; raises TooLate when one that was not answered is closed."""
    step_name = "decline_after_counter" if state == "countered" else "decline"
    return _answer(step_name, state, "declined", closes_at, now)


def counter(state: str, closes_at: datetime, now: datetime) -> str:
    """Let the mentor propose other times; raises TooLate from `closes_at` on."""
    return _answer("counter", state, "countered", closes_at, now)


def show_again(state: str, closes_at: datetime, now: datetime) -> bool:
    """Tell whether the case text is shown at the mentor's wish: of a late offer; it never was hidden of an open one.

    Raises IllegalTransition for an offer that is over, and TooLate from `closes_at` on.
    """
    if state != "countered":
        _answer("show_again", state, "countered", closes_at, now)
    return state == "late"


def accept_counter(state: str) -> str:
    """Let the requesting side take one of the mentor's times: no time limit but the times themselves."""
    if state != "countered":
        raise IllegalTransition(_OFFER, state, "accepted")
    return "accepted"


def decline_counter(state: str, answer_by: datetime, closes_at: datetime, now: datetime) -> str:
    """Let the requesting side decline the mentor's times: pending until the offer's time, then late, or expired."""
    if state != "countered":
        raise IllegalTransition(_OFFER, state, "pending")
    return expire("pending", answer_by, closes_at, now)


def expire(state: str, answer_by: datetime, closes_at: datetime, now: datetime) -> str:
    """Give `late` for an offer whose time is over, `expired` once it is closed, else the state as it is.

    A counter waits.
    """
    if state not in {"pending", "late"} or now < answer_by:
        return state
    return "expired" if now >= closes_at else "late"


def withdraw(state: str) -> str:
    """Give `withdrawn` for an offer that is open, else the state as it is."""
    return "withdrawn" if state in vocabulary.OPEN_OFFER else state


def confirm_hold(status: str, held_until: datetime, now: datetime) -> str:
    """Let a held time be booked: just before its expiry wins, from the expiry on raises TooLate."""
    new = step(_APPOINTMENT, status, "booked")
    if now >= held_until and HELD["confirm"][1] is May.NO:
        raise TooLate(_APPOINTMENT, held_until)
    return new


def expire_hold(status: str, held_until: datetime, now: datetime) -> str:
    """Give `cancelled` for a hold that is over, else the status as it is."""
    return "cancelled" if status == "pending" and now >= held_until else status


def after_loss(side: str) -> str:
    """Give the consultation's state when an appointment is cancelled or missed by that side."""
    return "cancelled" if side == "requesting" else "open"


def awaits_first_wave(state: str, waves: int) -> bool:
    """Tell whether a consultation is open and nobody was ever asked, by a wave or by hand."""
    return state == "open" and not waves


def expire_consultation(state: str, expires_at: datetime, now: datetime) -> str:
    """Give `expired` for a consultation still without an agreement a day after its answer was due."""
    return "expired" if state in SEEKING and now >= expires_at else state
