"""The terms of a mentor's score (invariant S3), each in 0..1: coordinators trust what they can read."""

import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from service import vocabulary
from service.rules.case import Case, MemorandumLink, Mentor
from service.rules.specialties import Relation
from service.rules.time import availability

_SPECIALTY = {
    Relation.EXACT: 1.0,
    Relation.NARROWER: 0.95,
    Relation.BROADER: 0.6,
    Relation.SECOND_PARENT: 0.5,
    Relation.SIBLING: 0.25,
    Relation.ROOT_SIBLING: 0.25,  # chosen by hand only
    Relation.NONE: 0.0,
}
_CONTINUITY: Mapping[vocabulary.Continuity | None, float] = {"case": 1.0, "clinician": 0.6, "hospital": 0.3, None: 0.0}
_LANGUAGE: Mapping[vocabulary.LanguageLevel, float] = {
    "native": 1.0,
    "C2": 1.0,
    "C1": 1.0,
    "B2": 0.8,
    "B1": 0.5,
    "A2": 0.0,
    "A1": 0.0,
}
_INTERPRETER, _TRANSLATION = 0.4, 0.3
_ROUTE: Mapping[str, float] = {"direct": 1.0, "network": 0.9, "umbrella": 0.8}
_POWER: Mapping[vocabulary.Power, float] = {
    "firm_outage": 0.0,
    "possible": 0.7,
    "unknown": 0.7,
    "autonomous": 1.0,
    "no_feed": 1.0,
}
CIVIL = ((1.0, 9, 18), (0.7, 8, 19), (0.4, 7, 21))
"""How civil an hour is by somebody's clock: (share, from hour, until hour); each stretch lies within the next."""
_COUNTS_AS_CIVIL = 0.7
LOAD_OFFERS = 6
"""With so many offers in half a year more than who had the fewest, a load term has fallen to 1/e (decision 0106)."""
_CIVIL = {hour: share for share, since, until in reversed(CIVIL) for hour in range(since, until)}


@lru_cache(maxsize=4096)
def _civil(start: datetime, zone: str) -> float:
    return _CIVIL.get(availability.local_hour(start, zone), 0.0)


def civil_hours(start: datetime, one_zone: str, other_zone: str) -> float:
    """Say how civil the hour is for the side that is worse off."""
    return min(_civil(start, one_zone), _civil(start, other_zone))


def is_civil(start: datetime, zone: str) -> bool:
    """Tell whether reports count the hour as civil for somebody in the zone: from 08 to 19."""
    return _civil(start, zone) >= _COUNTS_AS_CIVIL


def speed(now: datetime, earliest: datetime, due_at: datetime) -> float:
    """Say how much of the time until the answer is due remains after the wait."""
    if due_at <= now:
        return 0.0
    return min(1.0, max(0.0, 1 - (earliest - now) / (due_at - now)))


def reliability(mentor: Mentor) -> float:
    """Say how often the mentor answers in time; a late answer counts as half of one, a newcomer as one half."""
    return min(1.0, (answered(mentor) + 1) / (mentor.offers_180d + 2))


def answered(mentor: Mentor) -> float:
    """Give how many offers of half a year the mentor has answered, late ones counting half."""
    return mentor.answered_in_time_180d + mentor.answered_late_180d / 2


def load(mentor: Mentor, week: tuple[int, int], least_asked: int) -> float:
    """Say how free the mentor is in that ISO week of theirs, and how little more they were asked in half a year.

    Counted from `least_asked`, the offers of the candidate who had the fewest (decision 0112).
    """
    room = 1.0
    if mentor.sessions_cap:
        room = max(0.0, 1 - mentor.sessions_by_week.get(week, 0) / mentor.sessions_cap)
    return room * math.exp((least_asked - mentor.asked_180d) / LOAD_OFFERS)


def language(case: Case, mentor: Mentor, *, is_live: bool) -> float:
    """Say how well both can talk or write to each other."""
    levels = (mentor.languages.get(code) for code in case.languages)
    shared = max([_LANGUAGE[level] for level in levels if level], default=0.0)
    with_interpreter = _INTERPRETER if case.interpreter else 0.0
    with_translation = _TRANSLATION if case.translation and not is_live else 0.0
    return max(shared, with_interpreter, with_translation)


def memorandum(case: Case, link: MemorandumLink) -> float:
    """Say how direct the memorandum is, and whether hours for two such sessions are left."""
    budget_share = 1.0 if link.minutes_left is None else min(1.0, max(0, link.minutes_left) / (2 * case.minutes))
    return _ROUTE[link.route] * budget_share


class _Moment(NamedTuple):
    """What an instant means to a case and a mentor's zone."""

    speed: float
    civil: float
    week: tuple[int, int]  # the ISO week there


class Score:
    """The terms as they stand for one case; what mentors have in common is worked out once, as in `gate.Gate`."""

    def __init__(self, case: Case, now: datetime) -> None:
        """Score for this case, at this instant; the mentors that are scored must stay alive as long as this."""
        self._case, self._now = case, now
        self._moments: dict[tuple[datetime, str], _Moment] = {}
        self._languages: dict[tuple[int, bool], float] = {}  # by identity, as are the memoranda
        self._memoranda: dict[int, float] = {}

    def terms(
        self,
        mentor: Mentor,
        link: MemorandumLink,
        relation: Relation,
        earliest: datetime,
        most_used: int,
        least_asked: int,
        *,
        is_live: bool,
    ) -> dict[str, float]:
        """Give every term by name, in the order of `vocabulary.SCORE_TERMS`.

        `relation` is that of the mentor's nearest specialty, `most_used` the sessions in 90 d of the most used eligible
        institution, `least_asked` the offers in 180 d of the eligible mentor who had the fewest.
        """
        case = self._case
        moment = self._moments.get((earliest, mentor.zone)) or self._moment(earliest, mentor.zone)
        language_score = self._languages.get((id(mentor.languages), is_live))
        if language_score is None:
            language_score = language(case, mentor, is_live=is_live)
            self._languages[id(mentor.languages), is_live] = language_score
        memorandum_score = self._memoranda.get(id(link))
        if memorandum_score is None:
            memorandum_score = self._memoranda[id(link)] = memorandum(case, link)
        knows_case = mentor.person_id in case.case_mentor_ids
        return {
            "specialty": _SPECIALTY[relation],
            "speed": moment.speed,
            "reliability": reliability(mentor),
            "load": load(mentor, moment.week, least_asked),
            "continuity": 1.0 if knows_case else _CONTINUITY[mentor.continuity],
            "civil_hours": moment.civil if is_live else 1.0,
            "language": language_score,
            "memorandum": memorandum_score,
            "power_and_link": _POWER[mentor.power],
            "tags": len(case.tags & mentor.tags) / len(case.tags) if case.tags else 1.0,
            "diversity": 1 - mentor.institution_sessions_90d / most_used if most_used else 1.0,
        }

    def _moment(self, earliest: datetime, zone: str) -> _Moment:
        moment = self._moments[earliest, zone] = _Moment(
            speed(self._now, earliest, self._case.answer_due_at),
            civil_hours(earliest, self._case.zone, zone),
            availability.iso_week(earliest, zone),
        )
        return moment
