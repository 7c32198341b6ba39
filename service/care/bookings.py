"""The steps of an appointment: hold, book, move, replace the mentor or the clinician, call off.

Every step that occupies somebody locks the people in sorted order, then inserts the seats: fewer rows than people means
that somebody is occupied. The exclusion constraint guarantees it whatever this code does (invariant B1). The caller
has opened the case, and asks the gate in the same transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import tables
from service.care.casefile import CaseFile
from service.kernel import access, clock, errors
from service.outbox import deliveries, notices
from service.rules import lifecycle
from service.rules.case import MemorandumLink
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
_KEEP = sa.text("UPDATE seat SET held_until = NULL WHERE appointment_id = :appointment RETURNING person_id")
_FREE = sa.text("DELETE FROM seat WHERE appointment_id = :appointment")
_FREE_ONE = sa.text("DELETE FROM seat WHERE appointment_id = :appointment AND person_id = :person")


@dataclass(frozen=True, slots=True)
class MentorSeat:
    """The mentor of an appointment: the person, their institution, and the offer they accepted (None for a hold)."""

    mentor_id: UUID
    institution_id: UUID
    offer_id: UUID | None


def next_reminder(starts_at: datetime, now: datetime) -> datetime | None:
    """Give when the participants are reminded next: a day before, an hour before."""
    return min((starts_at - lead for lead in REMIND_BEFORE if starts_at - lead > now), default=None)


async def create(
    case: CaseFile,
    seat: MentorSeat,
    link: MemorandumLink,
    starts_at: datetime,
    *,
    held_until: datetime | None = None,
    clinician_status: str = "needs-action",
) -> None:
    """Book the time under the memorandum of `link`, or hold it until `held_until`; raises SlotTaken.

    A mentor's acceptance is what books; nobody has answered what is only held. The mails are the caller's.
    """
    w, consultation = case.w, case.consultation
    people = await notices.people(w, [consultation.clinician_id, seat.mentor_id])
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
        tzdata_version=w.tzdata_version,
        held_until=held_until,
        dtstamp=w.now,
        remind_at=None if held_until else next_reminder(starts_at, w.now),
    )
    clinician = _participant(
        appointment,
        people[consultation.clinician_id],
        consultation.institution_id,
        "clinician",
        clinician_status,
    )
    mentor = _mentor(appointment, people[seat.mentor_id], seat, "needs-action" if held_until else "accepted")
    has_clinician = await access.is_clinician_there(w, consultation)
    case.maybe_appointment, case.participants = appointment, [clinician, mentor] if has_clinician else [mentor]
    w.add(appointment, *case.participants)
    case.record("appointment.held" if held_until else "appointment.booked", appointment)
    await _occupy(case)


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
        address_number=person.address_number,
        wall=availability.to_wall(appointment.starts_at, person.zone),
    )


def _mentor(
    appointment: tables.Appointment, person: tables.Person, seat: MentorSeat, status: str
) -> tables.Participant:
    participant = _participant(appointment, person, seat.institution_id, "mentor", status)
    participant.offer_id = seat.offer_id
    return participant


async def _occupy(case: CaseFile) -> None:
    """Seat everybody who takes part for the appointment's time; raises SlotTaken when one of them is occupied."""
    w, appointment = case.w, case.appointment
    people = [row.person_id for row in case.participants]
    await w.lock_people(people)
    await w.sql(_RELEASE_EXPIRED, {"people": people, "now": w.now})
    seats = {
        "appointment": appointment.id,
        "people": people,
        "starts_at": appointment.starts_at,
        "ends_at": appointment.ends_at,
        "held_until": appointment.held_until,
    }
    if len((await w.sql(_OCCUPY, seats)).all()) < len(set(people)):
        raise errors.SlotTaken


def must_still_be_held(case: CaseFile) -> None:
    """Go on only if the hold can still become a booking; raises HoldExpired from its expiry on."""
    appointment, now = case.appointment, case.w.now
    try:
        lifecycle.confirm_hold(appointment.status, appointment.held_until or now, now)
    except lifecycle.TooLate as error:
        raise errors.HoldExpired from error


async def confirm(case: CaseFile, offer: tables.Offer, link: MemorandumLink) -> None:
    """Book a held time by the offer; raises HoldExpired when its seats are not there any more."""
    w, appointment = case.w, case.appointment
    await case.lock_people()
    if len((await w.sql(_KEEP, {"appointment": appointment.id})).all()) < len(case.participants):
        raise errors.HoldExpired
    appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
    case.become(appointment, "booked")
    appointment.remind_at = next_reminder(appointment.starts_at, w.now)
    _revise(case)
    appointment.tzdata_version = w.tzdata_version
    for row in case.participants:
        row.wall = availability.to_wall(appointment.starts_at, row.zone)  # newer data may have come since the hold
    for row in case.mentors:
        row.status, row.offer_id = "accepted", offer.id


def _revise(case: CaseFile) -> None:
    """Let the calendar's SEQUENCE rise; DTSTAMP is always newer (INV-12)."""
    appointment = case.appointment
    appointment.sequence += 1
    appointment.dtstamp = max(case.w.now, appointment.dtstamp + timedelta(seconds=1))


def _set_time(case: CaseFile, link: MemorandumLink, starts_at: datetime) -> None:
    """Set another time under the memorandum of `link`; proposals are dropped, reminders begin anew."""
    appointment = case.appointment
    appointment.starts_at = starts_at
    appointment.ends_at = starts_at + timedelta(minutes=case.consultation.duration_minutes)
    appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
    appointment.proposed_starts, appointment.proposed_by = [], None
    appointment.tzdata_version = case.w.tzdata_version
    appointment.remind_at = next_reminder(starts_at, case.w.now)


async def move(case: CaseFile, link: MemorandumLink, starts_at: datetime, *, is_agreed: bool = False) -> None:
    """Give the appointment another time, same id; everybody is asked again (INV-13). Raises SlotTaken.

    A time that one side proposed and the other one agreed to has both their answers already.
    """
    appointment, before = case.appointment, case.appointment.starts_at
    await case.lock_people()
    await case.w.sql(_FREE, {"appointment": appointment.id})
    _set_time(case, link, starts_at)
    _revise(case)
    for row in case.participants:
        row.status = "accepted" if is_agreed else "needs-action"
        row.wall = availability.to_wall(starts_at, row.zone)
    case.record("appointment.rescheduled", appointment)
    await _occupy(case)
    await notices.invited(case, "moved", before=before)


async def replace_mentor(
    case: CaseFile, leaving: tables.Participant | None, offer: tables.Offer, link: MemorandumLink, starts_at: datetime
) -> None:
    """Seat another mentor in the same appointment: CANCEL to the old one, if any, REQUEST to the rest (INV-15)."""
    w, appointment, before = case.w, case.appointment, case.appointment.starts_at
    person = (await notices.people(w, [offer.mentor_id]))[offer.mentor_id]
    await case.lock_people(person.id)
    await w.sql(_FREE, {"appointment": appointment.id})
    await _make_room(case, leaving)
    _revise(case)
    if leaving:
        _end_offers(case, [leaving])
        with w.holding():  # the appointment has more changes to come
            await notices.taken_out(case, leaving, "replaced_out")  # with the time that is in their calendar
    _set_time(case, link, starts_at)
    joining = _mentor(appointment, person, MentorSeat(person.id, offer.institution_id, offer.id), "accepted")
    _exchange(case, leaving, joining)
    staying = [row for row in case.participants if row is not joining]
    for row in staying:
        row.status, row.wall = "needs-action", availability.to_wall(starts_at, row.zone)
    case.record("appointment.mentor_replaced", appointment)
    await _occupy(case)
    await notices.invited(case, "mentor_replaced", to=staying, before=before)
    await notices.invited(case, "booked", to=[joining])
    await notices.to_stand_ins(case)


async def replace_clinician(case: CaseFile, colleague: tables.Person) -> None:
    """Seat a colleague in the clinician's place, left or not; raises SlotTaken when they are occupied."""
    w, appointment, leaving = case.w, case.appointment, case.maybe_clinician
    await case.lock_people(colleague.id)
    await w.sql(_FREE, {"appointment": appointment.id})
    await _make_room(case, leaving)
    _revise(case)
    is_held = case.is_held
    joining = _participant(
        appointment,
        colleague,
        case.consultation.institution_id,
        "clinician",
        "needs-action",
    )
    if leaving:
        with w.holding():
            await notices.taken_out(case, leaving, "handed_over")
    _exchange(case, leaving, joining)
    # The oldest data that made one of the wall times: whoever has newer looks at all of them again.
    appointment.tzdata_version = min(appointment.tzdata_version, w.tzdata_version)
    w.touch(appointment)
    await _occupy(case)
    if is_held:
        await notices.invited(case, "held")
        return
    await notices.invited(case, "booked", to=[joining])
    await notices.invited(case, "clinician_replaced", to=case.mentors)


async def vacate(case: CaseFile, leaving: tables.Participant) -> None:
    """Leave the place of somebody who may no longer act empty: the time and its id stay, CANCEL to them alone.

    Who else is told is the caller's.
    """
    w, appointment = case.w, case.appointment
    await case.lock_people()
    await w.sql(_FREE_ONE, {"appointment": appointment.id, "person": leaving.person_id})
    _end_offers(case, [leaving])
    _revise(case)
    appointment.proposed_starts, appointment.proposed_by = [], None
    if leaving.role == "mentor":
        appointment.remind_at = None  # nobody is reminded of a call that may not be
    case.record("appointment.mentor_left" if leaving.role == "mentor" else "appointment.clinician_left", appointment)
    await notices.taken_out(case, leaving, "taken_out")
    await w.delete(leaving)
    case.participants = [row for row in case.participants if row is not leaving]


async def readdress(case: CaseFile, former: Mapping[UUID, str]) -> None:
    """Take the former addresses (by the person) out of the calendars, and put in those that the people have now.

    The removal comes first, and its SEQUENCE is lower: both addresses may lead into one mailbox.
    """
    moved = [row for row in case.participants if row.person_id in former]
    _revise(case)
    for row in moved:
        await leave_address(case, row, former[row.person_id])
    _revise(case)
    case.w.touch(case.appointment)
    await notices.invited(case, "address_moved", to=moved)
    await notices.invited(
        case, "attendee_readdressed", to=[row for row in case.participants if row.person_id not in former]
    )


async def leave_address(case: CaseFile, row: tables.Participant, address: str) -> None:
    """Mail the former address a CANCEL of that attendee alone; whose address it was takes part as before."""
    person = (await notices.people(case.w, [row.person_id]))[row.person_id]
    await deliveries.mail(
        case.w,
        template="address_left",
        person=person,
        values=await notices.values_of(case),
        calendar=notices.calendar_of(case.appointment, [row], "CANCEL", None),
        appointment=case.appointment,
        address=address,
    )


async def _make_room(case: CaseFile, leaving: tables.Participant | None) -> None:
    """Delete the row of whoever leaves, before another takes their place: a role's place is unique."""
    if leaving:
        await case.w.delete(leaving)
        await case.w.flush()


def _exchange(case: CaseFile, leaving: tables.Participant | None, joining: tables.Participant) -> None:
    """Put one participant in the place of the other, for whom there is room."""
    case.w.add(joining)
    case.participants = sorted(
        [joining, *(row for row in case.participants if row is not leaving)], key=lambda row: (row.role, row.person_id)
    )


def _end_offers(case: CaseFile, leaving: Sequence[tables.Participant]) -> None:
    """End the accepted offers of those who leave: they can no longer read the case text."""
    for row in leaving:
        if row.offer_id:
            case.offer(row.offer_id).ended_at = case.w.now


async def release(case: CaseFile, reason: str) -> None:
    """Let go of a held time: seats gone, CANCEL sent."""
    await _call_off(case, "cancelled", reason)
    await notices.called_off(case, "hold_released", reason)


async def release_of(case: CaseFile, mentor_ids: Collection[UUID], *, have_declined: bool = False) -> None:
    """A time held for one of these mentors is free again: they can no longer accept it."""
    held_for = [row for row in case.participants if row.person_id in mentor_ids]
    if not case.is_held or not held_for:
        return
    if have_declined:
        for row in held_for:
            row.status = "declined"
    await release(case, "hold_released")


async def cancel(case: CaseFile, reason: str, note: str | None = None, *, by_side: str | None = None) -> None:
    """Call off the appointment: its time is free in this transaction, CANCEL to everybody.

    The side that calls it off has declined; what the others answered stays as they gave it.
    """
    appointment = case.appointment
    for row in case.participants:
        if by_side == ("partner" if row.role == "mentor" else "requesting"):
            row.status = "declined"
    appointment.note, appointment.noted_by = case.w.seal(note, appointment.id), case.w.actor.person_id
    await _call_off(case, "cancelled", reason)
    await notices.called_off(case, "cancelled", reason)


async def fulfil(case: CaseFile) -> None:
    """What was agreed has happened; a time that still lies ahead, because they met earlier, is free again."""
    case.become(case.appointment, "fulfilled")
    if case.appointment.ends_at > case.w.now:
        await case.lock_people()
        await case.w.sql(_FREE, {"appointment": case.appointment.id})


async def miss(case: CaseFile) -> None:
    """Record that somebody did not come."""
    await _call_off(case, "noshow", None)


async def _call_off(case: CaseFile, status: str, reason: str | None) -> None:
    appointment = case.appointment
    await case.lock_people()
    case.become(appointment, status)
    appointment.cancel_reason = reason
    _revise(case)
    await case.w.sql(_FREE, {"appointment": appointment.id})
    _end_offers(case, case.participants)
