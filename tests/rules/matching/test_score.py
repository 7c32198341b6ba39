import math
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import NOW, PROPERTY, case, first, link, mentor, rank, utc
from service.rules.case import Case
from service.rules.matching import score

DAY = timedelta(days=1)
WEEK = (2026, 47)  # of NOW


@pytest.mark.parametrize(
    ("asked", "held", "value"),
    [
        ("sur.neuro", {"sur.neuro"}, 1),
        ("sur.neuro", {"sur.neuro.skullbase"}, 0.95),
        ("sur.neuro.skullbase", {"sur.neuro"}, 0.6),
        ("ped.cardiology", {"med.cardiology"}, 0.5),
        ("ped.cardiology", {"med.cardiology", "ped.cardiology"}, 1),
    ],
)
def test_the_specialty_term_follows_the_nearest_specialty(asked: str, held: set[str], value: float) -> None:
    found = first(case(specialty=asked), mentor(specialties=frozenset(held)))
    assert found.terms["specialty"] == value


def test_speed_is_what_remains_of_the_time_until_the_answer_is_due() -> None:
    assert score.speed(NOW, NOW, NOW + 4 * DAY) == 1
    assert score.speed(NOW, NOW + DAY, NOW + 4 * DAY) == 0.75
    assert score.speed(NOW, NOW + 5 * DAY, NOW + 4 * DAY) == 0
    assert score.speed(NOW, NOW, NOW) == 0


def test_reliability_takes_a_newcomer_to_be_even() -> None:
    assert score.reliability(mentor()) == 0.5
    assert score.reliability(mentor(offers_180d=8, answered_in_time_180d=5)) == 0.6
    assert score.reliability(mentor(offers_180d=8, answered_in_time_180d=4, answered_late_180d=2)) == 0.6


def test_load_falls_with_booked_sessions_and_with_the_offers_of_half_a_year() -> None:
    busy = mentor(sessions_cap=4, sessions_by_week={WEEK: 1}, asked_180d=6)
    assert score.load(busy, WEEK, 0) == pytest.approx(0.75 * math.exp(-1))
    assert score.load(mentor(asked_180d=12), WEEK, 0) == pytest.approx(math.exp(-2))
    assert score.load(mentor(offers_7d=10, offers_30d=10, offers_180d=10), WEEK, 0) == 1
    assert score.load(mentor(sessions_cap=1, sessions_by_week={WEEK: 3}), WEEK, 0) == 0
    assert score.load(mentor(sessions_cap=1, sessions_by_week={(2026, 48): 3}), WEEK, 0) == 1


def test_load_is_counted_from_who_was_asked_least() -> None:
    assert score.load(mentor(asked_180d=20), WEEK, 20) == 1
    assert score.load(mentor(asked_180d=26), WEEK, 20) == pytest.approx(math.exp(-1))


@PROPERTY
@given(asked=st.lists(st.integers(0, 40), min_size=1, max_size=6), more=st.integers(0, 60))
def test_what_everybody_was_asked_besides_changes_no_score(asked: list[int], more: int) -> None:
    def scores(besides: int) -> list[tuple[UUID, float]]:
        people = [mentor(person_id=UUID(int=30 + at), asked_180d=own + besides) for at, own in enumerate(asked)]
        return [(each.mentor.person_id, each.score) for each in rank(case(), *people).candidates]

    assert scores(more) == scores(0)
    assert max(each.terms["load"] for each in rank(case(), *[mentor(asked_180d=own) for own in asked]).candidates) == 1


def test_who_cannot_take_it_is_not_who_was_asked_least() -> None:
    unverified = mentor(person_id=UUID(int=1), verified_until=None)
    (found,) = rank(case(), unverified, mentor(person_id=UUID(int=2), asked_180d=9)).candidates
    assert found.terms["load"] == 1


@pytest.mark.parametrize(("kind", "value"), [("case", 1), ("clinician", 0.6), ("hospital", 0.3), (None, 0)])
def test_continuity_prefers_who_knows_the_case_then_the_clinician_then_the_hospital(
    kind: str | None, value: float
) -> None:
    assert first(case(), mentor(continuity=kind)).terms["continuity"] == value


@pytest.mark.parametrize(
    ("hour", "value"),
    [(4, 0), (5, 0.4), (6, 0.7), (7, 1), (15, 1), (16, 0.7), (17, 0.4), (18, 0.4), (19, 0)],
)
def test_an_hour_is_as_civil_as_for_the_worse_off_side(hour: int, value: float) -> None:
    at = utc(2026, 11, 17, hour)  # two hours later in Kyiv
    assert score.civil_hours(at, "Europe/Kyiv", "Europe/Kyiv") == value
    assert score.civil_hours(at, "Europe/Kyiv", "America/Toronto") <= value


@pytest.mark.parametrize(("hour", "is_civil"), [(5, False), (6, True), (16, True), (17, False)])
def test_reports_count_as_civil_what_begins_from_8_to_19_on_the_persons_clock(hour: int, is_civil: bool) -> None:
    assert score.is_civil(utc(2026, 11, 17, hour), "Europe/Kyiv") is is_civil
    assert score.is_civil(utc(2026, 11, 17, hour, 59), "Europe/Kyiv") is is_civil


@pytest.mark.parametrize(
    ("asked", "spoken", "is_live", "value"),
    [
        (case(), {"en": "native"}, True, 1),
        (case(), {"en": "C1"}, True, 1),
        (case(), {"en": "B2"}, True, 0.8),
        (case(), {"en": "B1"}, True, 0.5),
        (case(interpreter=True), {"en": "A1"}, True, 0.4),
        (case(interpreter=True), {"en": "B1"}, True, 0.5),
        (case(translation=True), {}, False, 0.3),
        (case(translation=True), {}, True, 0),
        (case(), {}, False, 0),
        (case(languages=frozenset({"en", "uk"})), {"en": "B1", "uk": "C2"}, True, 1),
        (case(languages=frozenset()), {}, True, 0),
    ],
)
def test_language_takes_the_best_way_to_talk(asked: Case, spoken: dict[str, str], is_live: bool, value: float) -> None:
    assert score.language(asked, mentor(languages=spoken), is_live=is_live) == value


@pytest.mark.parametrize(
    ("route", "left", "value"),
    [
        ("direct", None, 1),
        ("network", None, 0.9),
        ("umbrella", 60, 0.8),
        ("direct", 600, 1),
        ("direct", 45, 0.75),
        ("direct", -5, 0),
    ],
)
def test_a_direct_memorandum_with_hours_left_is_best(route: str, left: int | None, value: float) -> None:
    assert score.memorandum(case(), link(route=route, minutes_left=left)) == value


@pytest.mark.parametrize(
    ("power", "value"), [("firm_outage", 0), ("possible", 0.7), ("unknown", 0.7), ("autonomous", 1), ("no_feed", 1)]
)
def test_only_a_firm_outage_counts_fully(power: str, value: float) -> None:
    assert first(case(), mentor(power=power)).terms["power_and_link"] == value


def test_tags_count_as_far_as_they_are_shared() -> None:
    asked = case(tags=frozenset({"blast", "burn"}))
    assert first(asked, mentor(tags=frozenset({"burn", "device"}))).terms["tags"] == 0.5
    assert first(case(), mentor()).terms["tags"] == 1
