"""The gate, asked inside the transaction of each step: at hold, acceptance, booking and move.

The facts about one mentor and one case are loaded once a step, after everybody in it is locked. A memorandum with a
budget is locked too before its minutes are read, so that two bookings cannot spend the same minutes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from service import tables
from service.care import candidates
from service.care.casefile import CaseFile
from service.kernel import errors
from service.registry import agreements
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.matching import gate, ranking
from service.rules.matching.gate import Refusal
from service.rules.time import intervals

MOST_STARTS = 3


@dataclass(frozen=True, slots=True)
class GateFacts:
    """One mentor and one case as the gate sees them now."""

    now: datetime
    case: Case
    mentor: Mentor
    book: Rulebook

    def bookable(self, overrides: Collection[str] = (), *, is_asking: bool = False) -> Sequence[datetime]:
        """Give the starts that both could take."""
        return ranking.propose(self.case, self.mentor, self.now, self.book, overrides, is_asking=is_asking)


async def facts(
    case: CaseFile, mentor_id: UUID, *, start: datetime | None = None, minutes_at: datetime | None = None
) -> GateFacts:
    """Load what the gate needs about this mentor; raises NotFound if they are no mentor.

    Both sides' busy time is there beyond `start`. The minutes left are those of the budget period of `minutes_at`, or
    now. What the case's own appointment occupies counts as free.
    """
    own = case.appointment_id
    gate_case = await candidates.case(case.w, case.consultation, but_appointment=own, start=start)
    mentors = await candidates.mentors(case.w, case.consultation, [mentor_id], but_appointment=own, at=minutes_at)
    if not mentors:
        raise errors.NotFound
    consultation = case.consultation
    book = await candidates.rulebook(case.w, consultation.programme_id, consultation.opened_at)
    return GateFacts(case.w.now, gate_case, mentors[0], book)


def admit(
    facts: GateFacts,
    start: datetime | None,
    overrides: Collection[str] = (),
    *,
    waived: Collection[str] = (),
    is_asking: bool = False,
) -> MemorandumLink:
    """Give the memorandum the session runs under, or raise GateRefused with every failing rule."""
    rules = gate.Gate(facts.case, facts.book, overrides)
    refused = rules.check(facts.mentor, start, facts.now, is_asking=is_asking)
    reasons = [rule.value for rule in refused if rule not in waived]
    link = rules.choose_link(facts.mentor.links, start or facts.now)
    if reasons or link is None:
        raise errors.GateRefused(reasons or [Refusal.NO_MEMORANDUM.value])
    return link


async def admit_with_budget(
    case: CaseFile, facts: GateFacts, offer: tables.Offer, start: datetime | None, waived: Collection[str] = ()
) -> MemorandumLink:
    """As `admit`, and no other booking can spend the same minutes: a memorandum with a budget is locked, then read.

    A budget is that of the period in which the session starts. The memorandum that was chosen at the offer stays as
    long as it still holds.
    """
    overrides = [offer.override_rule] if offer.override_rule else []
    locked: UUID | None = None
    while True:
        if any(link.minutes_left is not None for link in facts.mentor.links):
            facts = await _with_minutes_of(case, facts, start)
        link = admit(facts, start, overrides, waived=waived)
        chosen = [
            candidate
            for candidate in facts.mentor.links
            if candidate.memorandum_id == offer.memorandum_id and candidate.is_valid(start or facts.now)
        ]
        rules = gate.Gate(facts.case, facts.book, overrides)
        link = next((candidate for candidate in rules.covering(chosen) if rules.has_budget(candidate)), link)
        if link.minutes_left is None or link.memorandum_id == locked:
            return link
        await agreements.lock_budget(case.w, link.memorandum_id)
        locked = link.memorandum_id


async def _with_minutes_of(case: CaseFile, facts: GateFacts, start: datetime | None) -> GateFacts:
    institution_id = facts.mentor.institution_id
    links = await candidates.memorandum_links(
        case.w, case.consultation, {institution_id}, but_appointment=case.appointment_id, at=start
    )
    return replace(facts, mentor=facts.mentor._replace(links=links.get(institution_id, ())))


def must_be_free(facts: GateFacts, start: datetime, proposed: Sequence[datetime] = ()) -> None:
    """Go on only if neither side is occupied at the time.

    Raises SlotTaken with times that can be taken instead: of those that are `proposed`, or else what is bookable.
    """
    if _is_taken(facts, start):
        free = [other for other in proposed if other > facts.now and not _is_taken(facts, other)]
        raise errors.SlotTaken(free or facts.bookable()[:MOST_STARTS])


def must_be_bookable(facts: GateFacts, start: datetime) -> None:
    """Go on only if the time is bookable for both; raises SlotTaken or TimeNotBookable."""
    if start not in facts.bookable():
        must_be_free(facts, start)
        raise errors.TimeNotBookable("/starts_at", "not one of the offered times, and not a bookable one")


def _is_taken(facts: GateFacts, start: datetime) -> bool:
    end = start + timedelta(minutes=facts.case.minutes)
    sides = ((facts.case.busy, facts.case.buffer_minutes), (facts.mentor.busy, facts.mentor.buffer_minutes))
    return any(
        intervals.overlaps((start, end + timedelta(minutes=buffer)), interval)
        for busy, buffer in sides
        for interval in busy
    )
