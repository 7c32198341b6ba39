"""What the pages for people show: one function a page, with the same visibility as everything else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlmodel import col

from service import tables, vocabulary
from service.care import advice, appointments, consultations, offers, promises, sessions
from service.kernel import access, errors, visibility
from service.kernel import actor as actors
from service.kernel.work import Work
from service.outbox import mail_server, notices
from service.rules import lifecycle, name_order
from service.rules.promise import Promise
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
    """A consultation in a list, with the names of its specialty."""

    id: UUID
    priority: str
    state: str
    created_at: datetime
    clinician_left_at: datetime | None
    name_en: str
    name_uk: str


@dataclass(frozen=True, slots=True)
class AskedCard:
    """An offer in a list, with what it is about; `starts` are the times that can still be taken."""

    is_promised: bool  # the mentor has accepted, and is to write the advice
    id: UUID
    state: str
    kind: str
    answer_by: datetime
    mentor_id: UUID
    mentor: str
    consultation_id: UUID
    priority: str
    advice_due_at: datetime | None
    clinician_zone: str
    name_en: str
    name_uk: str
    starts: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class MeetingCard:
    """An appointment in a list, with the zones of those who take part and what it is about."""

    consultation_id: UUID
    status: str
    starts_at: datetime
    ends_at: datetime
    name_en: str
    name_uk: str
    zones: Sequence[str]


@dataclass(frozen=True, slots=True)
class Home:
    """What waits for the person, and what they have."""

    unattended: Sequence[ConsultationCard]
    offers: Sequence[AskedCard]
    to_write: Sequence[AskedCard]
    consultations: Sequence[ConsultationCard]
    meetings: Sequence[MeetingCard]


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
    promise: Promise | None  # how soon such requests were answered, for the requesting side while this one seeks
    colleagues: Sequence[tables.Person]
    takes_part: bool
    may_change: bool
    is_own_proposal: bool
    steps: Mapping[str, lifecycle.May]  # what may be done with the booked time now, and how; none if none is booked
    may_take_back: bool  # the actor's side reported somebody as absent, and may log that they met after all


async def home(w: Work) -> Home:
    """Give what waits for the actor, most pressing first.

    Cases that need a clinician, offers to answer, advice to write, their side's consultations, next meetings.
    """
    places = sorted(w.actor.institutions("coordinator"))
    asked = [
        AskedCard(*row)
        for row in await w.fetch(_OFFERS, {"me": w.actor.person_id, "places": places, "now": w.now, "most": MOST})
    ]
    return Home(
        await _unattended(w),
        [card for card in asked if not card.is_promised],
        [card for card in asked if card.is_promised],
        await _consultations(w),
        await _meetings(w),
    )


# Those that wait are asked by each index of theirs; what somebody has promised to write is found by the live cases.
# A time is gone as `offers.views` has it.
_SHOWN = """
WITH listed AS (
  (SELECT id, answer_by, false AS is_promised, false AS is_late FROM offer
   WHERE mentor_id = :me AND state IN ('pending', 'countered') AND (state = 'countered' OR answer_by > :now)
   ORDER BY answer_by, id LIMIT :most)
  UNION
  (SELECT id, answer_by, false, false FROM offer
   WHERE institution_id = ANY(:places) AND state IN ('pending', 'countered')
   AND (state = 'countered' OR answer_by > :now)
   ORDER BY answer_by, id LIMIT :most)
  UNION
  (SELECT id, answer_by, false, true FROM offer
   WHERE (mentor_id = :me OR institution_id = ANY(:places)) AND is_late
   ORDER BY answer_by, id LIMIT :most)
  UNION
  (SELECT o.id, o.answer_by, true, false FROM consultation c JOIN offer o ON o.consultation_id = c.id
   WHERE c.state = 'scheduled' AND c.advice_due_at IS NOT NULL
   AND o.mentor_id = :me AND o.state = 'accepted' AND o.ended_at IS NULL
   ORDER BY o.answer_by, o.id LIMIT :most)
), shown AS (
  SELECT id, is_promised FROM (
    SELECT id, is_promised, row_number() OVER (PARTITION BY is_promised ORDER BY is_late, answer_by, id) AS place
    FROM listed
  ) AS placed WHERE place <= :most
)
"""
_OFFERS = sa.text(f"""
{_SHOWN}
SELECT l.is_promised, o.id, CASE WHEN o.is_late THEN 'late' ELSE o.state END AS state, o.kind,
       o.answer_by, o.mentor_id, m.display_name AS mentor,
       c.id AS consultation_id, c.priority, c.advice_due_at, k.zone AS clinician_zone, s.name_en, s.name_uk,
       ARRAY(SELECT at FROM unnest(o.starts) WITH ORDINALITY AS t (at, place)
             WHERE l.is_promised OR (at > :now AND NOT {offers.IS_OCCUPIED})
             ORDER BY place) AS starts
FROM shown l JOIN offer o ON o.id = l.id JOIN consultation c ON c.id = o.consultation_id
JOIN specialty s ON s.code = c.specialty_code JOIN person k ON k.id = c.clinician_id JOIN person m ON m.id = o.mentor_id
ORDER BY o.is_late, o.answer_by, o.id
""")  # noqa: S608 - the texts above


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
    if not (w.actor.institutions("coordinator") or w.actor.programmes("programme_admin")):
        return []
    shape, ids = actors.shape(w.actor)
    return [ConsultationCard(*columns) for columns in await w.fetch(_left(shape), {}, ids)]


@lru_cache(maxsize=500)
def _left(actor: actors.Actor) -> sa.Executable:
    row = tables.Consultation
    places, programmes = actor.institutions("coordinator"), actor.programmes("programme_admin")
    coordinated = sa.or_(col(row.institution_id).in_(places), col(row.programme_id).in_(programmes))
    return (
        sa.select(*_LISTED)
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .where(coordinated, col(row.clinician_left_at).is_not(None), col(row.state).in_(vocabulary.NOT_CLOSED))
        .order_by(col(row.id))
        .limit(MOST)
    )


async def _consultations(w: Work) -> list[ConsultationCard]:
    shape, ids = actors.shape(w.actor)
    return [ConsultationCard(*columns) for columns in await w.fetch(_newest(shape, MOST), {}, ids)]


@lru_cache(maxsize=500)
def _newest(actor: actors.Actor, most: int) -> sa.Executable:
    """Give the query of the newest consultations of the actor's side, those that are not closed first."""
    row = tables.Consultation
    unclosed = visibility.keys_of_side(actor, col(row.closed_at).is_(None), limit=most).cte("unclosed")
    # Only where those do not fill the list: else it would read past all of them to find one that is closed.
    has_room = sa.select(sa.func.count()).select_from(unclosed).scalar_subquery() < most
    closed = visibility.keys_of_side(actor, col(row.closed_at).is_not(None), limit=most).subquery()
    older = sa.select(closed.c.id).where(has_room)
    return (
        sa.select(*_LISTED)
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .where(visibility.is_among(row.id, sa.select(sa.union_all(sa.select(unclosed.c.id), older).subquery())))
        .order_by(col(row.closed_at).is_not(None), col(row.id).desc())
        .limit(most)
    )


_LISTED = (
    col(tables.Consultation.id),
    col(tables.Consultation.priority),
    col(tables.Consultation.state),
    col(tables.Consultation.created_at),
    col(tables.Consultation.clinician_left_at),
    col(tables.Specialty.name_en),
    col(tables.Specialty.name_uk),
)
"""What a card shows of a consultation: to load all of fifty cases takes longer than to find them."""


async def _meetings(w: Work) -> list[MeetingCard]:
    since = w.now - STILL_TO_LOG
    values = {
        "me": w.actor.person_id,
        "live": list(vocabulary.LIVE_APPOINTMENT),
        "since": since,
        "begun": since - _LONGEST,
        "most": MOST,
    }
    return [MeetingCard(*row) for row in await w.fetch(_MEETINGS, values)]


_LONGEST = timedelta(hours=8)
"""No appointment lasts longer (`Seat`)."""
# OFFSET, so that the person's own are looked up one by one: else all that are live are read, while these seem few.
_MEETINGS = sa.text("""
SELECT a.consultation_id, a.status, a.starts_at, a.ends_at, s.name_en, s.name_uk,
       ARRAY(SELECT p.zone FROM participant p WHERE p.appointment_id = a.id ORDER BY p.role, p.person_id) AS zones
FROM participant mine
CROSS JOIN LATERAL (
  SELECT * FROM appointment WHERE id = mine.appointment_id AND status = ANY(:live) AND ends_at > :since OFFSET 0
) a
JOIN consultation c ON c.id = a.consultation_id JOIN specialty s ON s.code = c.specialty_code
WHERE mine.person_id = :me AND mine.starts_at > :begun
ORDER BY a.starts_at, a.id LIMIT :most
""")


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
        promise=await promises.told(w, row),
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
