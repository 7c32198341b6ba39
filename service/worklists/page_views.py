"""What the pages for people show: one function a page, with the same visibility as everything else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlmodel import col

from service import tables, vocabulary
from service.care import advice, appointments, consultations, offers, sessions
from service.kernel import access, errors
from service.kernel.work import Work
from service.outbox import mail_server, notices
from service.rules import lifecycle, name_order
from service.rules.time.intervals import Interval
from service.rules.time.night import NightHours

MOST = 50
STILL_TO_LOG = timedelta(days=30)
"""How long a booked time that has passed stays on the first page, so that its session is logged."""


@dataclass(frozen=True, slots=True)
class OfferCard:
    """An offer as the mentor's side sees it, without case text."""

    offer: tables.Offer
    consultation: tables.Consultation
    specialty: tables.Specialty
    clinician: tables.Person
    mentor: tables.Person
    starts: Sequence[datetime]  # that can still be taken


@dataclass(frozen=True, slots=True)
class ConsultationCard:
    """A consultation in a list."""

    row: tables.Consultation
    specialty: tables.Specialty


@dataclass(frozen=True, slots=True)
class AppointmentCard:
    """An appointment in a list, with what it is about."""

    row: tables.Appointment
    participants: Sequence[tables.Participant]
    specialty: tables.Specialty


@dataclass(frozen=True, slots=True)
class Home:
    """What waits for the person, and what they have."""

    unattended: Sequence[ConsultationCard]
    offers: Sequence[OfferCard]
    to_write: Sequence[OfferCard]
    consultations: Sequence[ConsultationCard]
    meetings: Sequence[AppointmentCard]


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
    unsent: Collection[UUID]  # offers whose mail has not left
    is_mail_server_away: bool
    people: Mapping[UUID, tables.Person]
    places: Mapping[UUID, tables.Institution]
    appointment: appointments.AppointmentView | None
    advice: tuple[tables.Advice, str] | None
    session: tables.Session | None
    conclusion: str | None
    feedback: Sequence[tables.Feedback]
    called_off: Sequence[tables.Appointment]
    notes: Mapping[UUID, str]
    is_requesting: bool
    colleagues: Sequence[tables.Person]
    takes_part: bool
    may_change: bool
    is_own_proposal: bool
    steps: Mapping[str, lifecycle.May]  # what may be done with the booked time now, and how; none if none is booked
    may_take_back: bool  # the actor's side reported somebody as absent, and may log that they met after all


@dataclass(frozen=True, slots=True)
class Choices:
    """What a request can be made of: specialties by area, partners' countries, colleagues and hospitals to file for."""

    specialties: Sequence[tuple[tables.Specialty, Sequence[tables.Specialty]]]
    countries: Sequence[str]
    colleagues: Sequence[tables.Person]
    hospitals: Sequence[tables.Institution]


async def home(w: Work) -> Home:
    """Give what waits for the actor, most pressing first.

    Cases that need a clinician, offers to answer, advice to write, their side's consultations, next meetings.
    """
    offer, consultation = tables.Offer, tables.Consultation
    is_open = sa.and_(col(offer.state) == "pending", col(offer.answer_by) > w.now)
    is_mine = col(offer.mentor_id) == w.actor.person_id
    is_theirs = sa.or_(is_mine, col(offer.institution_id).in_(w.actor.institutions("coordinator")))
    is_promised = sa.and_(
        is_mine,
        col(offer.state) == "accepted",
        col(offer.ended_at).is_(None),
        col(consultation.state) == "scheduled",
        col(consultation.advice_due_at).is_not(None),
    )
    return Home(
        await _unattended(w),
        await _asked(w, sa.and_(is_theirs, sa.or_(is_open, col(offer.state) == "countered"))),
        await _asked(w, is_promised),
        await _consultations(w),
        await _meetings(w),
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
        OfferCard(row.Offer, row.Consultation, row.Specialty, row.Person, row[4], view.starts)
        for row, view in zip(cards, views, strict=True)
    ]


async def _unattended(w: Work) -> list[ConsultationCard]:
    """Give the open cases, of places that the actor coordinates, whose clinician has left."""
    row = tables.Consultation
    coordinated = sa.or_(
        col(row.institution_id).in_(w.actor.institutions("coordinator")),
        col(row.programme_id).in_(w.actor.programmes("programme_admin")),
    )
    rows = await w.sql(
        sa.select(row, tables.Specialty)
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .where(coordinated, col(row.clinician_left_at).is_not(None), col(row.state).in_(vocabulary.NOT_CLOSED))
        .order_by(col(row.id))
        .limit(MOST)
    )
    return [ConsultationCard(*columns) for columns in rows]


async def _consultations(w: Work) -> list[ConsultationCard]:
    row = tables.Consultation
    of_side = sa.or_(
        col(row.clinician_id) == w.actor.person_id,
        col(row.institution_id).in_(w.actor.institutions("clinician", "coordinator")),
        col(row.programme_id).in_(w.actor.programmes("programme_admin")),
    )
    rows = await w.sql(
        sa.select(row, tables.Specialty)
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .where(access.consultations_seen(w.actor), of_side)
        .order_by(col(row.closed_at).is_not(None), col(row.id).desc())
        .limit(MOST)
    )
    return [ConsultationCard(*columns) for columns in rows]


async def _meetings(w: Work) -> list[AppointmentCard]:
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .join(tables.Participant, col(tables.Participant.appointment_id) == col(row.id))
        .where(col(tables.Participant.person_id) == w.actor.person_id, col(row.status).in_(vocabulary.LIVE_APPOINTMENT))
        .where(col(row.ends_at) > w.now - STILL_TO_LOG)
        .order_by(col(row.starts_at), col(row.id))
        .limit(MOST)
    )
    views = await appointments.views(w, list(rows.scalars()))
    specialty_rows = await w.sql(
        sa.select(col(tables.Consultation.id), tables.Specialty)
        .join(tables.Specialty, col(tables.Specialty.code) == col(tables.Consultation.specialty_code))
        .where(col(tables.Consultation.id).in_({view.row.consultation_id for view in views}))
    )
    specialties = {specialty_row.id: specialty_row.Specialty for specialty_row in specialty_rows}
    return [AppointmentCard(view.row, view.participants, specialties[view.row.consultation_id]) for view in views]


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
    return CasePage(
        row=row,
        specialty=await w.read(tables.Specialty, row.specialty_code),
        institution=places_by_id[row.institution_id],
        windows=view.windows,
        question=view.question,
        offers=asked,
        counter_starts={view.row.id: view.counter_starts for view in offer_views},
        unsent=unsent,
        is_mail_server_away=bool(unsent) and (await mail_server.standing(w)).away_since is not None,
        people=await notices.people(w, people),
        places=places_by_id,
        appointment=meeting,
        advice=await advice.read(w, row.id),
        session=session,
        conclusion=await sessions.read_conclusion(w, session) if session else None,
        feedback=feedback,
        called_off=called_off,
        notes=await _notes(w, view, [*asked, *called_off, *feedback]),
        is_requesting=is_requesting,
        colleagues=await _colleagues_at(w, row) if is_requesting and row.clinician_left_at else [],
        takes_part=w.actor.person_id in {participant.person_id for participant in taking_part},
        may_change=appointments.may_change(w, row, taking_part),
        is_own_proposal=meeting is not None and appointments.is_own_proposal(w, row, meeting),
        steps=await appointments.steps_now(w, row, meeting) if meeting else {},
        may_take_back=meeting is not None and appointments.may_take_back(w, row, meeting),
    )


async def _offers(w: Work, consultation: tables.Consultation) -> list[tables.Offer]:
    row = tables.Offer
    rows = await w.sql(
        sa.select(row)
        .where(col(row.consultation_id) == consultation.id, access.offers_seen(w.actor))
        .order_by(col(row.id))
    )
    return list(rows.scalars())


async def appointment(w: Work, consultation_id: UUID) -> appointments.AppointmentView | None:
    """Give the consultation's standing appointment, else its latest one, if the actor sees it."""
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .where(col(row.consultation_id) == consultation_id, access.appointments_seen(w.actor))
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
        .where(col(row.consultation_id) == consultation_id, access.appointments_seen(w.actor))
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
                .where(col(row.consultation_id) == consultation_id, access.sessions_seen(w.actor))
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


async def choices(w: Work) -> Choices:
    """Give what a request can be made of; raises Forbidden for anybody who may not file one."""
    access.requires(w, "clinician", "coordinator")
    rows = list((await w.sql(sa.select(tables.Specialty).order_by(col(tables.Specialty.code)))).scalars())
    by_code = {row.code: row for row in rows}
    areas: dict[str, list[tables.Specialty]] = {}
    for row in rows:
        if row.is_bookable:
            areas.setdefault(_area(row, by_code), []).append(row)
    party, institution = tables.MemorandumParty, tables.Institution
    countries = await w.sql(
        sa.select(col(institution.country))
        .join(party, col(party.institution_id) == col(institution.id))
        .where(col(party.side) == "partner", col(institution.country).is_not(None))
        .distinct()
    )
    return Choices(
        [(by_code[area], members) for area, members in areas.items()],
        list(countries.scalars()),
        await _colleagues(w),
        await _hospitals(w),
    )


async def _hospitals(w: Work) -> list[tables.Institution]:
    """Give the hospitals for which the actor may file."""
    return list((await _institutions(w, w.actor.institutions("clinician", "coordinator"))).values())


def _area(row: tables.Specialty, by_code: Mapping[str, tables.Specialty]) -> str:
    while row.parent_code is not None:
        row = by_code[row.parent_code]
    return row.code


async def _colleagues(w: Work) -> list[tables.Person]:
    """Give the clinicians for whom the actor may file as a coordinator."""
    grant, person = tables.RoleGrant, tables.Person
    rows = await w.sql(
        sa.select(person)
        .join(grant, col(grant.person_id) == col(person.id))
        .where(col(grant.role) == "clinician", col(grant.institution_id).in_(w.actor.institutions("coordinator")))
        .where(col(person.state) == "active")
        .distinct()
    )
    return _by_name(rows.scalars())


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
