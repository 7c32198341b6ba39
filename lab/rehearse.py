"""The estimated level of a rehearsal: what would probably follow from other numbers, by the lab's models.

It is never mixed with what is exact; whoever shows it says so. As a program of its own (`python -m lab.rehearse`) it
reads a question as JSON and writes the answer as JSON: it takes a processor for a minute, which the worker that asks
has other uses for.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TextIO

from lab import simulation
from lab.measures import Band
from lab.policies import LabPolicy
from lab.registry import Plan
from lab.worlds import Setting
from service.rules import policy
from service.rules.policy import Policy

DAYS, REQUESTS = 91, 400
"""A quarter: long enough for a figure to settle, short enough for a worker's job."""
SHOWN = ("in_time", "answered_h", "offers", "gini", "active", "unmatched")


class Likely(NamedTuple):
    """A figure's mean over seeds, and its band; no mean where most were never answered, no band where none is told."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure under one model of behaviour: by both policies, and by how much they differ, seed by seed."""

    behaviour: str
    name: str
    now: Likely
    new: Likely
    change: Likely | None


@dataclass(frozen=True, slots=True)
class Estimates:
    """All figures, and what they were made of."""

    shape: str
    days: int
    requests: int
    seeds: int
    behaviours: tuple[str, ...]
    figures: tuple[Estimate, ...]


def estimate(  # noqa: PLR0913 - what a simulation is made of
    policy_now: Policy,
    policy_new: Policy,
    shape: str | Plan,
    seeds: int,
    behaviours: Iterable[str],
    *,
    seed: int = 1,
    days: int = DAYS,
    requests: int = REQUESTS,
) -> Estimates:
    """Simulate a quarter under both policies, seed by seed, with the same luck; raises `simulation.Unknown`.

    `shape` is a name, or a plan of counts and codes. It takes some seconds of processor time a seed and behaviour.
    """
    name = simulation.shape_named(shape) if isinstance(shape, str) else shape.name
    setting = Setting(name, "even", days, requests, None if isinstance(shape, str) else shape)
    plan = simulation.Plan(
        setting,
        seed,
        seeds,
        simulation.behaviours_named(behaviours),
        (LabPolicy("now", policy_now), LabPolicy("new", policy_new)),
        with_bound=False,
    )
    found = simulation.figures(plan, simulation.run(plan))
    by_policy = {(each.behaviour, each.code, each.policy): each for each in found}
    return Estimates(name, days, requests, seeds, plan.behaviours, tuple(
        Estimate(
            behaviour,
            code,
            _likely(by_policy[behaviour, code, "now"].band),
            _likely((new := by_policy[behaviour, code, "new"]).band),
            new.difference and _likely(new.difference),
        )
        for behaviour in plan.behaviours
        for code in SHOWN
        if (behaviour, code, "new") in by_policy
    ))  # fmt: skip


def _likely(band: Band) -> Likely:
    return Likely(band.mean if abs(band.mean) < float("inf") else None, band.low, band.high)


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate what is asked: `now` and `new` as a programme's policy has them, the rest as `estimate` takes it."""
    asked = dict(question)
    now, new = (policy.from_overrides(asked.pop(name)) for name in ("now", "new"))
    estimates = asdict(estimate(now, new, **asked))
    for each in estimates["figures"]:
        each.update({name: each[name] and each[name]._asdict() for name in ("now", "new", "change")})
    return estimates


def main(asked: TextIO, told: TextIO) -> None:
    """Read a question, and write its answer."""
    json.dump(answer(json.load(asked)), told, allow_nan=False)


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
