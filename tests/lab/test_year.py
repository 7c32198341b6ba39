"""A made-up year: what must be the same is the same, and what must matter does."""

import dataclasses
import itertools
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from lab import measures, registry, worlds, year
from lab.behaviours import MODELS, Mentors, Model
from lab.draws import Draws
from lab.policies import POLICIES, LabPolicy
from lab.registry import BEGINS, Size
from lab.worlds import Setting, World
from lab.year import Run
from service.rules import policy as policies
from service.rules.matching import ranking, score

SIZE = Size(hospitals=8, partners=8, memoranda=16, clinicians=60, mentors=40)


@pytest.fixture(scope="module")
def world() -> World:
    return made(3)


def made(seed: int, days: int = 60, requests: int = 160) -> World:
    plan = registry.plan("small", Draws(seed), SIZE)
    return worlds.make(Setting("small", "even", days, requests, plan), seed)


def lived(world: World, policy: str | LabPolicy = "now", model: str | Model = "clock") -> Run:
    numbers = MODELS[model] if isinstance(model, str) else model
    chosen = POLICIES[policy] if isinstance(policy, str) else policy
    return year.live(world, chosen, Mentors(numbers, world.registry, world.draws))


def figures(world: World, run: Run) -> dict[str, float]:
    return measures.measure(world, run).figures


def test_the_same_seed_gives_the_same_year(world: World) -> None:
    assert lived(made(3), model="sleep") == lived(world, model="sleep")
    assert worlds.digest(made(3)) == worlds.digest(world) != worlds.digest(made(4))


def test_policies_that_differ_in_name_only_give_no_difference_on_any_seed() -> None:
    other = replace(POLICIES["now"], name="another name")
    for seed in range(3):
        same = made(seed, days=30, requests=60)
        assert lived(same, other, "sleep") == lived(same, "now", "sleep")


def test_late_answers_that_count_are_answers_that_come(world: World) -> None:
    before, late = lived(world, "before"), lived(world, "late")
    assert figures(world, late)["in_time"] > figures(world, before)["in_time"] + 3
    dates = {(request, mentor): until for request, mentor, _, until, _ in late.offers}
    after = [number for number, each in late.answers.items() if each.accepted_at >= dates[number, each.mentor]]
    assert after
    dates = {(request, mentor): until for request, mentor, _, until, _ in before.offers}
    assert all(each.accepted_at < dates[number, each.mentor] for number, each in before.answers.items())


def test_nobody_is_asked_twice_nor_before_the_request_nor_after_its_answer(world: World) -> None:
    run = lived(world)
    assert max(Counter((request, mentor) for request, mentor, *_ in run.offers).values()) == 1
    for request, _, sent_at, answer_by, starts in run.offers:
        case = world.cases[request]
        assert case.opened_at <= sent_at < answer_by <= case.answer_due_at
        assert sent_at <= (run.answers[request].accepted_at if request in run.answers else case.answer_due_at)
        assert all(sent_at < start <= case.answer_due_at for start in starts)


def test_nobody_sits_in_two_sessions_at_once(world: World) -> None:
    run = lived(world)
    for of in ("mentor", "clinician"):
        starts: dict[int, list[datetime]] = {}
        for number, each in run.answers.items():
            who = each.mentor if of == "mentor" else world.requests[number].clinician
            if each.is_live:
                starts.setdefault(who, []).append(each.at)
        for own in starts.values():
            ordered = sorted(own)
            assert all(two - one >= timedelta(minutes=40) for one, two in itertools.pairwise(ordered))


# What must matter: leave it out, and a figure moves.


def test_without_the_cap_more_is_asked_of_the_busiest() -> None:
    crowded = made(3, days=14, requests=160)
    capped = lived(crowded, "late")
    uncapped = [
        tuple((number, base._replace(offers_cap=None, sessions_cap=None)) for number, base in pool)
        for pool in crowded.pools
    ]
    free = lived(replace(crowded, pools=tuple(uncapped)), "late")
    assert most_in_a_week(capped) <= 5 < most_in_a_week(free)
    assert figures(crowded, capped) != figures(crowded, free)


def most_in_a_week(run: Run) -> int:
    sent: dict[int, list[datetime]] = {}
    for _, mentor, at, *_ in run.offers:
        sent.setdefault(mentor, []).append(at)
    week = timedelta(days=7)
    return max(sum(0 <= (other - at) / week < 1 for other in own) for own in sent.values() for at in own)


def test_without_sleep_nobody_is_silent_and_more_is_answered(world: World) -> None:
    rested = dataclasses.replace(MODELS["sleep"], silenced_by={})
    tired, awake = lived(world, model="sleep"), lived(world, model=rested)
    assert tired.silent
    assert not awake.silent
    assert figures(world, awake)["in_time"] > figures(world, tired)["in_time"]


def test_without_no_shows_more_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = lived(world)
    monkeypatch.setattr(year, "_NO_SHOW", 0.0)
    kept = lived(world)
    assert not all(each.takes_place for each in missed.answers.values())
    assert all(each.takes_place for each in kept.answers.values())
    assert figures(world, kept)["in_time"] > figures(world, missed)["in_time"]


def test_the_load_term_that_remembers_half_a_year_shares_out_more_evenly() -> None:
    shares = [
        (figures(each, lived(each, "before"))["gini"], figures(each, lived(each, "load"))["gini"])
        for each in (made(seed, days=60, requests=200) for seed in (5, 6))
    ]
    assert sum(load for _, load in shares) < sum(before for before, _ in shares)


def test_the_flat_load_is_the_former_rule(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    flat, now = lived(world, "flat"), lived(world, "now")
    load = score.load
    monkeypatch.setattr(score, "load", lambda mentor, week, _: load(mentor, week, 0))
    assert lived(world, "now") == flat != now


def test_everybody_is_asked_at_once_in_a_broadcast_and_one_by_one_in_a_rotation(world: World) -> None:
    first_asked = Counter(
        request for request, _, sent_at, *_ in lived(world, "broadcast").offers if sent_at == world.requests[request].at
    )
    could = {number: len(able) for number, able in enumerate(world.could)}
    assert max(first_asked.values()) > 3
    assert all(count <= could[number] for number, count in first_asked.items())
    waves = Counter((request, sent_at) for request, _, sent_at, *_ in lived(world, "rotation").offers)
    assert set(waves.values()) == {1}


def test_the_rules_before_have_their_weights_and_the_rules_now_the_products() -> None:
    before, now = POLICIES["before"], POLICIES["now"]
    assert now.numbers is policies.DEFAULT
    assert before.numbers.pace("routine").weights["load"] == 14
    assert all(sum(pace.weights.values()) == 100 for pace in before.numbers.paces.values())


def test_it_is_the_products_ranking_that_decides(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lived(world).offers
    real = ranking.rank

    def upside_down(*args: object, **kwargs: object) -> ranking.Ranking:
        ranked = real(*args, **kwargs)  # type: ignore[arg-type]
        return replace(ranked, candidates=ranked.candidates[::-1])

    monkeypatch.setattr(ranking, "rank", upside_down)
    assert lived(world).offers != asked


def test_a_year_begins_on_a_monday() -> None:
    assert BEGINS.weekday() == 0
