from collections.abc import Collection
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import BOOK, CLINICIAN, MENTOR, NOW, OFFICE, PROPERTY, case, link, mentor, utc, wall
from service.rules.case import Case, MemorandumLink, Mentor
from service.rules.matching.gate import Gate, Refusal
from service.rules.time.availability import DatedHours, Hours
from service.rules.transfer import Consent

START = utc(2026, 11, 18, 10)
FRESH = UUID(int=50)
AWAY = DatedHours("away", wall(2026, 11, 18), wall(2026, 11, 19))


def check(
    asked: Case | None = None,
    asking: Mentor | None = None,
    start: datetime | None = START,
    now: datetime = NOW,
    overrides: Collection[str] = (),
    *,
    is_asking: bool = True,
) -> tuple[Refusal, ...]:
    return Gate(asked or case(), BOOK, overrides).check(asking or mentor(), start, now, is_asking=is_asking)


def test_a_mentor_whom_nothing_refuses_may_take_the_case() -> None:
    assert check() == ()


# Each row breaks one rule, and only that one.
BROKEN = {
    "no_memorandum": (
        [(case(), mentor(links=links)) for links in (
            (),
            (link(status="suspended"),),
            (link(valid_from=START + timedelta(minutes=1)),),
            (link(valid_until=START),),
        )]
    ),
    "area_not_covered": [(case(), mentor(links=(link(areas=frozenset({"ped", "sur.urology"})),)))],
    "activity_not_covered": [(case(), mentor(links=(link(activities=frozenset({"visit"})),)))],
    "specialty_too_far": [
        (case(), mentor(specialties=frozenset(held))) for held in (set(), {"sur.urology"}, {"med.cardiology"})
    ],
    "mentor_unverified": [(case(), mentor(verified_until=until)) for until in (None, START)],
    "mentor_paused": [(case(), mentor(hours=Hours("Europe/Paris", OFFICE, (AWAY,))))],
    "no_common_language": [
        (case(), mentor(languages=spoken)) for spoken in ({}, {"en": "A2"}, {"fr": "native"}, {"uk": "C2"})
    ] + [(case(translation=True), mentor(languages={})), (case(mode="written"), mentor(languages={}))],
    "no_transfer_basis": [
        (case(), mentor(country="IL")),
        (case(), mentor(country=None)),
        (case(consent=None), mentor()),
        (case(consent=Consent("countries", frozenset({"DE"}))), mentor()),
    ],
    "budget_spent": [(case(), mentor(links=(link(minutes_left=29),)))],
    "mentor_full": [
        (case(), mentor(offers_cap=3, offers_7d=3)),
        (case(), mentor(sessions_cap=2, sessions_by_week={(2026, 47): 2})),
    ],
    "outside_hours": [(case(), mentor(quiet=(10 * 60 + 55, 11 * 60 + 25)))],
    "deadline_unreachable": [
        (case(answer_due_at=START - timedelta(seconds=1)), mentor()),
        (case(), mentor(notice_minutes=51 * 60)),
    ],
    "excluded": [
        (case(excluded_mentors=frozenset({MENTOR})), mentor()),
        (case(), mentor(person_id=CLINICIAN)),
    ],
    "no_paediatrics": [(case(age_band=band), mentor()) for band in ("neonate", "infant", "child", "adolescent")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "asked", "asking"), [(rule, *pair) for rule, pairs in BROKEN.items() for pair in pairs]
)
def test_the_rule_that_is_broken_is_named_alone(rule: str, asked: Case, asking: Mentor) -> None:
    assert check(asked, asking) == (rule,)


def test_every_rule_has_a_case_here() -> None:
    assert set(BROKEN) == set(Refusal)


def test_all_broken_rules_are_named_in_the_order_of_the_page() -> None:
    asked = case(consent=None, excluded_mentors=frozenset({MENTOR}), age_band="child", answer_due_at=NOW)
    everything = mentor(
        links=(link(areas=frozenset({"ped"}), activities=frozenset({"visit"}), minutes_left=0),),
        specialties=frozenset(),
        verified_until=None,
        hours=Hours("Europe/Paris", OFFICE, (AWAY,)),
        languages={},
        offers_cap=0,
        quiet=(0, 0),
    )
    assert check(asked, everything) == tuple(Refusal)[1:]


def test_without_a_valid_memorandum_its_areas_are_not_judged() -> None:
    assert check(asking=mentor(links=(link(status="draft", areas=frozenset({"ped"}), minutes_left=0),))) == (
        Refusal.NO_MEMORANDUM,
    )


@pytest.mark.parametrize(
    "unfit", [link(areas=frozenset({"ped"})), link(activities=frozenset({"visit"})), link(minutes_left=0)]
)
def test_one_memorandum_that_covers_the_case_is_enough_whatever_others_say(unfit: MemorandumLink) -> None:
    for links in ((unfit, link()), (link(), unfit)):
        assert check(asking=mentor(links=links)) == ()


def test_a_memorandum_that_names_the_activity_covers_it() -> None:
    assert check(asking=mentor(links=(link(activities=frozenset({"visit", "teleconsultation"})),))) == ()


@pytest.mark.parametrize("age_band", ["neonate", "infant", "child", "adolescent"])
def test_who_treats_children_may_be_asked_for_a_child(age_band: str) -> None:
    assert check(case(age_band=age_band), mentor(treats_children=True)) == ()
    assert check(case(age_band=age_band), mentor()) == (Refusal.NO_PAEDIATRICS,)


def test_two_memoranda_that_only_together_cover_the_case_do_not() -> None:
    apart = (link(areas=frozenset({"ped"})), link(activities=frozenset({"visit"})))
    assert check(asking=mentor(links=apart)) == (Refusal.ACTIVITY_NOT_COVERED,)


@pytest.mark.parametrize(
    ("areas", "specialty"),
    [({"sur"}, "sur.neuro.skullbase"), ({"hnk"}, "sur.neuro.skullbase"), ({"acu"}, "sur.burns"), (set(), "med")],
)
def test_an_area_covers_what_lies_below_it_through_second_parents_too(areas: set[str], specialty: str) -> None:
    asking = mentor(links=(link(areas=frozenset(areas)),), specialties=frozenset({specialty}))
    assert check(case(specialty=specialty), asking) == ()


def test_a_sibling_directly_under_an_area_can_be_chosen_by_hand() -> None:
    urologist = mentor(specialties=frozenset({"sur.urology"}))
    assert check(asking=urologist, overrides={"specialty_too_far"}) == ()


def test_a_stranger_to_the_specialty_cannot_be_chosen_by_hand() -> None:
    cardiologist = mentor(specialties=frozenset({"med.cardiology"}))
    assert check(asking=cardiologist, overrides={"specialty_too_far"}) == (Refusal.SPECIALTY_TOO_FAR,)


def test_a_spent_budget_can_be_overridden() -> None:
    assert check(asking=mentor(links=(link(minutes_left=0),)), overrides={"budget_spent"}) == ()


@pytest.mark.parametrize("rule", sorted(set(Refusal) - {"budget_spent", "specialty_too_far"}))
def test_no_other_rule_can_be_overridden(rule: Refusal) -> None:
    assert [check(*pair, overrides=set(Refusal)) for pair in BROKEN[rule]] == [(rule,)] * len(BROKEN[rule])


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        (case(languages=frozenset({"en", "fr"})), {"fr": "B1"}),
        (case(interpreter=True), {}),
        (case(mode="written", translation=True), {}),
    ],
)
def test_a_shared_language_an_interpreter_or_translation_in_writing_is_enough(
    asked: Case, spoken: dict[str, str]
) -> None:
    assert check(asked, mentor(languages=spoken)) == ()


@pytest.mark.parametrize(
    ("consent", "country"),
    [
        (Consent("general"), "GB"),
        (Consent("general", frozenset({"IL"})), "IL"),
        (Consent("countries", frozenset({"US"})), "US"),
        (None, "UA"),
    ],
)
def test_the_text_may_go_where_the_consent_reaches(consent: Consent | None, country: str) -> None:
    assert check(case(consent=consent), mentor(country=country)) == ()


def test_whoever_opted_in_for_the_priority_has_no_quiet_hours() -> None:
    asked = case(priority="urgent", answer_due_at=NOW + timedelta(days=7))
    night = utc(2026, 11, 18, 2)
    assert check(asked, mentor(), night) == (Refusal.OUTSIDE_HOURS,)
    assert check(asked, mentor(opt_ins=frozenset({"urgent"})), night) == ()
    assert check(asked, mentor(quiet=None), night) == ()


def test_the_mentors_own_notice_counts_for_routine_only() -> None:
    soon = NOW + timedelta(hours=3)
    asked = case(priority="urgent", answer_due_at=NOW + timedelta(days=1))
    assert check(asked, mentor(notice_minutes=2880), soon) == ()


@pytest.mark.parametrize(("priority", "minutes"), [("routine", 720), ("urgent", 120), ("asap", 30), ("stat", 0)])
def test_the_least_notice_depends_on_the_priority(priority: str, minutes: int) -> None:
    earliest = NOW + timedelta(minutes=minutes)
    asked = case(priority=priority)
    anytime = mentor(quiet=None)
    assert check(asked, anytime, earliest) == ()
    assert check(asked, anytime, earliest - timedelta(seconds=1)) == (Refusal.DEADLINE_UNREACHABLE,)


def test_an_offer_that_is_out_is_not_refused_for_the_cap_on_offers_or_the_notice() -> None:
    full = mentor(offers_cap=1, offers_7d=1)
    soon = NOW + timedelta(hours=1)
    assert check(asking=full, start=soon, is_asking=False) == ()
    assert check(asking=full, start=soon) == (Refusal.MENTOR_FULL, Refusal.DEADLINE_UNREACHABLE)


def test_a_full_week_refuses_an_offer_that_is_out() -> None:
    booked = mentor(sessions_cap=1, sessions_by_week={(2026, 47): 1})
    assert check(asking=booked, is_asking=False) == (Refusal.MENTOR_FULL,)
    assert check(asking=booked, start=utc(2026, 11, 23, 7, 55)) == ()


def test_written_advice_is_judged_at_the_instant_and_knows_no_quiet_hours() -> None:
    night = utc(2026, 11, 17, 23)
    assert check(case(mode="written"), mentor(), None, night) == ()


def test_written_advice_is_refused_while_the_mentor_is_away() -> None:
    away = mentor(hours=Hours("Europe/Paris", OFFICE, (AWAY,)))
    assert check(case(mode="written"), away, None, START) == (Refusal.MENTOR_PAUSED,)
    assert check(case(mode="written"), away, None, NOW) == ()


def test_written_advice_is_refused_when_it_is_due_already() -> None:
    assert check(case(mode="written", answer_due_at=NOW), mentor(), None) == (Refusal.DEADLINE_UNREACHABLE,)


def choose(*links: MemorandumLink, overrides: Collection[str] = ()) -> UUID | None:
    chosen = Gate(case(specialty="sur.neuro.skullbase"), BOOK, overrides).choose_link(links, START)
    return chosen.memorandum_id if chosen else None


ONE, TWO, THREE = (UUID(int=n) for n in (101, 102, 103))


def test_the_memorandum_with_the_most_specific_area_is_chosen() -> None:
    assert (
        choose(
            link(memorandum_id=ONE),
            link(memorandum_id=TWO, areas=frozenset({"sur.neuro", "med"}), minutes_left=60),
            link(memorandum_id=THREE, areas=frozenset({"sur"})),
        )
        == TWO
    )


def test_among_equal_areas_most_hours_left_are_chosen() -> None:
    assert choose(link(memorandum_id=ONE, minutes_left=600), link(memorandum_id=TWO, minutes_left=900)) == TWO
    assert choose(link(memorandum_id=ONE, minutes_left=600), link(memorandum_id=TWO)) == TWO


def test_among_equal_hours_the_oldest_is_chosen() -> None:
    links = (
        link(memorandum_id=ONE, signed_on=None),
        link(memorandum_id=TWO),
        link(memorandum_id=THREE, signed_on=date(2023, 1, 1)),
    )
    assert choose(*links) == THREE
    assert choose(*links[:2]) == TWO


def test_a_memorandum_that_is_spent_or_over_is_not_chosen() -> None:
    assert choose(link(minutes_left=0), link(valid_until=START)) is None
    assert choose(link(memorandum_id=ONE, minutes_left=0), overrides={"budget_spent"}) == ONE


@PROPERTY
@given(st.data())
def test_a_memorandum_is_chosen_exactly_when_no_rule_about_memoranda_refuses(
    data: st.DataObject,
) -> None:
    links = tuple(
        data.draw(
            st.lists(
                st.builds(
                    link,
                    status=st.sampled_from(["active", "suspended"]),
                    areas=st.sampled_from([frozenset(), frozenset({"sur"}), frozenset({"ped"})]),
                    activities=st.sampled_from([frozenset(), frozenset({"teleconsultation"}), frozenset({"visit"})]),
                    minutes_left=st.sampled_from([None, 0, 30]),
                    valid_until=st.sampled_from([None, START, START + timedelta(days=1)]),
                ),
                max_size=3,
            )
        )
    )
    refusals = check(asking=mentor(links=links))
    chosen = Gate(case(), BOOK).choose_link(links, START)
    assert (chosen is None) == bool(refusals)
    assert set(refusals) <= {"no_memorandum", "area_not_covered", "activity_not_covered", "budget_spent"}


@pytest.mark.parametrize(
    ("hour", "minute", "refused"),
    [
        (20, 30, False),
        (20, 35, True),
        (5, 55, True),
        (6, 0, False),
    ],  # in UTC: an hour later in Paris, half an hour long
)
def test_quiet_hours_are_from_22_to_7_unless_the_mentor_says_otherwise(hour: int, minute: int, refused: bool) -> None:
    assert check(start=utc(2026, 11, 18, hour, minute)) == ((Refusal.OUTSIDE_HOURS,) if refused else ())


def test_a_mentor_asked_enough_this_week_has_no_time_worth_looking_for_unless_nobody_is_asking() -> None:
    full = mentor(offers_7d=5, offers_cap=5)
    assert Gate(case(), BOOK).refuse_ever(full) == {Refusal.MENTOR_FULL}
    assert not Gate(case(), BOOK).refuse_ever(full, is_asking=False)
