"""The figures of one run, and what many runs say together: the mean and how far it may be off.

A request that nobody answered counts as answered later than any other, so medians do not flatter. Fairness is measured
over all mentors who could have been asked, not over those who worked. There is no figure made of other figures.
"""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from lab.worlds import World
from lab.year import Run
from service.rules.figures import counts
from service.rules.matching import score

FIGURES: Mapping[str, str] = {
    "in_time": "in time, % of those somebody could answer",
    "of_bound": "in time, % of the bound of the same seed",
    "in_time_of_all": "in time, % of all",
    "accepted_h": "median h to acceptance",
    "answered_h": "median h to the answer",
    "offers": "offers per acceptance",
    "gini": "Gini of cases over mentors",
    "gini_above": "Gini above the bound's",
    "top_quarter": "% of cases by the busiest quarter",
    "active": "% of mentors who still react at the end",
    "unmatched": "% that nobody took, of those somebody could answer",
    "passed": "% of acceptances whose proposals had all passed",
    "uncivil": "% of sessions outside 08-19 for a side",
}
_HOUR = timedelta(hours=1)
CURVE_HOURS = tuple(range(0, 169, 6))
LOAD_PARTS = 20


class Measured(NamedTuple):
    """One run's figures by code, and its curves: answered by hour, and cases of the busiest parts, both as shares."""

    figures: dict[str, float]
    answered_within: tuple[float, ...]
    load: tuple[float, ...]


def measure(world: World, run: Run) -> Measured:
    """Count what became of the requests."""
    able = [number for number, could in enumerate(world.could) if could]
    took = [run.answers[number] for number in able if number in run.answers]
    all_took = list(run.answers.values())
    to_accept, to_answer = [], []
    in_time = 0
    for number in able:
        answer, filed = run.answers.get(number), world.requests[number].at
        to_accept.append((answer.accepted_at - filed) / _HOUR if answer else math.inf)
        to_answer.append((answer.at - filed) / _HOUR if answer and answer.takes_place else math.inf)
        in_time += answer is not None and answer.takes_place and answer.at <= world.cases[number].answer_due_at
    live = [answer for answer in all_took if answer.is_live]
    loads = _loads(world, [answer.mentor for answer in all_took if answer.takes_place])
    figures = {
        "in_time": _percent(in_time, len(able)),
        "in_time_of_all": _percent(in_time, len(world.requests)),
        "accepted_h": statistics.median(to_accept) if able else math.inf,
        "answered_h": statistics.median(to_answer) if able else math.inf,
        "offers": len(run.offers) / len(all_took) if all_took else math.inf,
        **_spread(loads),
        "active": _percent(len(world.registry.mentors) - len(run.silent), len(world.registry.mentors)),
        "unmatched": _percent(len(able) - len(took), len(able)),
        "passed": _percent(sum(answer.had_passed for answer in all_took), len(all_took)),
        "uncivil": _percent(
            sum(
                not all(score.is_civil(answer.at, zone) for zone in _zones(world, number, answer.mentor))
                for number, answer in run.answers.items()
                if answer.is_live
            ),
            len(live),
        ),
    }
    curve = tuple(sum(each <= hour for each in to_answer) / max(1, len(able)) for hour in CURVE_HOURS)
    return Measured(figures, curve, _load_curve(loads))


def measure_bound(world: World, assigned: Mapping[int, int]) -> Measured:
    """Give the figures that a bound has: what is answered in time, and how it is shared out."""
    able = sum(bool(could) for could in world.could)
    loads = _loads(world, list(assigned.values()))
    figures = {
        "in_time": _percent(len(assigned), able),
        "in_time_of_all": _percent(len(assigned), len(world.requests)),
        **_spread(loads),
    }
    return Measured(figures, (), _load_curve(loads))


def beside(measured: Measured, bound: Measured) -> Measured:
    """Give the figures with those that set them beside the bound of the same seed."""
    best = bound.figures["in_time"]
    share = {"of_bound": 100 * measured.figures["in_time"] / best} if best else {}
    above = {"gini_above": measured.figures["gini"] - bound.figures["gini"]}
    return measured._replace(figures={**measured.figures, **share, **above})


def _zones(world: World, request: int, mentor: int) -> tuple[str, str]:
    return world.cases[request].zone, world.registry.mentors[mentor].base.zone


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _loads(world: World, mentors: Collection[int]) -> list[int]:
    """Count cases by mentor, in order, of all who could have been asked about something."""
    return counts.shared_out(Counter(mentors), frozenset().union(*world.could))


def _spread(loads: Sequence[int]) -> dict[str, float]:
    """Say how the cases are spread, as the programme's report says it of minutes."""
    return {"gini": counts.gini(loads) or 0.0, "top_quarter": 100 * (counts.top_quarter_share(loads) or 0.0)}


def _load_curve(ascending: Sequence[int]) -> tuple[float, ...]:
    """Give what share of all cases the busiest twentieth of the mentors has, the busiest two, and so on."""
    total, people = sum(ascending), len(ascending)
    ends = (people - round(people * part / LOAD_PARTS) for part in range(LOAD_PARTS + 1))
    return tuple(sum(ascending[end:]) / total if total else 0.0 for end in ends)


class Band(NamedTuple):
    """A mean over seeds, and between what it lies with 95 % confidence; None with a single seed."""

    mean: float
    low: float | None
    high: float | None


_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t for 97.5 %, by degrees of freedom from 1."""
_NORMAL = 1.96


def band(values: Sequence[float]) -> Band:
    """Give the mean of one figure over the seeds, and its band."""
    mean = statistics.fmean(values)
    if len(values) == 1 or math.isinf(mean):
        return Band(mean, None, None)
    freedom = len(values) - 1
    quantile = _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else _NORMAL
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Band(mean, mean - half, mean + half)
