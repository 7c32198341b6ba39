"""One consultation with its offers and its appointment: opened once, locked in one order, changed in one way.

A verb opens the case by its consultation, an offer or an appointment. Opening locks consultation → offers → appointment
(docs/architecture.md, lock order) and reads who takes part; until the transaction ends nobody else changes any of them.
The verb then reads and changes what the file holds. A state is changed by `become` and by nothing else: the lifecycle's
step, the timers that the new state clears and the event of the change are one call that cannot be half done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, errors
from service.kernel.work import Work
from service.outbox import events
from service.rules import lifecycle, policy
from service.rules.time.intervals import Interval

Subject = tables.Consultation | tables.Offer | tables.Appointment

_KINDS = {tables.Consultation: "consultation", tables.Offer: "offer", tables.Appointment: "appointment"}
_EVENTS: Mapping[tuple[str, str, str], vocabulary.EventType] = {
    ("offer", "countered", "pending"): "offer.counter_declined",
    ("offer", "countered", "late"): "offer.counter_declined",
    ("offer", "countered", "expired"): "offer.counter_declined",
    ("appointment", "pending", "cancelled"): "appointment.hold_expired",
}
"""Events that do not have the name of the new state."""

_BECOMES = {
    "move": "booked",
    "agree": "booked",
    "cancel_appointment": "cancelled",
    "report_no_show": "noshow",
    "log_session": "fulfilled",
}
"""The state that a step would lead to, for the problem's words."""

_CONSULTATION = (
    sa.select(tables.Consultation)
    .where(col(tables.Consultation.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_OFFERS = (
    sa.select(tables.Offer)
    .where(col(tables.Offer.consultation_id) == sa.bindparam("consultation"))
    .order_by(col(tables.Offer.id))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_APPOINTMENT = sa.select(tables.Appointment).with_for_update(key_share=True).execution_options(populate_existing=True)
_NAMED_APPOINTMENT = _APPOINTMENT.where(col(tables.Appointment.id) == sa.bindparam("id"))
_LIVE_APPOINTMENT = _APPOINTMENT.where(
    col(tables.Appointment.consultation_id) == sa.bindparam("id"),
    col(tables.Appointment.status).in_(vocabulary.LIVE_APPOINTMENT),
)
_PARTICIPANTS = (
    sa.select(tables.Participant)
    .where(col(tables.Participant.appointment_id) == sa.bindparam("appointment"))
    .order_by(col(tables.Participant.role), col(tables.Participant.person_id))
)


@dataclass(slots=True)
class CaseFile:
    """A consultation, its offers, one appointment and who takes part in it; all rows but the participants locked."""

    w: Work
    consultation: tables.Consultation
    offers: list[tables.Offer] = field(default_factory=list)
    maybe_appointment: tables.Appointment | None = None
    participants: list[tables.Participant] = field(default_factory=list)  # clinician first
    new_windows: tuple[Interval, ...] | None = None  # of a consultation that is filed now: no table has them yet

    @property
    def appointment(self) -> tables.Appointment:
        """The appointment, where there must be one."""
        if self.maybe_appointment is None:
            raise LookupError(self.consultation.id)
        return self.maybe_appointment

    @property
    def appointment_id(self) -> UUID | None:
        """The appointment's id, if there is one."""
        return self.maybe_appointment.id if self.maybe_appointment else None

    @property
    def awaits_first_wave(self) -> bool:
        """Whether it is open and nobody was ever asked yet."""
        return lifecycle.awaits_first_wave(self.consultation.state, self.consultation.waves)

    @property
    def is_held(self) -> bool:
        """Whether a time is held."""
        return self.maybe_appointment is not None and self.maybe_appointment.status == "pending"

    @property
    def is_booked(self) -> bool:
        """Whether a time is booked."""
        return self.maybe_appointment is not None and self.maybe_appointment.status == "booked"

    @property
    def seeks_mentor(self) -> bool:
        """Whether a time is booked whose mentor has left: the consultation seeks another one for it."""
        return self.is_booked and not self.mentors

    @property
    def maybe_clinician(self) -> tables.Participant | None:
        """The clinician's row in the appointment; None while nobody has taken the place of one who left."""
        return next((row for row in self.participants if row.role == "clinician"), None)

    @property
    def mentors(self) -> list[tables.Participant]:
        """The mentors' rows in the appointment; none while `seeks_mentor`."""
        return [row for row in self.participants if row.role == "mentor"]

    @property
    def open_offers(self) -> list[tables.Offer]:
        """Offers that can lead to an agreement yet."""
        return [offer for offer in self.offers if offer.shown_state in vocabulary.OPEN_OFFER]

    @property
    def standing_offers(self) -> list[tables.Offer]:
        """Accepted offers whose agreement still stands."""
        return [offer for offer in self.offers if stands(offer)]

    def closes_at(self, offer: tables.Offer) -> datetime:
        """Give from when on this offer is answered no more, as the case stands."""
        return lifecycle.closes_at(offer.answer_by, self.consultation.state, self.consultation.answer_due_at)

    def offer(self, offer_id: UUID) -> tables.Offer:
        """Give the offer of this id."""
        return next(offer for offer in self.offers if offer.id == offer_id)

    def offer_of(self, mentor: tables.Participant) -> tables.Offer:
        """Give the offer by which this mentor takes part."""
        return next(offer for offer in self.offers if offer.id == mentor.offer_id)

    def side_of_actor(self) -> str:
        """Say for which side of the appointment the actor acts: requesting or partner; raises Forbidden."""
        side = side_of_actor(self.w, self.consultation, self.participants)
        if side is None:
            raise errors.Forbidden
        return side

    async def numbers(self) -> policy.Policy:
        """Give the programme's numbers."""
        return policy.from_overrides((await self.w.read(tables.Programme, self.consultation.programme_id)).policy)

    async def may(self, step_name: str, time: lifecycle.BookedTime | None = None) -> lifecycle.May:
        """Ask the lifecycle's table whether this step may be done with the appointment now, and how.

        `time` stands for the appointment's as it is. Raises TooEarly, TooLate, IllegalTransition.
        """
        appointment = self.appointment
        try:
            return lifecycle.may(step_name, time or booked_time(appointment), self.w.now, await self.numbers())
        except lifecycle.TooEarly as error:
            raise errors.TooEarly(error.at) from error
        except lifecycle.TooLate as error:
            raise errors.TooLate(error.at, error.instead) from error
        except lifecycle.IllegalTransition as error:
            state = _BECOMES.get(step_name, appointment.status)
            raise errors.IllegalTransition("appointment", appointment.status, state) from error

    async def may_if_booked(self, step_name: str) -> None:
        """As `may`, if a time is booked and both places are taken: a vacant call is never logged, and ends another way.

        Whatever is done with a case in which no time is booked, `must_not_be_due` asks for.
        """
        if self.is_booked and self.mentors and self.maybe_clinician:
            await self.may(step_name)

    def must_not_be_due(self, step_name: str) -> None:
        """Go on if the lifecycle's table allows this step now in a case that seeks a mentor; raises TooLate."""
        try:
            lifecycle.must_not_be_due(step_name, self.consultation.answer_due_at, self.w.now)
        except lifecycle.TooLate as error:
            raise errors.TooLate(error.at, error.instead) from error

    async def lock_people(self, *others: UUID) -> None:
        """Lock the clinician, the participants and the others: at once, sorted, and before any memorandum."""
        taking_part = (row.person_id for row in self.participants)
        await self.w.lock_people([self.consultation.clinician_id, *taking_part, *others])

    def become(self, subject: Subject, state: str, memorandum_id: UUID | None = None) -> None:
        """Let a row of this case go on to the state: its timers are cleared, its event recorded.

        `memorandum_id` is the one under which a consultation goes on; see `audience`. Raises IllegalTransition.
        """
        kind = _KINDS[type(subject)]
        before = _state(subject)
        try:
            lifecycle.step(kind, before, state)
        except lifecycle.IllegalTransition as error:
            raise errors.IllegalTransition(kind, before, state) from error
        if isinstance(subject, tables.Appointment):
            subject.status = state
            subject.held_until = subject.remind_at = None
        elif isinstance(subject, tables.Offer):
            self._set(subject, state)
        else:
            subject.state = state
        if isinstance(subject, tables.Consultation):
            self._clear_timers(state)
        self.record(event_of(kind, before, state), subject, memorandum_id)

    def _set(self, offer: tables.Offer, state: str) -> None:
        """Store the offer's state as an older program reads it too; a late one hides the case text."""
        offer.is_late = state == "late"
        offer.state = "expired" if offer.is_late else state
        if offer.is_late:
            offer.shown_again_at = None
            offer.late_at = offer.late_at or (None if offer.answered_at else self.w.now)

    def _clear_timers(self, state: str) -> None:
        if state in vocabulary.CLOSED:
            self.consultation.closed_at = self.w.now
        if state in vocabulary.CLOSED or state == "scheduled":
            self.consultation.next_wave_at = self.consultation.alert_at = None

    def record(self, type_: vocabulary.EventType, subject: Subject, memorandum_id: UUID | None = None) -> None:
        """Record an event about a row of this case, for those whom it concerns."""
        events.record(
            self.w,
            type_,
            subject,
            subject.id,
            self.audience(subject, memorandum_id),
            state=_state(subject),
            consultation_id=self.consultation.id,
            consultation_number=self.consultation.number,
            starts_at=subject.starts_at if isinstance(subject, tables.Appointment) else None,
        )

    def audience(self, subject: Subject, memorandum_id: UUID | None = None) -> events.Audience:
        """Name whom an event about the row concerns.

        A consultation's event under a memorandum concerns the memorandum's parties. Without one it concerns the
        institutions of all who were asked, since they were told of their offers; the memorandum is then that of the
        accepted offer, or of the first.
        """
        if isinstance(subject, tables.Offer):
            memorandum_id = memorandum_id or subject.memorandum_id
            institutions, people = [subject.institution_id], [subject.mentor_id]
        elif isinstance(subject, tables.Appointment):
            memorandum_id = memorandum_id or subject.memorandum_id
            institutions = [row.institution_id for row in self.participants]
            people = [row.person_id for row in self.participants]
        elif memorandum_id is None and self.offers:
            first = next((offer for offer in self.offers if offer.state == "accepted"), self.offers[0])
            memorandum_id = first.memorandum_id
            institutions, people = [offer.institution_id for offer in self.offers], []
        else:
            institutions, people = [], []
        clinician = () if self.consultation.clinician_left_at else (self.consultation.clinician_id,)
        return events.Audience(
            programme_id=self.consultation.programme_id,
            memorandum_id=memorandum_id,
            institution_ids=(self.consultation.institution_id, *institutions),
            person_ids=(*clinician, *people),
        )


def _state(subject: Subject) -> str:
    if isinstance(subject, tables.Appointment):
        return subject.status
    return subject.shown_state if isinstance(subject, tables.Offer) else subject.state


def event_of(kind: str, before: str, state: str) -> vocabulary.EventType:
    """Name the event of a consultation's, offer's or appointment's step from one state to another."""
    usual = "consultation.opened" if state == "open" else f"{kind}.{state}"
    return _EVENTS.get((kind, before, state), cast("vocabulary.EventType", usual))


def booked_time(appointment: tables.Appointment) -> lifecycle.BookedTime:
    """Give the appointment's time as the lifecycle's tables read it."""
    is_over = appointment.status not in vocabulary.LIVE_APPOINTMENT
    return lifecycle.BookedTime(appointment.starts_at, appointment.ends_at, is_over)


def stands(offer: tables.Offer) -> bool:
    """Tell whether the offer was accepted and its agreement still stands."""
    return offer.state == "accepted" and offer.ended_at is None


def side_of_actor(w: Work, consultation: tables.Consultation, participants: Iterable[tables.Participant]) -> str | None:
    """Say for which side the actor acts, requesting or partner; None for neither."""
    if access.acts_for_requesting_side(w, consultation):
        return "requesting"
    own_institutions = w.actor.institutions("coordinator", "partner_system")
    is_partner = any(
        row.role == "mentor" and (row.person_id == w.actor.person_id or row.institution_id in own_institutions)
        for row in participants
    )
    return "partner" if is_partner else None


async def open_case(w: Work, consultation_id: UUID, appointment_id: UUID | None = None) -> CaseFile:
    """Lock the case and give it as it is now, with this appointment, or else with the held or booked one."""
    consultation: tables.Consultation = (await w.sql(_CONSULTATION, {"id": consultation_id})).scalar_one()
    offers = list((await w.sql(_OFFERS, {"consultation": consultation_id})).scalars())
    statement = _NAMED_APPOINTMENT if appointment_id else _LIVE_APPOINTMENT
    rows = await w.sql(statement, {"id": appointment_id or consultation_id})
    appointment: tables.Appointment | None = rows.scalar_one_or_none()
    participants = []
    if appointment is not None:
        participants = list((await w.sql(_PARTICIPANTS, {"appointment": appointment.id})).scalars())
    return CaseFile(w, consultation, offers, appointment, participants)


async def by_appointment(w: Work, appointment_id: UUID) -> CaseFile:
    """Open the case of an appointment, for a timer: whoever may see it."""
    unlocked_appointment = await w.read(tables.Appointment, appointment_id)
    return await open_case(w, unlocked_appointment.consultation_id, appointment_id)


async def by_offer(w: Work, offer_id: UUID) -> tuple[CaseFile, tables.Offer]:
    """Open the case of an offer, for a timer: whoever may see it."""
    unlocked_offer = await w.read(tables.Offer, offer_id)
    case = await open_case(w, unlocked_offer.consultation_id)
    return case, case.offer(offer_id)


async def of_offer(w: Work, offer_id: UUID) -> tuple[CaseFile, tables.Offer]:
    """Open the case of an offer that the actor sees; raises NotFound."""
    visible_offer = await access.visible_offer(w, offer_id)
    case = await open_case(w, visible_offer.consultation_id)
    return case, case.offer(offer_id)


async def of_appointment(w: Work, appointment_id: UUID) -> CaseFile:
    """Open the case of an appointment that the actor sees, whatever became of it; raises NotFound."""
    visible_appointment = await access.visible_appointment(w, appointment_id)
    return await open_case(w, visible_appointment.consultation_id, visible_appointment.id)
