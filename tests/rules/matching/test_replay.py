"""What a choice was made of is written and read back without a loss, and the choice made again is the same."""

# ruff: noqa: ANN401 - any field of what is built

import json
import random
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from rules.values import BOOK, CASE, MENTOR, NOW, OFFICE, case, link, mentor, wall
from service.rules import policy
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import ranking, records, replay, waves
from service.rules.matching.records import Inputs, Written
from service.rules.matching.replay import Recorded
from service.rules.time.availability import DatedHours, Hours
from service.rules.transfer import Consent

PLACES = [UUID(int=n) for n in range(100, 106)]
PACKED = "4348a1a455e400aaad0500"
PRIORITIES = ("routine", "urgent", "asap", "stat")


def roster(draw: random.Random, count: int = 12) -> list[Mentor]:
    """Give mentors who differ in all that a choice reads."""
    links = {
        place: tuple(link(memorandum_id=UUID(int=200 + at * 10 + n), minutes_left=draw.choice([None, 20, 600]))
                     for n in range(draw.choice([1, 2])))
        for at, place in enumerate(PLACES)
    }  # fmt: skip
    used = {place: draw.choice([0, 0, 7]) for place in PLACES}
    return [_one(draw, UUID(int=1000 + number), links, used) for number in range(count)]


def _one(draw: random.Random, person_id: UUID, links: dict[UUID, Any], used: dict[UUID, int]) -> Mentor:
    place = draw.choice(PLACES)
    zone = draw.choice(["Europe/Paris", "America/Toronto", "Asia/Kathmandu"])
    away = (DatedHours("away", wall(2026, 11, 17), wall(2026, 11, 18, 12)),) if draw.random() < 0.3 else ()
    since = NOW + timedelta(hours=draw.randrange(48), microseconds=draw.randrange(9))
    return mentor(
        person_id=person_id,
        institution_id=place,
        zone=zone,
        links=links[place],
        specialties=frozenset(draw.sample(["sur.neuro", "sur.neuro.skull", "obp.neonatology"], draw.choice([2, 3]))),
        languages=draw.choice([{"en": "C1"}, {"en": "B2", "uk": "native"}, {"en": "B1", "fr": "C2"}]),
        hours=Hours(zone, OFFICE, away),
        verified_until=draw.choice([None, *[NOW + timedelta(days=days) for days in (3, 300, 400)]]),
        tags=frozenset(draw.sample(["stroke", "epilepsy", "trauma"], 2)),
        treats_children=draw.random() < 0.5,
        opt_ins=frozenset(draw.sample(PRIORITIES, 1)),
        quiet=draw.choice([None, (22 * 60, 7 * 60)]),
        notice_minutes=draw.choice([0, 90]),
        working_weekdays=draw.choice([(), (0, 1, 2, 3, 4)]),
        sessions_cap=draw.choice([None, 2]),
        offers_cap=draw.choice([None, 3]),
        sessions_by_week={(2026, 47): 2} if draw.random() < 0.4 else {},
        busy=((since, since + timedelta(hours=1)),) if draw.random() < 0.5 else (),
        offers_7d=draw.randrange(4),
        offers_30d=draw.randrange(9),
        asked_180d=draw.randrange(30),
        offers_180d=draw.randrange(20),
        answered_in_time_180d=draw.randrange(10),
        answered_late_180d=draw.randrange(3),
        continuity=draw.choice([None, "case", "clinician", "hospital"]),
        institution_sessions_90d=used[place],
        power=draw.choice(["no_feed", "no_feed", "autonomous"]),
    )


def inputs(seed: int, **of_case: Any) -> Inputs:
    """Give what a choice could be made of."""
    draw = random.Random(seed)
    people = roster(draw)
    priority = draw.choice(PRIORITIES)
    numbers = policy.from_overrides({"priorities": {priority: {"per_wave": draw.choice([1, 3, 3, {"needed": 4}])}}})
    asked = case(
        priority=priority,
        mode=draw.choice(["live", "written", "either"]),
        answer_due_at=NOW + numbers.pace(priority).answer_due,
        age_band=draw.choice(["adult", "child"]),
        tags=frozenset(draw.sample(["stroke", "epilepsy", "trauma", "coma"], draw.choice([0, 2, 3]))),
        windows=((NOW, NOW + timedelta(hours=30)),) if draw.random() < 0.4 else (),
        busy=((NOW, NOW + timedelta(hours=2)),),
        buffer_minutes=5,
        consent=draw.choice([Consent("general"), Consent("general"), Consent("countries", frozenset({"FR"}))]),
        excluded_mentors=frozenset({people[3].person_id}),
        case_mentor_ids=frozenset({people[4].person_id}),
        **({"requester_id": people[5].person_id} | of_case),
    )
    booked = (NOW + timedelta(hours=26), NOW + timedelta(hours=26, minutes=30)) if draw.random() < 0.3 else None
    full = {at: draw.randrange(5) for at, each in enumerate(people) if each.offers_cap is not None}
    return Inputs(asked, people, Rulebook(numbers, BOOK.tree, BOOK.basis), NOW, booked, full)


def stored(made_of: Inputs) -> Inputs:
    """Write it as a row and its facts would hold it, through JSON, and read it back."""
    return stored_choice(made_of).inputs


def stored_choice(made_of: Inputs) -> Recorded:
    people = [(each.person_id, through_json(records.mentor_body(each))) for each in made_of.roster]
    links = {each.institution_id: each.links for each in made_of.roster}
    return replay.read(
        written(made_of),
        [records.read_mentor(*each) for each in people],
        through_json(records.memoranda_body(links)),
        records.read_rulebook(through_json(records.rulebook_body(made_of.book))),
        is_by_hand=False,
    )


def asking() -> Inputs:
    """Give a choice that asks several."""
    return next(made_of for made_of in map(inputs, range(60)) if len(replay.choose(made_of).chosen) > 1)


def written(made_of: Inputs) -> Written:
    facts = [records.fact(records.mentor_body(each), each.person_id).id for each in made_of.roster]
    return Written(
        made_of.case.consultation_id,
        made_of.now,
        records.write(made_of, replay.as_json(replay.choose(made_of))),
        b"".join(map(records.ref, facts)),
        records.fact(records.rulebook_body(made_of.book)).id,
        records.fact({}).id,
    )


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("seed", range(60))
def test_al_05_a_choice_that_was_stored_is_made_again_exactly(seed: int) -> None:
    made_of = inputs(seed)
    choice = replay.choose(made_of)
    again = stored_choice(made_of)
    assert again.choice == choice == replay.choose(again.inputs)
    assert replay.differences(again) == []
    assert written(again.inputs).digest == written(made_of).digest  # what was read back is written the same


@pytest.mark.parametrize("seed", range(20))
def test_al_05_what_is_kept_of_a_mentors_appointments_is_what_would_be_written(seed: int) -> None:
    made_of = inputs(seed)
    for _ in range(2):  # the second time from what was kept
        roster = json.loads(records.write(made_of, {}))["roster"]
        for at, each in enumerate(made_of.roster):
            busy = [[records.instant(since), records.instant(until)] for since, until in each.busy]
            weeks = sorted([*week, count] for week, count in each.sessions_by_week.items())
            assert roster.get("busy", {}).get(str(at), []) == busy
            assert roster.get("weeks", {}).get(str(at), []) == weeks


def test_al_05_some_of_these_choices_ask_somebody_and_some_nobody() -> None:
    asked = [len(replay.choose(inputs(seed)).chosen) for seed in range(60)]
    assert {0, 1, 3} <= set(asked)


def test_al_05_the_service_chooses_as_the_replay_does() -> None:
    made_of = asking()
    per_wave = made_of.book.policy.pace(made_of.case.priority).per_wave
    ranked, seen_as = ranking.rank_beside(
        made_of.case, made_of.booked, made_of.roster, NOW, made_of.book, limit=per_wave
    )
    booked_at = made_of.booked and made_of.booked[0]
    decision = waves.decide(seen_as, (), ranked, NOW, made_of.book, booked_at)
    assert isinstance(decision, waves.Ask)
    assert replay.choice_of(made_of, ranked, decision.invitations) == replay.choose(made_of)


def test_al_05_every_field_of_a_mentor_and_a_case_is_written() -> None:
    of_roster = {"tags", "sessions_by_week", "busy", "links", "continuity", "institution_sessions_90d", "power"}
    assert set(Mentor._fields) == {*records.STANDING, *records.COUNTERS, *of_roster}
    of_places = {"consultation_id", "requester_id", "consent", "excluded_mentors", "case_mentor_ids"}
    body = records.case_body(Inputs(case(), [], BOOK, NOW))
    assert {each.name for each in fields(Case)} - of_places == body.keys() - {"booked", "consent"}


def test_al_05_no_word_of_the_case_and_nobody_is_written() -> None:
    made_of = inputs(3, requester_id=UUID(int=77))
    tagged = replace(made_of.case, tags=frozenset({"canary-tag"}))
    text = records.write(made_of._replace(case=tagged), {})
    assert "canary" not in text
    people = [*(each.person_id for each in made_of.roster), UUID(int=77)]
    assert not any(str(person) in text for person in people)


def test_al_05_what_was_changed_is_named() -> None:
    made_of = asking()
    choice = replay.choose(made_of)
    first = choice.chosen[0]
    busier = [each._replace(asked_180d=each.asked_180d + 1) if at == first else each
              for at, each in enumerate(made_of.roster)]  # fmt: skip
    changed = made_of._replace(roster=busier)
    assert "terms" in replay.differences(Recorded(changed, choice))
    assert written(changed).digest != written(made_of).digest
    gone = [each._replace(verified_until=None) if at == first else each for at, each in enumerate(made_of.roster)]
    assert {"order", "asked"} <= set(replay.differences(Recorded(made_of._replace(roster=gone), choice)))
    full = made_of._replace(full={first: 99})
    capped = [each._replace(offers_cap=50) if at == first else each for at, each in enumerate(made_of.roster)]
    assert first not in replay.choose(full._replace(roster=capped)).chosen


@pytest.mark.parametrize("nudge", [1e-12, -1e-12])
def test_al_05_a_last_bit_of_an_exponential_is_no_difference(nudge: float) -> None:
    made_of = asking()
    choice = replay.choose(made_of)
    nudged = choice._replace(terms=tuple(term + nudge for term in choice.terms))
    assert replay.differences(Recorded(made_of, nudged)) == []
    assert replay.differences(Recorded(made_of, choice._replace(terms=choice.terms[:-1]))) == ["terms"]
    far = choice._replace(scores=tuple(score + 5 for score in choice.scores))
    assert replay.differences(Recorded(made_of, far)) == ["scores"]


def test_al_05_a_choice_by_hand_is_judged_again() -> None:
    one = mentor(links=(link(minutes_left=10),))
    made_of = Inputs(case(), [one], BOOK, NOW)
    starts = tuple(ranking.propose(case(), one, NOW, BOOK, ["budget_spent"])[:2])
    choice = replay.choose_by_hand(made_of, starts, ["budget_spent"])
    assert (choice.eligible, choice.chosen) == (1, (0,))
    recorded = Recorded(stored(made_of), choice, starts, ("budget_spent",), is_by_hand=True)
    assert replay.differences(recorded) == []
    assert replay.differences(replace(recorded, overrides=())) == ["order"]
    written_advice = Inputs(case(mode="written"), [one], BOOK, NOW)
    assert replay.choose_by_hand(written_advice, (), ()).eligible == 0  # its budget is spent


def test_al_07_other_numbers_ask_others_at_the_same_moment() -> None:
    people = [mentor(person_id=UUID(int=n), asked_180d=n) for n in range(1, 6)]
    made_of = Inputs(case(priority="urgent", answer_due_at=NOW + timedelta(days=1)), people, BOOK, NOW)
    recorded = Recorded(made_of, replay.choose(made_of))
    more = policy.from_overrides({"priorities": {"urgent": {"per_wave": 3}}})
    step = replay.one_step(recorded, more)
    assert (len(step.before), len(step.after), step.is_first_changed) == (2, 3, False)
    assert replay.one_step(recorded, policy.DEFAULT) == (recorded.choice.chosen, recorded.choice.chosen)
    no_load = policy.from_overrides({"priorities": {"urgent": {"weights": {"load": 0}, "per_wave": 1}}})
    assert len(replay.one_step(recorded, no_load).after) == 1


def test_al_05_the_refs_of_facts_are_read_back() -> None:
    facts = [CASE, MENTOR]
    assert records.refs_of(b"".join(map(records.ref, facts))) == [fact.bytes[: records.REF_BYTES] for fact in facts]


@pytest.mark.parametrize("seed", range(20))
def test_al_05_what_is_packed_is_small_and_read_back(seed: int) -> None:
    made_of = inputs(seed)
    text = records.write(made_of, replay.as_json(replay.choose(made_of)))
    assert records.unpack(records.pack(text)) == text
    assert len(records.pack(text)) < len(text) / 2.5


def test_al_05_what_is_no_packed_text_is_refused() -> None:
    packed = records.pack("Київ")
    assert records.unpack(packed) == "Київ"
    for broken in (b"\xff\xff", b"\x07" + packed[1:], packed[:-2], b""):
        with pytest.raises(ValueError, match=r".*"):
            records.unpack(broken)


def test_al_05_the_words_beside_which_rows_were_packed_stay_as_they_are() -> None:
    """With other words nobody could read what is stored: this text was packed when they were first used."""
    assert records.unpack(bytes.fromhex(PACKED)) == '{"case":{"country":"UA"},"roster":{}}'
