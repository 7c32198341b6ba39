"""Who may consult whom (domain §3). Every failing rule is named, not only the first.

The same check runs when mentors are matched, asked, held, accepted and booked: inside the transaction each time.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from service.rules import availability, case, cells, transfer
from service.rules.case import Case, Link, Mentor, Rulebook
from service.rules.cells import Frame
from service.rules.intervals import Interval
from service.rules.specialties import Relation

CHILDREN = frozenset({"neonate", "infant", "child", "adolescent"})
AGE_BANDS = ("neonate", "infant", "child", "adolescent", "adult", "older")
LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2", "native")
_ENOUGH = frozenset(LEVELS[2:])
_FAR = frozenset({Relation.ROOT_SIBLING, Relation.NONE})


class Refusal(StrEnum):
    """The rules, in the order in which they are told."""

    NO_MEMORANDUM = "no_memorandum"
    AREA_NOT_COVERED = "area_not_covered"
    ACTIVITY_NOT_COVERED = "activity_not_covered"
    SPECIALTY_TOO_FAR = "specialty_too_far"
    MENTOR_UNVERIFIED = "mentor_unverified"
    MENTOR_PAUSED = "mentor_paused"
    NO_COMMON_LANGUAGE = "no_common_language"
    NO_TRANSFER_BASIS = "no_transfer_basis"
    BUDGET_SPENT = "budget_spent"
    MENTOR_FULL = "mentor_full"
    OUTSIDE_HOURS = "outside_hours"
    DEADLINE_UNREACHABLE = "deadline_unreachable"
    EXCLUDED = "excluded"
    NO_PAEDIATRICS = "no_paediatrics"


_NOTHING: frozenset[str] = frozenset()
_PLACE = {rule: place for place, rule in enumerate(Refusal)}


def in_order(rules: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Give the rules in the order in which they are told."""
    return tuple(sorted(rules, key=_PLACE.__getitem__))


def check(
    asked: Case,
    mentor: Mentor,
    start: datetime | None,
    now: datetime,
    book: Rulebook,
    overrides: Collection[str] = _NOTHING,
    *,
    is_asking: bool = True,
) -> tuple[Refusal, ...]:
    """Name every rule that refuses a session at `start` (None: written advice, judged now); nothing means yes.

    Overrides work for `budget_spent`, and for `specialty_too_far` only for a sibling directly under an area. With
    `is_asking` off (an offer is out: accept, book, move) the cap on offers and the minimum notice no longer count.
    """
    if start is None and asked.mode != "written":  # advice in place of a call: translation is enough
        asked = replace(asked, mode="written")
    at = now if start is None else start
    failing = _links_refuse(asked, mentor, at, book, overrides)
    failing.update(rule for rule, fails in _STANDING if fails(asked, mentor, book, overrides))
    if mentor.verified_until is None or mentor.verified_until <= at:
        failing.add(Refusal.MENTOR_UNVERIFIED)
    if (is_asking and _is_asked_enough(mentor)) or _is_booked_out(mentor, at):
        failing.add(Refusal.MENTOR_FULL)
    if start is None:
        failing |= _written_refuses(asked, mentor, now)
    else:
        failing |= _time_refuses(asked, mentor, start, now, book, is_asking=is_asking)
    return in_order(failing)


def may_ever(
    asked: Case, mentor: Mentor, book: Rulebook, overrides: Collection[str] = _NOTHING, *, is_asking: bool = True
) -> bool:
    """Tell whether every rule that does not depend on the session's time says yes to this mentor."""
    if is_asking and _is_asked_enough(mentor):
        return False
    return not any(fails(asked, mentor, book, overrides) for _, fails in _STANDING)


def covering(asked: Case, links: Collection[Link], book: Rulebook) -> list[Link]:
    """Give the memoranda that cover the specialty and the activity, whatever their time and budget."""
    return [link for link in links if _has_area(asked, link, book) and _has_activity(asked, link)]


def has_budget(asked: Case, link: Link, overrides: Collection[str] = _NOTHING) -> bool:
    """Tell whether the session's minutes are left, or the budget is overridden or unlimited."""
    return link.minutes_left is None or link.minutes_left >= asked.minutes or Refusal.BUDGET_SPENT in overrides


def choose_link(
    asked: Case, mentor: Mentor, at: datetime, book: Rulebook, overrides: Collection[str] = _NOTHING
) -> Link | None:
    """Give the memorandum under which it happens: the most specific area, then most hours left, then the oldest."""
    valid = [link for link in mentor.links if link.is_valid(at) and has_budget(asked, link, overrides)]
    fitting = covering(asked, valid, book)
    if len(fitting) == 1:
        return fitting[0]
    return min(fitting, key=lambda link: _preference(asked, link, book), default=None)


def _preference(asked: Case, link: Link, book: Rulebook) -> tuple[float, float, date, str]:
    steps = book.tree.steps(link.areas, asked.specialty)
    left = float("inf") if link.minutes_left is None else link.minutes_left
    return (steps if steps is not None else 0, -left, link.signed_on or date.max, str(link.memorandum_id))


def _has_area(asked: Case, link: Link, book: Rulebook) -> bool:
    return book.tree.covers(link.areas, asked.specialty)


def _has_activity(asked: Case, link: Link) -> bool:
    return not link.activities or asked.activity in link.activities


def _links_refuse(
    asked: Case, mentor: Mentor, at: datetime, book: Rulebook, overrides: Collection[str]
) -> set[Refusal]:
    valid = [link for link in mentor.links if link.is_valid(at)]
    if not valid:
        return {Refusal.NO_MEMORANDUM}
    failing: set[Refusal] = set()
    fitting = [link for link in valid if _has_area(asked, link, book)]
    if not fitting:
        failing.add(Refusal.AREA_NOT_COVERED)
    if not any(_has_activity(asked, link) for link in fitting or valid):
        failing.add(Refusal.ACTIVITY_NOT_COVERED)
    candidates = covering(asked, valid, book) or valid
    if not any(has_budget(asked, link, overrides) for link in candidates):
        failing.add(Refusal.BUDGET_SPENT)
    return failing


def _is_too_far(asked: Case, mentor: Mentor, book: Rulebook, overrides: Collection[str]) -> bool:
    relation = book.tree.best(asked.specialty, mentor.specialties)
    by_hand = relation is Relation.ROOT_SIBLING and Refusal.SPECIALTY_TOO_FAR in overrides
    return relation in _FAR and not by_hand


def _cannot_talk(asked: Case, mentor: Mentor, _book: Rulebook, _overrides: Collection[str]) -> bool:
    if asked.interpreter or (asked.mode == "written" and asked.translation):
        return False
    return not any(mentor.languages.get(code) in _ENOUGH for code in asked.languages)


def _cannot_send(asked: Case, mentor: Mentor, book: Rulebook, _overrides: Collection[str]) -> bool:
    return not transfer.allows(book.basis, asked.consent, asked.country, mentor.country)


def _is_excluded(asked: Case, mentor: Mentor, _book: Rulebook, _overrides: Collection[str]) -> bool:
    return mentor.person_id in asked.excluded_mentors or mentor.person_id == asked.requester_id


def _treats_no_children(asked: Case, mentor: Mentor, _book: Rulebook, _overrides: Collection[str]) -> bool:
    return asked.age_band in CHILDREN and not mentor.treats_children


_STANDING: tuple[tuple[Refusal, Callable[[Case, Mentor, Rulebook, Collection[str]], bool]], ...] = (
    (Refusal.SPECIALTY_TOO_FAR, _is_too_far),
    (Refusal.NO_COMMON_LANGUAGE, _cannot_talk),
    (Refusal.NO_TRANSFER_BASIS, _cannot_send),
    (Refusal.EXCLUDED, _is_excluded),
    (Refusal.NO_PAEDIATRICS, _treats_no_children),
)


def _is_asked_enough(mentor: Mentor) -> bool:
    return mentor.offers_cap is not None and mentor.offers_7d >= mentor.offers_cap


def _is_booked_out(mentor: Mentor, at: datetime) -> bool:
    if mentor.sessions_cap is None:
        return False
    return mentor.sessions_by_week.get(availability.iso_week(at, mentor.zone), 0) >= mentor.sessions_cap


def _written_refuses(asked: Case, mentor: Mentor, now: datetime) -> set[Refusal]:
    failing: set[Refusal] = set()
    if availability.is_away(mentor.hours, (now, now + timedelta(minutes=cells.CELL_MINUTES))):
        failing.add(Refusal.MENTOR_PAUSED)
    if asked.answer_due_at <= now:
        failing.add(Refusal.DEADLINE_UNREACHABLE)
    return failing


def _time_refuses(
    asked: Case, mentor: Mentor, start: datetime, now: datetime, book: Rulebook, *, is_asking: bool
) -> set[Refusal]:
    failing: set[Refusal] = set()
    during = (start, start + timedelta(minutes=asked.minutes))
    if availability.is_away(mentor.hours, during):
        failing.add(Refusal.MENTOR_PAUSED)
    if is_quiet(asked, mentor, during):
        failing.add(Refusal.OUTSIDE_HOURS)
    earliest = now + case.notice(asked, mentor, book.policy) if is_asking else now
    if not earliest <= start <= asked.answer_due_at:
        failing.add(Refusal.DEADLINE_UNREACHABLE)
    return failing


def is_quiet(asked: Case, mentor: Mentor, during: Interval) -> bool:
    """Tell whether the interval touches the mentor's quiet hours and they did not opt in for this priority."""
    if mentor.quiet is None or asked.priority in mentor.opt_ins:
        return False
    frame = Frame(cells.floor(during[0]), cells.ceil(during[1]) - cells.floor(during[0]))
    return availability.daily_bits(mentor.zone, *mentor.quiet, frame) != 0
