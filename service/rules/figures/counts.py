"""What was counted for a report, as plain values, and how evenly something is spread (domain §8)."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any, TypeVar

NOT_HELD = ("no_show_mentor", "no_show_clinician", "cancelled_late")
_QUARTER = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of some durations, in hours."""

    rows: int = 0
    lower: float | None = None
    median: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Counts over the consultations of one priority that were opened in the period."""

    filed: int = 0
    completed: int = 0
    unmatched: int = 0
    cancelled: int = 0
    expired: int = 0
    allocation: Spread = Spread()
    answer: Spread = Spread()
    closing: Spread = Spread()
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
class Offers:
    """Counts over the offers sent in the period."""

    sent: int = 0
    accepted: int = 0
    declined: int = 0
    wrong_specialty: int = 0
    mentors: int = 0
    most_in_week: int = 0
    weeks: float = 1.0


@dataclass(frozen=True, slots=True)
class Happened:
    """How many logged sessions share mode, outcome, route and whether the hour was civil on each side."""

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
        return self.outcome not in NOT_HELD


@dataclass(frozen=True, slots=True)
class Answer:
    """How many follow-up answers say the same."""

    side: str
    is_useful: bool
    patient_outcome: str | None
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """Counts over the activities that began in the period; people by the operator that their source gives."""

    kinds: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[str, int] = field(default_factory=dict)
    counted: int = 0
    undated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Everything counted for one report; `asked` is by priority."""

    asked: Mapping[str, Asked] = field(default_factory=dict)
    everybody: Asked = Asked()
    offers: Offers = Offers()
    happened: Sequence[Happened] = ()
    answers: Sequence[Answer] = ()
    mentor_minutes: Sequence[int] = ()
    areas: Mapping[str, int] = field(default_factory=dict)
    partner_countries: Mapping[str, int] = field(default_factory=dict)
    requesting_regions: Mapping[str, int] = field(default_factory=dict)
    activities: Activities = Activities()


Mentor = bytes
"""A mentor's id, packed: nobody reads it, there are many."""


@dataclass(slots=True)
class Cohort:
    """What became of the consultations of one priority: counts by the names of `Asked`, and hours, sorted."""

    counts: dict[str, int] = field(default_factory=dict)
    hours: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What was counted in some stretches of time, so that the tallies of others can be added.

    No stretch cuts a week of another one, or `most_in_week` would not be the most.
    """

    cohorts: dict[str, Cohort] = field(default_factory=dict)
    offers: dict[str, int] = field(default_factory=dict)
    most_in_week: int = 0
    happened: dict[tuple[str, str, str, bool, bool], tuple[int, int]] = field(default_factory=dict)
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
    for each in tallies:
        _add(summed.offers, each.offers)
        _add(summed.answers, each.answers)
        _add(summed.mentor_minutes, each.mentor_minutes)
        _add(summed.areas, each.areas)
        _add(summed.partners, each.partners)
        _add(summed.requesters, each.requesters)
        summed.asked_mentors |= each.asked_mentors
        summed.most_in_week = max(summed.most_in_week, each.most_in_week)
        for key, (sessions, minutes) in each.happened.items():
            before = summed.happened.get(key, (0, 0))
            summed.happened[key] = (before[0] + sessions, before[1] + minutes)
        for priority, cohort in each.cohorts.items():
            there = summed.cohorts.setdefault(priority, Cohort())
            _add(there.counts, cohort.counts)
            for name, hours in cohort.hours.items():
                there.hours.setdefault(name, []).extend(hours)
    for cohort in summed.cohorts.values():
        for hours in cohort.hours.values():
            hours.sort()  # sorted runs, one after another: this is quick
    return summed


def _add(summed: dict[Key, int], more: Mapping[Key, int]) -> None:
    if not summed:
        summed.update(more)
        return
    get = summed.get
    for key, count in more.items():
        summed[key] = get(key, 0) + count


def asked(cohorts: Sequence[Cohort]) -> Asked:
    """Put the priorities' counts and hours together."""
    found: dict[str, Any] = {}
    for cohort in cohorts:
        _add(found, cohort.counts)
    for name in HOURS:
        found[name] = spread(*(cohort.hours.get(name, ()) for cohort in cohorts))
    return Asked(**found)


def spread(*runs: Sequence[float]) -> Spread:
    """Give the median and the quartiles of sorted runs taken together, between the two nearest values if need be."""
    rows = sum(map(len, runs))
    if not rows:
        return Spread()
    return Spread(rows, *(_at(runs, (rows - 1) * share) for share in (0.25, 0.5, 0.75)))


def _at(runs: Sequence[Sequence[float]], place: float) -> float:
    low = int(place)
    value = _nth(runs, low)
    return value if place == low else value + (_nth(runs, low + 1) - value) * (place - low)


def _nth(runs: Sequence[Sequence[float]], place: int) -> float:
    """Give the value that would stand there if the runs were one: merging them took most of a report's arithmetic."""
    for run in runs:
        low, high = 0, len(run)
        while low < high:
            middle = (low + high) // 2
            if sum([bisect_left(each, run[middle]) for each in runs]) > place:
                high = middle
            elif sum([bisect_right(each, run[middle]) for each in runs]) <= place:
                low = middle + 1
            else:
                return run[middle]
    raise IndexError(place)  # pragma: no cover - there are more values


def gini(values: Iterable[float]) -> float | None:
    """Tell how unevenly something is spread: 0 all alike, towards 1 one has it all; None when there is nothing."""
    placed = sorted(values)
    total = sum(placed)
    if not total:
        return None
    weighted: float = sum(map(mul, itertools.count(1), placed))
    return 2 * weighted / (len(placed) * total) - (len(placed) + 1) / len(placed)


def top_quarter_share(values: Iterable[float]) -> float | None:
    """Tell which share of the whole the upper quarter has, its size rounded up; None when there is nothing."""
    placed = sorted(values, reverse=True)
    total = sum(placed)
    return sum(placed[: -(-len(placed) // _QUARTER)]) / total if total else None
