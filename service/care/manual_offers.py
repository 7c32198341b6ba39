"""A coordinator asks a mentor of their choice, or holds a time while asking.

The gate holds as it does for waves. Lock order: consultation, offers, people, memorandum (architecture).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from service import tables
from service.care import admission, bookings, candidates, offers
from service.kernel import access, audit, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import notices
from service.rules import lifecycle
from service.rules.matching import ranking
from service.rules.matching.gate import Refusal


async def _open(w: Work, consultation_id: UUID) -> tuple[tables.Consultation, list[tables.Offer]]:
    """Lock the case and its offers, for the requesting side's coordinator only."""
    seen = await access.visible_consultation(w, consultation_id)
    access.requires_at(w, seen.institution_id, "coordinator")
    return await bookings.lock_consultation(w, consultation_id), await offers.of_consultation(w, consultation_id)


async def choose(
    w: Work,
    consultation_id: UUID,
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None,
    confirmed: Collection[ConfirmedSpan] = (),
) -> tables.Offer:
    """The requesting side's coordinator asks this mentor; the gate holds, but for the rule overridden with a reason."""
    consultation, all_offers = await _open(w, consultation_id)
    if override:
        deidentification.check(w, {"override/reason": override[1]}, confirmed)
    offer = await _ask_by_hand(w, consultation, all_offers, mentor_id, starts, override)
    if override:
        audit.record(w, "override_rule", "offer", offer.id, rule=override[0])
    return offer


async def _ask_by_hand(
    w: Work,
    consultation: tables.Consultation,
    all_offers: Sequence[tables.Offer],
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None,
    until: datetime | None = None,
) -> tables.Offer:
    if consultation.state == "scheduled" and consultation.advice_due_at and consultation.advice_due_at <= w.now:
        await offers.reopen(w, consultation, all_offers)
    if consultation.state not in {*lifecycle.SEEKING, "scheduled"} or consultation.advice_due_at:
        raise errors.IllegalTransition("consultation", consultation.state, "offered")
    own = await bookings.live(w, consultation.id)
    await w.lock_people([mentor_id])  # so that their offers of the week are all in sight
    known = await admission.facts(w, consultation, mentor_id, but_appointment=own.id if own else None)
    overrides = [override[0]] if override else []
    free = ranking.propose(known.asked, known.mentor, w.now, known.book, overrides)
    answer_by = offers.deadline(
        w, consultation.priority, known.asked.answer_due_at, known.mentor, known.book, knows_case=False
    )
    picked = ranking.pick_answerable(free, w.now, answer_by, known.asked.zone, known.mentor.zone)
    chosen = tuple(starts) if starts else picked
    is_live = consultation.mode != "written" and bool(chosen)
    if not is_live and consultation.mode == "live":
        raise errors.GateRefused(_why_never(w, known, overrides))
    links = [
        admission.gate_at(w, known, start, overrides, is_asking=True) for start in (chosen if is_live else (None,))
    ]
    if starts and not set(starts) <= set(free):
        raise errors.TimeNotBookable("/starts", "one of these times is not bookable")
    candidate = ranking.Candidate(
        mentor=known.mentor,
        score=0.0,
        terms={},
        link=links[0],
        is_live=is_live,
        knows_case=False,
        earliest=chosen[0] if is_live else w.now,
        starts=chosen,
    )
    consultation.waves += 1
    offer = await offers.send(w, consultation, candidate, known.book, override, until)
    if consultation.state != "scheduled":
        consultation.next_wave_at = max(offer.answer_by, consultation.next_wave_at or offer.answer_by)
        offers.become_offered(w, consultation, offer.memorandum_id)
    return offer


async def hold(w: Work, consultation_id: UUID, mentor_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The requesting side's coordinator holds a bookable time, and asks the mentor for it if nobody has yet.

    Until the hold ends, at the latest when what is held begins, the mentor's offer can take it (decision 0022).
    """
    consultation, all_offers = await _open(w, consultation_id)
    if consultation.state not in lifecycle.SEEKING or consultation.mode == "written":
        raise errors.IllegalTransition("consultation", consultation.state, "held")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    held = await bookings.live(w, consultation.id)
    if held and held.held_until and held.held_until > w.now:
        raise errors.Exists("A time is held for this consultation: release it first.", held.id)
    await bookings.lock_everybody(w, consultation, held, mentor_id)
    if held:
        await bookings.release(w, consultation, held, "hold_expired")
    await admission.must_be_bookable(w, consultation, mentor_id, starts_at, None)
    book = await candidates.rulebook(w, consultation.programme_id)
    until = min(w.now + book.policy.hold, starts_at)
    offer = await _ask_for(w, consultation, all_offers, mentor_id, starts_at, until)
    link = await admission.gate_with_budget(w, consultation, offer, starts_at)
    appointment = await bookings.create(
        w,
        consultation,
        mentor_id=mentor_id,
        mentor_institution_id=offer.institution_id,
        offer=None,
        link=link,
        starts_at=starts_at,
        held_until=until,
    )
    await bookings.tell(w, "appointment.held", consultation, appointment)
    await notices.invited(w, "held", consultation, appointment)
    return appointment


async def _ask_for(
    w: Work,
    consultation: tables.Consultation,
    all_offers: Sequence[tables.Offer],
    mentor_id: UUID,
    starts_at: datetime,
    until: datetime,
) -> tables.Offer:
    """Have an open offer by which the mentor can take this time until then; they are told of what is new in it."""
    offer = next((offer for offer in all_offers if offer.mentor_id == mentor_id and offer.state == "pending"), None)
    if offer and offer.answer_by <= w.now:  # over, whether or not the sweep has run
        await offers.lapsed(w, consultation, offer)
        offer = None
    if offer is None:
        return await _ask_by_hand(w, consultation, all_offers, mentor_id, [starts_at], None, until)
    if starts_at in offer.starts and until <= offer.answer_by:
        return offer
    before = offer.answer_by
    offer.kind = "either" if offer.kind == "written" else offer.kind
    offer.starts = sorted({*(start for start in offer.starts if start > w.now), starts_at})
    offer.answer_by = max(before, until)
    w.touch(offer)
    await notices.offer_widened(w, consultation, offer, before)
    return offer


def _why_never(w: Work, known: admission.Facts, overrides: Collection[str]) -> list[str]:
    """Say why no time at all can be proposed: what refuses the mentor in a ranking, or that time is too short."""
    ranked = ranking.rank(known.asked, [known.mentor], w.now, known.book, limit=0)
    found = [rule.value for _, rules in ranked.excluded for rule in rules if rule not in overrides]
    return found or [Refusal.DEADLINE_UNREACHABLE.value]
