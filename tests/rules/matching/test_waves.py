"""The rule of the waves: the service and the simulation ask it alike."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import BOOK, HOSPITAL, NOW, PROPERTY, case, link, mentor, rank
from service import vocabulary
from service.rules import policy
from service.rules.case import Mentor, Rulebook
from service.rules.matching import ranking, waves
from service.rules.matching.waves import Ask, Asked, Nobody, Wait

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
FIRST, SECOND, THIRD = (UUID(int=n) for n in range(21, 24))


def asked(
    who: UUID = FIRST, state: vocabulary.OfferState = "pending", answer_by: datetime = NOW, **more: bool
) -> Asked:
    return Asked(who, state, answer_by, **more)


def people(count: int, **fields: Any) -> list[Mentor]:  # noqa: ANN401 - any field of a mentor
    return [mentor(person_id=UUID(int=n), **fields) for n in range(21, 21 + count)]


def book(**pace: object) -> Rulebook:
    return replace(BOOK, policy=policy.from_overrides({"priorities": {"urgent": pace, "routine": pace}}))


def decide(*offers: Asked, mentors: int = 5, now: datetime = NOW, **fields: Any) -> Ask | Wait | Nobody:  # noqa: ANN401
    one = case(**({"priority": "urgent", "answer_due_at": NOW + DAY} | fields))
    return waves.decide(one, offers, rank(one, *people(mentors), now=now), now, BOOK)


def who(decision: Ask | Wait | Nobody) -> list[UUID]:
    assert isinstance(decision, Ask)
    return [invitation.candidate.mentor.person_id for invitation in decision.invitations]


def test_a_wave_asks_the_first_of_the_ranking_until_its_time_is_over() -> None:
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    ranked = rank(one, *people(5))
    decision = waves.decide(one, [], ranked, NOW, BOOK)
    assert who(decision) == [candidate.mentor.person_id for candidate in ranked.candidates[:2]]
    assert isinstance(decision, Ask)
    assert {invitation.answer_by for invitation in decision.invitations} == {NOW + 4 * HOUR}
    assert decision.next_wave_at == NOW + 4 * HOUR


def test_the_next_wave_waits_for_the_last_who_may_answer() -> None:
    knows = mentor(person_id=FIRST, continuity="case")
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    decision = waves.decide(one, [], rank(one, knows, *people(5)[1:]), NOW, BOOK)
    assert isinstance(decision, Ask)
    assert [invitation.answer_by for invitation in decision.invitations] == [NOW + 2 * HOUR, NOW + 4 * HOUR]
    assert decision.next_wave_at == NOW + 4 * HOUR


def test_while_somebody_has_time_to_answer_nobody_else_is_asked() -> None:
    assert decide(asked(answer_by=NOW + TICK), asked(SECOND, answer_by=NOW + HOUR)) == Wait(NOW + HOUR)
    assert decide(asked(answer_by=NOW + HOUR), asked(SECOND)) == Wait(NOW + HOUR)  # one of a wave of two
    assert isinstance(decide(asked(answer_by=NOW)), Ask)


@pytest.mark.parametrize("state", [state for state in vocabulary.OFFER_STATES if state != "pending"])
def test_only_an_offer_in_time_holds_up_the_next_wave(state: vocabulary.OfferState) -> None:
    assert waves.wait([asked(state=state, answer_by=NOW + HOUR)], NOW) is None


@pytest.mark.parametrize("state", vocabulary.OFFER_STATES)
def test_whoever_was_asked_is_not_asked_again(state: vocabulary.OfferState) -> None:
    assert waves.not_again([asked(state=state)]) == {FIRST}
    assert FIRST not in who(decide(asked(state=state)))


def test_whoever_never_got_the_offer_is_asked_again_unless_their_address_refuses_mail() -> None:
    lost = asked(state="expired", is_undelivered=True)
    assert not waves.not_again([lost])
    assert waves.not_again([replace(lost, takes_no_mail=True)]) == {FIRST}
    assert waves.not_again([lost, asked(state="expired")]) == {FIRST}  # the second one did reach them


def test_whoever_an_agreement_took_the_question_from_is_asked_again_when_it_fell_away() -> None:
    taken = asked(state="withdrawn")
    assert waves.not_again([taken, asked(SECOND, "accepted")]) == {FIRST, SECOND}
    assert waves.not_again([taken, asked(SECOND, "accepted", has_ended=True)]) == {SECOND}
    refusing = replace(taken, takes_no_mail=True)
    assert waves.not_again([refusing, asked(SECOND, "accepted", has_ended=True)]) == {FIRST, SECOND}


@pytest.mark.parametrize(
    ("state", "awaits_answer"), [("pending", True), ("countered", True), ("expired", False), ("declined", False)]
)
def test_if_nobody_is_left_one_looks_again_after_a_wave(state: vocabulary.OfferState, awaits_answer: bool) -> None:
    full = mentor(person_id=SECOND, offers_cap=1, offers_7d=1)  # until one of the offers is a week old
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    decision = waves.decide(one, [asked(state=state)], rank(one, mentor(person_id=FIRST), full), NOW, BOOK)
    assert decision == Nobody(NOW + 4 * HOUR, awaits_answer)


STANDING: list[dict[str, Any]] = [
    {"verified_until": None},
    {"verified_until": NOW},
    {"sessions_cap": 0},
    {"offers_cap": 0},
    {"languages": {"en": "A2"}},
    {"specialties": frozenset({"ped.cardiology"})},
    {"country": None},
    {"links": ()},
    {"links": (link(status="suspended"),)},
    {"links": (link(valid_until=NOW),)},
    {"links": (link(areas=frozenset({"ped"})),)},
    {"links": (link(activities=frozenset({"training"})),)},
]
PASSING: list[dict[str, Any]] = [
    {"offers_cap": 1, "offers_7d": 1},
    {"sessions_cap": 1, "sessions_by_week": {(2026, 47): 1, (2026, 46): 1}},
    {"links": (link(minutes_left=0),)},
    {"links": (link(valid_from=NOW + 30 * DAY),)},
    {"busy": ((NOW, NOW + 30 * DAY),)},
]


@pytest.mark.parametrize("priority", ["stat", "urgent", "routine"])
@pytest.mark.parametrize(("refused", "stands"), [(each, True) for each in STANDING] + [(e, False) for e in PASSING])
def test_where_a_refusal_stands_one_waits_for_a_change(refused: dict[str, Any], stands: bool, priority: str) -> None:
    one = case(priority=priority, answer_due_at=NOW + 2 * HOUR)
    ranked = rank(one, mentor(**refused))
    assert not ranked.candidates
    wave = BOOK.policy.pace(priority).wave
    wait_for = max(DAY, wave) if stands else wave
    assert waves.decide(one, [], ranked, NOW, BOOK) == Nobody(NOW + wait_for, awaits_answer=False, stands=stands)


def test_one_whose_refusal_passes_keeps_the_clock_and_so_does_an_address_that_takes_no_mail() -> None:
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    both = rank(one, mentor(**STANDING[0]), mentor(person_id=SECOND, **PASSING[0]))
    assert waves.decide(one, [], both, NOW, BOOK) == Nobody(NOW + 4 * HOUR, awaits_answer=False)
    refusing = asked(state="expired", is_undelivered=True, takes_no_mail=True)
    nobody = rank(one)
    assert waves.decide(one, [refusing], nobody, NOW, BOOK) == Nobody(NOW + 4 * HOUR, awaits_answer=False)


@PROPERTY
@given(
    st.lists(st.sampled_from([*STANDING, *PASSING, {}]), max_size=4),
    st.sampled_from(["live", "written", "either"]),
    st.sampled_from(vocabulary.PRIORITIES),
    st.integers(1, 3000),
    st.integers(1, 3000),
)
def test_where_refusals_stand_no_clock_brings_anybody(
    refused: list[dict[str, Any]], mode: str, priority: str, due: int, later: int
) -> None:
    one = case(mode=mode, priority=priority, answer_due_at=NOW + timedelta(minutes=due))
    mentors = [mentor(person_id=UUID(int=number + 1), **fields) for number, fields in enumerate(refused)]
    decision = waves.decide(one, [], ranking.rank(one, mentors, NOW, BOOK), NOW, BOOK)
    if isinstance(decision, Nobody) and decision.stands:
        # What the clock alone changes: offers become old, budgets begin anew.
        by_then = [each._replace(offers_7d=0, links=tuple(replace(link, minutes_left=None) for link in each.links))
                   for each in mentors]  # fmt: skip
        assert not ranking.rank(one, by_then, NOW + timedelta(minutes=later), BOOK).candidates


@pytest.mark.parametrize(
    ("priority", "since_due", "look_again"),
    [
        ("stat", timedelta(0), DAY),
        ("stat", timedelta(hours=3), DAY),
        ("urgent", timedelta(hours=3), DAY),
        ("routine", timedelta(hours=3), DAY),
    ],
)
def test_once_the_answer_is_due_nobody_is_looked_for_again_within_a_day(
    priority: str, since_due: timedelta, look_again: timedelta
) -> None:
    one = case(priority=priority, answer_due_at=NOW - since_due)
    ranked = ranking.rank(one, [], NOW, BOOK)
    assert waves.decide(one, [], ranked, NOW, BOOK) == Nobody(NOW + look_again, awaits_answer=False)
    for_a_booked_time = waves.decide(one, [], ranked, NOW, BOOK, booked_at=NOW + DAY)
    assert for_a_booked_time == Nobody(NOW + BOOK.policy.pace(priority).wave, awaits_answer=False)


@PROPERTY
@given(
    st.sampled_from(vocabulary.PRIORITIES),
    st.sampled_from(["live", "written", "either"]),
    st.integers(0, 26 * 60),
    st.integers(1, 26 * 60),
)
def test_when_nobody_is_found_once_the_answer_is_due_nobody_is_found_later(
    priority: str, mode: str, since_due: int, later: int
) -> None:
    one = case(priority=priority, mode=mode, answer_due_at=NOW - timedelta(minutes=since_due))
    mentors = [*people(3), mentor(quiet=None, opt_ins=frozenset(vocabulary.PRIORITIES))]
    if not ranking.rank(one, mentors, NOW, BOOK).candidates:
        assert not ranking.rank(one, mentors, NOW + timedelta(minutes=later), BOOK).candidates


def test_nobody_at_all_is_nobody() -> None:
    assert decide(mentors=0) == Nobody(NOW + DAY, awaits_answer=False, stands=True)


def test_times_that_leave_no_time_to_answer_make_way_for_others() -> None:
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    ranked = rank(one, mentor())
    (candidate,) = ranked.candidates
    soon = (candidate.earliest,)  # one time only, and before the wave ends
    decision = waves.decide(one, [], replace(ranked, candidates=(candidate._replace(starts=soon),)), NOW, BOOK)
    assert isinstance(decision, Ask)
    (invitation,) = decision.invitations
    assert ranking.leave_time(invitation.candidate.starts, NOW, invitation.answer_by)


def test_a_candidate_beyond_the_proposals_gets_some() -> None:
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    decision = waves.decide(one, [], rank(one, mentor(), limit=0), NOW, BOOK)
    assert isinstance(decision, Ask)
    assert decision.invitations[0].candidate.starts


def test_written_advice_has_no_times() -> None:
    decision = decide(mode="written", mentors=1)
    assert isinstance(decision, Ask)
    assert decision.invitations[0].candidate.starts == ()


def test_for_a_time_that_lost_its_mentor_there_is_a_part_of_what_is_left() -> None:
    one = case(priority="urgent", answer_due_at=NOW + DAY)
    decision = waves.decide(one, [], rank(one, mentor()), NOW, BOOK, booked_at=NOW + 6 * HOUR)
    assert isinstance(decision, Ask)
    assert decision.next_wave_at == NOW + timedelta(minutes=90)


# As many as are needed, where a programme says so.


def needed(mentors: list[Mentor], rules: Rulebook, due: timedelta = DAY, now: datetime = NOW) -> int:
    one = case(priority="urgent", mode="written", answer_due_at=NOW + due)
    ranked = rank(one, *mentors, now=now)
    return waves.how_many(one, ranked.candidates, now, rules.policy)


def test_without_being_told_so_a_wave_asks_its_number() -> None:
    assert needed(people(9), book(per_wave=4)) == 4
    assert needed(people(3), book(per_wave=4)) == 3


@pytest.mark.parametrize(
    ("answered", "offers", "due", "count"),
    [
        (0, 0, DAY, 1),  # 0.64 each, of 0.63 for three waves
        (20, 20, DAY, 1),
        (0, 20, DAY, 6),  # 0.11 each: never enough, so all that may be asked
        (0, 0, 8 * HOUR, 2),  # 0.78 for two waves: 0.87
        (0, 0, 4 * HOUR, 3),  # the last wave: 0.95 at once
        (20, 20, 4 * HOUR, 2),
        (5, 3, 4 * HOUR, 3),  # more answers than offers count as all of them: 0.73
    ],
)
def test_as_many_are_asked_as_are_needed_for_somebody_to_accept(
    answered: int, offers: int, due: timedelta, count: int
) -> None:
    mentors = people(9, offers_180d=offers, answered_in_time_180d=answered)
    assert needed(mentors, book(per_wave={"needed": 6}), due) == count


def test_no_more_are_asked_as_needed_than_there_are_or_than_a_wave_may_ask() -> None:
    tired = people(9, offers_180d=10)
    assert needed(tired[:2], book(per_wave={"needed": 6})) == 2
    assert needed(tired, book(per_wave="needed")) == policy.DEFAULT.pace("urgent").per_wave


def test_the_waves_that_are_left_are_counted_in_working_time_for_a_routine_case() -> None:
    friday = NOW + 4 * DAY
    mentors = people(5, working_weekdays=(0, 1, 2, 3, 4))
    one = case(mode="written", answer_due_at=friday + 3 * DAY)
    ranked = rank(one, *mentors, now=friday)
    rules = book(per_wave={"needed": 4})
    assert waves.how_many(one, ranked.candidates, friday, rules.policy) == 3  # Friday's wave lasts until Monday


# Whatever came before: the rule keeps its promises.

STATES = st.sampled_from(vocabulary.OFFER_STATES)
OFFERS = st.lists(
    st.builds(
        Asked,
        st.integers(21, 27).map(lambda n: UUID(int=n)),
        STATES,
        st.integers(-300, 300).map(lambda minutes: NOW + timedelta(minutes=minutes)),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
)
PER_WAVE = st.one_of(st.integers(1, 6), st.integers(1, 6).map(lambda number: {"needed": number}))


@PROPERTY
@given(OFFERS, st.integers(0, 7), PER_WAVE, st.integers(1, 2000), st.sampled_from(["live", "written", "either"]))
def test_a_wave_keeps_its_promises(offers: list[Asked], count: int, per_wave: object, due: int, mode: str) -> None:
    one = case(priority="urgent", mode=mode, answer_due_at=NOW + timedelta(minutes=due), institution_id=HOSPITAL)
    rules = book(per_wave=per_wave)
    most = rules.policy.pace("urgent").per_wave
    ranked = ranking.rank(one, people(count), NOW, rules, limit=most)
    decision = waves.decide(one, offers, ranked, NOW, rules)
    waiting = [offer.answer_by for offer in offers if offer.state == "pending" and offer.answer_by > NOW]
    free = {candidate.mentor.person_id for candidate in ranked.candidates} - waves.not_again(offers)
    if isinstance(decision, Wait):
        assert waiting
        assert decision.until == max(waiting)
    elif isinstance(decision, Nobody):
        assert not waiting
        assert not free
        assert decision.look_again_at > NOW
    else:
        assert not waiting
        assert 1 <= len(decision.invitations) <= most
        assert len(set(who(decision))) == len(decision.invitations)
        assert set(who(decision)) <= free
        assert all(NOW < invitation.answer_by <= one.answer_due_at for invitation in decision.invitations)
        for invitation in decision.invitations:
            assert bool(invitation.candidate.starts) is invitation.candidate.is_live
    assert decision == waves.decide(one, offers, ranked, NOW, rules)
