"""What either side does with a booked or held time: move it, call it off, report who did not come, join."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables
from service.care import admission, answers, bookings, offers
from service.kernel import access, audit, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import deliveries, events, notices
from service.rules import lifecycle
from service.rules.matching import ranking
from service.rules.time import availability

CONSULTATION_REASONS = {"no_longer_needed": "no_longer_needed"}
"""The consultation's reason for an appointment's; any other one is `other`."""


@dataclass(frozen=True, slots=True)
class _Open:
    """One appointment of one consultation, both locked, and the side that acts: requesting or partner."""

    consultation: tables.Consultation
    appointment: tables.Appointment
    rows: list[tables.Participant]
    side: str


async def _open(w: Work, appointment_id: UUID) -> _Open:
    seen = await access.visible_appointment(w, appointment_id)
    consultation = await bookings.lock_consultation(w, seen.consultation_id)
    await w.session.refresh(seen, with_for_update={"key_share": True})
    rows = await notices.participants(w, seen.id)
    return _Open(consultation, seen, rows, _side(w, consultation, rows))


def _side(w: Work, consultation: tables.Consultation, rows: Sequence[tables.Participant]) -> str:
    if access.acts_for_requesting_side(w, consultation):
        return "requesting"
    for row in rows:
        if row.role == "mentor" and (
            row.person_id == w.actor.person_id
            or row.institution_id in w.actor.institutions("coordinator", "partner_system")
        ):
            return "partner"
    raise errors.Forbidden


def may_change(w: Work, consultation: tables.Consultation, rows: Sequence[tables.Participant]) -> bool:
    """Tell whether the actor is of one of the sides: who moves the appointment and calls it off."""
    try:
        _side(w, consultation, rows)
    except errors.Forbidden:
        return False
    return True


def is_own_proposal(w: Work, consultation: tables.Consultation, view: "View") -> bool:
    """Tell whether the actor is of the side that proposes another time."""
    try:
        return _proposing_side(view.row, view.participants) == _side(w, consultation, view.participants)
    except errors.Forbidden:
        return False


async def move(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The appointment has the new time if that is bookable or was proposed by the other side; else it is proposed.

    The same proposal twice is one. Raises SlotTaken, GateRefused, TimeNotBookable, IllegalTransition; a failed move
    leaves everything as it was. Nothing is proposed that the gate would refuse once both sides agree.
    """
    return await _move(w, await _open(w, appointment_id), starts_at)


async def agree(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The appointment has the time that the other side proposed; twice is once.

    Raises Conflict when that time is not proposed by now: nobody agrees to what they have not seen; else as `move`.
    """
    seen = await _open(w, appointment_id)
    if starts_at not in {seen.appointment.starts_at, *seen.appointment.proposed_starts}:
        raise errors.Conflict("This time is no longer proposed.")
    if seen.appointment.proposed_starts and not _is_other_side(seen):
        raise errors.Forbidden
    return await _move(w, seen, starts_at)


async def _move(w: Work, seen: _Open, starts_at: datetime) -> tables.Appointment:
    appointment, consultation = seen.appointment, seen.consultation
    if appointment.status != "booked":
        raise errors.IllegalTransition("appointment", appointment.status, "booked")
    if starts_at == appointment.starts_at:
        return appointment
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    if starts_at.second or starts_at.microsecond:
        raise errors.TimeNotBookable("/starts_at", "a time is on a whole minute")
    mentor = next(row for row in seen.rows if row.role == "mentor")
    known = await admission.facts(w, consultation, mentor.person_id, but_appointment=appointment.id, at=starts_at)
    is_agreed = starts_at in appointment.proposed_starts and _is_other_side(seen)
    offer = await w.session.get_one(tables.Offer, mentor.offer_id)
    overrides = [offer.override_rule] if offer.override_rule else []
    bookable = ranking.propose(known.asked, known.mentor, w.now, known.book, overrides, is_asking=False)
    if is_agreed or starts_at in bookable:
        waived = answers.AGREED if is_agreed else frozenset()
        await bookings.lock_everybody(w, consultation, appointment, mentor.person_id)
        link = await admission.gate_with_budget(
            w, consultation, offer, starts_at, waived=waived, but_appointment=appointment.id
        )
        appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
        await bookings.move(w, consultation, appointment, starts_at)
        audit.record(w, "moved", "appointment", appointment.id)
        return appointment
    if starts_at in appointment.proposed_starts:
        return appointment  # this side proposed it before: the same click is one
    admission.gate_at(w, known, starts_at, overrides, waived=answers.AGREED, is_asking=False)
    proposer = _stands_for(seen)  # a coordinator proposes for their side: the other one agrees, not a colleague
    appointment.proposed_starts, appointment.proposed_by = [starts_at], proposer
    w.touch(appointment)
    await notices.move_proposed(w, consultation, appointment, proposer, [starts_at])
    audit.record(w, "proposed", "appointment", appointment.id)
    return appointment


def _stands_for(seen: _Open) -> UUID:
    return _of_side(seen, is_requesting=seen.side == "requesting")


def _of_side(seen: _Open, *, is_requesting: bool) -> UUID:
    role = "clinician" if is_requesting else "mentor"
    return next(row.person_id for row in seen.rows if row.role == role)


def _is_other_side(seen: _Open) -> bool:
    return _proposing_side(seen.appointment, seen.rows) not in {None, seen.side}


def _proposing_side(appointment: tables.Appointment, rows: Sequence[tables.Participant]) -> str | None:
    if appointment.proposed_by is None:
        return None
    mentors = {row.person_id for row in rows if row.role == "mentor"}
    return "partner" if appointment.proposed_by in mentors else "requesting"


async def decline_move(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """This proposed time is off the table, and the side that proposed it is told; the booked one stays.

    Twice is once. Raises Conflict when another time is proposed by now: nobody declines what they have not seen.
    """
    seen = await _open(w, appointment_id)
    appointment = seen.appointment
    if appointment.status != "booked" or not appointment.proposed_starts:
        return appointment
    if starts_at not in appointment.proposed_starts:
        raise errors.Conflict("Another time is proposed by now.")
    is_told = _is_other_side(seen)  # who takes back their own proposal knows
    appointment.proposed_starts, appointment.proposed_by = [], None
    w.touch(appointment)
    if is_told:
        proposer = _of_side(seen, is_requesting=seen.side != "requesting")
        await notices.move_declined(w, seen.consultation, appointment, proposer)
    audit.record(w, "declined", "appointment", appointment.id)
    return appointment


async def cancel(
    w: Work, appointment_id: UUID, reason: str, note: str | None = None, confirmed: Collection[ConfirmedSpan] = ()
) -> tables.Appointment:
    """The time is free again. By the mentor's side the consultation is open again; by the other it is cancelled."""
    deidentification.check(w, {"note": note}, confirmed)
    seen = await _open(w, appointment_id)
    appointment = seen.appointment
    if appointment.status == "cancelled" and appointment.cancel_reason == reason:
        return appointment
    if appointment.status == "pending":
        await bookings.release(w, seen.consultation, appointment, "hold_released")
        return appointment
    await bookings.cancel(w, seen.consultation, appointment, reason, note)
    audit.record(w, "cancelled", "appointment", appointment.id, side=seen.side)
    await lose(w, seen.consultation, seen.side, CONSULTATION_REASONS.get(reason, "other"))
    return appointment


async def call_off(w: Work, consultation: tables.Consultation, appointment: tables.Appointment, reason: str) -> None:
    """By neither side's will the time is free again, held or booked; the consultation goes on seeking."""
    if appointment.status == "pending":
        await bookings.release(w, consultation, appointment, reason)
        return
    await bookings.cancel(w, consultation, appointment, reason)
    await lose(w, consultation, "partner", "other")


async def lose(w: Work, consultation: tables.Consultation, side: str, reason: str) -> None:
    """The agreed time came to nothing by that side: the consultation goes on, or ends."""
    all_offers = await offers.of_consultation(w, consultation.id)
    if lifecycle.after_loss(side) == "open":
        await offers.reopen(w, consultation, all_offers)
        return
    bookings.step("consultation", consultation, "cancelled")
    consultation.cancel_reason, consultation.closed_at = reason, w.now
    bookings.tell_consultation(w, "consultation.cancelled", consultation, asked=all_offers)
    await offers.withdraw(w, consultation, all_offers)


async def release_hold(w: Work, appointment_id: UUID) -> tables.Appointment:
    """A held time is let go; releasing it twice is one release."""
    seen = await _open(w, appointment_id)
    if seen.side != "requesting":
        raise errors.Forbidden
    if seen.appointment.status == "pending":
        await bookings.release(w, seen.consultation, seen.appointment, "hold_released")
    elif seen.appointment.status != "cancelled":
        raise errors.IllegalTransition("appointment", seen.appointment.status, "cancelled")
    return seen.appointment


async def expire_hold(w: Work, appointment_id: UUID) -> None:
    """Let go of a hold whose time is over; nothing if it was booked or released."""
    appointment = await w.session.get_one(tables.Appointment, appointment_id)
    consultation = await bookings.lock_consultation(w, appointment.consultation_id)
    await w.session.refresh(appointment, with_for_update={"key_share": True})
    if (
        appointment.held_until
        and lifecycle.expire_hold(appointment.status, appointment.held_until, w.now) == "cancelled"
    ):
        await bookings.release(w, consultation, appointment, "hold_expired")


async def report_no_show(w: Work, appointment_id: UUID, who: str) -> tables.Appointment:
    """Somebody did not come: never before the start. The consultation goes on as for a cancel by that side."""
    seen = await _open(w, appointment_id)
    if seen.appointment.status == "noshow":
        return seen.appointment
    if seen.appointment.status == "booked":
        must_have_begun(w, seen.appointment)
    await miss(w, seen.consultation, seen.appointment, who)
    audit.record(w, "missed", "appointment", seen.appointment.id, who=who)
    return seen.appointment


def must_have_begun(w: Work, appointment: tables.Appointment) -> None:
    """Go on only from the appointment's start: nobody can have missed it before; raises Conflict."""
    if w.now < appointment.starts_at:
        raise errors.Conflict("Nobody can have missed it before it starts.")


async def miss(w: Work, consultation: tables.Consultation, appointment: tables.Appointment, who: str) -> None:
    """Write that `who` (mentor or clinician) did not come, and tell both sides."""
    rows = await notices.participants(w, appointment.id)
    await bookings.miss(w, consultation, appointment)
    await lose(w, consultation, "partner" if who == "mentor" else "requesting", "other")
    people = await notices.people(w, [row.person_id for row in rows])
    values = await notices.values_of(w, consultation, appointment, rows)
    await notices.to_people(w, "noshow", consultation, people.values(), **values, reason=who)


async def room(w: Work, appointment_id: UUID) -> tables.Appointment:
    """Give the appointment whose room may be entered now: from ten minutes before until an hour after."""
    seen = await access.visible_appointment(w, appointment_id)
    rows = await notices.participants(w, seen.id)
    if w.actor.person_id not in {row.person_id for row in rows}:
        raise errors.Forbidden
    opens, closes = seen.starts_at - notices.JOIN_BEFORE, seen.ends_at + notices.JOIN_AFTER
    if seen.status not in {"booked", "fulfilled"} or not opens <= w.now < closes:
        raise errors.JoinNotOpen(None, opens_at=events.instant(opens), closes_at=events.instant(closes))
    return seen


async def remind(w: Work, appointment_id: UUID) -> None:
    """The participants are reminded, and the next reminder is set; nothing for what is no longer booked."""
    appointment = await w.session.get_one(tables.Appointment, appointment_id)
    consultation = await bookings.lock_consultation(w, appointment.consultation_id)
    await w.session.refresh(appointment, with_for_update={"key_share": True})
    if appointment.status != "booked" or appointment.remind_at is None or appointment.remind_at > w.now:
        return
    appointment.remind_at = bookings.next_reminder(appointment.starts_at, w.now + timedelta(seconds=1))
    await notices.remind(w, consultation, appointment)


@dataclass(frozen=True, slots=True)
class View:
    """An appointment with who takes part, and whose."""

    row: tables.Appointment
    participants: Sequence[tables.Participant]


async def read(w: Work, appointment_id: UUID) -> View:
    """Give one appointment."""
    return (await views(w, [await access.visible_appointment(w, appointment_id)]))[0]


async def read_note(w: Work, row: tables.Appointment) -> str | None:
    """Give the note of a cancellation to the people of the case, and remember that it was read; None for others."""
    return (await access.read_case_text(w, row.consultation_id, row, row.note))[0]


async def page(
    w: Work,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
) -> list[View]:
    """Give the appointments that the actor sees by their start, in [from, until): one more than `limit` at most."""
    kind = tables.Appointment
    place = sa.tuple_(col(kind.starts_at), col(kind.id))
    statement = sa.select(kind).where(access.appointments_seen(w.actor)).order_by(col(kind.starts_at), col(kind.id))
    if from_at is not None:
        statement = statement.where(col(kind.starts_at) >= from_at)
    if until_at is not None:
        statement = statement.where(col(kind.starts_at) < until_at)
    if after is not None:
        statement = statement.where(place > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
    return await views(w, list((await w.sql(statement.limit(limit + 1))).scalars()))


async def views(w: Work, rows: Sequence[tables.Appointment]) -> list[View]:
    """Give the appointments with their participants, in one query."""
    taking_part: dict[UUID, list[tables.Participant]] = {row.id: [] for row in rows}
    for found in (await w.sql(_TAKING_PART, {"ids": list(taking_part)})).scalars():
        taking_part[found.appointment_id].append(found)
    return [View(row, taking_part[row.id]) for row in rows]


async def follow_zone_data(w: Work, appointment_id: UUID) -> None:
    """The instant stays; if newer zone data shows it at another wall time, everybody is asked whether it still suits.

    Domain §5: nothing moves silently. Whoever minds moves it as they would any other time.
    """
    appointment = await w.session.get_one(tables.Appointment, appointment_id)
    consultation = await bookings.lock_consultation(w, appointment.consultation_id)
    await w.session.refresh(appointment, with_for_update={"key_share": True})
    if appointment.status != "booked" or appointment.tzdata_version == availability.TZDATA_VERSION:
        return
    appointment.tzdata_version = availability.TZDATA_VERSION
    rows = await notices.participants(w, appointment.id)
    agreed = {row.person_id: row.wall for row in rows}
    for row in rows:
        row.wall = availability.to_wall(appointment.starts_at, row.zone)
    if all(row.wall == agreed[row.person_id] for row in rows):
        return
    w.touch(appointment)
    values = await notices.values_of(w, consultation, appointment, rows)
    values["times"] = [
        {"who": row.role, "zone": row.zone, "agreed_wall": agreed[row.person_id].isoformat()} for row in rows
    ]
    receivers = await notices.people(w, agreed)
    await notices.to_people(w, "zone_data_changed", consultation, receivers.values(), **values)


_TAKING_PART = (
    sa.select(tables.Participant)
    .where(col(tables.Participant.appointment_id) == sa.any_(sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True)))))
    .order_by(col(tables.Participant.role), col(tables.Participant.person_id))
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What one participant's calendar object is made of: plain values, the people by id, the link to the room."""

    calendar: Mapping[str, Any]
    values: Mapping[str, Any]
    people: Mapping[str, tuple[str, str, str]]
    locale: str
    join: deliveries.Link | None


async def invitation(w: Work, appointment_id: UUID) -> Invitation:
    """Give the present invite of a participant, as the last mail said it, with a join link of its own."""
    seen = await read(w, appointment_id)
    row = seen.row
    me = w.actor.person_id
    if me is None or me not in {found.person_id for found in seen.participants}:
        raise errors.NotFound
    consultation = await w.session.get_one(tables.Consultation, row.consultation_id)
    known = await notices.people(w, [found.person_id for found in seen.participants])
    is_on = row.status in {"pending", "booked", "fulfilled"}
    status = {"pending": "TENTATIVE", "booked": "CONFIRMED", "fulfilled": "CONFIRMED"}.get(row.status, "CANCELLED")
    join = notices.join_link(w, row, me) if is_on else None
    if join:
        deliveries.put_link(w, join)
    return Invitation(
        notices.calendar_of(row, seen.participants, "REQUEST" if is_on else "CANCEL", status),
        await notices.values_of(w, consultation, row, seen.participants),
        {str(person.id): (person.display_name, person.email, person.locale) for person in known.values()},
        next(person.locale for person in known.values() if person.id == me),
        join,
    )
