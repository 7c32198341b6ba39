"""The plain values that the gate and the matching read: a consultation, a mentor, the memoranda between them.

The verbs load them with as few queries as they can; nothing here knows a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from service import vocabulary
from service.rules.policy import Policy
from service.rules.specialties import Tree
from service.rules.time.availability import Hours
from service.rules.time.intervals import Interval
from service.rules.transfer import Consent, TransferBasis

QUIET_HOURS = (22 * 60, 7 * 60)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What a programme decides by: its numbers, its specialties, the countries that case text may reach."""

    policy: Policy
    tree: Tree
    basis: TransferBasis


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A consultation as the gate sees it; nothing of the patient but the age band."""

    consultation_id: UUID
    requester_id: UUID
    institution_id: UUID
    country: str | None
    zone: str  # the clinician's own
    specialty: str
    priority: str
    mode: str  # live | written | either
    languages: frozenset[str]
    minutes: int
    opened_at: datetime
    answer_due_at: datetime
    age_band: str = "adult"
    activity: str = "teleconsultation"
    tags: frozenset[str] = frozenset()
    translation: bool = False
    interpreter: bool = False
    windows: tuple[Interval, ...] = ()  # none given: 07-21 in the clinician's zone, any hour for stat
    busy: tuple[Interval, ...] = ()  # the clinician's, buffers included
    buffer_minutes: int = 0  # the clinician's
    consent: Consent | None = None
    excluded_mentors: frozenset[UUID] = frozenset()  # by either side
    case_mentor_ids: frozenset[UUID] = frozenset()  # who know this case already


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorandumLink:
    """One memorandum by which the two institutions are parties on different sides, of whatever status."""

    memorandum_id: UUID
    route: str = "direct"
    status: str = "active"
    valid_from: datetime | None = None
    valid_until: datetime | None = None  # exclusive
    areas: frozenset[str] = frozenset()  # none: all
    activities: frozenset[str] = frozenset()  # none: all
    minutes_left: int | None = None  # None: no budget
    signed_on: date | None = None

    def is_valid(self, at: datetime) -> bool:
        """Tell whether it is active and in force at the instant."""
        return (
            self.status == "active"
            and (self.valid_from is None or self.valid_from <= at)
            and (self.valid_until is None or at < self.valid_until)
        )


class Mentor(NamedTuple):
    """A mentor as the gate and the score see them: first the standing facts, then those that depend on case and time.

    A tuple and no dataclass: a ranking makes one for each of a thousand mentors.
    """

    person_id: UUID
    institution_id: UUID
    country: str | None
    zone: str
    specialties: frozenset[str]
    languages: Mapping[str, vocabulary.LanguageLevel]
    hours: Hours
    verified_until: datetime | None = None  # None: not verified
    tags: frozenset[str] = frozenset()
    treats_children: bool = False
    opt_ins: frozenset[str] = frozenset()  # priorities for which quiet hours do not count
    quiet: tuple[int, int] | None = QUIET_HOURS  # minutes of the day in the mentor's zone
    notice_minutes: int = 0
    buffer_minutes: int = 10
    working_weekdays: tuple[int, ...] = ()  # of the institution, 0 is Monday; none: every day
    sessions_cap: int | None = None  # a week
    offers_cap: int | None = None  # a week
    sessions_by_week: Mapping[tuple[int, int], int] = MappingProxyType({})  # by ISO week in the mentor's zone
    busy: tuple[Interval, ...] = ()  # buffers included
    links: tuple[MemorandumLink, ...] = ()
    offers_7d: int = 0  # for other consultations
    offers_30d: int = 0
    asked_180d: int = 0  # for other consultations, whatever became of it
    offers_180d: int = 0  # that ended by an answer or by their time
    answered_in_time_180d: int = 0
    answered_late_180d: int = 0
    continuity: vocabulary.Continuity | None = None
    institution_sessions_90d: int = 0
    power: vocabulary.Power = "no_feed"


def knows_case(case: Case, mentor: Mentor) -> bool:
    """Tell whether the mentor has had this case before: asked first, with half the usual time."""
    return mentor.continuity == "case" or mentor.person_id in case.case_mentor_ids


def notice(case: Case, mentor: Mentor, policy: Policy) -> timedelta:
    """Give the minimum notice before a session; the mentor's own counts for routine only."""
    least = policy.pace(case.priority).minimum_notice
    return max(least, timedelta(minutes=mentor.notice_minutes)) if case.priority == "routine" else least
