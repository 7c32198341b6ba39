"""The steps of an appointment: hold, book, move, replace the mentor, call off.

Every step that occupies somebody locks the people in sorted order, then inserts the seats: fewer rows than people
means somebody is taken, and the exclusion constraint is the proof whatever this code does (reliability §1). The
caller holds the consultation's lock; the gate is asked by the caller, in the same transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import clock, errors
from service.kernel.work import Work
from service.outbox import events, notices
from service.rules import lifecycle
from service.rules.case import Link
from service.rules.time import availability

REMIND_BEFORE = (timedelta(hours=24), timedelta(hours=1))

_PEOPLE = sa.bindparam("people", type_=ARRAY(PG_UUID(as_uuid=True)))
_RELEASE_EXPIRED = sa.text("DELETE FROM seat WHERE person_id = ANY(:people) AND held_until <= :now").bindparams(_PEOPLE)
_OCCUPY = sa.text("""
INSERT INTO seat (appointment_id, person_id, during, held_until)
SELECT :appointment, p.id, tstzrange(:starts_at, :ends_at + make_interval(mins => p.buffer_minutes)), :held_until
FROM person p WHERE p.id = ANY(:people) ORDER BY p.id
ON CONFLICT DO NOTHING RETURNING person_id
""").bindparams(
    _PEOPLE,
    sa.bindparam("starts_at", type_=sa.DateTime(timezone=True)),
    sa.bindparam("ends_at", type_=sa.DateTime(timezone=True)),
    sa.bindparam("held_until", type_=sa.DateTime(timezone=True)),
)
_LOCK_CONSULTATION = (
    sa.select(tables.Consultation)
    .where(col(tables.Consultation.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_LIVE = (
    sa.select(tables.Appointment)
    .where(col(tables.Appointment.consultation_id) == sa.bindparam("consultation"))
    .where(col(tables.Appointment.status).in_(("pending", "booked")))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_FREE = sa.text("DELETE FROM seat WHERE appointment_id = :appointment")


async def lock_consultation(w: Work, consultation_id: UUID) -> tables.Consultation:
    """Hold the consultation's row until the end: the first lock of every step; gives it as it is now."""
    row: tables.Consultation = (await w.sql(_LOCK_CONSULTATION, {"id": consultation_id})).scalar_one()
    return row


def step(subject: str, row: tables.Consultation | tables.Offer, to_state: str) -> None:
    """Let a consultation or offer go on to the state; raises IllegalTransition naming both states."""
    try:
        row.state = lifecycle.step(subject, row.state, to_state)
    except lifecycle.IllegalTransition as error:
        raise errors.IllegalTransition(subject, error.from_state, error.to_state) from error


def step_appointment(row: tables.Appointment, to_status: str) -> None:
    """Let an appointment go on to the status; raises IllegalTransition naming both."""
    try:
        row.status = lifecycle.step("appointment", row.status, to_status)
    except lifecycle.IllegalTransition as error:
        raise errors.IllegalTransition("appointment", error.from_state, error.to_state) from error


async def live(w: Work, consultation_id: UUID) -> tables.Appointment | None:
    """Load the held or booked appointment of the consultation, locked."""
    row: tables.Appointment | None = (await w.sql(_LIVE, {"consultation": consultation_id})).scalar_one_or_none()
    return row


def audience(
    consultation: tables.Consultation, memorandum_id: UUID | None, *sides: tables.Participant
) -> events.Audience:
    """Name whom an event of this case concerns."""
    return events.Audience(
        programme_id=consultation.programme_id,
        memorandum_id=memorandum_id,
        institution_ids=(consultation.institution_id, *(side.institution_id for side in sides)),
        person_ids=(consultation.clinician_id, *(side.person_id for side in sides)),
    )


async def tell(
    w: Work, type_: vocabulary.EventType, consultation: tables.Consultation, appointment: tables.Appointment
) -> None:
    """Record what happened to the appointment."""
    rows = await notices.participants(w, appointment.id)
    events.record(
        w,
        type_,
        appointment,
        appointment.id,
        audience(consultation, appointment.memorandum_id, *rows),
        state=appointment.status,
        consultation_id=consultation.id,
        starts_at=appointment.starts_at,
    )


def tell_consultation(
    w: Work,
    type_: vocabulary.EventType,
    consultation: tables.Consultation,
    memorandum_id: UUID | None = None,
    *,
    asked: Sequence[tables.Offer] = (),
) -> None:
    """Record what happened to the consultation.

    Whoever was told that it was offered or scheduled is told how it went on: the institutions of all who were `asked`,
    under the memorandum of the one who took it, or of the first.
    """
    if asked and memorandum_id is None:
        memorandum_id = next((offer for offer in asked if offer.state == "accepted"), asked[0]).memorandum_id
    concerned = audience(consultation, memorandum_id)
    institutions = dict.fromkeys((*concerned.institution_ids, *(offer.institution_id for offer in asked)))
    events.record(
        w,
        type_,
        consultation,
        consultation.id,
        replace(concerned, institution_ids=tuple(institutions)),
        state=consultation.state,
        consultation_id=consultation.id,
    )


async def lock_everybody(
    w: Work, consultation: tables.Consultation, appointment: tables.Appointment | None, mentor_id: UUID
) -> None:
    """Lock the clinician, the mentor and who takes part so far: at once, sorted, and before any memorandum."""
    rows = await notices.participants(w, appointment.id) if appointment else []
    await w.lock_people([consultation.clinician_id, mentor_id, *(row.person_id for row in rows)])


async def occupy(
    w: Work,
    appointment: tables.Appointment,
    people: Sequence[UUID],
    *,
    held_until: datetime | None = None,
) -> None:
    """Seat these people for the appointment's time; raises SlotTaken when one of them is occupied."""
    await w.lock_people(people)
    await w.sql(_RELEASE_EXPIRED, {"people": list(people), "now": w.now})
    seated = await w.sql(
        _OCCUPY,
        {
            "appointment": appointment.id,
            "people": list(people),
            "starts_at": appointment.starts_at,
            "ends_at": appointment.ends_at,
            "held_until": held_until,
        },
    )
    if len(seated.all()) < len(set(people)):
        raise errors.SlotTaken


def next_reminder(starts_at: datetime, now: datetime) -> datetime | None:
    """Give when the participants are reminded next: a day before, an hour before."""
    return min((starts_at - lead for lead in REMIND_BEFORE if starts_at - lead > now), default=None)


def _participant(
    appointment: tables.Appointment, person: tables.Person, institution_id: UUID, role: str, status: str
) -> tables.Participant:
    return tables.Participant(
        appointment_id=appointment.id,
        person_id=person.id,
        institution_id=institution_id,
        role=role,
        status=status,
        zone=person.zone,
        wall=availability.to_wall(appointment.starts_at, person.zone),
    )


async def create(  # noqa: PLR0913 - an appointment's parts, each by name
    w: Work,
    consultation: tables.Consultation,
    *,
    mentor_id: UUID,
    mentor_institution_id: UUID,
    offer: tables.Offer | None,
    link: Link,
    starts_at: datetime,
    held_until: datetime | None = None,
    clinician_status: str = "needs-action",
) -> tables.Appointment:
    """Book the time, or hold it until `held_until`; raises SlotTaken. Mails and events are the caller's."""
    known = await notices.people(w, [consultation.clinician_id, mentor_id])
    appointment = tables.Appointment(
        id=clock.new_id(),
        version=0,
        created_at=w.now,
        consultation_id=consultation.id,
        memorandum_id=link.memorandum_id,
        route=link.route,
        status="pending" if held_until else "booked",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=consultation.duration_minutes),
        tzdata_version=availability.TZDATA_VERSION,
        held_until=held_until,
        dtstamp=w.now,
        remind_at=None if held_until else next_reminder(starts_at, w.now),
    )
    status = "tentative" if held_until else clinician_status
    clinician = _participant(
        appointment, known[consultation.clinician_id], consultation.institution_id, "clinician", status
    )
    mentor = _participant(
        appointment,
        known[mentor_id],
        mentor_institution_id,
        "mentor",
        "tentative" if held_until else "accepted",
    )
    mentor.offer_id = offer.id if offer else None
    w.add(appointment, clinician, mentor)
    await occupy(w, appointment, [consultation.clinician_id, mentor_id], held_until=held_until)
    return appointment


async def confirm(
    w: Work, consultation: tables.Consultation, appointment: tables.Appointment, offer: tables.Offer
) -> None:
    """Book a held time: its seats must still be there; raises HoldExpired from its expiry on."""
    try:
        lifecycle.confirm_hold(appointment.status, appointment.held_until or w.now, w.now)
    except lifecycle.TooLate as error:
        raise errors.HoldExpired from error
    await w.lock_people([consultation.clinician_id, offer.mentor_id])
    kept = await w.sql(
        sa.text("UPDATE seat SET held_until = NULL WHERE appointment_id = :appointment RETURNING person_id"),
        {"appointment": appointment.id},
    )
    rows = await notices.participants(w, appointment.id)
    if len(kept.all()) < len(rows):
        raise errors.HoldExpired
    step_appointment(appointment, "booked")
    appointment.held_until = None
    appointment.remind_at = next_reminder(appointment.starts_at, w.now)
    revise(w, appointment)
    for row in rows:
        row.status = "accepted" if row.role == "mentor" else "needs-action"
        row.offer_id = offer.id if row.role == "mentor" else None


def revise(w: Work, appointment: tables.Appointment) -> None:
    """Let the calendar's SEQUENCE rise; DTSTAMP is always newer (INV-12)."""
    appointment.sequence += 1
    appointment.dtstamp = max(w.now, appointment.dtstamp + timedelta(seconds=1))


async def move(
    w: Work,
    consultation: tables.Consultation,
    appointment: tables.Appointment,
    starts_at: datetime,
) -> None:
    """Give the appointment another time, same id; everybody is asked again (INV-13). Raises SlotTaken."""
    rows = await notices.participants(w, appointment.id)
    await w.lock_people([row.person_id for row in rows])
    await w.sql(_FREE, {"appointment": appointment.id})
    before, appointment.starts_at = appointment.starts_at, starts_at
    appointment.ends_at = starts_at + timedelta(minutes=consultation.duration_minutes)
    appointment.proposed_starts, appointment.proposed_by = [], None
    appointment.tzdata_version = availability.TZDATA_VERSION
    appointment.remind_at = next_reminder(starts_at, w.now)
    revise(w, appointment)
    for row in rows:
        row.status = "needs-action"
        row.wall = availability.to_wall(starts_at, row.zone)
    await occupy(w, appointment, [row.person_id for row in rows])
    await tell(w, "appointment.rescheduled", consultation, appointment)
    await notices.invited(w, "moved", consultation, appointment, before=before)


async def replace_mentor(
    w: Work,
    consultation: tables.Consultation,
    appointment: tables.Appointment,
    offer: tables.Offer,
    link: Link,
    starts_at: datetime,
) -> None:
    """Seat another mentor in the same appointment: CANCEL to the old, REQUEST to the rest (INV-15)."""
    rows = await notices.participants(w, appointment.id)
    leaving = next(row for row in rows if row.role == "mentor")
    staying = next(row for row in rows if row.role == "clinician")
    joining = (await notices.people(w, [offer.mentor_id]))[offer.mentor_id]
    await w.lock_people([leaving.person_id, staying.person_id, joining.id])
    await w.sql(_FREE, {"appointment": appointment.id})
    await end_offer(w, leaving.offer_id)
    revise(w, appointment)
    await notices.taken_out(w, consultation, appointment, leaving, None)  # of the time that is in their calendar
    before, appointment.starts_at = appointment.starts_at, starts_at
    appointment.ends_at = starts_at + timedelta(minutes=consultation.duration_minutes)
    appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
    appointment.proposed_starts, appointment.proposed_by = [], None
    appointment.tzdata_version = availability.TZDATA_VERSION
    appointment.remind_at = next_reminder(starts_at, w.now)
    await w.session.delete(leaving)
    await w.flush()
    mentor = _participant(appointment, joining, offer.institution_id, "mentor", "accepted")
    mentor.offer_id = offer.id
    staying.wall, staying.status = availability.to_wall(starts_at, staying.zone), "needs-action"
    w.add(mentor)
    await occupy(w, appointment, [staying.person_id, joining.id])
    await tell(w, "appointment.mentor_replaced", consultation, appointment)
    await notices.invited(w, "mentor_replaced", consultation, appointment, to=staying.role, before=before)
    await notices.invited(w, "booked", consultation, appointment, to=mentor.role)


async def replace_clinician(
    w: Work, consultation: tables.Consultation, appointment: tables.Appointment, colleague: tables.Person
) -> None:
    """Seat a colleague in the clinician's place; raises SlotTaken when they are occupied."""
    rows = await notices.participants(w, appointment.id)
    leaving = next(row for row in rows if row.role == "clinician")
    staying = next(row for row in rows if row.role == "mentor")
    await w.lock_people([leaving.person_id, staying.person_id, colleague.id])
    await w.sql(_FREE, {"appointment": appointment.id})
    revise(w, appointment)
    await w.session.delete(leaving)
    await w.flush()
    is_held = appointment.status == "pending"
    joining = _participant(
        appointment, colleague, consultation.institution_id, "clinician", "tentative" if is_held else "needs-action"
    )
    w.add(joining)
    await occupy(w, appointment, [staying.person_id, colleague.id], held_until=appointment.held_until)
    w.touch(appointment)
    await notices.taken_out(w, consultation, appointment, leaving, None)
    if is_held:
        await notices.invited(w, "held", consultation, appointment)
    else:
        await notices.invited(w, "booked", consultation, appointment, to="clinician")
        await notices.invited(w, "clinician_replaced", consultation, appointment, to="mentor")


async def end_offer(w: Work, offer_id: UUID | None) -> None:
    """Close the case text to a mentor whose accepted offer came to nothing."""
    offer = await w.session.get(tables.Offer, offer_id) if offer_id else None
    if offer:
        offer.ended_at = w.now


async def release(w: Work, consultation: tables.Consultation, appointment: tables.Appointment, reason: str) -> None:
    """Let go of a held time: seats gone, CANCEL sent."""
    await _call_off(w, consultation, appointment, "cancelled", reason)
    await tell(w, "appointment.hold_expired", consultation, appointment)
    await notices.called_off(w, "hold_released", consultation, appointment, reason)


async def let_go(w: Work, consultation: tables.Consultation, mentor_ids: Collection[UUID]) -> None:
    """What is held for one of these mentors is free again: they can no longer take it."""
    held = await live(w, consultation.id)
    if held is None or held.status != "pending":
        return
    if any(row.person_id in mentor_ids for row in await notices.participants(w, held.id)):
        await release(w, consultation, held, "hold_released")


async def cancel(
    w: Work, consultation: tables.Consultation, appointment: tables.Appointment, reason: str, note: str | None = None
) -> None:
    """Call off the appointment: its time is free in this transaction, CANCEL to everybody."""
    appointment.note, appointment.noted_by = w.seal(note, appointment.id), w.actor.person_id
    await _call_off(w, consultation, appointment, "cancelled", reason)
    await tell(w, "appointment.cancelled", consultation, appointment)
    await notices.called_off(w, "cancelled", consultation, appointment, reason)


async def fulfil(w: Work, consultation: tables.Consultation, appointment: tables.Appointment) -> None:
    """What was agreed has happened; a time that still lies ahead, because they met earlier, is free again."""
    step_appointment(appointment, "fulfilled")
    appointment.remind_at = None
    if appointment.ends_at > w.now:
        await w.lock_people([row.person_id for row in await notices.participants(w, appointment.id)])
        await w.sql(_FREE, {"appointment": appointment.id})
    await tell(w, "appointment.fulfilled", consultation, appointment)


async def miss(w: Work, consultation: tables.Consultation, appointment: tables.Appointment) -> None:
    """Record that somebody did not come."""
    await _call_off(w, consultation, appointment, "noshow", None)
    await tell(w, "appointment.noshow", consultation, appointment)


async def _call_off(
    w: Work, consultation: tables.Consultation, appointment: tables.Appointment, status: str, reason: str | None
) -> None:
    rows = await notices.participants(w, appointment.id)
    await w.lock_people([consultation.clinician_id, *(row.person_id for row in rows)])
    was_booked = appointment.status == "booked"
    step_appointment(appointment, status)
    appointment.cancel_reason = reason
    appointment.held_until = appointment.remind_at = None
    revise(w, appointment)
    await w.sql(_FREE, {"appointment": appointment.id})
    for row in rows:
        row.status = "declined" if was_booked and status == "cancelled" else row.status  # a hold was never answered
        await end_offer(w, row.offer_id)
