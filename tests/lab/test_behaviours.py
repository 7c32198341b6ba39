"""Each model is beside what others published, and reproduces what it claims."""

from datetime import timedelta

import pytest

from lab import behaviours, registry
from lab.behaviours import MODELS, Mentors, Notice
from lab.draws import Draws
from lab.registry import BEGINS, Registry
from service.rules.time import availability

POINTS = [point.name for point in behaviours.POINTS]


@pytest.fixture(scope="module")
def people() -> Registry:
    draws = Draws(1)
    return registry.build(registry.plan("published", draws), draws, 182)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reproduces_the_points_that_it_claims(name: str, people: Registry) -> None:
    fits = behaviours.fits(name, people, Draws(1))
    assert [fit.point for fit in fits] == POINTS
    claimed = [fit for fit in fits if fit.is_claimed]
    assert claimed
    assert [fit for fit in claimed if not fit.fits] == []


def test_every_published_point_is_claimed_and_no_model_claims_all() -> None:
    assert all(point.claimed_by for point in behaviours.POINTS)
    assert set().union(*(point.claimed_by for point in behaviours.POINTS)) == set(MODELS)
    assert not set.intersection(*(set(point.claimed_by) for point in behaviours.POINTS))


def test_who_keeps_hours_answers_awake(people: Registry) -> None:
    mentors = Mentors(MODELS["clock"], people, Draws(1))
    for number, person in enumerate(people.mentors):
        at = BEGINS + timedelta(hours=number)
        reaction = mentors.react(Notice(number, number, "urgent", at, at + timedelta(hours=4)))
        if reaction and not person.base.opt_ins:
            assert 7 <= availability.local_hour(reaction.at, person.base.zone) < 22


def test_half_of_those_who_would_be_late_hurry_to_the_date(people: Registry) -> None:
    notices = [Notice(0, number, "routine", BEGINS, BEGINS + timedelta(hours=24)) for number in range(300)]
    late = {
        name: sum(
            reaction is not None and reaction.at > BEGINS + timedelta(hours=24)
            for reaction in map(Mentors(MODELS[name], people, Draws(1)).react, notices)
        )
        for name in ("clock", "deadline")
    }
    assert 0.3 * late["clock"] < late["deadline"] < 0.7 * late["clock"]


def test_who_is_silenced_reacts_to_nothing_until_they_are_back(people: Registry) -> None:
    mentors = Mentors(MODELS["strict"], people, Draws(1))
    notice = Notice(0, 0, "routine", BEGINS, BEGINS + timedelta(hours=24))
    request = 0
    while not mentors.is_silent(0, BEGINS):
        notice = notice._replace(request=(request := request + 1))
        mentors.settle("asked", notice, BEGINS)
    assert mentors.react(notice) is None
    assert not mentors.is_silent(0, BEGINS + timedelta(days=400))
    mentors.settle("lapsed", notice, BEGINS)  # what tires nobody in this model


def test_a_draw_is_named_by_what_it_is_for_and_by_nothing_else() -> None:
    draws = Draws(7)
    first = [draws.uniform("reacts", request, 3) for request in range(100)]
    assert first == [Draws(7).uniform("reacts", request, 3) for request in range(99, -1, -1)][::-1]
    assert len(set(first)) == 100
    assert 0.4 < sum(first) / 100 < 0.6
    assert draws.uniform(1, 23) != draws.uniform(12, 3)
