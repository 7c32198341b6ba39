"""What would help: the same as trying every single change and every pair on every mentor with the whole gate."""

import itertools
from datetime import datetime, timedelta
from functools import reduce
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.values import BOOK, NOW, OFFICE, PROPERTY, case, link, mentor, rank, wall
from service.rules.case import Case, Mentor
from service.rules.matching import ranking, remedies
from service.rules.matching.remedies import Change, Remedy
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.transfer import Consent

HOUR = timedelta(hours=1)
NIGHTS = tuple(Weekly(day, 22 * 60, 1440) for day in range(7))
LANGUAGES = ("de", "en", "fr", "uk")
COUNTRIES = ("CA", "FR", "IL", "UA", None)


def every_change(asked: Case, now: datetime) -> list[Change]:
    """All changes there are, whether or not anybody gains by them, smallest first."""
    is_general = asked.consent is not None and asked.consent.scope == "general"
    return [
        *(Change("language", code) for code in LANGUAGES if code not in asked.languages),
        *([] if asked.translation else [Change("translation")]),
        *([] if asked.mode == "either" else [Change("either")]),
        Change("time", until=max(asked.answer_due_at, now) + 12 * HOUR),
        *([Change("hours")] if asked.windows else []),
        *([] if is_general else [Change("consent")]),
        *(Change("country", code) for code in COUNTRIES if code),
    ]


def tried_one_by_one(asked: Case, mentors: list[Mentor], now: datetime) -> list[Remedy]:
    """Rank everybody anew for each change and each pair."""

    def found(changed: Case) -> set[UUID]:
        return {each.mentor.person_id for each in ranking.rank(changed, mentors, now, BOOK, limit=0).candidates}

    known = found(asked)
    tried = every_change(asked, now)
    singles = {(each,): found(remedies.apply(asked, each)) - known for each in tried}
    helped = set().union(*singles.values())
    pairs = {}
    for pair in itertools.combinations(tried, 2):
        opened = found(reduce(remedies.apply, pair, asked)) - known
        if opened - helped:
            pairs[pair] = opened
    return [
        Remedy(changes, len(opened))
        for tier in (singles, pairs)
        for changes, opened in sorted(tier.items(), key=lambda item: -len(item[1]))
        if opened
    ]


instants = st.integers(-20, 20 * 12).map(lambda n: NOW + n * timedelta(minutes=5))
stretches = st.lists(st.tuples(instants, st.integers(1, 60)), max_size=3).map(
    lambda drawn: tuple((since, since + count * timedelta(minutes=5)) for since, count in drawn)
)
cases = st.builds(
    case,
    priority=st.sampled_from(["routine", "urgent", "asap", "stat"]),
    mode=st.sampled_from(["live", "live", "written", "either"]),
    languages=st.sets(st.sampled_from(LANGUAGES), min_size=1, max_size=2).map(frozenset),
    translation=st.booleans(),
    answer_due_at=st.integers(-3, 30).map(lambda n: NOW + n * HOUR),
    windows=st.one_of(st.just(()), stretches),
    busy=stretches,
    age_band=st.sampled_from(["adult", "adult", "adult", "child"]),
    consent=st.sampled_from(
        [None, Consent("general"), Consent("countries", frozenset({"FR"})), Consent("general", frozenset({"IL"}))]
    ),
)
facts = st.fixed_dictionaries({
    "country": st.sampled_from(COUNTRIES),
    "zone": st.sampled_from(["Europe/Paris", "America/Toronto"]),
    "languages": st.dictionaries(st.sampled_from(LANGUAGES), st.sampled_from(["A2", "B1", "native"]), max_size=2),
    "weekly": st.sampled_from([OFFICE, OFFICE, NIGHTS, ()]),
    "exceptions": st.sampled_from([(), (), (DatedHours("away", wall(2026, 11, 16), wall(2026, 11, 16, 20)),)]),
    "quiet": st.sampled_from([(1320, 420), None]),
    "specialties": st.sampled_from([frozenset({"sur.neuro"})] * 4 + [frozenset({"ped.general"})]),
    "treats_children": st.booleans(),
    "sessions_cap": st.sampled_from([None, None, 2]),
    "sessions_by_week": st.sampled_from([{}, {(2026, 47): 2}]),
    "busy": stretches,
    "verified_until": st.sampled_from([NOW + 300 * HOUR, NOW + 300 * HOUR, NOW + 9 * HOUR, None]),
    "links": st.sampled_from([(link(),), (link(),), (link(minutes_left=10),), (link(valid_until=NOW + 5 * HOUR),)]),
})  # fmt: skip


def _mentors(drawn: list[dict]) -> list[Mentor]:  # type: ignore[type-arg]
    made = []
    for number, given_facts in enumerate(drawn, 100):
        fields = dict(given_facts)
        hours = Hours(fields["zone"], fields.pop("weekly"), fields.pop("exceptions"))
        made.append(mentor(person_id=UUID(int=number), hours=hours, **fields))
    return made


@pytest.mark.slow
@settings(PROPERTY, max_examples=500)
@given(cases, st.lists(facts, min_size=1, max_size=6).map(_mentors))
def test_what_would_help_is_what_trying_every_change_and_pair_finds(asked: Case, mentors: list[Mentor]) -> None:
    """500 made-up cases: the same changes in the same order, with the same counts."""
    excluded = [each for each, _ in ranking.rank(asked, mentors, NOW, BOOK, limit=0).excluded]
    assert remedies.what_would_help(asked, excluded, NOW, BOOK) == tried_one_by_one(asked, mentors, NOW)


def helps(asked: Case, *mentors: Mentor) -> list[tuple[list[tuple[str, str | None]], int]]:
    """What is told: the kinds and codes of the changes, and how many they open."""
    excluded = [each for each, _ in rank(asked, *mentors).excluded]
    found = remedies.what_would_help(asked, excluded, NOW, BOOK)
    return [([(each.kind, each.code) for each in remedy.changes], remedy.mentors) for remedy in found]


def french(number: int, **fields: object) -> Mentor:
    return mentor(person_id=UUID(int=number), languages={"fr": "native"}, **fields)


def test_a_language_is_told_with_how_many_it_opens() -> None:
    """Who speaks it below the level of the gate is not counted, but may write, and be translated, as the others may."""
    barely = mentor(person_id=UUID(int=90), languages={"fr": "A2"})
    assert helps(case(), french(91), french(92), barely) == [
        ([("language", "fr")], 2),
        ([("translation", None), ("either", None)], 3),
    ]


def test_two_changes_are_told_where_one_does_not_do() -> None:
    """A French mentor in Canada: the language and the country; nothing alone, and no pair with a third thing."""
    assert helps(case(), french(91, country="CA", zone="America/Toronto", hours=Hours("America/Toronto", OFFICE))) == [
        ([("language", "fr"), ("country", "CA")], 1)
    ]


def test_a_pair_is_not_told_where_a_single_change_does() -> None:
    """Of a written answer the translation alone opens her, so nobody is told to write French and wait as well."""
    assert helps(case(mode="written"), french(91)) == [([("language", "fr")], 1), ([("translation", None)], 1)]


def test_a_written_answer_helps_where_no_hour_suits() -> None:
    """A mentor at night only: the call finds no hour, the pen does."""
    at_night = mentor(hours=Hours("Europe/Paris", NIGHTS))
    assert helps(case(), at_night) == [([("either", None)], 1)]


def test_more_time_helps_a_mentor_who_works_tomorrow() -> None:
    """Due in the evening; she works again at nine the next day."""
    tomorrow = Hours("Europe/Paris", tuple(each for each in OFFICE if each.weekday))
    due = NOW + 14 * HOUR
    assert helps(case(priority="urgent", answer_due_at=due), mentor(hours=tomorrow)) == [([("time", None)], 1)]


def test_the_usual_hours_help_where_the_windows_leave_none() -> None:
    """The clinician named an hour at night."""
    night = ((NOW + 12 * HOUR, NOW + 13 * HOUR),)
    told = helps(case(windows=night), mentor())
    assert ([("hours", None)], 1) in told


def test_a_consent_is_told_by_what_it_reaches() -> None:
    """Without any: the general one reaches France, Canada has to be named."""
    toronto = mentor(
        person_id=UUID(int=91), country="CA", zone="America/Toronto", hours=Hours("America/Toronto", OFFICE)
    )
    assert helps(case(consent=None), mentor(), toronto) == [
        ([("consent", None)], 1),
        ([("country", "CA")], 1),
        ([("country", "FR")], 1),
    ]


def test_what_no_change_helps_is_told_nothing_of() -> None:
    """No memorandum, another specialty, not verified, excluded by name."""
    far = mentor(person_id=UUID(int=91), specialties=frozenset({"ped.general"}))
    unverified = mentor(person_id=UUID(int=92), verified_until=None)
    asked = case(excluded_mentors=frozenset({UUID(int=93)}))
    assert helps(asked, far, unverified, mentor(person_id=UUID(int=93)), mentor(person_id=UUID(int=94), links=())) == []


def test_a_change_that_is_there_changes_nothing() -> None:
    """Pressed twice, it is done once: more time is until an instant, not for a while."""
    asked = case(languages=frozenset({"en", "fr"}))
    for change in remedies.changes(case(consent=None), [french(91)], NOW, BOOK):
        once = remedies.apply(asked, change)
        assert remedies.apply(once, change) == once


class Looked(dict[str, str]):
    """Languages that count how often they are looked at."""

    times = 0

    def get(self, *asked: str) -> str | None:  # type: ignore[override]
        Looked.times += 1
        return super().get(*asked)


def test_sec_01_a_mentor_is_tried_with_the_changes_about_them_only() -> None:
    """A hundred mentors of twenty languages and twenty countries who each need a language and a country."""
    signs = "abcdefghijklmnopqrst"
    abroad = [
        mentor(
            person_id=UUID(int=number),
            languages=Looked({f"q{signs[number % 20]}": "native"}),
            country=f"X{signs[number // 5].upper()}",
        )
        for number in range(100)
    ]
    Looked.times = 0
    found = remedies.what_would_help(case(languages=frozenset({"uk"}), consent=None), abroad, NOW, BOOK)
    assert {tuple(change.kind for change in remedy.changes) for remedy in found} == {("language", "country")}
    assert Looked.times < 100 * len(abroad)
