"""Answers to offers: accept, decline, counter, and the requesting side's answer to a counter.

The first acceptance wins in one transaction. Lock order: consultation, offers, people, memorandum (architecture).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service import tables
from service.care import admission, bookings, casefile, offers
from service.care.casefile import CaseFile
from service.kernel import access, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import notices, offer_mails
from service.rules import lifecycle
from service.rules.matching.gate import Refusal
from service.rules.sentences import Sentence

AGREED = frozenset({Refusal.OUTSIDE_HOURS, Refusal.MENTOR_PAUSED, Refusal.DEADLINE_UNREACHABLE})
"""Rules waived for a time that both sides agreed on: it may lie outside hours and after the due time."""
OFFERED = frozenset({Refusal.OUTSIDE_HOURS, Refusal.MENTOR_PAUSED})
"""Rules waived for a time that was offered, and for written advice: the mentor knows their hours and says yes."""

MOST_PROPOSED = 3


async def next_starts(w: Work, offer: tables.Offer) -> Sequence[datetime]:
    """Give the next best times that the mentor could take now; none when the offer asks for written advice."""
    return (await facts(w, offer)).bookable()[: admission.MOST_STARTS] if offer.kind != "written" else []


async def facts(w: Work, offer: tables.Offer) -> admission.GateFacts:
    """Give the case and the offer's mentor as the gate sees them now, with what occupies either side."""
    consultation = await w.read(tables.Consultation, offer.consultation_id)
    return await admission.facts(CaseFile(w, consultation), offer.mentor_id)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an acceptance led to: an appointment, or advice to be written by the due time."""

    consultation: tables.Consultation
    appointment: tables.Appointment | None


async def _answer(case: CaseFile, offer: tables.Offer, decide: Callable[[str, datetime, datetime], str]) -> None:
    """Let the mentor's answer count, a late one too; raises OfferExpired or OfferClosed once it is closed."""
    try:
        state = decide(offer.shown_state, case.closes_at(offer), case.w.now)
    except lifecycle.TooLate as error:
        raise errors.OfferExpired from error
    except lifecycle.IllegalTransition as error:
        raise _closed(offer) from error
    if offer.state == "pending" and offer.answer_by <= case.w.now:
        offers.note_lateness(case, offer, (await offer_mails.states(case.w, [offer]))[offer.id])
    case.become(offer, state)
    offer.answered_at = case.w.now


def _closed(offer: tables.Offer) -> errors.OfferClosed:
    return errors.OfferClosed(Sentence("It is {state}.", state=offer.shown_state), state=offer.shown_state)


async def accept(w: Work, offer_id: UUID, starts_at: datetime | None) -> Accepted:
    """The mentor takes the consultation: booked at `starts_at`, or for None advice will be written; rivals withdrawn.

    The same answer twice is one. Raises OfferClosed, OfferExpired, SlotTaken, GateRefused, TimeNotBookable,
    HoldExpired.
    """
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_mentors_side(w, offer)
    if casefile.stands(offer):
        booked_at = case.appointment.starts_at if case.is_booked else None
        if booked_at == starts_at:
            return Accepted(case.consultation, case.maybe_appointment)
    await _answer(case, offer, lifecycle.accept)
    if starts_at is None:
        return await _promise_advice(case, offer)
    if offer.kind == "written":
        raise errors.TimeNotBookable("/starts_at", "this offer asks for written advice: send no time")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    is_offered = starts_at in offer.starts
    return await _agree(case, offer, starts_at, OFFERED if is_offered else (), must_be_bookable=not is_offered)


async def _promise_advice(case: CaseFile, offer: tables.Offer) -> Accepted:
    """Advice will be written by the due time; what was held is free again."""
    if offer.kind == "live":
        raise errors.TimeNotBookable("/starts_at", "a live consultation needs one of the offered times")
    if case.is_held:
        await bookings.release(case, "hold_released")
    elif case.seeks_mentor:
        await bookings.cancel(case, "mentor_left")
    facts = await admission.facts(case, offer.mentor_id)
    await admission.admit_with_budget(case, facts, offer, None, waived=OFFERED)
    case.become(case.consultation, "scheduled", offer.memorandum_id)
    case.consultation.advice_due_at = case.consultation.answer_due_at
    await notices.advice_promised(case.w, case.consultation)
    await offers.withdraw(case, case.open_offers)
    return Accepted(case.consultation, None)


async def _agree(
    case: CaseFile,
    offer: tables.Offer,
    starts_at: datetime,
    waived: Collection[str],
    clinician_status: str = "needs-action",
    *,
    must_be_bookable: bool = False,
) -> Accepted:
    """Lock both people, check that both are free (raises SlotTaken), ask the gate, then book and send the mails."""
    await case.may_if_booked("replace_mentor")
    await case.lock_people(offer.mentor_id)
    facts = await admission.facts(case, offer.mentor_id, start=starts_at)
    if must_be_bookable:
        admission.must_be_bookable(facts, starts_at)
    is_held_for_it = case.is_held and _is_of(case, offer) and case.appointment.starts_at == starts_at
    if is_held_for_it:
        bookings.must_still_be_held(case)
    admission.must_be_free(facts, starts_at, offer.counter_starts)
    link = await admission.admit_with_budget(case, facts, offer, starts_at, waived)
    if case.is_booked:
        await bookings.replace_mentor(case, next(iter(case.mentors), None), offer, link, starts_at)
        if case.consultation.state != "scheduled":  # the mentor had left, and another one was sought
            case.become(case.consultation, "scheduled", link.memorandum_id)
        await offers.withdraw(case, case.open_offers)
        return Accepted(case.consultation, case.appointment)
    if is_held_for_it:
        await bookings.confirm(case, offer, link)
    else:
        if case.is_held:
            await bookings.release(case, "hold_released")
        seat = bookings.MentorSeat(offer.mentor_id, offer.institution_id, offer.id)
        await bookings.create(case, seat, link, starts_at, clinician_status=clinician_status)
    case.become(case.consultation, "scheduled", link.memorandum_id)
    await offers.withdraw(case, case.open_offers)
    await notices.invited(case, "booked")
    return Accepted(case.consultation, case.appointment)


def _is_of(case: CaseFile, offer: tables.Offer) -> bool:
    return any(mentor.person_id == offer.mentor_id for mentor in case.mentors)


async def decline(
    w: Work, offer_id: UUID, reason: str, note: str | None = None, confirmed: Collection[ConfirmedSpan] = ()
) -> tables.Offer:
    """The mentor says no, and what was held for them is free; the next wave goes out once nobody of this one is left.

    Declining after a promise of written advice hands it back: the consultation seeks again.
    """
    deidentification.check(w, {"note": note}, confirmed)
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_mentors_side(w, offer)
    if offer.state == "declined" and offer.decline_reason == reason:
        return offer
    is_handed_back = casefile.stands(offer) and case.consultation.advice_due_at is not None
    if not is_handed_back:
        await _answer(case, offer, lifecycle.decline)
    offer.decline_reason, offer.note, offer.noted_by = reason, w.seal(note, offer.id), w.actor.person_id
    if is_handed_back:
        w.touch(offer)
        await offers.reopen(case)
        await notices.advice_handed_back(w, case.consultation, offer)
        return offer
    await _thank(case, "offer_thanks", offer)
    await bookings.release_of(case, [offer.mentor_id], have_declined=True)
    offers.hurry(case)
    return offer


async def _thank(case: CaseFile, template: str, offer: tables.Offer) -> None:
    mentors = await notices.people(case.w, [offer.mentor_id])
    await notices.to_people(case.w, template, case.consultation, mentors.values())


async def counter(w: Work, offer_id: UUID, starts: Sequence[datetime]) -> tables.Offer:
    """The mentor proposes up to three other times, each ahead of us; what was held for them is free.

    Proposed anew while the requesting side has not answered, these take the place of the others; the same ones twice
    are one proposal.
    """
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_mentors_side(w, offer)
    if offer.kind == "written":
        raise errors.TimeNotBookable("/starts", "written advice has no time")
    proposed = sorted(set(starts))
    if len(proposed) > MOST_PROPOSED:
        raise errors.TimeNotBookable("/starts", Sentence("there are {most} at most", most=MOST_PROPOSED))
    if offer.state == "countered" and list(offer.counter_starts) == proposed:
        return offer
    if any(start.second or start.microsecond for start in proposed):
        raise errors.TimeNotBookable("/starts", "a time is on a whole minute")
    if any(start <= w.now for start in proposed):
        raise errors.TimeNotBookable("/starts", "a proposed time lies behind us")
    if offer.state == "countered":
        w.touch(offer)
    else:
        is_late = w.now >= offer.answer_by
        await _answer(case, offer, lifecycle.counter)
        if is_late:  # the case text, which was hidden, is shown with a counter
            await _readmit(case, offer)
    offer.counter_starts = proposed
    await notices.countered(w, case.consultation, offer)
    await bookings.release_of(case, [offer.mentor_id])
    return offer


async def show_again(w: Work, offer_id: UUID) -> tables.Offer:
    """The mentor of a late offer reads the case text again, if the gate still lets them; raises GateRefused.

    Of an offer that is not late nothing was hidden, and nothing happens. Raises OfferExpired, OfferClosed.
    """
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_mentors_side(w, offer)
    try:
        is_hidden = lifecycle.show_again(offer.shown_state, case.closes_at(offer), w.now)
    except lifecycle.TooLate as error:
        raise errors.OfferExpired from error
    except lifecycle.IllegalTransition as error:
        raise _closed(offer) from error
    if is_hidden and offer.shown_again_at is None:
        await _readmit(case, offer)
        offer.shown_again_at = w.now
        w.touch(offer)
    return offer


async def _readmit(case: CaseFile, offer: tables.Offer) -> None:
    """Go on only if the gate still lets this mentor have the case, whenever it were; raises GateRefused."""
    facts = await admission.facts(case, offer.mentor_id)
    overrides = [offer.override_rule] if offer.override_rule else []
    admission.admit(facts, None, overrides, waived={*AGREED, Refusal.MENTOR_FULL})


async def accept_counter(w: Work, offer_id: UUID, starts_at: datetime) -> Accepted:
    """The requesting side takes one of the mentor's times: booked, rivals withdrawn."""
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_requesting_side(w, case.consultation)
    is_done = casefile.stands(offer) and case.maybe_appointment is not None
    if is_done and case.appointment.starts_at == starts_at:
        return Accepted(case.consultation, case.appointment)
    if starts_at not in offer.counter_starts:
        raise errors.TimeNotBookable("/starts_at", "not one of the mentor's times")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    try:
        case.become(offer, lifecycle.accept_counter(offer.state))
    except lifecycle.IllegalTransition as error:
        raise _closed(offer) from error
    return await _agree(case, offer, starts_at, AGREED, clinician_status="accepted")


async def decline_counter(w: Work, offer_id: UUID) -> tables.Offer:
    """The requesting side wants none of the mentor's times: the offer waits again, is late by now, or is over."""
    case, offer = await casefile.of_offer(w, offer_id)
    access.requires_requesting_side(w, case.consultation)
    try:
        case.become(offer, lifecycle.decline_counter(offer.state, offer.answer_by, case.closes_at(offer), w.now))
    except lifecycle.IllegalTransition as error:
        raise _closed(offer) from error
    await _thank(case, "counter_declined", offer)
    offers.hurry(case)
    return offer
