"""Figures from counts: what a share is without a denominator, and how uneven is uneven."""

import itertools
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules.figures import counts, figures
from service.rules.figures.counts import (
    ActivityCounts,
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
def test_quartiles_of_histograms_are_those_of_all_together(runs: list[list[float]]) -> None:
    hours = list(itertools.chain(*runs))
    assume(len(hours) > 1)
    histograms = [counts.histogram(sorted(run)) for run in runs]
    found = counts.quartiles(histograms)

    expected = statistics.quantiles(hours, n=4, method="inclusive")
    assert found == counts.quartiles([counts.merged(histograms)])
    assert [found.lower, found.median, found.upper] == pytest.approx(expected)
    assert found.rows == len(hours)


def test_one_value_is_all_its_quartiles_and_none_has_none() -> None:
    assert counts.quartiles([counts.histogram([2.5])]) == Quartiles(1, 2.5, 2.5, 2.5)
    assert counts.quartiles([counts.histogram([])]) == counts.quartiles([]) == Quartiles()


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


# One small period, every figure of it by hand: (value, rows, numerator, denominator, of which rows).


def logged(
    mode: str, outcome: str, sessions: int, minutes: int, route: str, requester: bool, mentor: bool
) -> SessionCount:
    return SessionCount(mode, outcome, route, requester, mentor, sessions, minutes)


URGENT = ConsultationCounts(
    filed=20,
    completed=9,
    unmatched=2,
    cancelled=3,
    expired=1,
    allocation=Quartiles(8, 1, 2, 3),
    answer=Quartiles(10, 4, 5, 6),
    closing=Quartiles(9, 7, 8, 9),
    allocation_decided=16,
    allocated_in_time=12,
    answer_decided=15,
    answered_in_time=6,
    day_decided=14,
    answered_within_day=7,
    first_wave_over=13,
    first_wave_accepted=4,
    needing_backup=5,
    with_offers=18,
)
SMALL_PERIOD = ReportCounts(
    by_priority={"urgent": URGENT},
    all_priorities=URGENT,
    offers=OfferCounts(
        sent=40, undelivered=2, accepted=8, declined=11, wrong_specialty=3, mentors=5, most_in_week=6, weeks=4.0
    ),
    sessions=[
        logged("live", "advice_given", 7, 210, "direct", True, True),
        logged("live", "no_show_mentor", 2, 0, "direct", True, False),
        logged("live", "interrupted_power", 1, 13, "network", False, False),
        logged("live", "advice_given", 3, 90, "umbrella", False, True),
        logged("written", "advice_given", 4, 60, "direct", False, False),
    ],
    answers=[AnswerCount("requesting", is_useful=True, patient_outcome="better", answers=5)],
    mentor_minutes=[200, 100, 60, 40],
    areas={"ped": 2, "neuro": 1},
    partner_countries={"FR": 3, "LT": 1},
    requesting_regions={"UA-74": 4},
    activities=ActivityCounts(kinds={"visit": 2, "grant": 1}, people={"=": 12, "~": 30}, counted=2, undated=1),
)
BY_HAND: dict[str, tuple[float, int | None, float | None, float | None, str]] = {
    "consultations_filed": (20, 20, None, None, "consultations"),
    "consultations_completed": (9, 20, None, None, "consultations"),
    "consultations_unmatched": (2, 20, None, None, "consultations"),
    "consultations_cancelled": (3, 20, None, None, "consultations"),
    "consultations_expired": (1, 20, None, None, "consultations"),
    "hours_to_allocation": (2, 8, None, None, "consultations"),
    "hours_to_answer": (5, 10, None, None, "consultations"),
    "hours_to_closing": (8, 9, None, None, "consultations"),
    "share_allocated_in_time": (0.75, 16, 12, 16, "consultations"),
    "share_answered_in_time": (0.4, 15, 6, 15, "consultations"),
    "share_answered": (10 / 15, 15, 10, 15, "consultations"),
    "share_answered_within_day": (0.5, 14, 7, 14, "consultations"),
    "share_first_wave_accepted": (4 / 13, 13, 4, 13, "consultations"),
    "share_needing_backup": (5 / 18, 18, 5, 18, "consultations"),
    "offers_sent": (40, None, None, None, "offers"),
    "offers_undelivered": (2, 42, None, None, "offers"),
    "wrong_specialty_declines": (3, 40, None, None, "offers"),
    "offers_per_mentor_week": (2.0, 40, 40, 20.0, "offers"),
    "sessions": (11, 13, None, None, "sessions"),
    "written_advices": (4, None, None, None, "sessions"),
    "minutes": (373, 17, None, None, "sessions"),
    "interruptions": (1, 13, None, None, "sessions"),
    "routes": (17, None, None, None, "sessions"),
    "mentor_minutes_gini": (0.325, 4, None, None, "mentors"),
    "mentor_minutes_top_quarter": (0.5, 4, None, None, "mentors"),
    "share_outside_civil_hours_requester": (4 / 11, 11, 4, 11, "sessions"),
    "share_outside_civil_hours_mentor": (1 / 11, 11, 1, 11, "sessions"),
    "follow_up_answers": (5, 15, None, None, "answers"),
    "areas": (2, None, None, None, "sessions"),
    "partner_countries": (2, None, None, None, "sessions"),
    "requesting_regions": (1, None, None, None, "sessions"),
    "activities": (3, None, None, None, "activities"),
    "activity_people": (12, 2, None, None, "activities"),
    "activities_undated": (1, None, None, None, "activities"),
}
OF_OTHERS = {
    "hours_to_allocation": [("MSF telemedicine", 0.2)],
    "hours_to_answer": [("MSF telemedicine", 5.0)],
    "share_answered": [("HealUA", 0.973)],
    "share_answered_within_day": [("HealUA", 0.846)],
    "share_first_wave_accepted": [("Swinfen Charitable Trust", 89 / 128)],
    "share_needing_backup": [("Swinfen Charitable Trust", 36 / 39), ("Swinfen Charitable Trust", 0.98)],
    "mentor_minutes_top_quarter": [("MSF teleradiology", 0.9)],
}


def test_every_figure_of_a_small_period_is_what_it_is_by_hand() -> None:
    told = {f.name: (f.value, f.rows, f.numerator, f.denominator, f.of) for f in figures.all_of(SMALL_PERIOD)}

    assert list(told) == list(BY_HAND)
    for name, (value, *rest) in BY_HAND.items():
        assert told[name] == (pytest.approx(value), *rest), name


def test_what_others_published_stands_beside_the_figures_it_is_compared_with() -> None:
    found = {f.name: [(each.source, each.value) for each in f.published] for f in figures.all_of(SMALL_PERIOD)}

    assert {name: published for name, published in found.items() if published} == OF_OTHERS


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("offers_sent", {"accepted": 8, "declined": 11}),
        ("sessions", {"advice_given": 10, "interrupted_power": 1, "no_show_mentor": 2}),
        ("minutes", {"live": 313, "written": 60}),
        ("routes", {"direct": 13, "network": 1, "umbrella": 3}),
        ("areas", {"neuro": 1, "ped": 2}),
        ("partner_countries", {"FR": 3, "LT": 1}),
        ("requesting_regions", {"UA-74": 4}),
        ("activities", {"grant": 1, "visit": 2}),
        ("activity_people", {"=": 12, "~": 30}),
        ("share_answered_in_time", {"urgent": 0.4}),
        ("consultations_expired", {"urgent": 1}),
    ],
)
def test_a_figure_is_told_apart_by_its_keys_in_order(name: str, counted: dict[str, float]) -> None:
    assert list(parts(by_name(SMALL_PERIOD)[name]).items()) == list(counted.items())
