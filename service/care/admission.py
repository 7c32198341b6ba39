"""The gate, asked inside the transaction of each step: at hold, acceptance, booking and move.

Loads one mentor and one case as they are now, and holds what the answer depends on: a memorandum with a budget is
locked before its minutes are read, so that two bookings cannot spend the same ones.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service import tables
from service.care import candidates
from service.kernel import errors
from service.kernel.work import Work
from service.registry import agreements
from service.rules.case import Case, Link, Mentor, Rulebook
from service.rules.matching import gate, ranking
from service.rules.matching.gate import Refusal
from service.rules.time import intervals

MOST_STARTS = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """One mentor and one case as the gate sees them now."""

    asked: Case
    mentor: Mentor
    book: Rulebook


async def facts(
    w: Work,
    consultation: tables.Consultation,
    mentor_id: UUID,
    *,
    but_appointment: UUID | None = None,
    at: datetime | None = None,
) -> Facts:
    """Load what the gate needs about this mentor, for a time around `at`; raises NotFound for somebody who is none."""
    asked = await candidates.case(w, consultation, but_appointment=but_appointment)
    found = await candidates.mentors(w, consultation, [mentor_id], but_appointment=but_appointment, at=at)
    if not found:
        raise errors.NotFound
    return Facts(asked, found[0], await candidates.rulebook(w, consultation.programme_id))


def gate_at(
    w: Work,
    known: Facts,
    start: datetime | None,
    overrides: Collection[str] = (),
    *,
    waived: Collection[str] = (),
    is_asking: bool,
) -> Link:
    """Give the memorandum the session runs under, or raise GateRefused with every failing rule."""
    rules = gate.Gate(known.asked, known.book, overrides)
    refused = rules.check(known.mentor, start, w.now, is_asking=is_asking)
    reasons = [rule.value for rule in refused if rule not in waived]
    link = rules.choose_link(known.mentor.links, start or w.now)
    if reasons or link is None:
        raise errors.GateRefused(reasons or [Refusal.NO_MEMORANDUM.value])
    return link


async def gate_with_budget(
    w: Work,
    consultation: tables.Consultation,
    offer: tables.Offer,
    start: datetime | None,
    *,
    waived: Collection[str] = (),
    but_appointment: UUID | None = None,
) -> Link:
    """As `_gate`, and no other booking can spend the same minutes: a memorandum with a budget is locked, then read."""
    overrides = [offer.override_rule] if offer.override_rule else []
    locked: UUID | None = None
    while True:
        known = await facts(w, consultation, offer.mentor_id, but_appointment=but_appointment, at=start)
        link = gate_at(w, known, start, overrides, waived=waived, is_asking=False)
        # What was chosen at the offer stays as long as it still holds.
        chosen = [
            k for k in known.mentor.links if k.memorandum_id == offer.memorandum_id and k.is_valid(start or w.now)
        ]
        rules = gate.Gate(known.asked, known.book, overrides)
        fitting = [k for k in rules.covering(chosen) if rules.has_budget(k)]
        link = fitting[0] if fitting else link
        if link.minutes_left is None or link.memorandum_id == locked:
            return link
        await agreements.lock_budget(w, link.memorandum_id)
        locked = link.memorandum_id


async def must_be_bookable(
    w: Work, consultation: tables.Consultation, mentor_id: UUID, starts_at: datetime, own: tables.Appointment | None
) -> None:
    """Go on only if the time is bookable for both, `own` left aside; raises SlotTaken or TimeNotBookable."""
    known = await facts(w, consultation, mentor_id, but_appointment=own.id if own else None)
    bookable = ranking.propose(known.asked, known.mentor, w.now, known.book, is_asking=False)
    if starts_at not in bookable:
        if _is_taken(known, starts_at):
            raise errors.SlotTaken(bookable[:MOST_STARTS])
        raise errors.TimeNotBookable("/starts_at", "not one of the offered times, and not a bookable one")


def _is_taken(known: Facts, starts_at: datetime) -> bool:
    """Tell it from the facts that `propose` saw: what another look at the seats finds may be a moment newer."""
    ends_at = starts_at + timedelta(minutes=known.asked.minutes)
    sides = ((known.asked.busy, known.asked.buffer_minutes), (known.mentor.busy, known.mentor.buffer_minutes))
    return any(
        intervals.overlaps((starts_at, ends_at + timedelta(minutes=buffer)), taken)
        for busy, buffer in sides
        for taken in busy
    )
