"""Who is told what on which occasion: plain values for the mails of one change, in the same transaction.

Only ids, codes, times and counts go in (invariant M1); words and languages are the adapter's. Links in mails are rows
bound to one person and one act; their tokens are derived when the mail is rendered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import tables
from service.kernel import clock
from service.kernel.work import Work
from service.outbox import deliveries, hearers, news, offer_mails
from service.outbox.events import instant
from service.rules import lifecycle
from service.rules.time import night

FEEDBACK_LINK = timedelta(days=30)


class AppointmentCase(Protocol):
    """What mails about an appointment speak of: `care.casefile.CaseFile` has it."""

    w: Work
    consultation: tables.Consultation
    participants: list[tables.Participant]

    @property
    def appointment(self) -> tables.Appointment:
        """The appointment."""


async def people(w: Work, ids: Iterable[UUID | None]) -> dict[UUID, tables.Person]:
    """Load these people by id."""
    return await w.read_all(tables.Person, [person_id for person_id in ids if person_id])


async def _values(w: Work, consultation: tables.Consultation) -> dict[str, Any]:
    specialty = await w.read(tables.Specialty, consultation.specialty_code)
    return {
        "consultation_id": str(consultation.id),
        "number": consultation.number,
        "specialty": {"en": specialty.name_en, "uk": specialty.name_uk},
        "priority": consultation.priority,
        "mode": consultation.mode,
        "page": f"/consultations/{consultation.id}",
        "duration_minutes": consultation.duration_minutes,
    }


async def appointment_values(
    w: Work,
    consultation: tables.Consultation,
    appointment: tables.Appointment,
    participants: Sequence[tables.Participant],
) -> dict[str, Any]:
    """Give what may be said of an appointment: when it is, by each side's clock."""
    names = await _shown_names(w, participants)
    return await _values(w, consultation) | {
        "appointment_id": str(appointment.id),
        "mode": "live",
        "starts_at": instant(appointment.starts_at),
        "ends_at": instant(appointment.ends_at),
        "times": [{"who": row.role, "zone": row.zone} for row in participants],
        **({"institution_names": names} if names else {}),
    }


async def values_of(case: AppointmentCase) -> dict[str, Any]:
    """Give what may be said of the case's appointment to everybody who takes part."""
    return await appointment_values(case.w, case.consultation, case.appointment, case.participants)


async def _shown_names(w: Work, rows: Sequence[tables.Participant]) -> list[str]:
    """Give the hospitals' names, if every one of them lets its name be shown (invariant M1)."""
    institutions = (await w.read_all(tables.Institution, [row.institution_id for row in rows])).values()
    names = [institution.name_en or institution.name for institution in institutions if institution.shows_its_name]
    return [name for name in names if name] if len(names) == len(institutions) else []


def _link(
    w: Work,
    person_id: UUID,
    purpose: str,
    subject_id: UUID,
    expires_at: datetime,
    *,
    starts_at: datetime | None = None,
) -> deliveries.NewLink:
    return deliveries.NewLink(
        id=clock.new_id(),
        person_id=person_id,
        purpose=purpose,
        subject_id=subject_id,
        starts_at=starts_at,
        expires_at=expires_at,
        created_at=w.now,
    )


def _choices(
    w: Work,
    name: str,
    person: UUID,
    purpose: str,
    subject: UUID,
    starts: Sequence[datetime],
    until: datetime | None = None,
) -> dict[str, deliveries.NewLink]:
    """Make a link for each of the times, which expires `until` then, or when its own time begins."""
    return {
        f"{name}_{number}": _link(w, person, purpose, subject, until or start, starts_at=start)
        for number, start in enumerate(starts, 1)
    }


def _times(clinician: tables.Person, mentor: tables.Person) -> list[dict[str, str]]:
    return [
        {"who": "clinician", "zone": clinician.zone},
        {"who": "mentor", "zone": mentor.zone},
    ]


def _at_night(
    starts: Iterable[datetime], consultation: tables.Consultation, times: Iterable[Mapping[str, str]]
) -> dict[str, list[str]]:
    """Name who of `times` has one of the starts at night, for one line of the mail; empty if nobody has."""
    warned = night.at_night(starts, consultation.duration_minutes, times)
    return {"at_night": warned} if warned else {}


async def to_people(
    w: Work,
    template: str,
    consultation: tables.Consultation,
    receivers: Iterable[tables.Person],
    **values: object,
) -> None:
    """Mail one template without buttons or calendar part to each of the receivers."""
    common = await _values(w, consultation) | values
    for person in receivers:
        await deliveries.mail(w, template=template, person=person, values=common)


async def request_filed(
    w: Work, consultation: tables.Consultation, would_help: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Mail the clinician a receipt, which says whether any mentor was asked: call it after the first wave."""
    clinician = await w.read(tables.Person, consultation.clinician_id)
    due = consultation.answer_due_at
    template = "receipt_unmatched" if consultation.state == "unmatched" else "receipt"
    values = {"answer_due_at": due and instant(due)} | ({"would_help": would_help} if would_help else {})
    await to_people(w, template, consultation, [clinician], **values)


async def offer_sent(w: Work, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Mail the mentor the offer, with one link for each answer, valid as long as that is taken; news goes beside it."""
    until = lifecycle.closes_at(offer.answer_by, consultation.state, consultation.answer_due_at)
    mentor, values, links = await _offer(w, consultation, offer, offer.starts, until)
    template = "offer_written" if offer.kind == "written" else "offer"
    await deliveries.mail(
        w,
        template=template,
        person=mentor,
        values=values,
        links=links,
        offer=offer,
        useless_after=offer.answer_by,
    )
    await news.offer_sent(w, mentor, consultation, offer)


async def offer_late(w: Work, consultation: tables.Consultation, offer: tables.Offer, closes_at: datetime) -> None:
    """Mail the mentor that others are asked now, and that their answer is welcome until then, unless one is quicker.

    What they can still take of the offered times is named, and else they can propose some. It leaves after the offer.
    """
    ahead = [start for start in offer.starts if start > w.now]
    mentor, values, links = await _offer(w, consultation, offer, ahead, closes_at)
    values |= {"answer_due_at": instant(closes_at)}
    del values["answer_by"]
    await deliveries.mail(
        w, template="offer_late", person=mentor, values=values, links=links, after_offer=offer, useless_after=closes_at
    )


async def _offer(
    w: Work, consultation: tables.Consultation, offer: tables.Offer, starts: Sequence[datetime], until: datetime
) -> tuple[tables.Person, dict[str, Any], dict[str, deliveries.NewLink]]:
    """Give the mentor, what their mail says of the offer, and a link for each answer that is valid until then."""
    persons = await people(w, [offer.mentor_id, consultation.clinician_id])
    mentor, clinician = persons[offer.mentor_id], persons[consultation.clinician_id]
    links = _choices(w, "accept", mentor.id, "offer.accept", offer.id, starts, until)
    if offer.kind != "live":
        name = "accept" if offer.kind == "written" else "write_advice"
        links[name] = _link(w, mentor.id, "offer.accept_written", offer.id, until)
    if offer.kind != "written":
        links["counter"] = _link(w, mentor.id, "offer.counter", offer.id, until)
    links["decline"] = _link(w, mentor.id, "offer.decline", offer.id, until)
    times = _times(clinician, mentor)
    values = await _values(w, consultation) | {
        "offer_id": str(offer.id),
        "page": f"/offers/{offer.id}",
        "answer_by": instant(offer.answer_by),
        "answer_due_at": instant(consultation.answer_due_at) if consultation.answer_due_at else None,
        "starts": [instant(start) for start in starts],
        "times": times,
        **_at_night(starts, consultation, times),
    }
    return mentor, values, links


async def offers_closed(
    w: Work, consultation: tables.Consultation, offers: Iterable[tables.Offer], *, known: Collection[UUID] = ()
) -> None:
    """Mail the mentors that these offers are over: to whom none was brought by then, only those of `known` are told."""
    offers = list(offers)
    mentors = await people(w, [offer.mentor_id for offer in offers])
    values = await _values(w, consultation) if offers else {}
    for offer in offers:
        after = None if offer.id in known else offer
        await deliveries.mail(
            w, template="offer_closed", person=mentors[offer.mentor_id], values=values, after_offer=after
        )


async def offer_widened(
    w: Work, consultation: tables.Consultation, offer: tables.Offer, answer_before: datetime
) -> None:
    """Mail the mentor what they can answer now, and until when; links of earlier mails are valid as long."""
    await offer_mails.prolong_links(w, offer, consultation, answer_before)
    await offer_sent(w, consultation, offer)


async def clinician_left(w: Work, institution_id: UUID, consultations: Sequence[tables.Consultation]) -> None:
    """Mail the coordinators of the hospital once which of its cases need a clinician."""
    cases = [await _values(w, consultation) for consultation in consultations]
    named = [{name: case[name] for name in ("consultation_id", "number", "specialty", "priority")} for case in cases]
    programme_id = consultations[0].programme_id
    for person in await hearers.coordinators(w, [institution_id], programme_id):
        await deliveries.mail(w, template="clinician_left", person=person, values={"cases": named, "page": "/"})


async def uncoordinated(w: Work, institution: tables.Institution, depending: Mapping[str, int]) -> None:
    """Mail the admins that nobody coordinates the institution any more, and how much there needs somebody."""
    shown_name = institution.name_en or institution.name if institution.shows_its_name else None
    values = {"institution_id": str(institution.id), "depending": dict(depending), "page": "/people"}
    values |= {"institution_names": [shown_name]} if shown_name else {}
    for person in await hearers.coordinators_of(w, institution.id):
        await deliveries.mail(w, template="uncoordinated", person=person, values=values)


async def countered(w: Work, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Mail the clinician the mentor's other times, with a link to take each."""
    mentor = await w.read(tables.Person, offer.mentor_id)
    until = max(offer.counter_starts)  # and no sooner: such a time may lie after the answer is due
    common = await _values(w, consultation) | {
        "offer_id": str(offer.id),
        "starts": [instant(start) for start in offer.counter_starts],
    }
    for clinician in await hearers.clinicians(w, consultation):
        links = _choices(w, "take", clinician.id, "counter.accept", offer.id, offer.counter_starts)
        links["decline"] = _link(w, clinician.id, "counter.decline", offer.id, until)
        times = _times(clinician, mentor)
        values = common | {"times": times} | _at_night(offer.counter_starts, consultation, times)
        await deliveries.mail(
            w, template="countered", person=clinician, values=values, links=links, useless_after=until
        )


async def advice_promised(w: Work, consultation: tables.Consultation) -> None:
    """Mail the clinician by when a mentor writes: the receipt has promised this mail."""
    due = consultation.advice_due_at
    receivers = await hearers.clinicians(w, consultation)
    await to_people(w, "advice_promised", consultation, receivers, advice_due_at=due and instant(due))


async def advice_handed_back(w: Work, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Mail the clinician that the request seeks a mentor again; the mentor is thanked as for any decline."""
    await advice_sought_again(w, consultation, await hearers.clinicians(w, consultation))
    await to_people(w, "offer_thanks", consultation, [await w.read(tables.Person, offer.mentor_id)])


async def advice_sought_again(w: Work, consultation: tables.Consultation, receivers: Iterable[tables.Person]) -> None:
    """Mail the receivers that the promised advice will not come from this mentor, and by when it is due now."""
    due = consultation.answer_due_at
    await to_people(w, "advice_handed_back", consultation, receivers, answer_due_at=due and instant(due))


async def move_proposed(case: AppointmentCase, proposer_id: UUID, starts: Sequence[datetime]) -> None:
    """Mail the other side the proposed times, with a link to take each and one to decline, until they begin."""
    w, appointment, until = case.w, case.appointment, max(starts)
    role = next(row.role for row in case.participants if row.person_id == proposer_id)
    others = await people(w, [row.person_id for row in case.participants if row.role != role])
    values = await values_of(case)
    values |= {"starts": [instant(start) for start in starts]}
    values |= _at_night(starts, case.consultation, values["times"])
    for receiver in others.values():
        links = _choices(w, "take", receiver.id, "move.accept", appointment.id, starts)
        links["decline"] = _link(w, receiver.id, "move.decline", appointment.id, until, starts_at=starts[0])
        await deliveries.mail(
            w,
            template="move_proposed",
            person=receiver,
            values=values,
            links=links,
            useless_after=until,
        )


async def move_declined(case: AppointmentCase, proposer_id: UUID) -> None:
    """Mail whoever proposed another time that the booked one stays."""
    proposer = await people(case.w, [proposer_id])
    await about_appointment(case, "move_declined", proposer.values())


async def about_appointment(
    case: AppointmentCase, template: str, receivers: Iterable[tables.Person], **values: object
) -> None:
    """Mail one template with the appointment's times, without buttons or calendar part, to each of the receivers."""
    await to_people(case.w, template, case.consultation, receivers, **await values_of(case) | values)


async def to_participants(case: AppointmentCase, template: str, **values: object) -> None:
    """Mail everybody who takes part, as `about_appointment` does."""
    receivers = await people(case.w, [row.person_id for row in case.participants])
    await about_appointment(case, template, receivers.values(), **values)


async def invited(
    case: AppointmentCase,
    template: str,
    *,
    to: Sequence[tables.Participant] | None = None,
    before: datetime | None = None,
) -> None:
    """Mail the participants, or those of `to`, the current REQUEST, each with a join link of their own.

    The mail names the time `before`, if it was another one; the join links of earlier mails are valid until the new
    one ends.
    """
    appointment = case.appointment
    has_mentor = any(row.role == "mentor" for row in case.participants)
    status = "CONFIRMED" if appointment.status == "booked" and has_mentor else "TENTATIVE"
    values = {"previous_starts_at": instant(before)} if before and before != appointment.starts_at else {}
    receivers = case.participants if to is None else to
    if values:
        people_ids = [row.person_id for row in receivers]
        until = appointment.ends_at + lifecycle.ROOM_STAYS_OPEN
        await case.w.sql(_FOLLOW, {"until": until, "appointment": appointment.id, "people": people_ids})
    await _calendar_mails(case, template, receivers, case.participants, "REQUEST", status, **values)
    if to is None:
        await to_stand_ins(case)


_FOLLOW = sa.text(
    "UPDATE link SET expires_at = :until WHERE person_id = ANY(:people) AND subject_id = :appointment"
    " AND purpose = 'join'"
).bindparams(sa.bindparam("people", type_=ARRAY(PG_UUID(as_uuid=True))))


async def called_off(case: AppointmentCase, template: str, reason: str | None) -> None:
    """Mail every participant the CANCEL."""
    rows = case.participants
    await _calendar_mails(case, template, rows, rows, "CANCEL", "CANCELLED", reason=reason)
    await to_stand_ins(case, reason=reason)


async def to_stand_ins(case: AppointmentCase, **values: str | None) -> None:
    """If nobody is in the clinician's place, mail those who hear of the case in their stead how the time stands."""
    if not any(row.role == "clinician" for row in case.participants):
        receivers = await hearers.clinicians(case.w, case.consultation)
        await about_appointment(case, "unattended", receivers, **values)


async def taken_out(case: AppointmentCase, leaving: tables.Participant, template: str) -> None:
    """Mail the participant who leaves a CANCEL without STATUS (INV-14); the others get a REQUEST, by `invited`.

    Their earlier links enter no room and agree to no move any more. Call it before somebody else takes their place:
    they are not told who.
    """
    present = [leaving, *(row for row in case.participants if row.role != leaving.role)]
    present.sort(key=lambda row: row.role)
    await void_links(case.w, leaving.person_id, [case.appointment.id])
    await _calendar_mails(case, template, [leaving], present, "CANCEL", None, reason=None)


async def _calendar_mails(
    case: AppointmentCase,
    template: str,
    receivers: Sequence[tables.Participant],
    present: Sequence[tables.Participant],
    method: str,
    status: str | None,
    **values: str | None,
) -> None:
    w, appointment = case.w, case.appointment
    persons = await people(w, [row.person_id for row in present])
    calendar = calendar_of(appointment, receivers if status is None else present, method, status)
    shared = await appointment_values(w, case.consultation, appointment, present) | values
    if method == "REQUEST":
        shared |= _at_night([appointment.starts_at], case.consultation, shared["times"])
    for row in receivers:
        links = {} if method == "CANCEL" else {"join": join_link(w, appointment, row.person_id)}
        await deliveries.mail(
            w,
            template=template,
            person=persons[row.person_id],
            values=shared,
            links=links,
            calendar=calendar,
            appointment=appointment,
        )


def calendar_of(
    appointment: tables.Appointment, present: Sequence[tables.Participant], method: str, status: str | None
) -> dict[str, Any]:
    """Give the plain values of an iTIP message: SEQUENCE and DTSTAMP are the row's, so that a repeat says the same."""
    return {
        "method": method,
        "status": status,
        "appointment_id": str(appointment.id),
        "sequence": appointment.sequence,
        "dtstamp": instant(appointment.dtstamp),
        "starts_at": instant(appointment.starts_at),
        "ends_at": instant(appointment.ends_at),
        "attendees": [
            {"person_id": str(row.person_id), "role": row.role, "partstat": row.status.upper()} for row in present
        ],
    }


def join_link(w: Work, appointment: tables.Appointment, person_id: UUID) -> deliveries.NewLink:
    """Make the link that opens the room for one person, from ten minutes before until an hour after."""
    return _link(w, person_id, "join", appointment.id, appointment.ends_at + lifecycle.ROOM_STAYS_OPEN)


async def remind(case: AppointmentCase) -> None:
    """Mail every participant a reminder; none is sent once the session is over, moved or called off."""
    w, appointment = case.w, case.appointment
    persons = await people(w, [row.person_id for row in case.participants])
    values = await values_of(case)
    for row in case.participants:
        await deliveries.mail(
            w,
            template="reminder",
            person=persons[row.person_id],
            values=values,
            links={"join": join_link(w, appointment, row.person_id)},
            appointment=appointment,
            useless_after=appointment.ends_at,
        )
    await to_stand_ins(case)


async def void_links(w: Work, person_id: UUID, subject_ids: Collection[UUID]) -> None:
    """What the person was mailed about these no longer acts: they take no part in it any more."""
    await w.sql(_VOID, {"person": person_id, "subjects": list(subject_ids), "now": w.now})


_VOID = sa.text(
    "UPDATE link SET expires_at = :now WHERE person_id = :person AND subject_id = ANY(:subjects)"
    " AND used_at IS NULL AND expires_at > :now"
).bindparams(sa.bindparam("subjects", type_=ARRAY(PG_UUID(as_uuid=True))))


async def ask_feedback(w: Work, consultation: tables.Consultation, session_id: UUID, mentor_id: UUID) -> None:
    """Mail both sides one question about the session."""
    persons = await people(w, [consultation.clinician_id, mentor_id])
    values: Mapping[str, Any] = await _values(w, consultation) | {"session_id": str(session_id)}
    for person in persons.values():
        link = _link(w, person.id, "feedback", session_id, w.now + FEEDBACK_LINK)
        await deliveries.mail(
            w,
            template="feedback",
            person=person,
            values=values,
            links={"feedback": link},
        )


async def followed_up(w: Work, session: tables.Session) -> None:
    """Mail the mentor that the requesting side has answered what became of it; the answer itself is in no mail."""
    consultation = await w.read(tables.Consultation, session.consultation_id)
    mentors = await people(w, [session.mentor_id])
    await to_people(w, "followed_up", consultation, mentors.values(), session_id=str(session.id))


async def away_set(w: Work, mentor: tables.Person, until: datetime) -> None:
    """Mail the mentor that by a link of a mail to them they are away until then: it may not have been they."""
    values = {"away_until": instant(until), "page": "/hours"}
    await deliveries.mail(w, template="away_set", person=mentor, values=values)
