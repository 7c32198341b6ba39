"""What would help when nobody is found: the smallest changes of a request, and how many mentors each would open.

A change only widens. Each is judged by the very gate that mentors are asked by: the case is changed, and those who
could not answer before are judged anew. Two changes together are told only where some mentor needs both, and no single
change would do for them.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, NamedTuple
from uuid import UUID

from service import vocabulary
from service.rules import transfer
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import gate, ranking
from service.rules.transfer import Consent

MORE_TIME = timedelta(hours=12)
"""So much longer the answer may take, at once."""
_NOTHING = Consent("countries")


class Change(NamedTuple):
    """One change of a request; `code` is the language (ISO 639-1) or the country (ISO 3166-1), `until` the new end."""

    kind: vocabulary.ChangeKind
    code: str | None = None
    until: datetime | None = None


class Remedy(NamedTuple):
    """One change or two, and how many mentors could answer then who cannot now."""

    changes: tuple[Change, ...]
    mentors: int


def apply(case: Case, change: Change) -> Case:
    """Give the case as it is with the change; a change that is there already changes nothing."""
    consent, codes = case.consent or _NOTHING, {change.code} if change.code is not None else set()
    wider: dict[str, dict[str, Any]] = {
        "language": {"languages": case.languages | codes},
        "translation": {"translation": True},
        "either": {"mode": "either"},
        "time": {"answer_due_at": max(case.answer_due_at, change.until or case.answer_due_at)},
        "hours": {"windows": ()},
        "consent": {"consent": replace(consent, scope="general")},
        "country": {"consent": replace(consent, countries=consent.countries | codes)},
    }
    return replace(case, **wider[change.kind])


def changes(case: Case, mentors: Iterable[Mentor], now: datetime, book: Rulebook) -> list[Change]:
    """Give every change that could open one of these mentors, smallest first: only languages and countries of theirs.

    A language counts from the level that the gate asks for, a country if the consent does not reach it.
    """
    mentors = list(mentors)
    spoken = {code for mentor in mentors for code, level in mentor.languages.items() if level in gate.ENOUGH}
    countries = {mentor.country for mentor in mentors if mentor.country is not None}
    beyond = {country for country in countries if not transfer.allows(book.basis, case.consent, case.country, country)}
    is_general = case.consent is not None and case.consent.scope == "general"
    offered: list[tuple[bool, Change]] = [
        *((True, Change("language", code)) for code in sorted(spoken - case.languages)),
        (not case.translation, Change("translation")),
        (case.mode != "either", Change("either")),
        (True, Change("time", until=max(case.answer_due_at, now) + MORE_TIME)),
        (bool(case.windows), Change("hours")),
        (not is_general, Change("consent")),
        *((True, Change("country", code)) for code in sorted(beyond)),
    ]
    return [change for is_change, change in offered if is_change]


def what_would_help(case: Case, excluded: Sequence[Mentor], now: datetime, book: Rulebook) -> list[Remedy]:
    """Give what would open some of those who cannot answer: single changes, then pairs, each the most mentors first.

    A mentor is tried with what is about them alone: few languages are theirs, and one country. With every pair of
    all changes, a thousand mentors abroad and a request in a language that none of them speaks would take a minute.
    """
    possible = changes(case, excluded, now, book)
    hopeful = {mentor.person_id: mentor for mentor in _hopeful(case, possible, excluded, now, book)}
    about = {change: {each.person_id for each in hopeful.values() if _is_about(change, each)} for change in possible}

    def opened_by(tried: Sequence[Change], people: Iterable[UUID]) -> set[UUID]:
        changed, asked = reduce(apply, tried, case), [hopeful[person_id] for person_id in people]
        return {mentor.person_id for mentor in ranking.eligible(changed, asked, now, book)} if asked else set()

    opened = {change: opened_by([change], about[change]) for change in possible}
    left = hopeful.keys() - set().union(*opened.values())
    pairs = []
    for pair in itertools.combinations(changes(case, [hopeful[person_id] for person_id in left], now, book), 2):
        first, second = pair
        of_both = about[first] & about[second]
        if needing_both := opened_by(pair, of_both & left):
            # To whom only one of the two is about, both mean as much as that one.
            by_one = (opened[first] | opened[second]) - of_both
            pairs.append(Remedy(pair, len(by_one | needing_both | opened_by(pair, of_both - left))))
    singles = [Remedy((change,), len(people)) for change, people in opened.items()]
    return [*_most_first(singles), *_most_first(pairs)]


def _is_about(change: Change, mentor: Mentor) -> bool:
    """Tell whether the change can mean anything to the mentor."""
    if change.kind == "language":
        return mentor.languages.get(str(change.code)) in gate.ENOUGH
    return change.kind != "country" or mentor.country == change.code


def _hopeful(
    case: Case, possible: Sequence[Change], excluded: Sequence[Mentor], now: datetime, book: Rulebook
) -> list[Mentor]:
    """Leave out those whom all changes together do not open, so that the many need not be tried with each.

    No change takes a mentor away, but one: the clinician's usual hours in place of windows, which may lie at night.
    """
    within = reduce(apply, (change for change in possible if change.kind != "hours"), case)
    found = ranking.eligible(within, excluded, now, book)
    if not case.windows:
        return found
    at_usual_hours = ranking.eligible(apply(within, Change("hours")), excluded, now, book)
    known = {mentor.person_id for mentor in (*found, *at_usual_hours)}
    return [mentor for mentor in excluded if mentor.person_id in known]


def _most_first(remedies: Iterable[Remedy]) -> list[Remedy]:
    return sorted((remedy for remedy in remedies if remedy.mentors), key=lambda remedy: -remedy.mentors)
