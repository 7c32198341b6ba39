"""Figures from counts: what a share is without a denominator, and how uneven is uneven."""

import itertools
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules.figures import counts, figures
from service.rules.figures.counts import (
    AnswerCount,
    ConsultationCounts,
    OfferCounts,
    Quartiles,
    ReportCounts,
    SessionCount,
)

MINUTES = st.lists(st.integers(0, 10_000), min_size=1, max_size=30).filter(any)


def by_name(numbers: ReportCounts) -> dict[str, figures.Figure]:
    return {figure.name: figure for figure in figures.all_of(numbers)}


def parts(figure: figures.Figure) -> dict[str, float | None]:
    return {part.key: part.value for part in figure.parts}


@PROPERTY
@given(MINUTES)
def test_gini_is_half_the_mean_difference_over_the_mean(minutes: list[int]) -> None:
    pairs = sum(abs(a - b) for a, b in itertools.product(minutes, repeat=2))

    assert counts.gini(minutes) == pytest.approx(pairs / (2 * len(minutes) * sum(minutes)))


@PROPERTY
@given(MINUTES)
def test_the_top_quarter_has_at_least_its_part_and_at_most_everything(minutes: list[int]) -> None:
    share = counts.top_quarter_share(minutes)

    assert share is not None
    assert 0.25 <= share + 1e-9 <= 1 + 1e-9


def test_four_of_fourteen_are_the_top_quarter() -> None:
    assert counts.top_quarter_share([225] * 4 + [10] * 10) == 0.9


@PROPERTY
@given(st.lists(st.lists(st.floats(0, 1000) | st.integers(0, 9), max_size=20), max_size=4))
def test_quartiles_of_runs_are_those_of_all_together(runs: list[list[float]]) -> None:
    hours = list(itertools.chain(*runs))
    assume(len(hours) > 1)
    found = counts.quartiles(*map(sorted, runs))

    expected = statistics.quantiles(hours, n=4, method="inclusive")
    assert [found.lower, found.median, found.upper] == pytest.approx(expected)
    assert found.rows == len(hours)


def test_one_value_is_all_its_quartiles_and_none_has_none() -> None:
    assert counts.quartiles([2.5]) == Quartiles(1, 2.5, 2.5, 2.5)
    assert counts.quartiles([]) == counts.quartiles() == Quartiles()


@pytest.mark.parametrize("nothing", [[], [0], [0, 0]])
def test_nothing_has_no_spread(nothing: list[int]) -> None:
    assert counts.gini(nothing) is None
    assert counts.top_quarter_share(nothing) is None


def test_without_rows_counts_are_zero_and_shares_are_none() -> None:
    found = by_name(ReportCounts())

    assert {found[name].value for name in ("sessions", "minutes", "offers_sent", "interruptions", "areas")} == {0}
    assert {f.value for name, f in found.items() if name.startswith(("share_", "hours_to_", "mentor_"))} == {None}


def test_every_figure_has_a_name_of_its_own_and_says_what_it_is() -> None:
    found = figures.all_of(ReportCounts())

    assert len({figure.name for figure in found}) == len(found)
    assert all(figure.definition.endswith(".") and figure.unit for figure in found)


def test_medians_keep_their_quartiles_by_priority() -> None:
    spread = Quartiles(rows=3, lower=1.0, median=2.0, upper=4.0)
    found = by_name(
        ReportCounts(
            by_priority={"stat": ConsultationCounts(filed=3, answer=spread)},
            all_priorities=ConsultationCounts(filed=3, answer=spread),
        )
    )

    assert found["hours_to_answer"].value == 2.0
    assert found["hours_to_answer"].parts == (figures.Part("stat", 2.0, 3, 1.0, 4.0),)
    assert [each.source for each in found["hours_to_answer"].published] == ["MSF telemedicine"]


def test_missed_and_late_cancelled_sessions_are_not_held_but_their_minutes_count() -> None:
    sessions = [
        SessionCount(
            "live", outcome, "direct", is_civil_for_requester=False, is_civil_for_mentor=True, sessions=1, minutes=9
        )
        for outcome in ("advice_given", "no_show_mentor", "no_show_clinician", "cancelled_late", "interrupted_power")
    ]
    found = by_name(ReportCounts(sessions=sessions))

    assert (found["sessions"].value, found["minutes"].value) == (2, 45)
    assert parts(found["interruptions"]) == {"power": 1}
    assert (found["share_outside_civil_hours_requester"].value, found["share_outside_civil_hours_mentor"].value) == (
        1,
        0,
    )


def test_offers_are_divided_by_mentors_and_weeks() -> None:
    found = by_name(ReportCounts(offers=OfferCounts(sent=12, mentors=3, weeks=2.0, most_in_week=5)))

    assert found["offers_per_mentor_week"].value == 2
    assert parts(found["offers_per_mentor_week"]) == {"most": 5}


def test_answers_are_counted_by_side_and_by_what_became_of_the_patient() -> None:
    answers = [
        AnswerCount("requesting", is_useful=True, patient_outcome="better", answers=2),
        AnswerCount("partner", is_useful=False, patient_outcome=None, answers=1),
        AnswerCount("requesting", is_useful=True, patient_outcome="same", answers=1),
    ]

    assert parts(by_name(ReportCounts(answers=answers))["follow_up_answers"]) == {
        "partner_not_useful": 1,
        "patient_better": 2,
        "patient_same": 1,
        "requesting_useful": 3,
    }
