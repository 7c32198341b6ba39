import dataclasses
import itertools
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.values import (
    BOOK,
    MENTOR,
    NOW,
    OFFICE,
    PROPERTY,
    case,
    first,
    link,
    mentor,
    plain_free_cells,
    rank,
    utc,
    wall,
)
from service import vocabulary
from service.rules.case import Case, Mentor
from service.rules.matching import ranking
from service.rules.matching.gate import Gate, Refusal
from service.rules.time import availability
from service.rules.time.availability import DatedHours, Hours, Weekly

FIVE, QUARTER, DAY = timedelta(minutes=5), timedelta(minutes=15), timedelta(days=1)
ALL_WEEK = tuple(Weekly(day, 0, 1440) for day in range(7))
PEOPLE = [UUID(int=n) for n in range(20, 30)]


# What is proposed: the same as trying every quarter of an hour with the whole gate.


def tried_one_by_one(asked: Case, asking: Mentor, now: datetime) -> list[datetime]:
    found: list[datetime] = []
    session = timedelta(minutes=asked.minutes)
    any_hour = asked.priority == "stat" and "stat" in asking.opt_ins
    window = (now - DAY, asked.answer_due_at + DAY)
    worked = set(plain_free_cells(Hours(asking.hours.zone, asking.hours.weekly), (), window))
    at = now.replace(minute=0, second=0, microsecond=0)
    while at <= asked.answer_due_at:
        cells = {at + n * FIVE for n in range(asked.minutes // 5)}
        local = availability.to_wall(at, asked.zone)
        ends = availability.to_wall(at + session, asked.zone)
        at_hand = (
            any(since <= at and at + session <= until for since, until in asked.windows)
            if asked.windows
            else asked.priority == "stat"
            or local.replace(hour=7, minute=0) <= local < ends <= local.replace(hour=21, minute=0)
        )
        both = ((asked.busy, asked.buffer_minutes), (asking.busy, asking.buffer_minutes))
        is_clear = not any(
            since < at + session + timedelta(minutes=buffer) and at < until
            for busy, buffer in both
            for since, until in busy
        )
        if at_hand and is_clear and (any_hour or cells <= worked) and not Gate(asked, BOOK).check(asking, at, now):
            found.append(at)
        at += QUARTER
    return found


instants = st.integers(-200, 4 * 288).map(lambda n: NOW + n * FIVE)
stretches = st.lists(st.tuples(instants, st.integers(1, 60)).map(lambda p: (p[0], p[0] + p[1] * FIVE)), max_size=5).map(
    tuple
)
cases = st.builds(
    case,
    priority=st.sampled_from(["routine", "urgent", "asap", "stat"]),
    answer_due_at=st.integers(-5, 3 * 288).map(lambda n: NOW + n * FIVE),
    minutes=st.sampled_from([15, 30, 45]),
    windows=st.one_of(st.just(()), stretches),
    busy=stretches,
    buffer_minutes=st.sampled_from([0, 10]),
    age_band=st.sampled_from(["adult", "adult", "child"]),
)
mentors = st.builds(
    mentor,
    hours=st.builds(
        Hours,
        st.sampled_from(["Europe/Paris", "America/Toronto"]),
        st.sampled_from([OFFICE, ALL_WEEK, ()]),
        st.sampled_from([(), (DatedHours("away", wall(2026, 11, 17), wall(2026, 11, 18, 12)),)]),
    ),
    zone=st.sampled_from(["Europe/Paris", "America/Toronto"]),
    busy=stretches,
    buffer_minutes=st.sampled_from([0, 10, 20]),
    notice_minutes=st.sampled_from([0, 2000]),
    opt_ins=st.sampled_from([frozenset(), frozenset({"stat", "urgent"})]),
    quiet=st.sampled_from([(1320, 420), (720, 840), None]),
    verified_until=st.one_of(st.just(NOW + 9 * DAY), st.none(), instants),
    sessions_cap=st.sampled_from([None, 0, 2]),
    sessions_by_week=st.sampled_from([{}, {(2026, 47): 2}, {(2026, 47): 1}]),
    links=st.lists(
        st.builds(
            link,
            valid_from=st.one_of(st.none(), instants),
            valid_until=st.one_of(st.none(), instants),
            status=st.sampled_from(["active", "active", "suspended"]),
            minutes_left=st.sampled_from([None, None, 30]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


@pytest.mark.slow
@settings(PROPERTY, max_examples=100)
@given(cases, mentors, st.integers(0, 16).map(lambda n: NOW + n * timedelta(minutes=4)))
def test_what_is_proposed_is_what_the_gate_and_both_calendars_allow(asked: Case, asking: Mentor, now: datetime) -> None:
    assert ranking.propose(asked, asking, now, BOOK) == tried_one_by_one(asked, asking, now)


@pytest.mark.slow
@settings(PROPERTY, max_examples=100)
@given(cases, mentors)
def test_a_mentor_is_ranked_exactly_when_there_is_something_to_propose(asked: Case, asking: Mentor) -> None:
    proposed = ranking.propose(asked, asking, NOW, BOOK)
    ranked = rank(asked, asking)
    assert [c.earliest for c in ranked.candidates] == proposed[:1]
    assert all(reasons for _, reasons in ranked.excluded)
    for candidate in ranked.candidates:
        assert candidate.starts[0] == candidate.earliest
        assert candidate.starts == ranking.pick_three(proposed, asked.zone, asking.zone)
        assert set(candidate.starts) <= set(proposed)
        assert candidate.link.is_valid(candidate.earliest)
        assert list(candidate.terms) == list(vocabulary.SCORE_TERMS)
        assert all(0 <= value <= 1 for value in candidate.terms.values())


def test_a_mentor_who_wants_no_sessions_at_all_is_full() -> None:
    ranked = rank(case(), mentor(sessions_cap=0))
    assert ranked.candidates == ()
    assert [reasons for _, reasons in ranked.excluded] == [(Refusal.MENTOR_FULL,)]
    assert ranking.propose(case(), mentor(sessions_cap=0), NOW, BOOK) == []


def test_a_mentor_who_is_busy_all_the_time_has_no_time_and_another_the_first_that_is_clear() -> None:
    until_noon = ((NOW, utc(2026, 11, 17, 12)),)
    others = (mentor(busy=until_noon), mentor(busy=until_noon, hours=Hours("Europe/Paris", ALL_WEEK)))
    busy = (mentor(busy=((NOW, NOW + 30 * DAY),)), *others)
    ranked = rank(case(), *busy)
    assert [c.earliest for c in ranked.candidates] == [utc(2026, 11, 17, 12)] * 2
    assert [(m.busy, reasons) for m, reasons in ranked.excluded] == [(busy[0].busy, (Refusal.DEADLINE_UNREACHABLE,))]


@pytest.mark.parametrize("whose", ["mentor", "clinician"])
@pytest.mark.parametrize(
    ("busy_from", "last_before"),
    [(utc(2026, 11, 17, 10, 40), (10, 0)), (utc(2026, 11, 17, 10, 35), (9, 45)), (utc(2026, 11, 17, 10, 26), (9, 45))],
)
@pytest.mark.parametrize(
    ("busy_until", "first_after"),
    [(utc(2026, 11, 17, 12), (12, 0)), (utc(2026, 11, 17, 12, 1), (12, 15)), (utc(2026, 11, 17, 11, 55), (12, 0))],
)
def test_a_session_ends_with_its_buffer_before_either_side_is_busy_and_begins_after(
    whose: str, busy_from: datetime, last_before: tuple[int, int], busy_until: datetime, first_after: tuple[int, int]
) -> None:
    busy = ((busy_from, busy_until),)
    asked = case(busy=busy, buffer_minutes=10) if whose == "clinician" else case()
    starts = ranking.propose(asked, mentor(busy=busy if whose == "mentor" else ()), NOW, BOOK)
    before, after = utc(2026, 11, 17, *last_before), utc(2026, 11, 17, *first_after)
    assert starts[starts.index(before) + 1] == after


@pytest.mark.parametrize(("busy_minute", "earliest"), [(40, (8, 0)), (39, (9, 0)), (35, (9, 0))])
def test_the_first_time_leaves_the_buffer_before_what_is_booked(busy_minute: int, earliest: tuple[int, int]) -> None:
    booked = ((utc(2026, 11, 17, 8, busy_minute), utc(2026, 11, 17, 9)),)
    assert first(case(), mentor(busy=booked)).earliest == utc(2026, 11, 17, *earliest)


def test_the_extra_hours_of_one_mentor_are_nobody_elses() -> None:
    extra = [DatedHours("extra", wall(2026, 11, day, 10), wall(2026, 11, day, 12)) for day in (21, 22)]
    asking = [
        mentor(person_id=person, hours=Hours("Europe/Paris", OFFICE, exceptions))
        for person, exceptions in zip(PEOPLE, ((extra[0],), (extra[1],), ()), strict=False)
    ]
    begins = [utc(2026, 11, 21, 9), utc(2026, 11, 22, 9), utc(2026, 11, 23, 8)]
    for order in itertools.permutations(asking):
        ranked = rank(case(), *order, now=utc(2026, 11, 20, 18)).candidates
        assert {c.mentor.person_id: c.earliest for c in ranked} == dict(zip(PEOPLE, begins, strict=False))


@pytest.mark.parametrize("due", [utc(2026, 11, 18, 12), utc(2026, 11, 20, 12)])
def test_no_time_is_proposed_at_which_the_mentor_is_no_longer_verified(due: datetime) -> None:
    verified_until = utc(2026, 11, 18, 12)
    starts = ranking.propose(case(answer_due_at=due), mentor(verified_until=verified_until), NOW, BOOK)
    assert starts[-1] == verified_until - QUARTER


def test_no_time_is_proposed_at_which_the_memorandum_ends_even_if_the_answer_is_due_then() -> None:
    noon = utc(2026, 11, 17, 12)
    asked, lasting = case(answer_due_at=noon), mentor()
    assert ranking.propose(asked, lasting, NOW, BOOK)[-1] == noon
    ending = mentor(links=(link(valid_until=noon),))
    assert ranking.propose(asked, ending, NOW, BOOK)[-1] == noon - QUARTER


def test_a_written_case_proposes_no_times() -> None:
    assert ranking.propose(case(mode="written"), mentor(), NOW, BOOK) == []


def test_the_first_time_is_after_the_notice_within_both_sides_hours() -> None:
    # 12 h from 10:00 in Kyiv is night; Paris opens at 09:00 there, 10:00 in Kyiv.
    assert first(case(), mentor()).earliest == utc(2026, 11, 17, 8)


def test_a_clinician_without_windows_attends_from_7_to_21_but_at_any_hour_for_stat() -> None:
    night_owl = mentor(hours=Hours("America/Toronto", ALL_WEEK), quiet=None)
    asked = case(priority="asap", answer_due_at=NOW + timedelta(hours=23))
    late = utc(2026, 11, 16, 19)  # 21:00 in Kyiv
    assert first(asked, night_owl, now=late).earliest == utc(2026, 11, 17, 5)
    assert first(dataclasses.replace(asked, priority="stat"), night_owl, now=late).earliest == late


def test_a_mentor_who_opted_in_for_stat_can_be_booked_at_any_hour() -> None:
    asked = case(priority="stat", answer_due_at=utc(2026, 11, 17, 3))
    now = utc(2026, 11, 17, 2)
    assert first(asked, mentor(opt_ins=frozenset({"stat"})), now=now).earliest == now
    assert rank(asked, mentor(), now=now).candidates == ()


@pytest.mark.parametrize(
    ("rule", "asking"),
    [
        ("budget_spent", mentor(links=(link(minutes_left=0),))),
        ("specialty_too_far", mentor(specialties=frozenset({"sur.urology"}))),
    ],
)
def test_a_coordinator_who_overrides_is_shown_the_same_times(rule: str, asking: Mentor) -> None:
    assert ranking.propose(case(), asking, NOW, BOOK) == []
    assert ranking.propose(case(), asking, NOW, BOOK, {rule}) == ranking.propose(case(), mentor(), NOW, BOOK)


# Who is excluded, and why.


def reasons(asked: Case, asking: Mentor, now: datetime = NOW) -> tuple[Refusal, ...]:
    ((_, found),) = rank(asked, asking, now=now).excluded
    return found


def test_hours_that_never_meet_are_told_as_outside_hours() -> None:
    nights = mentor(hours=Hours("Europe/Paris", (Weekly(0, 0, 300),)))
    assert reasons(case(), nights) == (Refusal.OUTSIDE_HOURS,)


def test_a_mentor_busy_until_the_answer_is_due_is_told_as_deadline_unreachable() -> None:
    assert reasons(case(), mentor(busy=((NOW, NOW + 8 * DAY),))) == (Refusal.DEADLINE_UNREACHABLE,)


def test_a_clinician_who_can_attend_no_time_is_told_as_deadline_unreachable() -> None:
    asked = case(windows=((NOW - DAY, NOW),))
    assert reasons(asked, mentor(verified_until=None)) == (
        Refusal.MENTOR_UNVERIFIED,
        Refusal.DEADLINE_UNREACHABLE,
    )


def test_an_absence_over_all_the_time_is_told_as_paused() -> None:
    away = DatedHours("away", wall(2026, 11, 1), wall(9999, 1, 1))
    assert reasons(case(), mentor(hours=Hours("Europe/Paris", OFFICE, (away,)))) == (Refusal.MENTOR_PAUSED,)


def test_a_mentor_without_a_memorandum_is_not_asked_even_at_once() -> None:
    at_any_hour = mentor(links=(), opt_ins=frozenset({"stat"}))
    assert reasons(case(priority="stat"), at_any_hour) == (Refusal.NO_MEMORANDUM,)


def test_every_rule_that_refuses_is_told_for_an_excluded_mentor() -> None:
    asking = mentor(languages={}, country="US", verified_until=None)
    assert reasons(case(), asking) == (
        Refusal.MENTOR_UNVERIFIED,
        Refusal.NO_COMMON_LANGUAGE,
        Refusal.NO_TRANSFER_BASIS,
    )


# Written advice.


def test_written_advice_waits_for_the_mentors_next_working_hour() -> None:
    saturday = utc(2026, 11, 21, 12)
    found = first(case(mode="written", answer_due_at=saturday + 7 * DAY), mentor(), now=saturday)
    assert (found.earliest, found.starts, found.is_live) == (utc(2026, 11, 23, 8), (), False)
    assert found.terms["civil_hours"] == 1


def test_written_advice_begins_at_once_within_working_hours() -> None:
    at = NOW + timedelta(minutes=2)
    assert first(case(mode="written"), mentor(), now=at).earliest == at


def test_a_mentor_without_weekly_hours_may_write_but_is_not_taken_to_be_quick() -> None:
    found = first(case(mode="written"), mentor(hours=Hours("Europe/Paris")))
    assert found.terms["speed"] == 0


def test_written_advice_that_cannot_be_begun_in_time_is_refused() -> None:
    saturday = utc(2026, 11, 21, 12)
    asked = case(mode="written", answer_due_at=saturday + DAY)
    assert reasons(asked, mentor(), now=saturday) == (Refusal.DEADLINE_UNREACHABLE,)


def test_written_advice_that_was_due_already_is_refused() -> None:
    assert reasons(case(mode="written", answer_due_at=NOW), mentor()) == (Refusal.DEADLINE_UNREACHABLE,)


def test_either_is_live_where_a_time_is_found() -> None:
    assert first(case(mode="either"), mentor()).is_live


def test_either_is_written_where_no_time_is_found() -> None:
    full_days = mentor(busy=((NOW, NOW + 8 * DAY),))
    assert not first(case(mode="either"), full_days).is_live


def test_either_is_written_where_only_translation_helps() -> None:
    asked = case(mode="either", translation=True)
    assert not first(asked, mentor(languages={})).is_live
    assert first(asked, mentor(languages={})).terms["language"] == 0.3


def test_either_gives_the_reasons_of_the_call_when_neither_is_possible() -> None:
    assert reasons(case(mode="either"), mentor(verified_until=None)) == (Refusal.MENTOR_UNVERIFIED,)


# The order.


def test_a_better_mentor_comes_first() -> None:
    good, better = mentor(person_id=PEOPLE[0], languages={"en": "B1"}), mentor(person_id=PEOPLE[1])
    ordered = rank(case(), good, better).candidates
    assert [c.mentor.person_id for c in ordered] == [PEOPLE[1], PEOPLE[0]]
    assert ordered[0].score - ordered[1].score == pytest.approx(7 * 0.5)


def test_the_score_is_the_weighted_sum_of_the_terms_that_are_shown() -> None:
    ranked = rank(case(priority="urgent", answer_due_at=NOW + DAY), mentor())
    [found] = ranked.candidates
    assert found.score == pytest.approx(sum(ranked.weights[t] * found.terms[t] for t in vocabulary.SCORE_TERMS))
    assert ranked.weights["speed"] == 18


@pytest.mark.parametrize(("seen_before", "continuity"), [(frozenset({PEOPLE[0]}), None), (frozenset(), "case")])
def test_the_mentor_who_knows_the_case_is_asked_first_whatever_the_score(
    seen_before: frozenset[UUID], continuity: str | None
) -> None:
    weaker = mentor(person_id=PEOPLE[0], languages={"en": "B1"}, asked_180d=9, continuity=continuity)
    ordered = rank(case(case_mentor_ids=seen_before), mentor(), weaker).candidates
    assert [c.knows_case for c in ordered] == [True, False]
    assert ordered[0].terms["continuity"] == 1
    assert ordered[0].score < ordered[1].score


def test_equal_scores_are_ordered_by_fewer_offers_in_thirty_days() -> None:
    asked_often, asked_less = mentor(person_id=PEOPLE[0], offers_30d=2), mentor(person_id=PEOPLE[1], offers_30d=1)
    assert first(case(), asked_often, asked_less).mentor is asked_less


def test_full_ties_do_not_depend_on_the_order_in_which_mentors_are_given() -> None:
    equal = [mentor(person_id=person) for person in PEOPLE]
    forward = [c.mentor.person_id for c in rank(case(), *equal).candidates]
    assert forward == [c.mentor.person_id for c in rank(case(), *reversed(equal)).candidates]
    other_case = [c.mentor.person_id for c in rank(case(consultation_id=UUID(int=99)), *equal).candidates]
    assert sorted(forward) == sorted(other_case) != forward != other_case


def test_only_the_first_ones_get_proposals() -> None:
    ordered = rank(case(), *(mentor(person_id=person) for person in PEOPLE), limit=2).candidates
    assert [len(c.starts) for c in ordered] == [3, 3, 0, 0, 0, 0, 0, 0, 0, 0]


def test_the_partner_whose_people_were_used_less_is_preferred() -> None:
    used = mentor(person_id=PEOPLE[0], institution_sessions_90d=4)
    less = mentor(person_id=PEOPLE[1], institution_sessions_90d=1)
    terms = {c.mentor.person_id: c.terms["diversity"] for c in rank(case(), used, less).candidates}
    assert terms == {PEOPLE[0]: 0, PEOPLE[1]: 0.75}


# Three proposals.


def test_proposals_are_on_different_half_days_and_the_first_is_the_earliest() -> None:
    starts = ranking.propose(case(), mentor(), NOW, BOOK)
    picked = ranking.pick_three(starts, "Europe/Kyiv", "Europe/Paris")
    halves = {(wall.date(), wall.hour < 12) for wall in (availability.to_wall(at, "Europe/Kyiv") for at in picked)}
    assert len(halves) == len(picked) == 3
    assert picked[0] == starts[0]
    assert list(picked) == sorted(picked)
    assert picked[2] - picked[0] >= 2 * DAY


def test_fewer_half_days_give_fewer_proposals() -> None:
    starts = [utc(2026, 11, 17, 8), utc(2026, 11, 17, 9), utc(2026, 11, 17, 11)]
    assert ranking.pick_three(starts, "Europe/Kyiv", "Europe/Paris") == (starts[0], starts[2])
    assert ranking.pick_three([], "Europe/Kyiv", "Europe/Paris") == ()


def test_later_proposals_are_at_the_hour_that_is_best_for_the_worse_off_side() -> None:
    starts = [utc(2026, 11, 17, 12), utc(2026, 11, 18, 12), utc(2026, 11, 18, 14), utc(2026, 11, 18, 15)]
    # In Toronto 07:00, 09:00 and 10:00; in Kyiv 14:00, 16:00 and 17:00.
    assert ranking.pick_three(starts, "Europe/Kyiv", "America/Toronto") == (starts[0], starts[2])


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Winnipeg", "Asia/Jerusalem", "Asia/Kathmandu", "Asia/Tokyo"])
def test_a_ranking_proposes_what_would_be_picked_from_every_start(zone: str) -> None:
    asking = mentor(zone=zone, hours=Hours(zone, ALL_WEEK), quiet=None)
    asked = case(answer_due_at=NOW + 14 * DAY)
    starts = ranking.propose(asked, asking, NOW, BOOK)
    assert first(asked, asking).starts == ranking.pick_three(starts, asked.zone, zone)


@pytest.mark.parametrize(("busy_until", "best"), [((15, 45), (15, 45)), ((16, 0), (13, 0))])
def test_a_later_proposal_is_at_a_civil_hour_up_to_its_last_quarter(
    busy_until: tuple[int, int], best: tuple[int, int]
) -> None:
    # By the clock in Kyiv: 15:00 is 08:00 in Toronto, and 17:45 the last start that is civil for both.
    days = [NOW + n * DAY for n in range(-1, 15)]
    busy = tuple(
        (day.replace(hour=13, minute=30), day.replace(hour=busy_until[0], minute=busy_until[1])) for day in days
    )
    hours = Hours("America/Toronto", tuple(Weekly(day, 8 * 60, 13 * 60) for day in range(7)))
    asking = mentor(zone="America/Toronto", hours=hours, busy=busy, buffer_minutes=0)
    _, *later = first(case(answer_due_at=NOW + 14 * DAY), asking).starts
    assert {(at.hour, at.minute) for at in later} == {best}


def test_only_a_call_is_scored_by_the_hour_of_the_day() -> None:
    early = mentor(zone="Europe/Kyiv", hours=Hours("Europe/Kyiv", tuple(Weekly(day, 7 * 60, 480) for day in range(7))))
    night = mentor(zone="Europe/Kyiv", hours=Hours("Europe/Kyiv", tuple(Weekly(day, 0, 60) for day in range(7))))
    assert first(case(), early).terms["civil_hours"] == 0.4
    assert first(case(mode="written"), night).terms["civil_hours"] == 1


# Proposals that leave time to answer (decision 0023).


def answerable(starts: list[datetime], answer_by: datetime) -> tuple[datetime, ...]:
    return ranking.pick_answerable(starts, NOW, answer_by, "Europe/Kyiv", "Europe/Paris")


def test_no_time_is_proposed_that_begins_within_half_an_hour_where_there_is_a_later_one() -> None:
    soon, enough, later = NOW + timedelta(minutes=29), NOW + timedelta(minutes=30), NOW + timedelta(hours=5)
    assert answerable([soon, enough, later], NOW + timedelta(hours=1)) == (enough, later)


def test_a_call_that_must_be_answered_sooner_may_begin_then() -> None:
    assert answerable([NOW + FIVE, NOW + 2 * FIVE, NOW + 3 * FIVE], NOW + 2 * FIVE) == (NOW + 2 * FIVE,)


def test_one_of_the_proposals_can_be_taken_until_the_offer_ends() -> None:
    halves = [NOW + timedelta(hours=n) for n in (1, 5, 20)]
    assert answerable(halves, NOW + 10 * QUARTER) == tuple(halves)
    afternoon = [NOW + timedelta(hours=n) for n in (3, 4, 5)]
    assert answerable(afternoon, NOW + timedelta(hours=4, minutes=30)) == (afternoon[2],)
    assert answerable(afternoon, afternoon[1]) == (afternoon[1],)
    assert answerable([halves[0], *afternoon], afternoon[1]) == (halves[0], afternoon[1])


def test_where_every_time_is_too_soon_the_soonest_are_proposed() -> None:
    soon = [NOW + FIVE, NOW + QUARTER]
    assert answerable(soon, NOW + DAY) == (soon[0],)
    assert answerable([], NOW + DAY) == ()


@pytest.mark.parametrize(
    ("minutes", "leaves_time"), [((29, 90), False), ((30, 59), False), ((30, 60), True), ((30,), False), ((60,), True)]
)
def test_proposals_leave_time_if_none_is_too_soon_and_the_last_can_be_taken_to_the_end(
    minutes: tuple[int, ...], leaves_time: bool
) -> None:
    starts = [NOW + timedelta(minutes=n) for n in minutes]
    assert ranking.leave_time(starts, NOW, NOW + timedelta(minutes=60)) is leaves_time


def test_a_candidate_names_the_memorandum_of_its_first_time() -> None:
    later = link(memorandum_id=UUID(int=77), valid_from=NOW + 2 * DAY)
    asking = mentor(links=(later,))
    assert first(case(), asking).link is later
    assert first(case(), asking).earliest >= NOW + 2 * DAY
    assert first(case(), asking).mentor.person_id == MENTOR
