"""What was counted for a report, as plain values, and how evenly something is spread (invariant L4).

Counts come in two shapes. A `Tally` is what can be added: stretches of time are counted apart, once, and their tallies
summed. `ReportCounts` is what figures are made of: quartiles and numbers of different mentors, which nobody can add.
So a tally keeps the hours and the ids themselves, and they become quartiles and numbers after the last addition.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any, TypeVar

from service import vocabulary

_QUARTER = 4


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Median and quartiles of some durations, in hours; `rows` is how many there are."""

    rows: int = 0
    lower: float | None = None
    median: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsultationCounts:
    """Counts over the consultations of one priority that were opened in the period."""

    filed: int = 0
    completed: int = 0
    unmatched: int = 0
    cancelled: int = 0
    expired: int = 0
    allocation: Quartiles = Quartiles()
    answer: Quartiles = Quartiles()
    closing: Quartiles = Quartiles()
    allocation_decided: int = 0
    allocated_in_time: int = 0
    answer_decided: int = 0
    answered_in_time: int = 0
    day_decided: int = 0
    answered_within_day: int = 0
    first_wave_over: int = 0
    first_wave_accepted: int = 0
    needing_backup: int = 0
    with_offers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferCounts:
    """Counts over the offers sent in the period, and how many more never reached their mentors."""

    sent: int = 0
    undelivered: int = 0
    accepted: int = 0
    declined: int = 0
    wrong_specialty: int = 0
    mentors: int = 0
    most_in_week: int = 0
    weeks: float = 1.0


@dataclass(frozen=True, slots=True)
class SessionCount:
    """How many logged sessions share mode, outcome, route, and civil or not at either side; and their minutes."""

    mode: str
    outcome: str
    route: str
    is_civil_for_requester: bool
    is_civil_for_mentor: bool
    sessions: int
    minutes: int

    @property
    def is_held(self) -> bool:
        """Tell whether the people met, or the advice was written."""
        return self.outcome not in vocabulary.NOT_HELD


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """How many follow-up answers say the same."""

    side: str
    is_useful: bool
    patient_outcome: str | None
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityCounts:
    """Counts over the activities that began in the period; people by the operator that their source gives."""

    kinds: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[str, int] = field(default_factory=dict)
    counted: int = 0
    undated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCounts:
    """Everything counted for one report; consultations of each priority, and of all together."""

    by_priority: Mapping[str, ConsultationCounts] = field(default_factory=dict)
    all_priorities: ConsultationCounts = ConsultationCounts()
    offers: OfferCounts = OfferCounts()
    sessions: Sequence[SessionCount] = ()
    answers: Sequence[AnswerCount] = ()
    mentor_minutes: Sequence[int] = ()
    areas: Mapping[str, int] = field(default_factory=dict)
    partner_countries: Mapping[str, int] = field(default_factory=dict)
    requesting_regions: Mapping[str, int] = field(default_factory=dict)
    activities: ActivityCounts = ActivityCounts()


Mentor = bytes
"""A mentor's id, packed into bytes, because a tally holds many."""


@dataclass(slots=True)
class PriorityTally:
    """What became of the consultations of one priority: counts, and hours in order, by `ConsultationCounts`' names."""

    counts: dict[str, int] = field(default_factory=dict)
    hours: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What was counted in some stretches of time, so that the tallies of others can be added.

    Consultations are by priority, sessions (how many, how many minutes) by the first fields of `SessionCount`, answers
    by those of `AnswerCount`, areas by specialty, partners and requesters by institution. No stretch cuts a week of
    another one, or `most_in_week` would not be the most.
    """

    consultations: dict[str, PriorityTally] = field(default_factory=dict)
    offers: dict[str, int] = field(default_factory=dict)
    most_in_week: int = 0
    sessions: dict[tuple[str, str, str, bool, bool], tuple[int, int]] = field(default_factory=dict)
    answers: dict[tuple[str, bool, str | None], int] = field(default_factory=dict)
    asked_mentors: set[Mentor] = field(default_factory=set)
    mentor_minutes: dict[Mentor, int] = field(default_factory=dict)
    areas: dict[str, int] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)
    requesters: dict[str, int] = field(default_factory=dict)


Key = TypeVar("Key")
HOURS = ("allocation", "answer", "closing")


def total(tallies: Sequence[Tally]) -> Tally:
    """Add up what was counted in stretches that have no instant in common."""
    if len(tallies) == 1:
        return tallies[0]
    summed = Tally()
    for tally in tallies:
        _add(summed.offers, tally.offers)
        _add(summed.answers, tally.answers)
        _add(summed.mentor_minutes, tally.mentor_minutes)
        _add(summed.areas, tally.areas)
        _add(summed.partners, tally.partners)
        _add(summed.requesters, tally.requesters)
        summed.asked_mentors |= tally.asked_mentors
        summed.most_in_week = max(summed.most_in_week, tally.most_in_week)
        for key, (sessions, minutes) in tally.sessions.items():
            before = summed.sessions.get(key, (0, 0))
            summed.sessions[key] = (before[0] + sessions, before[1] + minutes)
        for priority, consultations in tally.consultations.items():
            of_priority = summed.consultations.setdefault(priority, PriorityTally())
            _add(of_priority.counts, consultations.counts)
            for name, hours in consultations.hours.items():
                of_priority.hours.setdefault(name, []).extend(hours)
    for of_priority in summed.consultations.values():
        for hours in of_priority.hours.values():
            hours.sort()  # sorted runs, one after another: this is quick
    return summed


def _add(summed: dict[Key, int], more: Mapping[Key, int]) -> None:
    if not summed:
        summed.update(more)
        return
    get = summed.get
    for key, count in more.items():
        summed[key] = get(key, 0) + count


def of_consultations(tallies: Sequence[PriorityTally]) -> ConsultationCounts:
    """Put the priorities' counts and hours together."""
    fields: dict[str, Any] = {}
    for of_priority in tallies:
        _add(fields, of_priority.counts)
    for name in HOURS:
        fields[name] = quartiles(*(of_priority.hours.get(name, ()) for of_priority in tallies))
    return ConsultationCounts(**fields)


def quartiles(*runs: Sequence[float]) -> Quartiles:
    """Give the median and the quartiles of all sorted runs together, interpolated between the two nearest values."""
    rows = sum(map(len, runs))
    if not rows:
        return Quartiles()
    return Quartiles(rows, *(_at(runs, (rows - 1) * share) for share in (0.25, 0.5, 0.75)))


def _at(runs: Sequence[Sequence[float]], place: float) -> float:
    low = int(place)
    value = _nth(runs, low)
    return value if place == low else value + (_nth(runs, low + 1) - value) * (place - low)


def _nth(runs: Sequence[Sequence[float]], place: int) -> float:
    """Give the value that would stand at this place if the sorted runs were merged into one.

    Merging them took most of a report's arithmetic. Instead the place is searched for in each run by halving: a value
    is the one if at most `place` values of all runs are smaller, and more than `place` are not greater.
    """
    for run in runs:
        low, high = 0, len(run)
        while low < high:
            middle = (low + high) // 2
            if sum([bisect_left(other_run, run[middle]) for other_run in runs]) > place:
                high = middle
            elif sum([bisect_right(other_run, run[middle]) for other_run in runs]) <= place:
                low = middle + 1
            else:
                return run[middle]
    raise IndexError(place)  # pragma: no cover - there are more values


def gini(values: Iterable[float]) -> float | None:
    """Tell how unevenly something is spread: 0 all alike, towards 1 one has it all; None when there is nothing."""
    ordered = sorted(values)
    total = sum(ordered)
    if not total:
        return None
    weighted: float = sum(map(mul, itertools.count(1), ordered))
    return 2 * weighted / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)


def top_quarter_share(values: Iterable[float]) -> float | None:
    """Give the share of the whole that the largest quarter (its size rounded up) has; None when there is nothing."""
    ordered = sorted(values, reverse=True)
    total = sum(ordered)
    return sum(ordered[: -(-len(ordered) // _QUARTER)]) / total if total else None
