"""A coordinator asks a mentor of their choice, or holds a time while asking.

The gate holds as it does for waves. Lock order: consultation, offers, people, memorandum (architecture).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from service import tables
from service.care import admission, bookings, casefile, decisions, offers
from service.care.admission import GateFacts
from service.care.casefile import CaseFile
from service.kernel import access, audit, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import notices
from service.rules import lifecycle
from service.rules.matching import ranking, waves
from service.rules.matching.gate import Refusal


async def _open(w: Work, consultation_id: UUID) -> CaseFile:
    """Open the case for the requesting side's coordinator only."""
    consultation = await access.visible_consultation(w, consultation_id)
    access.requires_at(w, consultation.institution_id, "coordinator")
    return await casefile.open_case(w, consultation_id)


async def choose(
    w: Work,
    consultation_id: UUID,
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None,
    confirmed: Collection[ConfirmedSpan] = (),
) -> tables.Offer:
    """The requesting side's coordinator asks this mentor; the gate holds, but for the rule overridden with a reason."""
    case = await _open(w, consultation_id)
    if override:
        deidentification.check(w, {"override/reason": override[1]}, confirmed)
    offer = await _ask(case, mentor_id, starts, override)
    if override:
        audit.record(w, "override_rule", "offer", offer.id, rule=override[0])
    return offer


async def _ask(
    case: CaseFile,
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None = None,
    until: datetime | None = None,
) -> tables.Offer:
    """Send the mentor an offer of these times, or of three that are bookable; it can be answered at least `until`."""
    w, consultation = case.w, case.consultation
    if consultation.state == "scheduled" and consultation.advice_due_at and consultation.advice_due_at <= w.now:
        await offers.reopen(case)
    if consultation.state not in {*lifecycle.SEEKING, "scheduled"} or consultation.advice_due_at:
        raise errors.IllegalTransition("consultation", consultation.state, "offered")
    is_first = case.awaits_first_wave
    await case.may_if_booked("replace_mentor")
    if consultation.state != "scheduled":
        case.must_not_be_due("manual_offer")
    await _lapse(case, mentor_id)
    await w.lock_people([mentor_id])  # so that all their offers of the week are counted
    facts = await admission.facts(case, mentor_id)
    invitation = _invite(case, facts, starts, [override[0]] if override else [])
    decisions.record_hand(case, facts, invitation.candidate.starts, override[0] if override else None)
    consultation.waves += 1
    offer = await offers.send(case, invitation._replace(answer_by=max(until or w.now, invitation.answer_by)), override)
    if consultation.state != "scheduled":
        consultation.next_wave_at = max(offer.answer_by, consultation.next_wave_at or offer.answer_by)
        offers.become_offered(case, offer.memorandum_id)
    if is_first:
        await offers.tell_filed(case)
    return offer


def _invite(
    case: CaseFile, facts: GateFacts, starts: Sequence[datetime] | None, overrides: Collection[str]
) -> waves.Invitation:
    """Give the mentor as somebody to ask for these times, or for three that leave them time to answer.

    Raises GateRefused, and TimeNotBookable for a time that is not bookable.
    """
    bookable = facts.bookable(overrides, is_asking=True)
    answer_by = waves.answer_by(facts.case, facts.mentor, facts.now, facts.book.policy)
    proposed = ranking.pick_answerable(bookable, case.w.now, answer_by, facts.case.zone, facts.mentor.zone)
    chosen = tuple(starts) if starts else proposed
    mode = case.consultation.mode
    is_live = mode != "written" and bool(chosen)
    if not is_live and mode == "live":
        raise errors.GateRefused(_why_never(facts, overrides))
    times = chosen if is_live else (None,)
    links = [admission.admit(facts, start, overrides, is_asking=True) for start in times]
    if starts and not set(starts) <= set(bookable):
        raise errors.TimeNotBookable("/starts", "one of these times is not bookable")
    candidate = ranking.Candidate(
        mentor=facts.mentor,
        score=0.0,
        terms={},
        link=links[0],
        is_live=is_live,
        knows_case=False,
        earliest=chosen[0] if is_live else case.w.now,
        starts=chosen,
    )
    return waves.Invitation(candidate, answer_by)


async def hold(w: Work, consultation_id: UUID, mentor_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The requesting side's coordinator holds a bookable time, and asks the mentor unless they are asked already.

    Until the hold ends, at the latest when what is held begins, the mentor's offer can take it (decision 0022).
    """
    case = await _open(w, consultation_id)
    consultation = case.consultation
    if consultation.state not in lifecycle.SEEKING or consultation.mode == "written":
        raise errors.IllegalTransition("consultation", consultation.state, "held")
    case.must_not_be_due("hold")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    if case.is_booked:
        raise errors.Exists("A time is booked for this consultation: ask a mentor for it.", case.appointment.id)
    if case.is_held and case.appointment.held_until and case.appointment.held_until > w.now:
        raise errors.Exists("A time is held for this consultation: release it first.", case.appointment.id)
    await case.lock_people(mentor_id)
    if case.is_held:
        await bookings.release(case, "hold_expired")
    facts = await admission.facts(case, mentor_id, start=starts_at)
    admission.must_be_bookable(facts, starts_at)
    until = min(w.now + facts.book.policy.hold, starts_at)
    offer = await _have_offer(case, mentor_id, starts_at, until)
    link = await admission.admit_with_budget(case, facts, offer, starts_at)
    seat = bookings.MentorSeat(mentor_id, offer.institution_id, None)
    await bookings.create(case, seat, link, starts_at, held_until=until)
    await notices.invited(case, "held")
    return case.appointment


async def _have_offer(case: CaseFile, mentor_id: UUID, starts_at: datetime, until: datetime) -> tables.Offer:
    """Give an open offer by which the mentor can take this time until then: sent, or widened, and the mentor told."""
    w = case.w
    await _lapse(case, mentor_id)
    offer = next((offer for offer in case.offers if offer.mentor_id == mentor_id and offer.state == "pending"), None)
    if offer is None:
        return await _ask(case, mentor_id, [starts_at], until=until)
    if starts_at in offer.starts and until <= offer.answer_by:
        return offer
    before = offer.answer_by
    offer.kind = "either" if offer.kind == "written" else offer.kind
    offer.starts = sorted({*(start for start in offer.starts if start > w.now), starts_at})
    offer.answer_by = max(before, until)
    w.touch(offer)
    await notices.offer_widened(w, case.consultation, offer, before)
    return offer


async def _lapse(case: CaseFile, mentor_id: UUID) -> None:
    """Let the mentor's offer be over for the moment if its time has passed, whether or not the sweep has run."""
    for offer in case.offers:
        if offer.mentor_id == mentor_id and offer.state == "pending" and offer.answer_by <= case.w.now:
            await offers.lapse(case, offer)


def _why_never(facts: GateFacts, overrides: Collection[str]) -> list[str]:
    """Name why no time can be proposed: the rules that refuse the mentor in a ranking, or that time is too short."""
    ranked = ranking.rank(facts.case, [facts.mentor], facts.now, facts.book, limit=0)
    reasons = [rule.value for _, rules in ranked.excluded for rule in rules if rule not in overrides]
    return reasons or [Refusal.DEADLINE_UNREACHABLE.value]
