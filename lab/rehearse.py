"""The estimated level of a rehearsal: what would probably follow from other numbers, by the lab's models.

It is never mixed with what is exact; whoever shows it says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lab import simulation
from lab.measures import Band
from lab.policies import LabPolicy
from lab.registry import Plan
from lab.worlds import Setting
from service.rules.policy import Policy

_DAYS, _REQUESTS = 91, 400
"""A quarter: long enough for a figure to settle, short enough for a worker's job."""
_SHOWN = ("in_time", "answered_h", "offers", "gini", "active", "unmatched")


class Estimate(NamedTuple):
    """One figure under both policies; `low` and `high` are None where a band cannot be told."""

    behaviour: str
    name: str
    policy: str  # now | new
    mean: float | None  # None: no such time, as most were never answered
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Estimates:
    """All figures of both policies, and those of the difference (policy `change`), by behaviour."""

    behaviours: tuple[str, ...]
    seeds: int
    figures: tuple[Estimate, ...]


def estimate(
    policy_now: Policy,
    policy_new: Policy,
    shape: str | Plan,
    seeds: int,
    behaviours: Iterable[str],
    *,
    seed: int = 1,
) -> Estimates:
    """Simulate a quarter under both policies, seed by seed, with the same luck; raises `simulation.Unknown`.

    `shape` is a name, or a plan of counts and codes. It takes some seconds of processor time a seed and behaviour.
    """
    name = simulation.shape_named(shape) if isinstance(shape, str) else shape.name
    setting = Setting(name, "even", _DAYS, _REQUESTS, None if isinstance(shape, str) else shape)
    plan = simulation.Plan(
        setting,
        seed,
        seeds,
        simulation.behaviours_named(behaviours),
        (LabPolicy("now", policy_now), LabPolicy("new", policy_new)),
        with_bound=False,
    )
    found = []
    for figure in simulation.figures(plan, simulation.run(plan)):
        if figure.code not in _SHOWN:
            continue
        found.append(_as_estimate(figure.behaviour, figure.code, figure.policy, figure.band))
        if figure.difference:
            found.append(_as_estimate(figure.behaviour, figure.code, "change", figure.difference))
    return Estimates(plan.behaviours, seeds, tuple(found))


def _as_estimate(behaviour: str, code: str, policy: str, band: Band) -> Estimate:
    is_number = abs(band.mean) < float("inf")
    return Estimate(behaviour, code, policy, band.mean if is_number else None, band.low, band.high)
