import json
from datetime import datetime, timedelta

import pytest

from rules.values import NOW, utc
from service import vocabulary
from service.rules import policy
from service.rules.policy import DEFAULT, InvalidPolicy

WEEK = NOW + timedelta(days=7)
DAYS = {0, 1, 2, 3, 4}


def answer_by(priority: str, now: datetime = NOW, due: datetime = WEEK, *, known_case: bool = False) -> datetime:
    return policy.answer_by(DEFAULT, priority, now, due, "Europe/Paris", DAYS, known_case=known_case)


def test_asap_is_above_urgent() -> None:
    assert vocabulary.PRIORITIES == ("routine", "urgent", "asap", "stat")
    assert set(DEFAULT.paces) == set(vocabulary.PRIORITIES)


@pytest.mark.parametrize(
    ("priority", "due", "per_wave", "wave", "alert", "notice"),
    [
        ("routine", 7 * 24 * 60, 1, 24 * 60, 3 * 24 * 60, 12 * 60),
        ("urgent", 24 * 60, 2, 4 * 60, 8 * 60, 2 * 60),
        ("asap", 8 * 60, 3, 60, 2 * 60, 30),
        ("stat", 60, 5, 10, 0, 0),
    ],
)
def test_the_table_of_priorities_is_as_agreed(
    priority: str, due: int, per_wave: int, wave: int, alert: int, notice: int
) -> None:
    pace = DEFAULT.pace(priority)
    assert policy.answer_due_at(DEFAULT, priority, NOW) == NOW + timedelta(minutes=due)
    assert policy.alert_at(DEFAULT, priority, NOW) == NOW + timedelta(minutes=alert)
    assert (pace.per_wave, pace.wave, pace.minimum_notice) == (
        per_wave,
        timedelta(minutes=wave),
        timedelta(minutes=notice),
    )


@pytest.mark.parametrize("priority", vocabulary.PRIORITIES)
def test_the_weights_of_a_priority_sum_to_a_hundred(priority: str) -> None:
    weights = DEFAULT.pace(priority).weights
    assert tuple(weights) == vocabulary.SCORE_TERMS
    assert sum(weights.values()) == 100


@pytest.mark.parametrize(
    ("priority", "before"),
    [
        ("routine", (24, 8, 8, 14, 12, 12, 8, 6, 3, 3, 2)),
        ("urgent", (24, 20, 12, 8, 10, 8, 8, 4, 3, 2, 1)),
        ("stat", (26, 34, 16, 2, 4, 2, 8, 2, 4, 2, 0)),
    ],
)
def test_the_load_weighs_twice_as_much_and_the_other_weights_keep_their_proportions(
    priority: str, before: tuple[int, ...]
) -> None:
    weights = DEFAULT.pace(priority).weights
    was: dict[str, int] = dict(zip(vocabulary.SCORE_TERMS, before, strict=True))
    shrunk = (100 - weights["load"]) / (100 - was["load"])
    assert weights["load"] == 2 * was["load"]
    assert all(abs(weight - was[term] * shrunk) < 0.6 for term, weight in weights.items() if term != "load")


def test_a_routine_answer_is_awaited_over_the_weekend() -> None:
    friday = utc(2026, 11, 20, 14)
    assert answer_by("routine", friday, friday + timedelta(days=7)) == utc(2026, 11, 23, 14)


@pytest.mark.parametrize(("priority", "minutes"), [("urgent", 240), ("asap", 60), ("stat", 10)])
def test_other_answers_are_awaited_by_the_clock(priority: str, minutes: int) -> None:
    saturday = utc(2026, 11, 21, 14)
    assert answer_by(priority, saturday) == saturday + timedelta(minutes=minutes)


def test_the_mentor_who_knows_the_case_has_half_the_time() -> None:
    assert answer_by("routine", known_case=True) == NOW + timedelta(hours=12)
    assert answer_by("urgent", known_case=True) == NOW + timedelta(hours=2)


@pytest.mark.parametrize("priority", vocabulary.PRIORITIES)
def test_no_answer_is_awaited_past_the_due_time(priority: str) -> None:
    due = NOW + timedelta(minutes=4)
    assert answer_by(priority, due=due) == due


def test_a_consultation_expires_a_day_after_its_answer_was_due() -> None:
    assert policy.expires_at(DEFAULT, NOW) == NOW + timedelta(days=1)


def test_a_hold_lasts_fifteen_minutes() -> None:
    assert DEFAULT.hold == timedelta(minutes=15)


def test_a_programme_has_its_own_numbers_and_leaves_the_others_alone() -> None:
    own = policy.from_overrides({
        "hold_minutes": 20,
        "known_case_share": 0.25,
        "priorities": {
            "urgent": {"wave_minutes": 180, "per_wave": 3, "minimum_notice_minutes": 0, "weights": {"load": 10.5}},
            "stat": {"any_hour": False},
            "routine": {"working_days_only": False, "any_hour": True},
        },
    })  # fmt: skip
    urgent = own.pace("urgent")
    assert (own.hold_minutes, own.known_case_share) == (20, 0.25)
    assert (urgent.wave, urgent.per_wave, urgent.minimum_notice) == (timedelta(hours=3), 3, timedelta(0))
    assert (urgent.weights["load"], urgent.weights["speed"]) == (10.5, 18)
    assert urgent.answer_due == timedelta(hours=24)
    assert [(own.pace(name).working_days_only, own.pace(name).any_hour) for name in ("routine", "urgent", "stat")] == [
        (False, True),
        (False, False),
        (False, False),
    ]
    assert own.pace("asap") == DEFAULT.pace("asap")
    assert DEFAULT.pace("stat").any_hour


def test_the_least_numbers_are_taken() -> None:
    own = policy.from_overrides({"hold_minutes": 1, "priorities": {"asap": {"per_wave": 1, "wave_minutes": 1}}})
    assert (own.hold_minutes, own.pace("asap").per_wave, own.pace("asap").wave) == (1, 1, timedelta(minutes=1))


def test_the_greatest_number_is_a_year_of_minutes() -> None:
    assert policy.from_overrides({"hold_minutes": 366 * 1440}).hold == timedelta(days=366)
    with pytest.raises(InvalidPolicy, match=r"^hold_minutes: not a number from 1 to 527040$"):
        policy.from_overrides({"hold_minutes": 366 * 1440 + 1})


def test_a_wave_may_ask_as_many_as_are_needed_with_its_number_or_another_as_the_most() -> None:
    own = policy.from_overrides({"priorities": {"stat": {"per_wave": "needed"}, "asap": {"per_wave": {"needed": 6}}}})
    assert [(own.pace(name).as_needed, own.pace(name).per_wave) for name in ("stat", "asap", "urgent")] == [
        (True, 5),
        (True, 6),
        (False, 2),
    ]


def test_every_weight_can_be_set_and_may_be_nothing() -> None:
    weights = dict.fromkeys(vocabulary.SCORE_TERMS, 0) | {"speed": 100}
    own = policy.from_overrides({"priorities": {"urgent": {"weights": weights}}})
    assert own.pace("urgent").weights == weights


def test_a_programme_is_reminded_of_an_end_on_days_of_its_own() -> None:
    assert policy.from_overrides({"end_reminder_days": [60, 1]}).end_reminder_days == (60, 1)
    assert policy.from_overrides({"end_reminder_days": []}).end_reminder_days == ()


def test_no_overrides_are_the_default() -> None:
    assert policy.from_overrides({}) == DEFAULT


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"hold": 20}, "hold"),
        ({"paces": {}}, "paces"),
        ({"hold_minutes": 0}, "hold_minutes"),
        ({"cancels_when_memorandum_ends": 1}, "cancels_when_memorandum_ends"),
        ({"hold_minutes": "20"}, "hold_minutes"),
        ({"hold_minutes": True}, "hold_minutes"),
        ({"hold_minutes": 1.5}, "hold_minutes"),
        ({"hold_minutes": 10**9}, "hold_minutes"),
        ({"known_case_share": float("nan")}, "known_case_share"),
        ({"priorities": []}, "priorities"),
        ({"priorities": {"high": {}}}, "high"),
        ({"priorities": {"stat": 5}}, "stat"),
        ({"priorities": {"stat": {"wave": 5}}}, "wave"),
        ({"priorities": {"stat": {"wave_minutes": 0}}}, "wave_minutes"),
        ({"priorities": {"stat": {"answer_due_minutes": 0}}}, "answer_due_minutes"),
        ({"priorities": {"stat": {"per_wave": 0}}}, "per_wave"),
        ({"priorities": {"stat": {"per_wave": "all"}}}, "per_wave"),
        ({"priorities": {"stat": {"per_wave": {"needed": 0}}}}, "per_wave"),
        ({"priorities": {"stat": {"per_wave": {"most": 2}}}}, "per_wave"),
        ({"priorities": {"stat": {"as_needed": True}}}, "as_needed"),
        ({"priorities": {"stat": {"any_hour": 1}}}, "any_hour"),
        ({"priorities": {"stat": {"weights": {"luck": 1}}}}, "weights"),
        ({"priorities": {"stat": {"weights": {"load": -1}}}}, "load"),
    ],
)
def test_a_wrong_number_is_refused_by_its_name(overrides: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidPolicy, match=f"^{named}:"):
        policy.from_overrides(overrides)


@pytest.mark.parametrize(
    ("minutes_left", "minutes_to_answer"),
    [(24 * 60, 6 * 60), (120, 30), (60, 30), (20, 20), (100 * 60, 24 * 60)],
    ids=["a quarter", "half an hour", "not less", "never beyond the start", "never longer than usual"],
)
def test_ft_01_who_is_asked_to_take_over_a_booked_time_has_a_part_of_what_is_left(
    minutes_left: int, minutes_to_answer: int
) -> None:
    usual = NOW + timedelta(hours=24)
    answer_by = policy.answer_by_before(NOW + timedelta(minutes=minutes_left), NOW, usual)
    assert answer_by == NOW + timedelta(minutes=minutes_to_answer)


@pytest.mark.parametrize(
    ("priority", "hours", "due_hours", "later"),
    [("urgent", 3, 48, 3), ("urgent", 3, 5, 1), ("asap", 3, 2, 0), ("routine", 3, 200, 3)],
)
def test_ft_23_an_answer_is_awaited_as_much_longer_as_the_mail_was_late_as_far_as_due(
    priority: str, hours: int, due_hours: int, later: int
) -> None:
    before, due = NOW + timedelta(hours=4), NOW + timedelta(hours=due_hours)
    late = timedelta(hours=hours)
    found = policy.answer_by_when_late(DEFAULT, priority, before, late, due, "Europe/Paris", DAYS)
    assert found == before + timedelta(hours=later)


def test_ft_23_a_late_routine_mail_costs_no_working_time() -> None:
    friday, due = utc(2026, 11, 20, 20), utc(2026, 11, 27, 20)
    late = timedelta(hours=6)
    found = policy.answer_by_when_late(DEFAULT, "routine", friday, late, due, "Europe/Paris", DAYS)
    assert found == utc(2026, 11, 23, 2)  # three hours of Friday, and three of Monday by Paris


@pytest.mark.parametrize("overrides", [
    {},
    {"hold_minutes": 20, "end_reminder_days": [9], "cancels_when_memorandum_ends": True, "known_case_share": 0.25},
    {"priorities": {"urgent": {"wave_minutes": 7, "per_wave": {"needed": 4}, "weights": {"load": 1.5}}}},
])  # fmt: skip
def test_al_05_a_policy_that_is_written_whole_is_read_back(overrides: dict[str, object]) -> None:
    own = policy.from_overrides(overrides)
    assert policy.from_overrides(json.loads(json.dumps(policy.as_overrides(own)))) == own
