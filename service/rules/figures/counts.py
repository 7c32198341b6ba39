"""What was counted for a report, as plain values, and how evenly something is spread (invariant L4).

Counts come in two shapes. A `Tally` is what can be added: stretches of time are counted apart, once, and their tallies
summed. `ReportCounts` is what figures are made of: quartiles and numbers of different mentors, which nobody can add.
So a tally keeps how often each number of hours occurs, and the ids themselves; they become quartiles and numbers after
the last addition. What the clock alone changes (an answer that is not there becomes one that is late) it keeps as
instants, so that a stretch need not be over to be counted once.
"""

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import mul, sub
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


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often each value occurs: the values ascending, and how many there are up to each, itself included."""

    values: "array[float]"
    upto: "array[int]"

    @property
    def rows(self) -> int:
        """Tell how many there are."""
        return self.upto[-1] if self.upto else 0


@dataclass(slots=True)
class PriorityTally:
    """What became of the consultations of one priority, by `ConsultationCounts`' names.

    `hours` are histograms that belong together. `due` are the instants (seconds since 1970, ascending) at which one
    more will be counted, unless a row changes before.
    """

    counts: dict[str, int] = field(default_factory=dict)
    hours: dict[str, list[Histogram]] = field(default_factory=dict)
    due: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What was counted in some stretches of time, so that the tallies of others can be added.

    Consultations are by priority, sessions (how many, how many minutes) by the first fields of `SessionCount`, answers
    by those of `AnswerCount`, areas by specialty, partners and requesters by institution. `most_in_week` is of the
    weeks that lie within one stretch; of a week that several may share, `shared_weeks` has the offers of each mentor.
    `mentor_minutes` has everybody who was asked or had a session: 0 is a number of minutes, too.
    """

    consultations: dict[str, PriorityTally] = field(default_factory=dict)
    offers: dict[str, int] = field(default_factory=dict)
    most_in_week: int = 0
    shared_weeks: dict[int, dict[Mentor, int]] = field(default_factory=dict)
    sessions: dict[tuple[str, str, str, bool, bool], tuple[int, int]] = field(default_factory=dict)
    answers: dict[tuple[str, bool, str | None], int] = field(default_factory=dict)
    asked_mentors: set[Mentor] = field(default_factory=set)
    mentor_minutes: dict[Mentor, int] = field(default_factory=dict)
    areas: dict[str, int] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)
    requesters: dict[str, int] = field(default_factory=dict)


Key = TypeVar("Key")
HOURS = ("allocation", "answer", "closing")
DUE = ("allocation_decided", "answer_decided")
"""What becomes more by the clock alone."""


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
        for week, of_mentors in tally.shared_weeks.items():
            _add(summed.shared_weeks.setdefault(week, {}), of_mentors)
        for priority, consultations in tally.consultations.items():
            of_priority = summed.consultations.setdefault(priority, PriorityTally())
            _add(of_priority.counts, consultations.counts)
            for name, histograms in consultations.hours.items():
                of_priority.hours.setdefault(name, []).extend(histograms)
            for name, instants in consultations.due.items():
                of_priority.due[name] = sorted([*of_priority.due.get(name, ()), *instants])
    return summed


def compact(tally: Tally) -> Tally:
    """Put histograms that belong together into one: for what is kept, not for what is read once."""
    for of_priority in tally.consultations.values():
        of_priority.hours = {name: [merged(histograms)] for name, histograms in of_priority.hours.items()}
    return tally


def whole_weeks(tally: Tally) -> Tally:
    """Take each shared week as complete: only the most that one mentor got in it is kept."""
    tally.most_in_week = most_in_week(tally)
    tally.shared_weeks = {}
    return tally


def most_in_week(tally: Tally) -> int:
    """Give the most offers that one mentor got in one week."""
    return max([tally.most_in_week, *(max(each.values(), default=0) for each in tally.shared_weeks.values())])


def decided(tally: Tally, at: float) -> Tally:
    """Count what is due by the instant (seconds since 1970); gives another tally, that shares what is as it was."""
    consultations = {}
    for priority, before in tally.consultations.items():
        numbers, due = dict(before.counts), {}
        for name, instants in before.due.items():
            place = bisect_right(instants, at)
            numbers[name] = numbers.get(name, 0) + place
            due[name] = instants[place:]
        consultations[priority] = PriorityTally(numbers, before.hours, due)
    return replace(tally, consultations=consultations)


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
        fields[name] = quartiles([each for of_priority in tallies for each in of_priority.hours.get(name, ())])
    return ConsultationCounts(**fields)


def histogram(values: Iterable[float]) -> Histogram:
    """Count how often each of the values, which ascend, occurs."""
    occurring = Counter(values)
    return Histogram(array("d", occurring), array("I", itertools.accumulate(occurring.values())))


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """Give the histogram of all values together."""
    if len(histograms) == 1:
        return histograms[0]
    # All values one by one, as C does it: several sorted stretches are quickly one.
    return histogram(sorted(itertools.chain.from_iterable(map(_one_by_one, histograms))))


def _one_by_one(of: Histogram) -> Iterable[float]:
    if of.rows == len(of.values):
        return of.values
    counts = map(sub, of.upto, itertools.chain((0,), of.upto))
    return itertools.chain.from_iterable(map(itertools.repeat, of.values, counts))


def quartiles(histograms: Sequence[Histogram]) -> Quartiles:
    """Give the median and the quartiles of all values together, interpolated between the two nearest values."""
    histograms = [each for each in histograms if each.values]
    rows = sum(each.rows for each in histograms)
    if not rows:
        return Quartiles()
    return Quartiles(rows, *(_at(histograms, (rows - 1) * share) for share in (0.25, 0.5, 0.75)))


def _at(histograms: Sequence[Histogram], place: float) -> float:
    low = int(place)
    if len(histograms) == 1:
        values, upto = histograms[0].values, histograms[0].upto
        at = bisect_right(upto, low)
        value = values[at]
        return value if place == low or low + 1 < upto[at] else value + (values[at + 1] - value) * (place - low)
    value, behind = _nth(histograms, low)
    if place == low or low + 1 < _upto(histograms, behind):
        return value
    following = min(each.values[at] for each, at in zip(histograms, behind, strict=True) if at < len(each.values))
    return value + (following - value) * (place - low)


def _nth(histograms: Sequence[Histogram], place: int) -> tuple[float, list[int]]:
    """Give the value that would stand at this place (from 0) if all were one sorted list, and where each exceeds it.

    Putting them together would take most of a report's arithmetic. Instead the place is searched for: the middle of
    the longest stretch in question is too small, too large or the one, and bounds the stretch of each histogram.
    """
    values = [each.values for each in histograms]
    lows, highs = [0] * len(values), [*map(len, values)]
    while True:
        lengths = [*map(sub, highs, lows)]
        longest = lengths.index(max(lengths))
        value = values[longest][(lows[longest] + highs[longest]) // 2]
        before = [*map(bisect_left, values, itertools.repeat(value), lows, highs)]
        if _upto(histograms, before) > place:
            highs = before
            continue
        behind = [*map(bisect_right, values, itertools.repeat(value), before, highs)]
        if _upto(histograms, behind) > place:
            return value, behind
        lows = behind


def _upto(histograms: Sequence[Histogram], places: Sequence[int]) -> int:
    return sum([each.upto[at - 1] for each, at in zip(histograms, places, strict=True) if at])


def shared_out(given: Mapping[Key, int], could: Iterable[Key]) -> list[int]:
    """Give how much each has given, ascending, of all who gave something or could have: nothing is a number, too.

    Over these the report and the lab say how evenly minutes or cases are spread (docs/concepts.md).
    """
    idle = sum(each not in given for each in set(could))
    return [*([0] * idle), *sorted(given.values())]


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
    ordered = sorted(values)
    total = sum(ordered)
    return sum(ordered[len(ordered) * 3 // _QUARTER :]) / total if total else None
