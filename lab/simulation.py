"""Many seeds, behaviours and policies: run, measured, and set beside each other.

A seed is one piece of work: its world is drawn once, and every policy meets it under every behaviour. Pieces may run in
several processes; they are put together in the order of the seeds, so the result does not know how many there were.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from lab import behaviours, hindsight, measures, registry, worlds, year
from lab.behaviours import MODELS, Mentors
from lab.draws import Draws
from lab.measures import Band, Measured
from lab.policies import POLICIES, LabPolicy
from lab.registry import SIZES
from lab.worlds import Setting, World

BOUND = "hindsight"
"""The name of the bound in tables, beside the policies'."""


class Unknown(ValueError):
    """Nothing has this name."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Name what was asked for, and everything that there is of its kind."""
        super().__init__(f"{kind}: there is no {name}; there are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate; the first policy is the one that others are compared with."""

    setting: Setting
    seed: int
    seeds: int
    behaviours: tuple[str, ...]
    policies: tuple[LabPolicy, ...]
    with_bound: bool = field(default_factory=hindsight.is_at_hand)


Key = tuple[str, str]
"""A behaviour and a policy, or the bound, by name."""


class SeedResult(NamedTuple):
    """What one seed gave."""

    seed: int
    world: str  # digest
    measured: Mapping[Key, Measured]


class Figure(NamedTuple):
    """One figure of a policy under a behaviour over all seeds, and its paired difference to the first policy."""

    behaviour: str
    policy: str
    code: str
    band: Band
    difference: Band | None


def named(kind: str, names: Iterable[str], known: Mapping[str, object]) -> tuple[str, ...]:
    """Give the names, each once; raises Unknown."""
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        if name not in known:
            raise Unknown(kind, name, known)
    return unique


def policies_named(names: Iterable[str]) -> tuple[LabPolicy, ...]:
    """Give the policies of these names; raises Unknown."""
    return tuple(POLICIES[name] for name in named("policy", names, POLICIES))


def behaviours_named(names: Iterable[str]) -> tuple[str, ...]:
    """Give the names of behaviours; raises Unknown."""
    return named("behaviour", names, MODELS)


def shape_named(name: str) -> str:
    """Give the name of a shape that is made up; raises Unknown."""
    return named("shape", [name], MappingProxyType({**SIZES, "FILE": None}))[0]


def run_seed(plan: Plan, seed: int) -> SeedResult:
    """Run one seed: every policy under every behaviour."""
    world = worlds.make(plan.setting, seed)
    measured: dict[Key, Measured] = {}
    for behaviour in plan.behaviours:
        bound = _bound(world, behaviour) if plan.with_bound else None
        for policy in plan.policies:
            run = year.live(world, policy, Mentors(MODELS[behaviour], world.registry, world.draws))
            own = measures.measure(world, run)
            measured[behaviour, policy.name] = measures.beside(own, bound) if bound else own
        if bound:
            measured[behaviour, BOUND] = bound
    return SeedResult(seed, worlds.digest(world), measured)


def _bound(world: World, behaviour: str) -> Measured:
    mentors = Mentors(MODELS[behaviour], world.registry, world.draws)
    cap = max((person.base.sessions_cap or 0 for person in world.registry.mentors), default=0)
    return measures.measure_bound(world, hindsight.assign(hindsight.ways(world, mentors), cap))


def run(plan: Plan, processes: int = 1, told: Callable[[int], None] = lambda _: None) -> list[SeedResult]:
    """Run all seeds, in order; `told` hears how many are done. Several processes know policies of POLICIES only."""
    seeds = range(plan.seed, plan.seed + plan.seeds)
    results: list[SeedResult] = []
    if processes == 1:
        for seed in seeds:
            results.append(run_seed(plan, seed))
            told(len(results))
        return results
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        apart = partial(_run_apart, replace(plan, policies=()), tuple(policy.name for policy in plan.policies))
        for result in pool.map(apart, seeds):
            results.append(result)
            told(len(results))
    return results


def _run_apart(plan: Plan, policies: tuple[str, ...], seed: int) -> SeedResult:
    """Run a seed in a process of its own, to which policies go by name: their numbers are read-only mappings."""
    return run_seed(replace(plan, policies=policies_named(policies)), seed)


def figures(plan: Plan, results: list[SeedResult]) -> list[Figure]:
    """Give each figure with its band, and how far it differs, seed by seed, from the first policy's."""
    found = []
    first = plan.policies[0].name
    for behaviour, policy in results[0].measured:
        for code in measures.FIGURES:
            own = _values(results, (behaviour, policy), code)
            if own is None:
                continue
            other = None if policy == first else _values(results, (behaviour, first), code)
            difference = None
            if other is not None:
                difference = measures.band([mine - theirs for mine, theirs in zip(own, other, strict=True)])
            found.append(Figure(behaviour, policy, code, measures.band(own), difference))
    return found


def _values(results: list[SeedResult], key: Key, code: str) -> list[float] | None:
    values = [result.measured[key].figures.get(code) for result in results]
    return None if None in values else [value for value in values if value is not None]


def curves(plan: Plan, results: list[SeedResult]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Give the mean curves by behaviour and policy, for the picture."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {name: {} for name in plan.behaviours}
    for behaviour, policy in results[0].measured:
        own = [result.measured[behaviour, policy] for result in results]
        found[behaviour][policy] = (
            _means([each.answered_within for each in own]),
            _means([each.load for each in own]),
        )
    return found


def fit(plan: Plan) -> list[behaviours.Fit]:
    """Set each behaviour beside the published points, asked of the first seed's mentors."""
    draws = Draws(plan.seed)
    layout = plan.setting.plan or registry.plan(plan.setting.shape, draws)
    mentors = registry.build(layout, draws, plan.setting.days)
    return [each for name in plan.behaviours for each in behaviours.fits(name, mentors, draws)]


def _means(rows: list[tuple[float, ...]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]
