"""What the pages for people show: one function a page, with the same visibility as everything else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlmodel import col

from service import tables, vocabulary
from service.care import advice, appointments, consultations, offers, promises, sessions
from service.kernel import access, errors, visibility
from service.kernel.work import Work
from service.outbox import mail_server, notices
from service.rules import lifecycle, name_order
from service.rules.promise import Promise
from service.rules.time.intervals import Interval
from service.rules.time.night import NightHours
from service.worklists import timelines

MOST = 50


@dataclass(frozen=True, slots=True)
class OfferCard:
    """An offer as the mentor's side sees it, without case text."""

    offer: tables.Offer
    consultation: tables.Consultation
    specialty: tables.Specialty
    clinician: tables.Person
    mentor: tables.Person
    starts: Sequence[datetime]  # that can still be taken
    zones: Mapping[vocabulary.Side, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """One consultation with everything around it that the actor may see; case text is None for the others."""

    row: tables.Consultation
    specialty: tables.Specialty
    institution: tables.Institution
    windows: Sequence[Interval]
    question: str | None
    offers: Sequence[tables.Offer]
    counter_starts: Mapping[UUID, Sequence[datetime]]  # of an offer, that can still be taken
    counters_at_night: Mapping[UUID, Collection[datetime]]  # which of those are at night for somebody
    unsent: Collection[UUID]  # offers whose mail has not left
    is_mail_server_away: bool
    people: Mapping[UUID, tables.Person]
    places: Mapping[UUID, tables.Institution]
    appointment: appointments.AppointmentView | None
    advice: tuple[tables.Advice, str] | None
    session: tables.Session | None
    is_certified: bool  # the actor took part in that session, and it took place
    conclusion: str | None
    feedback: Sequence[tables.Feedback]
    called_off: Sequence[tables.Appointment]
    notes: Mapping[UUID, str]
    is_requesting: bool
    promise: Promise | None  # how soon such requests were answered, for the requesting side while this one seeks
    colleagues: Sequence[tables.Person]
    takes_part: bool
    may_change: bool
    is_own_proposal: bool
    steps: Mapping[str, lifecycle.May]  # what may be done with the booked time now, and how; none if none is booked
    may_take_back: bool  # the actor's side reported somebody as absent, and may log that they met after all
    phones: Mapping[UUID, str]  # of those who take part in a booked call and show it, for whoever takes part
    may_follow_up: bool  # the actor's side was asked what became of it, and has not said

    @property
    def told(self) -> timelines.Case:
        """The rows of which the case's order is made."""
        return timelines.Case(
            consultation=self.row,
            offers=self.offers,
            appointment=self.appointment.row if self.appointment else None,
            has_mentor=self.appointment is not None and not self.appointment.needs_mentor,
            session=self.session,
            advice=self.advice[0] if self.advice else None,
            feedback=self.feedback,
            is_requesting=self.is_requesting,
        )


async def _asked(w: Work, condition: sa.ColumnElement[bool]) -> list[OfferCard]:
    offer, consultation, mentor = tables.Offer, tables.Consultation, orm.aliased(tables.Person)
    rows = await w.sql(
        sa.select(offer, consultation, tables.Specialty, tables.Person, mentor)
        .join(consultation, col(consultation.id) == col(offer.consultation_id))
        .join(tables.Specialty, col(tables.Specialty.code) == col(consultation.specialty_code))
        .join(tables.Person, col(tables.Person.id) == col(consultation.clinician_id))
        .join(mentor, col(mentor.id) == col(offer.mentor_id))
        .where(condition)
        .order_by(col(offer.answer_by), col(offer.id))
        .limit(MOST)
    )
    cards = list(rows)
    views = await offers.views(w, [row.Offer for row in cards])
    return [
        OfferCard(row.Offer, row.Consultation, row.Specialty, row.Person, row[4], view.starts, view.zones)
        for row, view in zip(cards, views, strict=True)
    ]


async def case(w: Work, consultation_id: UUID) -> CasePage:
    """Give the consultation and what came of it, with texts for the people of the case; reading them is logged."""
    view = await consultations.read(w, consultation_id)
    row = view.row
    is_requesting = access.is_requesting_side(w, row)
    asked = await _offers(w, row)
    offer_views = await offers.views(w, asked)
    unsent = {view.row.id for view in offer_views if view.mail == "waiting"}
    meeting = await appointment(w, row.id)
    session = await _session(w, row.id)
    feedback = await sessions.feedback_of(w, session.id) if session else []
    called_off = await _called_off(w, row.id)
    taking_part = meeting.participants if meeting else ()
    people = {
        row.clinician_id,
        *(offer.mentor_id for offer in asked),
        *(participant.person_id for participant in taking_part),
    }
    places = {row.institution_id, *(offer.institution_id for offer in asked)}
    places_by_id = await _institutions(w, places)
    takes_part = w.actor.person_id in {participant.person_id for participant in taking_part}
    people_by_id = await notices.people(w, people)
    return CasePage(
        row=row,
        specialty=await w.read(tables.Specialty, row.specialty_code),
        institution=places_by_id[row.institution_id],
        windows=view.windows,
        question=view.question,
        offers=asked,
        counter_starts={view.row.id: view.counter_starts for view in offer_views},
        counters_at_night={view.row.id: {each.at for each in view.warnings} for view in offer_views},
        unsent=unsent,
        is_mail_server_away=bool(unsent) and (await mail_server.standing(w)).away_since is not None,
        people=people_by_id,
        places=places_by_id,
        appointment=meeting,
        advice=await advice.read(w, row.id),
        session=session,
        is_certified=session is not None
        and w.actor.person_id in session.participants
        and session.outcome not in vocabulary.NOT_HELD,
        conclusion=await sessions.read_conclusion(w, session) if session else None,
        feedback=feedback,
        called_off=called_off,
        notes=await _notes(w, view, [*asked, *called_off, *feedback]),
        is_requesting=is_requesting,
        promise=await promises.told(w, row),
        colleagues=await _colleagues_at(w, row) if is_requesting and row.clinician_left_at else [],
        takes_part=takes_part,
        may_change=appointments.may_change(w, row, taking_part),
        is_own_proposal=meeting is not None and appointments.is_own_proposal(w, row, meeting),
        steps=await appointments.steps_now(w, row, meeting) if meeting else {},
        may_take_back=meeting is not None and appointments.may_take_back(w, row, meeting),
        phones=_phones(people_by_id, taking_part) if takes_part and meeting and meeting.row.status == "booked" else {},
        may_follow_up=session is not None and _may_follow_up(w, session, feedback),
    )


def _phones(people: Mapping[UUID, tables.Person], taking_part: Sequence[tables.Participant]) -> dict[UUID, str]:
    """Give the telephones of those who take part and have chosen that the other side sees them."""
    shown = (people[row.person_id] for row in taking_part if row.person_id in people)
    return {person.id: person.phone for person in shown if person.shows_phone and person.phone}


def _may_follow_up(w: Work, session: tables.Session, given: Sequence[tables.Feedback]) -> bool:
    sides = {session.clinician_id: "requesting", session.mentor_id: "partner"}
    side = sides.get(w.actor.person_id) if w.actor.person_id else None
    if side is None or session.outcome in vocabulary.NOT_HELD:
        return False
    return all(answer.side != side for answer in given)


async def _offers(w: Work, consultation: tables.Consultation) -> list[tables.Offer]:
    row = tables.Offer
    rows = await w.sql(
        sa.select(row)
        .where(col(row.consultation_id) == consultation.id, visibility.is_seen(row, w.actor))
        .order_by(col(row.id))
    )
    return list(rows.scalars())


async def appointment(w: Work, consultation_id: UUID) -> appointments.AppointmentView | None:
    """Give the consultation's standing appointment, else its latest one, if the actor sees it."""
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .where(col(row.consultation_id) == consultation_id, visibility.is_seen(row, w.actor))
        .order_by(col(row.status).in_(vocabulary.STANDING_APPOINTMENT).desc(), col(row.id).desc())
        .limit(1)
    )
    views = await appointments.views(w, list(rows.scalars()))
    return views[0] if views else None


async def _called_off(w: Work, consultation_id: UUID) -> list[tables.Appointment]:
    """Give the appointments that somebody cancelled with a note."""
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .where(col(row.consultation_id) == consultation_id, visibility.is_seen(row, w.actor))
        .where(col(row.note).is_not(None))
        .order_by(col(row.id))
    )
    return list(rows.scalars())


async def _notes(
    w: Work, view: consultations.ConsultationView, rows: Sequence[tables.Offer | tables.Appointment | tables.Feedback]
) -> dict[UUID, str]:
    """Give the notes by the ids of their rows, for the people of the case; that each was read is logged."""
    notes = {view.row.id: view.note}
    for row in rows:
        (notes[row.id],) = await access.read_case_text(w, view.row.id, row, row.note)
    return {row_id: note for row_id, note in notes.items() if note is not None}


async def _session(w: Work, consultation_id: UUID) -> tables.Session | None:
    row = tables.Session
    session: tables.Session | None = (
        (
            await w.sql(
                sa.select(row)
                .where(col(row.consultation_id) == consultation_id, visibility.is_seen(row, w.actor))
                .where(col(row.is_corrected).is_(False))
                .order_by(col(row.started_at).desc(), col(row.id).desc())
                .limit(1)
            )
        )
        .scalars()
        .first()
    )
    return session


async def _institutions(w: Work, ids: Collection[UUID]) -> dict[UUID, tables.Institution]:
    rows = await w.sql(sa.select(tables.Institution).where(col(tables.Institution.id).in_(ids)))
    return {row.id: row for row in rows.scalars()}


async def offer_page(w: Work, offer_id: UUID) -> tuple[OfferCard, CasePage | None]:
    """Give the offer with its case; without it to the mentor's coordinator, who answers and sees no consultation."""
    offer = await access.visible_offer(w, offer_id)
    try:
        page = await case(w, offer.consultation_id)
    except errors.NotFound:
        page = None
    return (await _asked(w, col(tables.Offer.id) == offer.id))[0], page


async def _colleagues_at(w: Work, consultation: tables.Consultation) -> list[tables.Person]:
    """Give the clinicians who can take the consultation over."""
    grant, person = tables.RoleGrant, tables.Person
    rows = await w.sql(
        sa.select(person)
        .join(grant, col(grant.person_id) == col(person.id))
        .where(col(grant.role) == "clinician", col(grant.institution_id) == consultation.institution_id)
        .where(col(person.state) == "active")
    )
    return _by_name(rows.scalars())


def _by_name(people: Iterable[tables.Person]) -> list[tables.Person]:
    return sorted(people, key=lambda person: (name_order.key(person.display_name), person.id))


async def night_of_offer(w: Work, offer_id: UUID, starts: Sequence[datetime]) -> Sequence[NightHours]:
    """Tell which of these times would be at night for whom, if they were agreed on by this offer."""
    return (await offers.read(w, offer_id)).warnings_of(starts)


async def night_of_appointment(w: Work, appointment_id: UUID, starts: Sequence[datetime]) -> Sequence[NightHours]:
    """Tell which of these times would be at night for whom, if the appointment were moved there."""
    return (await appointments.read(w, appointment_id)).warnings_of(starts)
