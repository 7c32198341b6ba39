import itertools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest

from rules.values import NOW
from service import vocabulary
from service.rules import lifecycle, policy
from service.rules.lifecycle import BookedTime, IllegalTransition, May, TooEarly, TooLate

Answer = Callable[[str, datetime, datetime], str]

LATER, DUE = NOW + timedelta(hours=1), NOW + timedelta(hours=8)
TICK = timedelta(microseconds=1)
EVERY_PAIR = [
    (subject, one, other, other in table[one])
    for subject, table in lifecycle.TABLES.items()
    for one in table
    for other in table
]


def tried(error: IllegalTransition) -> tuple[str, str, str]:
    return (error.subject, error.from_state, error.to_state)


def test_only_what_the_table_holds_is_legal() -> None:
    for subject, one, other, is_legal in EVERY_PAIR:
        if is_legal:
            assert lifecycle.step(subject, one, other) == other
        else:
            with pytest.raises(IllegalTransition) as caught:
                lifecycle.step(subject, one, other)
            assert tried(caught.value) == (subject, one, other)


@pytest.mark.parametrize("subject", lifecycle.TABLES)
def test_every_state_that_is_reached_is_in_the_table(subject: str) -> None:
    table = lifecycle.TABLES[subject]
    assert set().union(*table.values()) <= set(table)


@pytest.mark.parametrize(
    ("subject", "path"),
    [
        ("consultation", "draft open offered scheduled completed"),
        ("consultation", "open unmatched offered scheduled open offered expired"),
        ("consultation", "scheduled cancelled"),
        ("offer", "pending countered pending accepted"),
        ("offer", "pending withdrawn"),
        ("offer", "pending late countered late accepted"),
        ("offer", "pending late expired"),
        ("appointment", "pending booked fulfilled"),
        ("appointment", "booked noshow"),
        ("memorandum", "draft signed active suspended active expired"),
        ("memorandum", "signed terminated"),
    ],
)
def test_the_flow_of_the_page_is_legal(subject: str, path: str) -> None:
    states = path.split()
    for one, other in itertools.pairwise(states):
        lifecycle.step(subject, one, other)


@pytest.mark.parametrize(
    ("subject", "final"),
    [
        ("consultation", {"completed", "expired"}),
        ("offer", {"accepted", "declined", "expired", "withdrawn"}),
        ("appointment", {"fulfilled", "cancelled"}),
        ("memorandum", {"expired", "terminated"}),
    ],
)
def test_nothing_follows_a_final_state(subject: str, final: set[str]) -> None:
    assert {state for state, following in lifecycle.TABLES[subject].items() if not following} == final


def test_an_unknown_state_leads_nowhere() -> None:
    with pytest.raises(IllegalTransition):
        lifecycle.step("offer", "nonsense", "accepted")


@pytest.mark.parametrize(
    ("subject", "from_state", "to_state", "steps"),
    [
        ("memorandum", "draft", "active", "signed active"),
        ("memorandum", "draft", "suspended", "signed active suspended"),
        ("memorandum", "suspended", "active", "active"),
        ("memorandum", "active", "active", ""),
        ("memorandum", "terminated", "terminated", ""),
        ("consultation", "draft", "scheduled", "open scheduled"),  # not by way of `offered`
    ],
)
def test_the_path_to_a_state_has_the_fewest_steps(subject: str, from_state: str, to_state: str, steps: str) -> None:
    assert lifecycle.path(subject, from_state, to_state) == tuple(steps.split())


@pytest.mark.parametrize(("from_state", "to_state"), [("active", "draft"), ("expired", "active"), ("odd", "active")])
def test_where_no_path_leads_the_whole_of_it_is_refused(from_state: str, to_state: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        lifecycle.path("memorandum", from_state, to_state)
    assert tried(caught.value) == ("memorandum", from_state, to_state)


@pytest.mark.parametrize("answer", [lifecycle.accept, lifecycle.decline, lifecycle.counter])
def test_an_offer_is_answered_until_just_before_its_time_is_over(answer: Answer) -> None:
    answer("pending", LATER, LATER - TICK)
    with pytest.raises(TooLate) as caught:
        answer("pending", LATER, LATER)
    assert (caught.value.subject, caught.value.at) == ("offer", LATER)


@pytest.mark.parametrize("answer", [lifecycle.accept, lifecycle.decline, lifecycle.counter])
@pytest.mark.parametrize("state", ["accepted", "declined", "expired", "withdrawn"])
def test_a_closed_offer_is_not_answered(answer: Answer, state: str) -> None:
    with pytest.raises(IllegalTransition):
        answer(state, LATER, NOW)


def test_a_mentor_cannot_accept_their_own_counter() -> None:
    with pytest.raises(IllegalTransition) as caught:
        lifecycle.accept("countered", LATER, NOW)
    assert tried(caught.value) == ("offer", "countered", "accepted")


def test_a_mentor_may_take_a_counter_back_at_any_time() -> None:
    assert lifecycle.decline("countered", NOW, LATER) == "declined"


def test_a_counter_is_taken_whenever_its_times_allow() -> None:
    assert lifecycle.accept_counter("countered") == "accepted"


@pytest.mark.parametrize("state", ["pending", "expired"])
def test_only_a_counter_is_taken_or_declined_by_the_requesting_side(state: str) -> None:
    with pytest.raises(IllegalTransition) as taken:
        lifecycle.accept_counter(state)
    with pytest.raises(IllegalTransition) as declined:
        lifecycle.decline_counter(state, LATER, DUE, NOW)
    assert [tried(each.value) for each in (taken, declined)] == [
        ("offer", state, "accepted"),
        ("offer", state, "pending"),
    ]


def test_a_declined_counter_is_pending_again_until_the_offers_time() -> None:
    assert lifecycle.decline_counter("countered", LATER, DUE, LATER - TICK) == "pending"
    assert lifecycle.decline_counter("countered", LATER, DUE, LATER) == "late"
    assert lifecycle.decline_counter("countered", LATER, DUE, DUE) == "expired"


@pytest.mark.parametrize(
    ("state", "now", "after"),
    [
        ("pending", LATER - TICK, "pending"),
        ("pending", LATER, "late"),
        ("pending", DUE - TICK, "late"),
        ("pending", DUE, "expired"),
        ("late", DUE - TICK, "late"),
        ("late", DUE, "expired"),
        ("countered", LATER, "countered"),
        ("countered", DUE, "countered"),
    ],
)
def test_only_silence_expires_and_is_late_before(state: str, now: datetime, after: str) -> None:
    assert lifecycle.expire(state, LATER, DUE, now) == after


def test_an_offer_that_is_closed_at_its_time_is_never_late() -> None:
    assert lifecycle.expire("pending", LATER, LATER, LATER) == "expired"


ACTS: Mapping[str, Callable[[str, datetime, datetime], object]] = {
    "accept": lifecycle.accept,
    "decline": lifecycle.decline,
    "counter": lifecycle.counter,
    "show_again": lifecycle.show_again,
}
TAKEN = {  # by whom, of what: until just before the offer is closed
    "pending": {"accept", "decline", "counter", "show_again"},
    "late": {"accept", "decline", "counter", "show_again"},
    "countered": {"decline", "show_again"},
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("case_state", vocabulary.CONSULTATION_STATES)
@pytest.mark.parametrize("state", vocabulary.OFFER_STATES)
def test_an_offer_is_answered_as_long_as_the_case_seeks_and_is_not_due(state: str, case_state: str, act: str) -> None:
    closed = DUE if case_state in {"open", "offered", "unmatched"} else LATER
    for now in (NOW, LATER - TICK, LATER, LATER + TICK, DUE - TICK, DUE, DUE + TICK):
        closes_at = lifecycle.closes_at(LATER, case_state, DUE)
        assert closes_at == closed
        if act in TAKEN.get(state, ()) and (state == "countered" or now < closed):
            ACTS[act](state, closes_at, now)
        else:
            with pytest.raises((IllegalTransition, TooLate)) as caught:
                ACTS[act](state, closes_at, now)
            assert isinstance(caught.value, TooLate) is (act in TAKEN.get(state, ()))


def test_only_of_a_late_offer_the_case_text_was_hidden() -> None:
    assert [lifecycle.show_again(state, DUE, NOW) for state in ("pending", "countered", "late")] == [False, False, True]


@pytest.mark.parametrize(("by", "due", "closed"), [(LATER, None, LATER), (LATER, LATER, LATER), (LATER, NOW, LATER)])
def test_an_offer_is_never_closed_before_its_time(by: datetime, due: datetime | None, closed: datetime) -> None:
    assert lifecycle.closes_at(by, "offered", due) == closed


@pytest.mark.parametrize(
    ("state", "after"),
    [("pending", "withdrawn"), ("late", "withdrawn"), ("countered", "withdrawn"), ("declined", "declined")],
)
def test_offers_that_wait_are_withdrawn_when_another_is_accepted(state: str, after: str) -> None:
    assert lifecycle.withdraw(state) == after


def test_a_hold_confirmed_just_before_its_expiry_wins_and_just_after_loses() -> None:
    assert lifecycle.confirm_hold("pending", LATER, LATER - TICK) == "booked"
    with pytest.raises(TooLate) as caught:
        lifecycle.confirm_hold("pending", LATER, LATER)
    assert (caught.value.subject, caught.value.at) == ("appointment", LATER)


def test_a_hold_is_never_both_confirmed_and_expired() -> None:
    assert lifecycle.expire_hold("pending", LATER, LATER - TICK) == "pending"
    assert lifecycle.expire_hold("pending", LATER, LATER) == "cancelled"
    assert lifecycle.expire_hold("booked", LATER, LATER) == "booked"
    with pytest.raises(IllegalTransition):
        lifecycle.confirm_hold("cancelled", LATER, NOW)


def test_a_loss_reopens_the_case_unless_the_requesting_side_wanted_it() -> None:
    assert lifecycle.after_loss("requesting") == "cancelled"
    assert lifecycle.after_loss("partner") == "open"


@pytest.mark.parametrize("state", vocabulary.CONSULTATION_STATES)
def test_only_a_consultation_without_an_agreement_expires(state: str) -> None:
    is_seeking = state in {"open", "offered", "unmatched"}
    assert lifecycle.expire_consultation(state, LATER, LATER - TICK) == state
    assert lifecycle.expire_consultation(state, LATER, LATER) == ("expired" if is_seeking else state)


def test_the_reasons_for_declining_are_the_five_of_the_page() -> None:
    assert vocabulary.DECLINE_REASONS == ("wrong_specialty", "busy", "insufficient_info", "language", "conflict")


START, END = NOW, NOW + timedelta(minutes=30)
WAITED, ROOM_OPENS, ROOM_CLOSES = START + timedelta(minutes=10), START - timedelta(minutes=10), END + timedelta(hours=1)
NO_LONGER_PROPOSED = END + timedelta(hours=24)
LOGGED = BookedTime(START, END, is_over=True)
LOG, NOTHING = "log_session", None
EDGES = [
    ("move", START, (May.YES, May.PROPOSE)),
    ("move", END, (May.PROPOSE, May.PROPOSE)),
    ("move", NO_LONGER_PROPOSED, (May.PROPOSE, TooLate)),
    ("agree", START, (May.YES, May.YES)),
    ("agree", NO_LONGER_PROPOSED, (May.YES, May.YES)),
    ("decline_move", NO_LONGER_PROPOSED, (May.YES, May.YES)),
    ("cancel_appointment", START, (May.YES, May.YES)),
    ("cancel_appointment", END, (May.YES, TooLate)),
    ("cancel_consultation", END, (May.YES, TooLate)),
    ("assign", END, (May.YES, TooLate)),
    ("replace_mentor", END, (May.YES, TooLate)),
    ("consent", END, (May.YES, May.YES)),
    ("join", ROOM_OPENS, (TooEarly, May.YES)),
    ("join", ROOM_CLOSES, (May.YES, TooLate)),
    ("report_no_show", START, (TooEarly, TooEarly)),
    ("report_no_show", WAITED, (TooEarly, May.YES)),
    ("report_no_show", END, (May.YES, May.YES)),
    ("log_session", START, (May.YES, May.YES)),
    ("log_session", END, (May.YES, May.YES)),
    ("hold", START, (IllegalTransition, IllegalTransition)),
    ("advice", START, (IllegalTransition, IllegalTransition)),
    ("feedback", END, (IllegalTransition, IllegalTransition)),
    ("correct_session", END, (IllegalTransition, IllegalTransition)),
]


def said(step: str, time: BookedTime, now: datetime, numbers: policy.Policy = policy.DEFAULT) -> object:
    """What the table says: how it may be done, or the kind of refusal."""
    try:
        return lifecycle.may(step, time, now, numbers)
    except (TooEarly, TooLate, IllegalTransition) as refusal:
        return type(refusal)


@pytest.mark.parametrize(("step", "edge", "sides"), EDGES)
def test_each_edge_of_the_table_of_booked_times(step: str, edge: datetime, sides: tuple[object, object]) -> None:
    time = BookedTime(START, END)
    assert (said(step, time, edge - TICK), said(step, time, edge)) == sides


def test_every_step_of_the_table_has_an_edge_that_is_tried() -> None:
    assert {step for step, _, _ in EDGES} == set(lifecycle.BOOKED)


@pytest.mark.parametrize("step", lifecycle.BOOKED)
def test_after_the_log_the_table_says_what_is_left(step: str) -> None:
    left = {"correct_session": May.YES, "feedback": May.YES, "log_session": May.TAKEN_BACK, "join": May.YES}
    assert said(step, LOGGED, END) == left.get(step, IllegalTransition)


@pytest.mark.parametrize("table", lifecycle.STEP_TABLES)
def test_every_row_has_a_cell_for_each_phase(table: str) -> None:
    assert {len(cells) for cells in lifecycle.STEP_TABLES[table].values()} == {len(lifecycle.PHASES[table])}


@pytest.mark.parametrize(
    ("step", "at", "instead"),
    [("cancel_appointment", END, LOG), ("move", NO_LONGER_PROPOSED, LOG), ("join", ROOM_CLOSES, NOTHING)],
)
def test_who_is_too_late_learns_since_when_and_what_is_right_now(step: str, at: datetime, instead: str | None) -> None:
    with pytest.raises(TooLate) as caught:
        lifecycle.may(step, BookedTime(START, END), at + TICK, policy.DEFAULT)
    assert (caught.value.at, caught.value.instead) == (at, instead)


def test_who_is_too_early_learns_when_its_time_comes() -> None:
    with pytest.raises(TooEarly) as caught:
        lifecycle.may("report_no_show", BookedTime(START, END), START - TICK, policy.DEFAULT)
    assert (caught.value.subject, caught.value.at) == ("report_no_show", WAITED)


def test_a_programme_has_its_own_graces() -> None:
    numbers = policy.from_overrides({"no_show_grace_minutes": 45, "move_grace_hours": 1})
    waited, over = START + timedelta(minutes=45), END + timedelta(hours=1)
    time = BookedTime(START, END)
    assert [said("report_no_show", time, at, numbers) for at in (waited - TICK, waited)] == [TooEarly, May.YES]
    assert [said("move", time, at, numbers) for at in (over - TICK, over)] == [May.PROPOSE, TooLate]


def test_pages_show_what_may_be_done_now() -> None:
    at_once = lifecycle.steps_now(BookedTime(START, END), START, policy.DEFAULT)
    assert (at_once["move"], "cancel_appointment" in at_once, "report_no_show" in at_once) == (May.PROPOSE, True, False)
    afterwards = lifecycle.steps_now(BookedTime(START, END), END, policy.DEFAULT)
    assert ("cancel_appointment" in afterwards, "log_session" in afterwards) == (False, True)


@pytest.mark.parametrize("step", lifecycle.SOUGHT)
@pytest.mark.parametrize("due", [NOW, None])
def test_what_a_case_that_is_due_allows(step: str, due: datetime | None) -> None:
    lifecycle.must_not_be_due(step, due, NOW - TICK)
    if due and step in {"manual_offer", "hold"}:
        with pytest.raises(TooLate):
            lifecycle.must_not_be_due(step, due, NOW)
    else:
        lifecycle.must_not_be_due(step, due, NOW)
