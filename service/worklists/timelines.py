"""A case in its order: what happened, what it waits for now and who is to act, what comes by itself.

Made of the rows that the page shows anyway, so that it tells nobody more than they see: a mentor reads of their own
offer only. What asks mentors next is for the requesting side. Plain values in, the same values out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal
from uuid import UUID

from service import tables, vocabulary
from service.rules import lifecycle


@dataclass(frozen=True, slots=True)
class Step:
    """One line: `at` is None of what has no time of its own. `person_id` is who did it, or is asked."""

    code: vocabulary.TimelineStep
    tense: Literal["done", "now", "todo"]
    at: datetime | None = None
    person_id: UUID | None = None
    number: int = 1
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The rows that whoever looks at the case sees."""

    consultation: tables.Consultation
    offers: Sequence[tables.Offer]
    appointment: tables.Appointment | None
    has_mentor: bool  # of the appointment
    session: tables.Session | None
    advice: tables.Advice | None
    feedback: Sequence[tables.Feedback]
    is_requesting: bool


def steps(case: Case, now: datetime) -> list[Step]:
    """Give the steps in their order, the present one between what is done and what comes."""
    happened = sorted(_happened(case), key=lambda step: step.at or case.consultation.created_at)
    present = _present(case, now)
    coming = sorted((step for step in _coming(case) if step.at and step.at > now), key=lambda step: step.at or now)
    return [*happened, *([Step(present, "now")] if present else []), *coming]


def _happened(case: Case) -> Iterator[Step]:
    row = case.consultation
    yield Step("filed", "done", row.opened_at) if row.opened_at else Step("drafted", "done", row.created_at)
    for sent_at, sent in groupby(sorted(case.offers, key=lambda offer: offer.sent_at), lambda offer: offer.sent_at):
        offers = list(sent)
        yield Step("asked", "done", sent_at, offers[0].mentor_id if len(offers) == 1 else None, len(offers))
    for offer in case.offers:
        yield from _of_offer(offer)
    if case.appointment:
        yield from _of_appointment(case.appointment)
    if case.session and case.session.outcome not in vocabulary.NOT_HELD and case.session.mode == "live":
        yield Step("met", "done", case.session.started_at)
    if case.advice:
        yield Step("advice_given", "done", case.advice.given_at, case.advice.mentor_id)
    for answer in case.feedback:
        yield Step("answered", "done", answer.given_at, answer.person_id)
    if row.closed_at:
        yield Step(_CLOSED[row.state], "done", row.closed_at, reason=row.cancel_reason)


_CLOSED: dict[str, vocabulary.TimelineStep] = {
    "completed": "request_completed",
    "cancelled": "request_cancelled",
    "expired": "request_expired",
}
_ANSWERS: dict[str, vocabulary.TimelineStep] = {
    "declined": "offer_declined",
    "countered": "offer_countered",
    "accepted": "offer_accepted",
}


def _of_offer(offer: tables.Offer) -> Iterator[Step]:
    if offer.late_at:
        yield Step("offer_late", "done", offer.late_at, offer.mentor_id)
    if offer.answered_at and offer.state in _ANSWERS:
        yield Step(_ANSWERS[offer.state], "done", offer.answered_at, offer.mentor_id, reason=offer.decline_reason)
    if offer.ended_at:
        yield Step("offer_ended", "done", offer.ended_at, offer.mentor_id)


def _of_appointment(appointment: tables.Appointment) -> Iterator[Step]:
    yield Step("held" if appointment.status == "pending" else "booked", "done", appointment.created_at)
    if appointment.status == "cancelled":  # its calendar was told last when it was called off
        yield Step("call_cancelled", "done", appointment.dtstamp, reason=appointment.cancel_reason)
    if appointment.status == "noshow":
        yield Step("call_missed", "done", appointment.starts_at, reason=appointment.absent)


def _present(case: Case, now: datetime) -> vocabulary.PresentStep | None:
    """Say what the case waits for now; None if for nothing."""
    row, call = case.consultation, case.appointment
    if row.state in vocabulary.CLOSED:
        is_asked = row.state == "completed" and case.session and len(case.feedback) < len(vocabulary.SIDES)
        return "follow_up" if is_asked else None
    if row.clinician_left_at or row.state == "draft":
        return "clinician_missing" if row.clinician_left_at else "consent_missing"
    if call and call.status in vocabulary.LIVE_APPOINTMENT:
        return _of_call(call, now, has_mentor=case.has_mentor)
    return "advice_awaited" if row.state == "scheduled" else _of_search(row.state, case.offers)


def _of_call(booked: tables.Appointment, now: datetime, *, has_mentor: bool) -> vocabulary.PresentStep:
    if booked.status == "pending":
        return "held_waits"
    if not has_mentor:
        return "mentor_missing"
    if booked.ends_at <= now:
        return "log_waits"
    if any(start > now for start in booked.proposed_starts):
        return "move_waits"
    return "call_on" if booked.starts_at <= now else "call_ahead"


def _of_search(state: str, offers: Iterable[tables.Offer]) -> vocabulary.PresentStep:
    waiting = {offer.state for offer in offers if offer.state in vocabulary.WAITING_OFFER}
    if "countered" in waiting:
        return "counter_waits"
    if waiting:
        return "answer_awaited"
    return "nobody_found" if state == "unmatched" else "seeking"


def _coming(case: Case) -> Iterator[Step]:
    row, call = case.consultation, case.appointment
    if row.state in lifecycle.SEEKING:
        if case.is_requesting:
            yield Step("next_wave", "todo", row.next_wave_at)
            yield Step("alert", "todo", row.alert_at)
        yield Step("answer_due", "todo", row.answer_due_at)
    if call and call.status in vocabulary.LIVE_APPOINTMENT:
        yield Step("call", "todo", call.starts_at)
    if row.state == "scheduled":
        yield Step("advice_due", "todo", row.advice_due_at)
