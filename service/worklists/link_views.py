"""What a link in a mail stands for now: its page shows it, and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service import tables
from service.care import answers, appointments, offers, sessions
from service.kernel import access
from service.kernel.work import Work
from service.outbox import notices
from service.rules.time.night import NightHours
from service.worklists import page_views


@dataclass(frozen=True, slots=True)
class Act:
    """What a link in a mail can do now.

    `state` is ready, done, gone (somebody was quicker, or it was answered), or taken: its time is, the offer is not.
    """

    state: str
    consultation: tables.Consultation
    specialty: tables.Specialty
    zones: tuple[str, ...]  # the holder's own first
    answer_by: datetime | None
    booked_at: datetime | None
    next_starts: Sequence[datetime]  # in place of a time that is taken
    night: Sequence[NightHours]  # if the link's time is at night for somebody: it is asked once more


async def behind(w: Work, link: tables.Link) -> Act:
    """Give what the link's act is about and whether it can still be done, without case text. Changes nothing."""
    offer = appointment = None
    subject = link.subject_id or link.id
    if link.purpose.startswith(("offer.", "counter.")):
        offer = await access.visible_offer(w, subject)
        consultation_id = offer.consultation_id
    elif link.purpose.startswith("move."):
        appointment = await access.visible_appointment(w, subject)
        consultation_id = appointment.consultation_id
    else:
        consultation_id = (await access.visible_session(w, subject)).consultation_id
    consultation = await access.visible_consultation(w, consultation_id)
    meeting = await page_views.appointment(w, consultation_id)
    if appointment is None and meeting and meeting.row.status == "booked":
        appointment = meeting.row
    booked_at = appointment.starts_at if appointment and appointment.status == "booked" else None
    view = await offers.read(w, offer.id) if offer else None
    state = _state(w, link, view, appointment, booked_at)
    if view and state == "ready" and link.starts_at in view.gone:
        state = "taken"
    if link.purpose == "feedback":
        given = await sessions.feedback_of(w, subject)
        state = "done" if any(row.person_id == w.actor.person_id for row in given) else state
    return Act(
        state,
        consultation,
        await w.read(tables.Specialty, consultation.specialty_code),
        await _zones(w, consultation, offer, meeting),
        _answer_by(view, w.now) if view and link.purpose.startswith("offer.") else None,
        booked_at,
        await _instead(w, offer) if offer and state == "taken" else (),
        await _night_of_link(w, link) if state == "ready" else (),
    )


def _answer_by(view: offers.OfferView, now: datetime) -> datetime | None:
    """Give the date that the mentor was told first, as long as it lies ahead; then until when an answer is taken."""
    return view.row.answer_by if now < view.row.answer_by else view.closes_at


async def _instead(w: Work, offer: tables.Offer) -> Sequence[datetime]:
    view = await offers.read(w, offer.id)
    if offer.state == "countered":
        return view.counter_starts
    return view.starts or await answers.next_starts(w, offer)


async def _night_of_link(w: Work, link: tables.Link) -> Sequence[NightHours]:
    if link.starts_at is None or link.purpose == "move.decline":
        return ()
    subject = link.subject_id or link.id
    of_subject = page_views.night_of_appointment if link.purpose.startswith("move.") else page_views.night_of_offer
    return await of_subject(w, subject, [link.starts_at])


def _state(
    w: Work,
    link: tables.Link,
    view: offers.OfferView | None,
    appointment: tables.Appointment | None,
    booked_at: datetime | None,
) -> str:
    offer, closes_at = (view.row, view.closes_at) if view else (None, None)
    if offer and offer.ended_at and not link.purpose.endswith(".decline"):
        return "gone"  # it was accepted and has ended since: what the link did no longer stands
    if link.used_at is not None:
        return "done"
    if offer and link.purpose.startswith("offer."):
        is_open = closes_at is not None and closes_at > w.now
    elif offer:
        is_open = offer.state == "countered" and (link.starts_at is None or link.starts_at in offer.counter_starts)
    elif appointment and link.purpose.startswith("move."):
        is_open = booked_at is not None and link.starts_at in appointment.proposed_starts
    else:
        is_open = True
    if not is_open and _is_done_otherwise(link, offer, booked_at):
        return "done"
    return "ready" if is_open else "gone"


def _is_done_otherwise(link: tables.Link, offer: tables.Offer | None, booked_at: datetime | None) -> bool:
    """Tell whether the same was done another way: on the page, by a calendar's reply."""
    accepts = {"offer.accept", "counter.accept"}
    if offer is None:
        return link.purpose == "move.accept" and booked_at == link.starts_at
    if link.purpose in accepts:
        return offer.state == "accepted" and booked_at == link.starts_at
    return (link.purpose, offer.state) in {("offer.accept_written", "accepted"), ("offer.decline", "declined")} and (
        link.purpose == "offer.decline" or booked_at is None
    )


async def _zones(
    w: Work, consultation: tables.Consultation, offer: tables.Offer | None, meeting: appointments.AppointmentView | None
) -> tuple[str, ...]:
    mentors = [row.person_id for row in meeting.participants if row.role == "mentor"] if meeting else []
    ids = [w.actor.person_id, consultation.clinician_id, *([offer.mentor_id] if offer else mentors)]
    people = await notices.people(w, ids)
    return tuple(dict.fromkeys(people[person].zone for person in ids if person))
