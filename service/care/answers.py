"""Answers to offers: accept, decline, counter, and the requesting side's answer to a counter.

The first acceptance wins in one transaction. Lock order: consultation, offers, people, memorandum (architecture).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service import tables
from service.care import admission, bookings, offers
from service.kernel import access, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import notices
from service.rules import lifecycle
from service.rules.case import Link
from service.rules.matching import ranking
from service.rules.matching.gate import Refusal

AGREED = frozenset({Refusal.OUTSIDE_HOURS, Refusal.MENTOR_PAUSED, Refusal.DEADLINE_UNREACHABLE})
"""What the two sides may agree on: a time that both named themselves may lie outside hours and after the due time."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an acceptance led to: an appointment, or advice to be written by the due time."""

    consultation: tables.Consultation
    appointment: tables.Appointment | None


def _must_be_answerable(offer: tables.Offer, decide: Callable[[str, datetime, datetime], str], w: Work) -> None:
    try:
        offer.state = decide(offer.state, offer.answer_by, w.now)
    except lifecycle.TooLate as error:
        raise errors.OfferExpired from error
    except lifecycle.IllegalTransition as error:
        raise errors.OfferClosed(f"It is {offer.state}.", state=offer.state) from error


async def _open(w: Work, offer_id: UUID) -> tuple[tables.Consultation, tables.Offer, list[tables.Offer]]:
    seen = await access.visible_offer(w, offer_id)
    consultation = await bookings.lock_consultation(w, seen.consultation_id)
    all_offers = await offers.of_consultation(w, consultation.id)
    return consultation, next(offer for offer in all_offers if offer.id == offer_id), all_offers


async def accept(w: Work, offer_id: UUID, starts_at: datetime | None) -> Accepted:
    """The mentor takes the consultation: booked at `starts_at`, or for None advice will be written; rivals withdrawn.

    The same answer twice is one. Raises OfferClosed, OfferExpired, SlotTaken, GateRefused, TimeNotBookable,
    HoldExpired.
    """
    consultation, offer, rivals = await _open(w, offer_id)
    access.requires_mentors_side(w, offer)
    held = await bookings.live(w, consultation.id)
    if offer.state == "accepted" and offer.ended_at is None:
        same = held.starts_at if held and held.status == "booked" else None
        if same == starts_at:
            return Accepted(consultation, held)
    _must_be_answerable(offer, lifecycle.accept, w)
    offer.answered_at = w.now
    if starts_at is None:
        return await _accept_written(w, consultation, offer, rivals, held)
    if offer.kind == "written":
        raise errors.TimeNotBookable("/starts_at", "this offer asks for written advice: send no time")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    waived: Collection[str] = {Refusal.OUTSIDE_HOURS, Refusal.MENTOR_PAUSED}
    if starts_at not in offer.starts:
        await admission.must_be_bookable(w, consultation, offer.mentor_id, starts_at, held)
        waived = ()
    return await _agree(w, consultation, offer, rivals, starts_at, held, waived)


async def _accept_written(
    w: Work,
    consultation: tables.Consultation,
    offer: tables.Offer,
    rivals: Sequence[tables.Offer],
    held: tables.Appointment | None,
) -> Accepted:
    if offer.kind == "live":
        raise errors.TimeNotBookable("/starts_at", "a live consultation needs one of the offered times")
    if held and held.status == "pending":
        await bookings.release(w, consultation, held, "hold_released")
    await admission.gate_with_budget(w, consultation, offer, None, waived={Refusal.OUTSIDE_HOURS})
    bookings.step("consultation", consultation, "scheduled")
    consultation.advice_due_at = consultation.answer_due_at
    consultation.next_wave_at = consultation.alert_at = None
    offers.tell(w, "offer.accepted", consultation, offer)
    bookings.tell_consultation(w, "consultation.scheduled", consultation, offer.memorandum_id)
    await notices.advice_promised(w, consultation)
    await offers.withdraw(w, consultation, [rival for rival in rivals if rival.id != offer.id])
    return Accepted(consultation, None)


async def _agree(  # noqa: PLR0913, PLR0917 - an agreement's parts
    w: Work,
    consultation: tables.Consultation,
    offer: tables.Offer,
    rivals: Sequence[tables.Offer],
    starts_at: datetime,
    held: tables.Appointment | None,
    waived: Collection[str],
    clinician_status: str = "needs-action",
) -> Accepted:
    """Seat both people first (a loser reads slot-taken), ask the gate second, then tell."""
    await bookings.lock_everybody(w, consultation, held, offer.mentor_id)
    if held and held.status == "booked":
        link = await admission.gate_with_budget(
            w, consultation, offer, starts_at, waived=waived, but_appointment=held.id
        )
        offers.tell(w, "offer.accepted", consultation, offer)
        await bookings.replace_mentor(w, consultation, held, offer, link, starts_at)
        await offers.withdraw(w, consultation, [rival for rival in rivals if rival.id != offer.id])
        return Accepted(consultation, held)
    appointment = await _book(w, consultation, offer, starts_at, held, waived, clinician_status)
    bookings.step("consultation", consultation, "scheduled")
    consultation.next_wave_at = consultation.alert_at = None
    offers.tell(w, "offer.accepted", consultation, offer)
    await bookings.tell(w, "appointment.booked", consultation, appointment)
    bookings.tell_consultation(w, "consultation.scheduled", consultation, appointment.memorandum_id)
    await offers.withdraw(w, consultation, [rival for rival in rivals if rival.id != offer.id])
    await notices.invited(w, "booked", consultation, appointment)
    return Accepted(consultation, appointment)


async def _book(
    w: Work,
    consultation: tables.Consultation,
    offer: tables.Offer,
    starts_at: datetime,
    held: tables.Appointment | None,
    waived: Collection[str],
    clinician_status: str,
) -> tables.Appointment:
    if held:
        rows = await notices.participants(w, held.id)
        if held.starts_at == starts_at and any(row.person_id == offer.mentor_id for row in rows):
            await bookings.confirm(w, consultation, held, offer)
            link = await admission.gate_with_budget(
                w, consultation, offer, starts_at, waived=waived, but_appointment=held.id
            )
            held.memorandum_id, held.route = link.memorandum_id, link.route
            return held
        await bookings.release(w, consultation, held, "hold_released")
    provisional = Link(memorandum_id=offer.memorandum_id, route=offer.route)
    try:
        appointment = await bookings.create(
            w,
            consultation,
            mentor_id=offer.mentor_id,
            mentor_institution_id=offer.institution_id,
            offer=offer,
            link=provisional,
            starts_at=starts_at,
            clinician_status=clinician_status,
        )
    except errors.SlotTaken as error:
        known = await admission.facts(w, consultation, offer.mentor_id)
        raise errors.SlotTaken(
            ranking.propose(known.asked, known.mentor, w.now, known.book, is_asking=False)[: admission.MOST_STARTS]
        ) from error
    link = await admission.gate_with_budget(
        w, consultation, offer, starts_at, waived=waived, but_appointment=appointment.id
    )
    appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
    return appointment


async def decline(
    w: Work, offer_id: UUID, reason: str, note: str | None = None, confirmed: Collection[ConfirmedSpan] = ()
) -> tables.Offer:
    """The mentor says no, and what was held for them is free; the next wave goes out once nobody of this one is left.

    Declining after a promise of written advice hands it back: the consultation seeks again.
    """
    deidentification.check(w, {"note": note}, confirmed)
    consultation, offer, rivals = await _open(w, offer_id)
    access.requires_mentors_side(w, offer)
    if offer.state == "accepted" and offer.ended_at is None and consultation.advice_due_at:
        offer.decline_reason, offer.note, offer.noted_by = reason, w.seal(note, offer.id), w.actor.person_id
        w.touch(offer)
        await offers.reopen(w, consultation, rivals)
        await notices.advice_handed_back(w, consultation, offer)
        return offer
    if offer.state == "declined" and offer.decline_reason == reason:
        return offer
    _must_be_answerable(offer, lifecycle.decline, w)
    offer.answered_at, offer.decline_reason = w.now, reason
    offer.note, offer.noted_by = w.seal(note, offer.id), w.actor.person_id
    offers.tell(w, "offer.declined", consultation, offer)
    mentors = await notices.people(w, [offer.mentor_id])
    await notices.to_people(w, "offer_thanks", consultation, mentors.values())
    await bookings.let_go(w, consultation, [offer.mentor_id])
    offers.hurry(w, consultation, rivals)
    return offer


async def counter(w: Work, offer_id: UUID, starts: Sequence[datetime]) -> tables.Offer:
    """The mentor proposes up to three other times, each ahead of us; what was held for them is free."""
    consultation, offer, _ = await _open(w, offer_id)
    access.requires_mentors_side(w, offer)
    if offer.kind == "written":
        raise errors.TimeNotBookable("/starts", "written advice has no time")
    if any(start.second or start.microsecond for start in starts):
        raise errors.TimeNotBookable("/starts", "a time is on a whole minute")
    if any(start <= w.now for start in starts):
        raise errors.TimeNotBookable("/starts", "a proposed time lies behind us")
    _must_be_answerable(offer, lifecycle.counter, w)
    offer.answered_at = w.now
    offer.counter_starts = sorted(set(starts))
    offers.tell(w, "offer.countered", consultation, offer)
    await notices.countered(w, consultation, offer)
    await bookings.let_go(w, consultation, [offer.mentor_id])
    return offer


async def accept_counter(w: Work, offer_id: UUID, starts_at: datetime) -> Accepted:
    """The requesting side takes one of the mentor's times: booked, rivals withdrawn."""
    consultation, offer, rivals = await _open(w, offer_id)
    access.requires_requesting_side(w, consultation)
    held = await bookings.live(w, consultation.id)
    if offer.state == "accepted" and offer.ended_at is None and held and held.starts_at == starts_at:
        return Accepted(consultation, held)
    if starts_at not in offer.counter_starts:
        raise errors.TimeNotBookable("/starts_at", "not one of the mentor's times")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    try:
        offer.state = lifecycle.accept_counter(offer.state)
    except lifecycle.IllegalTransition as error:
        raise errors.OfferClosed(f"It is {offer.state}.", state=offer.state) from error
    return await _agree(w, consultation, offer, rivals, starts_at, held, AGREED, clinician_status="accepted")


async def decline_counter(w: Work, offer_id: UUID) -> tables.Offer:
    """The requesting side wants none of the mentor's times: the offer waits again until its time, else it is over."""
    consultation, offer, rivals = await _open(w, offer_id)
    access.requires_requesting_side(w, consultation)
    try:
        offer.state = lifecycle.decline_counter(offer.state, offer.answer_by, w.now)
    except lifecycle.IllegalTransition as error:
        raise errors.OfferClosed(f"It is {offer.state}.", state=offer.state) from error
    offers.tell(w, "offer.counter_declined", consultation, offer)
    mentors = await notices.people(w, [offer.mentor_id])
    await notices.to_people(w, "counter_declined", consultation, mentors.values())
    offers.hurry(w, consultation, rivals)
    return offer
