"""Who may consult whom (invariant S1). Every failing rule is named, not only the first.

The same check runs when mentors are matched, asked, held, accepted and booked: inside the transaction each time.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache

from service import vocabulary
from service.rules import case as cases
from service.rules import transfer
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.specialties import Relation
from service.rules.time import availability, cells
from service.rules.time.cells import Frame
from service.rules.time.intervals import Interval

ENOUGH = frozenset(vocabulary.LANGUAGE_LEVELS[2:])
"""The levels at which a language is shared."""
_FAR = frozenset({Relation.ROOT_SIBLING, Relation.NONE})


Refusal = vocabulary.GateRefusal
_NOTHING: frozenset[str] = frozenset()
_PLACE = {rule: place for place, rule in enumerate(Refusal)}


@lru_cache(maxsize=1024)
def in_order(rules: frozenset[Refusal]) -> tuple[Refusal, ...]:
    """Give the rules in the order of `Refusal`."""
    return tuple(sorted(rules, key=_PLACE.__getitem__))


class Gate:
    """The rules as they stand for one case.

    What mentors have in common (their hospital's memoranda, a specialty, a country) is judged once: of a thousand
    mentors few differ in it. Overrides work for `budget_spent`, and for `specialty_too_far` only for a sibling directly
    under an area.
    """

    def __init__(self, case: Case, book: Rulebook, overrides: Collection[str] = _NOTHING) -> None:
        """Prepare the rules for this case; each mentor is judged when asked about."""
        self._case, self._book, self._overrides = case, book, overrides
        self._excluded = case.excluded_mentors | {case.requester_id}
        self._standing: dict[object, frozenset[Refusal]] = {}
        self._relations: dict[frozenset[str], Relation] = {}
        self._fitting: dict[int, list[MemorandumLink]] = {}  # by the identity of the links, as the next two
        self._chosen: dict[tuple[int, datetime], MemorandumLink | None] = {}
        self._unlinked: dict[tuple[int, datetime], frozenset[Refusal]] = {}
        self._kept_alive: list[object] = []  # so that nothing else can have their identity

    def check(
        self, mentor: Mentor, start: datetime | None, now: datetime, *, is_asking: bool = True
    ) -> tuple[Refusal, ...]:
        """Name every rule that refuses a session at `start` (None: written advice, judged now); nothing means yes.

        With `is_asking` off (an offer is out: accept, book, move) the cap on offers and the minimum notice no longer
        count.
        """
        at = now if start is None else start
        failing = {*self._links_refuse(mentor.links, at)}
        failing |= self._standing_refuses(mentor, is_written=start is None)  # translation is enough for advice
        if mentor.verified_until is None or mentor.verified_until <= at:
            failing.add(Refusal.MENTOR_UNVERIFIED)
        if (is_asking and _is_asked_enough(mentor)) or _is_booked_out(mentor, at):
            failing.add(Refusal.MENTOR_FULL)
        if start is None:
            failing |= _written_refuses(self._case, mentor, now)
        else:
            failing |= _time_refuses(self._case, mentor, start, now, self._book, is_asking=is_asking)
        return in_order(frozenset(failing))

    def refuse_ever(self, mentor: Mentor, *, is_asking: bool = True) -> frozenset[Refusal]:
        """Name the rules that refuse a live session with this mentor at any time."""
        refuses = self._standing_refuses(mentor, is_written=False)
        return refuses | {Refusal.MENTOR_FULL} if is_asking and _is_asked_enough(mentor) else refuses

    def stands(self, mentor: Mentor, now: datetime) -> bool:
        """Tell whether a rule refuses the mentor for good: no clock ends it, only a change of a row that leaves a mark.

        Hours, absences, busy time, weekly caps, budgets and notice may end by the clock, so they are not asked here.
        """
        if (
            mentor.verified_until is None
            or mentor.verified_until <= now
            or 0 in (mentor.sessions_cap, mentor.offers_cap)
        ):
            return True
        if self._standing_refuses(mentor, is_written=self._case.mode != "live"):
            return True
        return not any(
            link.status == "active" and (link.valid_until is None or link.valid_until > now)
            for link in self.covering(mentor.links)
        )

    def relation(self, mentor: Mentor) -> Relation:
        """Say how the nearest of the mentor's specialties relates to the one asked for."""
        specialties = mentor.specialties
        relation = self._relations.get(specialties)
        if relation is None:
            relation = self._relations[specialties] = self._book.tree.best(self._case.specialty, specialties)
        return relation

    def covering(self, links: Sequence[MemorandumLink]) -> list[MemorandumLink]:
        """Give the memoranda that cover the specialty and the activity, whatever their time and budget."""
        covering = self._fitting.get(id(links))
        if covering is None:
            covering = self._fitting[id(links)] = [
                link for link in links if self._has_area(link) and self._has_activity(link)
            ]
            self._kept_alive.append(links)
        return covering

    def has_budget(self, link: MemorandumLink) -> bool:
        """Tell whether the session's minutes are left, or the budget is overridden or unlimited."""
        minutes_left = link.minutes_left
        return minutes_left is None or minutes_left >= self._case.minutes or Refusal.BUDGET_SPENT in self._overrides

    def choose_link(self, links: Sequence[MemorandumLink], at: datetime) -> MemorandumLink | None:
        """Give the memorandum under which it happens: the most specific area, then most hours left, then the oldest."""
        key = (id(links), at)
        if key not in self._chosen:
            fitting = [link for link in self.covering(links) if link.is_valid(at) and self.has_budget(link)]
            self._chosen[key] = min(fitting, key=self._preference, default=None)
        return self._chosen[key]

    def _preference(self, link: MemorandumLink) -> tuple[float, float, date, str]:
        steps = self._book.tree.steps(link.areas, self._case.specialty)
        minutes_left = float("inf") if link.minutes_left is None else link.minutes_left
        return (steps if steps is not None else 0, -minutes_left, link.signed_on or date.max, str(link.memorandum_id))

    def _has_area(self, link: MemorandumLink) -> bool:
        return self._book.tree.covers(link.areas, self._case.specialty)

    def _has_activity(self, link: MemorandumLink) -> bool:
        return not link.activities or self._case.activity in link.activities

    def _links_refuse(self, links: Sequence[MemorandumLink], at: datetime) -> frozenset[Refusal]:
        key = (id(links), at)
        refusals = self._unlinked.get(key)
        if refusals is None:
            refusals = self._unlinked[key] = frozenset(self._judge_links(links, at))
            self._kept_alive.append(links)
        return refusals

    def _judge_links(self, links: Sequence[MemorandumLink], at: datetime) -> set[Refusal]:
        valid = [link for link in links if link.is_valid(at)]
        if not valid:
            return {Refusal.NO_MEMORANDUM}
        failing: set[Refusal] = set()
        fitting = [link for link in valid if self._has_area(link)]
        if not fitting:
            failing.add(Refusal.AREA_NOT_COVERED)
        if not any(self._has_activity(link) for link in fitting or valid):
            failing.add(Refusal.ACTIVITY_NOT_COVERED)
        candidates = [link for link in fitting if self._has_activity(link)] or valid
        if not any(self.has_budget(link) for link in candidates):
            failing.add(Refusal.BUDGET_SPENT)
        return failing

    def _standing_refuses(self, mentor: Mentor, *, is_written: bool) -> frozenset[Refusal]:
        refuses = self._shared_refuse(mentor, is_written=is_written)
        return refuses | {Refusal.EXCLUDED} if mentor.person_id in self._excluded else refuses

    def _shared_refuse(self, mentor: Mentor, *, is_written: bool) -> frozenset[Refusal]:
        key = (mentor.specialties, id(mentor.languages), mentor.country, mentor.treats_children, is_written)
        refusals = self._standing.get(key)
        if refusals is None:
            fails = {
                Refusal.SPECIALTY_TOO_FAR: self._is_too_far(mentor),
                Refusal.NO_COMMON_LANGUAGE: self._cannot_talk(mentor, is_written=is_written),
                Refusal.NO_TRANSFER_BASIS: self._cannot_send(mentor),
                Refusal.NO_PAEDIATRICS: self._case.age_band in vocabulary.CHILD_AGE_BANDS
                and not mentor.treats_children,
            }
            refusals = self._standing[key] = frozenset(rule for rule, does_fail in fails.items() if does_fail)
            self._kept_alive.append(mentor.languages)
        return refusals

    def _is_too_far(self, mentor: Mentor) -> bool:
        relation = self.relation(mentor)
        is_overridden = relation is Relation.ROOT_SIBLING and Refusal.SPECIALTY_TOO_FAR in self._overrides
        return relation in _FAR and not is_overridden

    def _cannot_talk(self, mentor: Mentor, *, is_written: bool) -> bool:
        case = self._case
        if case.interpreter or (case.translation and (is_written or case.mode == "written")):
            return False
        return not any(mentor.languages.get(code) in ENOUGH for code in case.languages)

    def _cannot_send(self, mentor: Mentor) -> bool:
        return not transfer.allows(self._book.basis, self._case.consent, self._case.country, mentor.country)


def _is_asked_enough(mentor: Mentor) -> bool:
    return mentor.offers_cap is not None and mentor.offers_7d >= mentor.offers_cap


def _is_booked_out(mentor: Mentor, at: datetime) -> bool:
    if mentor.sessions_cap is None:
        return False
    return mentor.sessions_by_week.get(availability.iso_week(at, mentor.zone), 0) >= mentor.sessions_cap


def _written_refuses(case: Case, mentor: Mentor, now: datetime) -> set[Refusal]:
    failing: set[Refusal] = set()
    if availability.is_away(mentor.hours, (now, now + timedelta(minutes=cells.CELL_MINUTES))):
        failing.add(Refusal.MENTOR_PAUSED)
    if case.answer_due_at <= now:
        failing.add(Refusal.DEADLINE_UNREACHABLE)
    return failing


def _time_refuses(
    case: Case, mentor: Mentor, start: datetime, now: datetime, book: Rulebook, *, is_asking: bool
) -> set[Refusal]:
    failing: set[Refusal] = set()
    during = (start, start + timedelta(minutes=case.minutes))
    if availability.is_away(mentor.hours, during):
        failing.add(Refusal.MENTOR_PAUSED)
    if is_quiet(case, mentor, during):
        failing.add(Refusal.OUTSIDE_HOURS)
    earliest = now + cases.notice(case, mentor, book.policy) if is_asking else now
    if not earliest <= start <= case.answer_due_at:
        failing.add(Refusal.DEADLINE_UNREACHABLE)
    return failing


def is_quiet(case: Case, mentor: Mentor, during: Interval) -> bool:
    """Tell whether the interval touches the mentor's quiet hours and they did not opt in for this priority."""
    if mentor.quiet is None or case.priority in mentor.opt_ins:
        return False
    return _touches(mentor.zone, mentor.quiet, during)


@lru_cache(maxsize=1024)
def _touches(zone: str, quiet: tuple[int, int], during: Interval) -> bool:
    frame = Frame(cells.floor(during[0]), cells.ceil(during[1]) - cells.floor(during[0]))
    return availability.daily_bits(zone, *quiet, frame) != 0
