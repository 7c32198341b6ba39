"""Tallies of stretches of time add up to the tally of all of them."""

import pytest

from service.rules.figures import counts
from service.rules.figures.counts import ConsultationCounts, Histogram, PriorityTally, Quartiles, Tally


def these(*hours: float) -> list[Histogram]:
    return [counts.histogram(hours)]


LIVE = ("live", "advice_given", "direct", True, False)
SPRING = Tally(
    consultations={
        "urgent": PriorityTally({"filed": 2, "closed": 1}, {"answer": these(1.0, 5.0)}, {"answer_decided": [7.0]})
    },
    offers={"sent": 3},
    most_in_week=4,
    shared_weeks={9: {b"a": 2, b"b": 1}},
    sessions={LIVE: (2, 50)},
    answers={("partner", True, None): 1},
    asked_mentors={b"a", b"b"},
    mentor_minutes={b"a": 50},
    areas={"ped.general": 2},
    partners={"FR": 2},
    requesters={"UA-74": 2},
)
SUMMER = Tally(
    consultations={
        "urgent": PriorityTally({"filed": 1}, {"answer": these(2.0, 2.0)}, {"answer_decided": [3.0]}),
        "stat": PriorityTally({"filed": 7}, {}),
    },
    offers={"sent": 1, "declined": 1},
    most_in_week=3,
    shared_weeks={9: {b"a": 3}, 10: {b"c": 1}},
    sessions={LIVE: (1, 20)},
    answers={("partner", True, None): 2},
    asked_mentors={b"b", b"c"},
    mentor_minutes={b"a": 5, b"c": 15},
    areas={"neuro": 1},
    partners={"FR": 1},
    requesters={"UA-12": 1},
)


def test_one_stretch_is_its_own_total() -> None:
    assert counts.total([SPRING]) == SPRING


def test_counts_are_added_by_what_they_count() -> None:
    both = counts.total([SPRING, SUMMER])
    assert both.offers == {"sent": 4, "declined": 1}
    assert both.sessions == {LIVE: (3, 70)}
    assert both.answers == {("partner", True, None): 3}
    assert both.mentor_minutes == {b"a": 55, b"c": 15}
    assert (both.areas, both.partners) == ({"ped.general": 2, "neuro": 1}, {"FR": 3})
    assert both.requesters == {"UA-74": 2, "UA-12": 1}


def test_who_was_asked_twice_is_one_mentor_and_the_most_in_a_week_is_no_sum() -> None:
    both = counts.total([SPRING, SUMMER])
    assert both.asked_mentors == {b"a", b"b", b"c"}
    assert both.most_in_week == 4


def test_a_week_that_two_stretches_share_counts_whole() -> None:
    both = counts.total([SPRING, SUMMER])
    assert both.shared_weeks == {9: {b"a": 5, b"b": 1}, 10: {b"c": 1}}
    assert (counts.most_in_week(SPRING), counts.most_in_week(both), counts.most_in_week(Tally())) == (4, 5, 0)
    whole = counts.whole_weeks(both)
    assert (whole.most_in_week, whole.shared_weeks) == (5, {})


def test_hours_of_a_priority_are_put_in_order() -> None:
    both = counts.compact(counts.total([SPRING, SUMMER]))
    hours, due = {"answer": these(1.0, 2.0, 2.0, 5.0)}, {"answer_decided": [3.0, 7.0]}
    assert both.consultations["urgent"] == PriorityTally({"filed": 3, "closed": 1}, hours, due)
    assert both.consultations["stat"].counts == {"filed": 7}


def test_a_total_leaves_its_parts_as_they_were() -> None:
    counts.total([SPRING, SUMMER])
    assert SPRING.consultations["urgent"].hours == {"answer": these(1.0, 5.0)}
    assert SPRING.consultations["urgent"].due == {"answer_decided": [7.0]}
    assert SPRING.shared_weeks == {9: {b"a": 2, b"b": 1}}
    assert SPRING.offers == {"sent": 3}


def test_what_is_due_by_the_instant_is_counted_and_the_rest_waits() -> None:
    both = counts.total([SPRING, SUMMER])
    for at, decided, waiting in ((2.9, 0, [3.0, 7.0]), (3.0, 1, [7.0]), (7.0, 2, [])):
        urgent = counts.decided(both, at).consultations["urgent"]
        assert (urgent.counts, urgent.due) == (
            {"filed": 3, "closed": 1, "answer_decided": decided},
            {"answer_decided": waiting},
        )
    assert both.consultations["urgent"].counts == {"filed": 3, "closed": 1}


@pytest.mark.parametrize("values", [[], [2.5], [1.0, 1.0], [0.5, 1.0, 1.0, 1.0, 4.25]])
def test_a_histogram_tells_how_often_each_value_occurs(values: list[float]) -> None:
    made = counts.histogram(values)
    assert (made.values.tolist(), made.rows) == (sorted(set(values)), len(values))
    assert made.upto.tolist() == [sum(each <= value for each in values) for value in made.values]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 40])
def test_quartiles_are_the_same_however_the_values_are_divided(count: int) -> None:
    values = sorted([(each * each % 7) / 2 for each in range(count)])
    places = [(count - 1) * share for share in (0.25, 0.5, 0.75)]
    plainly = [
        values[int(at)] + (values[min(int(at) + 1, count - 1)] - values[int(at)]) * (at - int(at)) for at in places
    ]
    whole, parts = counts.histogram(values), [counts.histogram(values[part::3]) for part in range(3)]
    assert counts.quartiles([whole]) == counts.quartiles([*parts, counts.histogram([])])
    assert counts.quartiles([counts.merged(parts)]) == counts.quartiles([whole])
    assert counts.merged(parts) == whole
    assert counts.quartiles([whole]) == Quartiles(count, *plainly)


def test_priorities_together_have_the_sum_of_their_counts_and_the_spread_of_all_their_hours() -> None:
    stat = PriorityTally({"filed": 7, "completed": 1}, {"answer": these(0.5), "closing": these(1.5)})
    both = counts.of_consultations(
        [PriorityTally({"filed": 2, "expired": 1}, {"answer": these(1.0, 5.0), "allocation": these(0.25)}), stat]
    )
    assert both == ConsultationCounts(
        filed=9,
        completed=1,
        expired=1,
        allocation=Quartiles(1, 0.25, 0.25, 0.25),
        answer=Quartiles(3, 0.75, 1.0, 3.0),
        closing=Quartiles(1, 1.5, 1.5, 1.5),
    )
    assert counts.of_consultations([]) == ConsultationCounts()


@pytest.mark.parametrize(
    ("given", "could", "shared"),
    [
        ({}, [], []),
        ({}, [b"a", b"b", b"a"], [0, 0]),
        ({b"a": 5, b"b": 0}, [], [0, 5]),
        ({b"a": 5, b"b": 3}, [b"a", b"c", b"d"], [0, 0, 3, 5]),
    ],
)
def test_al_06_what_was_given_is_shared_out_over_all_who_gave_or_could_have(
    given: dict[bytes, int], could: list[bytes], shared: list[int]
) -> None:
    assert counts.shared_out(given, could) == shared
