"""What either side does with a booked or held time: move it, call it off, report who did not come, join."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.care import admission, answers, bookings, casefile, offers
from service.care.casefile import CaseFile
from service.kernel import access, audit, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import deliveries, events, hearers, notices
from service.rules import lifecycle, policy
from service.rules.time import availability, night
from service.rules.time.night import NightHours

CONSULTATION_REASONS = {"no_longer_needed": "no_longer_needed"}
"""The consultation's reason for an appointment's; any other one is `other`."""


def may_change(w: Work, consultation: tables.Consultation, participants: Sequence[tables.Participant]) -> bool:
    """Tell whether the actor acts for one of the sides, and so may move the appointment and call it off."""
    return casefile.side_of_actor(w, consultation, participants) is not None


def is_own_proposal(w: Work, consultation: tables.Consultation, view: "AppointmentView") -> bool:
    """Tell whether the actor's own side proposes another time."""
    side = casefile.side_of_actor(w, consultation, view.participants)
    return side is not None and side == _proposing_side(view.row, view.participants)


async def steps_now(w: Work, consultation: tables.Consultation, view: "AppointmentView") -> Mapping[str, lifecycle.May]:
    """Give what may be done with a booked time now, and how; nothing if it is not booked."""
    if view.row.status != "booked":
        return {}
    programme = await w.read(tables.Programme, consultation.programme_id)
    numbers = policy.from_overrides(programme.policy)
    return lifecycle.steps_now(casefile.booked_time(view.row), w.now, numbers)


def may_take_back(w: Work, consultation: tables.Consultation, view: "AppointmentView") -> bool:
    """Tell whether the actor's side reported somebody as absent, and may log that they met after all."""
    side = casefile.side_of_actor(w, consultation, view.participants)
    return view.row.status == "noshow" and side is not None and side == view.row.absence_told_by


async def move(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The appointment has the new time if that is bookable or was proposed by the other side; else it is proposed.

    Once the booked time has begun every other one is proposed only, for a while (`lifecycle.BOOKED`). The same proposal
    twice is one. Raises SlotTaken, GateRefused, TimeNotBookable, TooLate, IllegalTransition; a failed move leaves
    everything as it was. Nothing is proposed that the gate would refuse once both sides agree.
    """
    case = await casefile.of_appointment(w, appointment_id)
    return await _move(case, case.side_of_actor(), starts_at)


async def agree(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The appointment has the time that the other side proposed; twice is once.

    Raises Conflict when that time is no longer proposed: nobody agrees to what they have not seen; else as `move`.
    """
    case = await casefile.of_appointment(w, appointment_id)
    side = case.side_of_actor()
    if starts_at not in {case.appointment.starts_at, *case.appointment.proposed_starts}:
        raise errors.Conflict("This time is no longer proposed.")
    if case.appointment.proposed_starts and not _is_proposed_to(case, side):
        raise errors.Forbidden
    return await _move(case, side, starts_at)


async def _move(case: CaseFile, side: str, starts_at: datetime) -> tables.Appointment:
    w, appointment = case.w, case.appointment
    is_proposed = starts_at in appointment.proposed_starts
    is_agreed = is_proposed and _is_proposed_to(case, side)
    if appointment.status != "booked":
        raise errors.IllegalTransition("appointment", appointment.status, "booked")
    if starts_at == appointment.starts_at:
        return appointment
    _must_be_whole(case)
    allowed = await case.may("agree" if is_agreed else "move")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    if starts_at.second or starts_at.microsecond:
        raise errors.TimeNotBookable("/starts_at", "a time is on a whole minute")
    await case.lock_people()
    (mentor,) = case.mentors
    facts = await admission.facts(case, mentor.person_id, start=starts_at, minutes_at=starts_at)
    offer = case.offer_of(mentor)
    overrides = [offer.override_rule] if offer.override_rule else []
    if is_agreed or (allowed is lifecycle.May.YES and starts_at in facts.bookable(overrides)):
        waived = answers.AGREED if is_agreed else frozenset()
        link = await admission.admit_with_budget(case, facts, offer, starts_at, waived)
        await bookings.move(case, link, starts_at, is_agreed=is_agreed)
        audit.record(w, "moved", "appointment", appointment.id)
    elif not is_proposed:  # else this side has proposed it already: a second click changes nothing
        admission.admit(facts, starts_at, overrides, waived=answers.AGREED)
        await _propose(case, side, starts_at)
    return appointment


def _must_be_whole(case: CaseFile) -> None:
    """Go on only if both places are taken; raises Conflict while somebody is sought for one."""
    if not case.mentors:
        raise errors.Conflict("The mentor has left, and another one is being asked: wait, or call it off.")
    if case.maybe_clinician is None:
        raise errors.Conflict("The clinician has left: assign another one first.")


async def _propose(case: CaseFile, side: str, starts_at: datetime) -> None:
    """Propose the time to the other side.

    A coordinator proposes for their side: the other side agrees, not a colleague.
    """
    appointment, proposer = case.appointment, _head_of(case, side)
    appointment.proposed_starts, appointment.proposed_by = [starts_at], proposer
    case.w.touch(appointment)
    await notices.move_proposed(case, proposer, [starts_at])
    audit.record(case.w, "proposed", "appointment", appointment.id)


def _head_of(case: CaseFile, side: str) -> UUID:
    """Give the person who represents the side: the clinician, or the first mentor."""
    return case.consultation.clinician_id if side == "requesting" else case.mentors[0].person_id


def _is_proposed_to(case: CaseFile, side: str) -> bool:
    """Tell whether the other side proposes another time."""
    return _proposing_side(case.appointment, case.participants) not in {None, side}


def _proposing_side(appointment: tables.Appointment, participants: Sequence[tables.Participant]) -> str | None:
    if appointment.proposed_by is None:
        return None
    mentors = {row.person_id for row in participants if row.role == "mentor"}
    return "partner" if appointment.proposed_by in mentors else "requesting"


async def decline_move(w: Work, appointment_id: UUID, starts_at: datetime) -> tables.Appointment:
    """This proposed time is off the table, and the side that proposed it is told; the booked one stays.

    Twice is once. Raises Conflict when another time is proposed by now: nobody declines what they have not seen.
    """
    case = await casefile.of_appointment(w, appointment_id)
    appointment, side = case.appointment, case.side_of_actor()
    if not appointment.proposed_starts:
        return appointment
    await case.may("decline_move")
    if starts_at not in appointment.proposed_starts:
        raise errors.Conflict("Another time is proposed by now.")
    is_other_sides = _is_proposed_to(case, side)  # a side that withdraws its own proposal is not told
    appointment.proposed_starts, appointment.proposed_by = [], None
    w.touch(appointment)
    if is_other_sides:
        await notices.move_declined(case, _head_of(case, "partner" if side == "requesting" else "requesting"))
    audit.record(w, "declined", "appointment", appointment.id)
    return appointment


async def cancel(
    w: Work, appointment_id: UUID, reason: str, note: str | None = None, confirmed: Collection[ConfirmedSpan] = ()
) -> tables.Appointment:
    """The time is free again. By the mentor's side the consultation is open again; by the other it is cancelled."""
    deidentification.check(w, {"note": note}, confirmed)
    case = await casefile.of_appointment(w, appointment_id)
    appointment, side = case.appointment, case.side_of_actor()
    if appointment.status == "cancelled" and appointment.cancel_reason == reason:
        return appointment
    if case.is_held:
        await bookings.release(case, "hold_released")
        return appointment
    if not case.seeks_mentor:  # what was vacant did not take place, and is called off after its end too
        await case.may("cancel_appointment")
    await bookings.cancel(case, reason, note, by_side=side)
    audit.record(w, "cancelled", "appointment", appointment.id, side=side)
    await _lose(case, side, CONSULTATION_REASONS.get(reason, "other"))
    return appointment


async def call_off(case: CaseFile, reason: str) -> None:
    """The held or booked time is free again by neither side's doing; the consultation seeks a mentor again."""
    if case.is_held:
        await bookings.release(case, reason)
        return
    await bookings.cancel(case, reason)
    await _lose(case, "partner", "other")


async def _lose(case: CaseFile, side: str, reason: str) -> None:
    """The consultation is open again, or cancelled, as that side gave up the agreed time."""
    if lifecycle.after_loss(side) == "open":
        if case.consultation.state not in lifecycle.SEEKING:  # it does already if the mentor had left before
            await offers.reopen(case)
        return
    case.become(case.consultation, "cancelled")
    case.consultation.cancel_reason = reason
    await offers.withdraw(case, case.open_offers)


async def release_hold(w: Work, appointment_id: UUID) -> tables.Appointment:
    """A held time is let go; releasing it twice is one release."""
    case = await casefile.of_appointment(w, appointment_id)
    if case.side_of_actor() != "requesting":
        raise errors.Forbidden
    if case.is_held:
        await bookings.release(case, "hold_released")
    elif case.appointment.status != "cancelled":
        raise errors.IllegalTransition("appointment", case.appointment.status, "cancelled")
    return case.appointment


async def expire_hold(w: Work, appointment_id: UUID) -> None:
    """Let go of a hold whose time is over; nothing if it was booked or released."""
    case = await casefile.by_appointment(w, appointment_id)
    held_until = case.appointment.held_until
    if held_until and lifecycle.expire_hold(case.appointment.status, held_until, w.now) == "cancelled":
        await bookings.release(case, "hold_expired")


async def report_no_show(w: Work, appointment_id: UUID, absent_role: str) -> tables.Appointment:
    """Somebody did not come, and was waited for. The consultation goes on as for a cancel by that side.

    Twice is once. Raises TooEarly, and Disputed when the other side has reported or logged something else.
    """
    case = await casefile.of_appointment(w, appointment_id)
    side, appointment = case.side_of_actor(), case.appointment
    if appointment.status == "noshow":
        if appointment.absent in {absent_role, None}:  # None: reported to an older program
            return appointment
        await dispute(case)
    if appointment.status == "fulfilled" and side != await logged_by(case):
        await dispute(case)
    if case.is_booked:
        _must_be_whole(case)
        await case.may("report_no_show")
    await miss(case, absent_role, side)
    audit.record(w, "missed", "appointment", appointment.id, who=absent_role)
    return appointment


async def logged_by(case: CaseFile) -> str | None:
    """Say which side logged the appointment's session; None if that cannot be told any more."""
    person_id = (await case.w.sql(_LOGGED_BY, {"id": case.appointment.id})).scalars().first()
    place = next((row.institution_id for row in case.participants if row.person_id == person_id), None)
    if place is None and person_id is not None:
        place = (await case.w.sql(_COORDINATES, {"person": person_id, "places": _places(case)})).scalars().first()
    return None if place is None else "requesting" if place == case.consultation.institution_id else "partner"


_LOGGED_BY = sa.text("""
SELECT logged_by FROM log_entry JOIN session ON session.id = log_entry.id
WHERE session.appointment_id = :id ORDER BY log_entry.id LIMIT 1
""")
_COORDINATES = sa.text(
    "SELECT institution_id FROM role_grant WHERE person_id = :person AND institution_id = ANY(:places)"
).bindparams(sa.bindparam("places", type_=ARRAY(PG_UUID(as_uuid=True))))


def _places(case: CaseFile) -> list[UUID]:
    return [row.institution_id for row in case.participants]


async def dispute(case: CaseFile) -> NoReturn:
    """The two sides say different things of what happened: both sides' coordinators hear of it once. Raises Disputed.

    What was reported or logged first stands until they have spoken (decision 0031).
    """
    appointment = case.appointment
    if appointment.disputed_at is None:
        appointment.disputed_at = case.w.now
        case.w.touch(appointment)
        receivers = await hearers.coordinators(case.w, _places(case), case.consultation.programme_id)
        await notices.about_appointment(case, "disputed", receivers, reason=appointment.absent)
        audit.record(case.w, "disputed", "appointment", appointment.id)
    raise errors.Disputed


async def miss(case: CaseFile, absent_role: str, told_by: str) -> None:
    """The appointment is missed by `absent_role` (mentor or clinician), says that side, and both sides are told."""
    await bookings.miss(case)
    case.appointment.absent, case.appointment.absence_told_by = absent_role, told_by
    await _lose(case, "partner" if absent_role == "mentor" else "requesting", "other")
    await notices.to_participants(case, "noshow", reason=absent_role)


async def room(w: Work, appointment_id: UUID) -> tables.Appointment:
    """Give the appointment whose room may be entered now: from ten minutes before until an hour after."""
    appointment = await access.visible_appointment(w, appointment_id)
    (view,) = await views(w, [appointment])
    if w.actor.person_id not in {row.person_id for row in view.participants}:
        raise errors.Forbidden
    opens = appointment.starts_at - lifecycle.ROOM_OPENS_BEFORE
    closes = appointment.ends_at + lifecycle.ROOM_STAYS_OPEN
    if appointment.status not in vocabulary.AGREED_APPOINTMENT or not opens <= w.now < closes:
        raise errors.JoinNotOpen(None, opens_at=events.instant(opens), closes_at=events.instant(closes))
    return appointment


async def remind(w: Work, appointment_id: UUID) -> None:
    """The participants are reminded, and the next reminder is set; nothing for what is no longer booked."""
    case = await casefile.by_appointment(w, appointment_id)
    appointment = case.appointment
    if not case.is_booked or appointment.remind_at is None or appointment.remind_at > w.now:
        return
    appointment.remind_at = bookings.next_reminder(appointment.starts_at, w.now + timedelta(seconds=1))
    await notices.remind(case)


@dataclass(frozen=True, slots=True)
class AppointmentView:
    """An appointment and its participants."""

    row: tables.Appointment
    participants: Sequence[tables.Participant]

    @property
    def needs_mentor(self) -> bool:
        """Whether the time stands and its mentor has left: another one is sought for it."""
        return self.row.status == "booked" and all(person.role != "mentor" for person in self.participants)

    @property
    def warnings(self) -> Sequence[NightHours]:
        """Which of its times, the proposed ones too, are at night for whom."""
        return self.warnings_of([self.row.starts_at, *self.row.proposed_starts])

    def warnings_of(self, starts: Sequence[datetime]) -> Sequence[NightHours]:
        """Which of these times would be at night for whom."""
        sides: Mapping[str, vocabulary.Side] = {"clinician": "requesting", "mentor": "partner"}
        zones = {sides[person.role]: person.zone for person in self.participants if person.role in sides}
        return night.warnings(starts, (self.row.ends_at - self.row.starts_at) // timedelta(minutes=1), zones)


async def read(w: Work, appointment_id: UUID) -> AppointmentView:
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
) -> list[AppointmentView]:
    """Give the appointments that the actor sees by their start, in [from, until): one more than `limit` at most."""
    order = ("starts_at", "id")
    rows = await paging.rows(
        w, tables.Appointment, after=after, limit=limit, order=order, since=from_at, until=until_at
    )
    return await views(w, rows)


async def views(w: Work, rows: Sequence[tables.Appointment]) -> list[AppointmentView]:
    """Give the appointments with their participants, in one query."""
    participants: dict[UUID, list[tables.Participant]] = {row.id: [] for row in rows}
    for participant in (await w.sql(_TAKING_PART, {"ids": list(participants)})).scalars():
        participants[participant.appointment_id].append(participant)
    return [AppointmentView(row, participants[row.id]) for row in rows]


async def follow_zone_data(w: Work, appointment_id: UUID) -> None:
    """The instant stays; if newer zone data shows it at another wall time, everybody is asked whether it still suits.

    Nothing moves silently (invariant T4). A participant whom it no longer suits moves it like any other time. What
    newer data than this process's has made is left alone: two programs at once end with the newer one's.
    """
    case = await casefile.by_appointment(w, appointment_id)
    appointment = case.appointment
    if not case.is_booked or appointment.tzdata_version >= w.tzdata_version:
        return
    appointment.tzdata_version = w.tzdata_version
    agreed_walls = {row.person_id: row.wall for row in case.participants}
    for row in case.participants:
        row.wall = availability.to_wall(appointment.starts_at, row.zone)
    if all(row.wall == agreed_walls[row.person_id] for row in case.participants):
        return
    w.touch(appointment)
    ends = appointment.starts_at, appointment.ends_at
    times = [
        {
            "who": row.role,
            "zone": row.zone,
            "agreed_wall": agreed_walls[row.person_id].isoformat(),
            # An older program may write the mail: by its own data it would show the old hour as the new one.
            "minutes_ahead": [availability.minutes_ahead(at, row.zone) for at in ends],
        }
        for row in case.participants
    ]
    await notices.to_participants(case, "zone_data_changed", times=times)


async def newest_zone_data(w: Work) -> str | None:
    """Give the newest version of zone data by which any booked time ahead was made."""
    version: str | None = (await w.sql(_NEWEST_ZONE_DATA, {"now": w.now})).scalar_one()
    return version


_NEWEST_ZONE_DATA = sa.text(
    "SELECT max(tzdata_version COLLATE \"C\") FROM appointment WHERE status = 'booked' AND starts_at > :now"
)

# Held or booked appointments whose memorandum is not active, for now or for good, and nobody was told of it.
_NOT_TOLD_OF_END = """
FROM appointment a JOIN memorandum m ON m.id = a.memorandum_id AND m.status <> 'active'
CROSS JOIN LATERAL (SELECT id FROM memorandum_transition t WHERE t.memorandum_id = m.id ORDER BY id DESC LIMIT 1) step
WHERE a.status IN ('pending', 'booked') AND a.told_end_id IS DISTINCT FROM step.id"""
NOT_TOLD_OF_END = f"SELECT a.id {_NOT_TOLD_OF_END}"
_LATEST_STEP = sa.text(f"SELECT step.id {_NOT_TOLD_OF_END} AND a.id = :id")


async def follow_memorandum_end(w: Work, appointment_id: UUID) -> None:
    """Both sides' coordinators hear of an appointment whose memorandum no longer holds; by policy it is called off."""
    case = await casefile.by_appointment(w, appointment_id)
    step_id = (await w.sql(_LATEST_STEP, {"id": appointment_id})).scalar_one_or_none()
    if step_id is None:
        return
    case.appointment.told_end_id = step_id
    institutions = {row.institution_id for row in case.participants} | {case.consultation.institution_id}
    receivers = await hearers.coordinators(w, institutions, case.consultation.programme_id)
    await notices.about_appointment(case, "memorandum_ended", receivers)
    is_ahead = w.now < case.appointment.ends_at  # what has happened is logged, whatever became of the memorandum
    if is_ahead and (await case.numbers()).cancels_when_memorandum_ends:
        await call_off(case, "memorandum_ended")


_TAKING_PART = (
    sa.select(tables.Participant)
    .where(col(tables.Participant.appointment_id) == sa.any_(sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True)))))
    .order_by(col(tables.Participant.role), col(tables.Participant.person_id))
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """The content of one participant's calendar object: plain values, the people by id, the link to the room."""

    calendar: Mapping[str, Any]
    values: Mapping[str, Any]
    people: Mapping[str, tuple[str, str, str]]
    locale: str
    join: deliveries.NewLink | None


async def invitation(w: Work, appointment_id: UUID) -> Invitation:
    """Give the actor's present invitation, as in the last mail, with a join link of its own."""
    view = await read(w, appointment_id)
    row = view.row
    person_id = w.actor.person_id
    places = {participant.person_id: participant.institution_id for participant in view.participants}
    if person_id is None or places.get(person_id) not in w.actor.institutions(*vocabulary.INSTITUTION_ROLES):
        raise errors.NotFound  # who has left the place reads no more of the other side than their mails told them
    consultation = await w.read(tables.Consultation, row.consultation_id)
    people = await notices.people(w, [participant.person_id for participant in view.participants])
    is_on = row.status in vocabulary.STANDING_APPOINTMENT
    status = {"pending": "TENTATIVE", "booked": "CONFIRMED", "fulfilled": "CONFIRMED"}.get(row.status, "CANCELLED")
    if status == "CONFIRMED" and not any(participant.role == "mentor" for participant in view.participants):
        status = "TENTATIVE"  # the mentor has left, and another one is sought
    join = notices.join_link(w, row, person_id) if is_on else None
    if join:
        deliveries.put_link(w, join)
    return Invitation(
        notices.calendar_of(row, view.participants, "REQUEST" if is_on else "CANCEL", status),
        await notices.appointment_values(w, consultation, row, view.participants),
        {str(person.id): (person.display_name, person.email, person.locale) for person in people.values()},
        next(person.locale for person in people.values() if person.id == person_id),
        join,
    )
