"""The bound: as many as can be, then as fairly as can be. It is compared with every way there is."""

import pytest

from lab import hindsight, measures, registry, worlds, year
from lab.behaviours import MODELS, Mentors
from lab.draws import Draws
from lab.hindsight import Way
from lab.policies import POLICIES
from lab.registry import Size
from lab.worlds import Setting, World

pytest.importorskip("ortools", reason="no OR-tools")
CAP = 1  # so that it is felt in a small year
SMALL = Size(hospitals=2, partners=2, memoranda=3, clinicians=8, mentors=6)


def made(seed: int, requests: int = 12) -> World:
    plan = registry.plan("tiny", Draws(seed), SMALL)
    return worlds.make(Setting("tiny", "even", 14, requests, plan), seed)


def ways(world: World, seed: int) -> dict[int, tuple[Way, ...]]:
    model = MODELS[sorted(MODELS)[seed % len(MODELS)]]
    return hindsight.ways(world, Mentors(model, world.registry, world.draws))


def by_brute_force(ways_of: dict[int, tuple[Way, ...]], cap: int) -> tuple[int, int]:
    """Go through all ways to answer the cases; give the most answered, and of these the least sum of squares."""
    reached: set[tuple[tuple[int, ...], tuple[Way, ...]]] = {((), ())}
    for own in ways_of.values():
        following = set(reached)
        for loads, weeks in reached:
            for mentor, week in own:
                key = (mentor, week)
                if week is not None and weeks.count(key) >= cap:
                    continue
                taken = weeks if week is None else tuple(sorted((*weeks, key)))
                following.add((tuple(sorted((*loads, mentor))), taken))
        reached = following
    return min((-len(loads), sum(loads.count(each) ** 2 for each in set(loads))) for loads, _ in reached)


def test_the_bound_equals_brute_force_on_fifty_small_years() -> None:
    answered = 0
    for seed in range(50):
        ways_of = ways(made(seed), seed)
        assigned = hindsight.assign(ways_of, CAP)
        loads = list(assigned.values())
        squares = sum(loads.count(each) ** 2 for each in set(loads))
        assert (-len(loads), squares) == by_brute_force(ways_of, CAP), seed
        assert all(mentor in {way[0] for way in ways_of[case]} for case, mentor in assigned.items())
        answered += len(assigned)
    assert answered > 100


def test_no_policy_answers_more_in_time_than_the_bound() -> None:
    for seed in range(3):
        world = made(seed, requests=40)
        mentors = Mentors(MODELS["clock"], world.registry, world.draws)
        bound = measures.measure_bound(world, hindsight.assign(hindsight.ways(world, mentors), 3)).figures["in_time"]
        for policy in POLICIES.values():
            run = year.live(world, policy, Mentors(MODELS["clock"], world.registry, world.draws))
            assert measures.measure(world, run).figures["in_time"] <= bound, (seed, policy.name)
