"""What happened: the log of each memorandum, append-only and chained.

An entry seals the facts of its `session` or `activity` row: ids, times, codes and counts, never names or free text,
which lie beside it and can be erased. The head of the chain is locked last. A correction is a new entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col, select

from service import (
    access,
    appointments,
    audit,
    bookings,
    candidates,
    clock,
    deidentification,
    errors,
    events,
    memoranda,
    notices,
    tables,
)
from service.deidentification import ConfirmedSpan
from service.events import instant
from service.rules import chain, gate, score
from service.work import Work

LONGEST = timedelta(hours=12)
CIVIL = 0.7
"""Hours of this worth and more (08–19 local) count as civil in reports."""
_MISSED = {"no_show_mentor": "mentor", "no_show_clinician": "clinician"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a side says of a session: the actual times, the outcome, the conclusion as case text."""

    started_at: datetime
    ended_at: datetime
    outcome: str
    participants: tuple[UUID, ...] | None = None
    conclusion: str | None = None
    confirmed_spans: tuple[ConfirmedSpan, ...] = ()


def facts(row: tables.Session) -> dict[str, Any]:
    """Give what an entry of the log seals of a session."""
    return {
        "kind": "session",
        "session_id": str(row.id),
        "appointment_id": str(row.appointment_id) if row.appointment_id else None,
        "consultation_id": str(row.consultation_id),
        "memorandum_id": str(row.memorandum_id),
        "programme_id": str(row.programme_id),
        "route": row.route,
        "is_memorandum_chosen_anew": row.is_memorandum_chosen_anew,
        "mode": row.mode,
        "specialty": row.specialty_code,
        "priority": row.priority,
        "requesting_institution_id": str(row.requesting_institution_id),
        "partner_institution_id": str(row.partner_institution_id),
        "clinician_id": str(row.clinician_id),
        "mentor_id": str(row.mentor_id),
        "participants": sorted(str(person) for person in row.participants),
        "started_at": instant(row.started_at),
        "ended_at": instant(row.ended_at),
        "minutes": row.minutes,
        "outcome": row.outcome,
        "is_civil_for_requester": row.is_civil_for_requester,
        "is_civil_for_mentor": row.is_civil_for_mentor,
    }


def _sealed(entry: tables.LogEntry, body: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "memorandum_id": str(entry.memorandum_id),
        "position": entry.position,
        "kind": entry.kind,
        "corrects": str(entry.corrects) if entry.corrects else None,
        "logged_at": instant(entry.logged_at),
        "logged_by": str(entry.logged_by) if entry.logged_by else None,
        "facts": body,
    }


async def append(
    w: Work, memorandum_id: UUID, kind: str, row_id: UUID, body: dict[str, Any], corrects: UUID | None = None
) -> tables.LogEntry:
    """Add an entry to the memorandum's chain, of the row with the same id; locks the head, last of all locks."""
    await w.sql(
        sa.text(
            "INSERT INTO log_head (memorandum_id, position, hash) VALUES (:id, 0, :genesis) ON CONFLICT DO NOTHING"
        ),
        {"id": memorandum_id, "genesis": chain.GENESIS},
    )
    query = select(tables.LogHead).where(col(tables.LogHead.memorandum_id) == memorandum_id).with_for_update()
    head = (await w.session.exec(query.execution_options(populate_existing=True))).one()
    entry = tables.LogEntry(
        id=row_id,
        memorandum_id=memorandum_id,
        position=head.position + 1,
        kind=kind,
        corrects=corrects,
        logged_at=w.now.replace(microsecond=0),
        logged_by=w.actor.person_id,
        previous_hash=head.hash,
        hash="",
    )
    entry.hash = chain.entry_hash(head.hash, _sealed(entry, body))
    head.position, head.hash = entry.position, entry.hash
    w.add(entry)
    return entry


def _check_times(w: Work, happened: Happened) -> None:
    if happened.started_at > w.now:
        raise errors.SessionInFuture("/started_at", "this lies ahead of us")
    if happened.ended_at > w.now:
        raise errors.SessionInFuture("/ended_at", "this lies ahead of us")
    if happened.ended_at < happened.started_at:
        raise errors.Invalid("/ended_at", "a session ends after its start")
    if happened.ended_at - happened.started_at > LONGEST:
        raise errors.Invalid("/ended_at", "a session lasts twelve hours at most")


async def log(w: Work, appointment_id: UUID, happened: Happened) -> tables.Session:
    """The session of a booked appointment is in the log, the appointment fulfilled, the consultation completed.

    Raises SessionInFuture, AlreadyLogged, IllegalTransition. An outcome `no_show_*` counts as that no-show.
    """
    _check_times(w, happened)
    deidentification.check(w, {"conclusion": happened.conclusion}, happened.confirmed_spans)
    seen = await access.visible_appointment(w, appointment_id)
    consultation = await bookings.lock_consultation(w, seen.consultation_id)
    await w.session.refresh(seen, with_for_update={"key_share": True})
    if seen.status == "fulfilled":
        raise errors.AlreadyLogged
    rows = await notices.participants(w, seen.id)
    mentor = next(row for row in rows if row.role == "mentor")
    if w.actor.person_id not in {row.person_id for row in rows} and not access.is_requesting_side(w, consultation):
        access.requires_at(w, mentor.institution_id, "coordinator", "partner_system")
    if seen.status != "booked":
        raise errors.IllegalTransition("appointment", seen.status, "fulfilled")
    known = {row.person_id for row in rows}
    if happened.participants is not None and not set(happened.participants) <= known:
        raise errors.Invalid("/participants", "somebody here does not take part in this appointment")
    session = await _session(w, consultation, seen, mentor, happened)
    w.add(session)
    await append(w, session.memorandum_id, "session", session.id, facts(session))
    audience = bookings.audience(consultation, session.memorandum_id, *rows)
    events.record(
        w, "session.logged", None, session.id, audience, state=session.outcome, consultation_id=consultation.id
    )
    if happened.outcome in _MISSED:
        await appointments.miss(w, consultation, seen, _MISSED[happened.outcome])
        return session
    bookings.step_appointment(seen, "fulfilled")
    seen.remind_at = None
    await bookings.tell(w, "appointment.fulfilled", consultation, seen)
    await _complete(w, consultation, session)
    return session


async def _complete(w: Work, consultation: tables.Consultation, session: tables.Session) -> None:
    bookings.step("consultation", consultation, "completed")
    consultation.closed_at = w.now
    consultation.next_wave_at = consultation.alert_at = None
    bookings.tell_consultation(w, "consultation.completed", consultation, session.memorandum_id)
    await notices.ask_feedback(w, consultation, session.id, session.mentor_id)


async def _session(
    w: Work,
    consultation: tables.Consultation,
    appointment: tables.Appointment,
    mentor: tables.Participant,
    happened: Happened,
) -> tables.Session:
    memorandum_id, route, is_anew = await _memorandum_at(w, consultation, appointment, mentor, happened.started_at)
    present = (
        happened.participants if happened.participants is not None else (consultation.clinician_id, mentor.person_id)
    )
    clinician = await w.session.get_one(tables.Person, consultation.clinician_id)
    row_id = clock.new_id()
    return tables.Session(
        id=row_id,
        appointment_id=appointment.id,
        consultation_id=consultation.id,
        memorandum_id=memorandum_id,
        programme_id=consultation.programme_id,
        route=route,
        is_memorandum_chosen_anew=is_anew,
        mode="live",
        specialty_code=consultation.specialty_code,
        priority=consultation.priority,
        requesting_institution_id=consultation.institution_id,
        partner_institution_id=mentor.institution_id,
        clinician_id=consultation.clinician_id,
        mentor_id=mentor.person_id,
        participants=sorted(set(present)),
        started_at=happened.started_at.replace(microsecond=0),
        ended_at=happened.ended_at.replace(microsecond=0),
        minutes=_minutes(happened),
        outcome=happened.outcome,
        is_civil_for_requester=score.civil_hours(happened.started_at, clinician.zone, clinician.zone) >= CIVIL,
        is_civil_for_mentor=score.civil_hours(happened.started_at, mentor.zone, mentor.zone) >= CIVIL,
        conclusion=w.seal(happened.conclusion, row_id),
    )


def _minutes(happened: Happened) -> int:
    return round((happened.ended_at - happened.started_at).total_seconds() / 60)


async def _memorandum_at(
    w: Work,
    consultation: tables.Consultation,
    appointment: tables.Appointment,
    mentor: tables.Participant,
    started_at: datetime,
) -> tuple[UUID, str, bool]:
    """Keep what was chosen at the offer; choose anew only if it no longer holds at the start."""
    found = await memoranda.links(w, consultation.institution_id, [mentor.institution_id], consultation.programme_id)
    links = [link for link in found.get(mentor.institution_id, ()) if link.is_valid(started_at)]
    if any(link.memorandum_id == appointment.memorandum_id for link in links):
        return appointment.memorandum_id, appointment.route, False
    book = await candidates.rulebook(w, consultation.programme_id)
    asked = await candidates.case(w, consultation)
    fitting = gate.covering(asked, links, book)
    if not fitting:
        return appointment.memorandum_id, appointment.route, False
    return fitting[0].memorandum_id, fitting[0].route, True


async def log_advice(  # noqa: PLR0913 - an advice's parts
    w: Work,
    consultation: tables.Consultation,
    offer: tables.Offer,
    mentor_zone: str,
    minutes: int,
) -> tables.Session:
    """Written advice is in the log as a session of mode `written`, and the consultation completed."""
    clinician = await w.session.get_one(tables.Person, consultation.clinician_id)
    ended_at = w.now.replace(microsecond=0)
    session = tables.Session(
        id=clock.new_id(),
        consultation_id=consultation.id,
        memorandum_id=offer.memorandum_id,
        programme_id=consultation.programme_id,
        route=offer.route,
        mode="written",
        specialty_code=consultation.specialty_code,
        priority=consultation.priority,
        requesting_institution_id=consultation.institution_id,
        partner_institution_id=offer.institution_id,
        clinician_id=consultation.clinician_id,
        mentor_id=offer.mentor_id,
        participants=sorted({consultation.clinician_id, offer.mentor_id}),
        started_at=ended_at - timedelta(minutes=minutes),
        ended_at=ended_at,
        minutes=minutes,
        outcome="advice_given",
        is_civil_for_requester=score.civil_hours(ended_at, clinician.zone, clinician.zone) >= CIVIL,
        is_civil_for_mentor=score.civil_hours(ended_at, mentor_zone, mentor_zone) >= CIVIL,
    )
    w.add(session)
    await append(w, session.memorandum_id, "session", session.id, facts(session))
    audience = events.Audience(
        programme_id=consultation.programme_id,
        memorandum_id=offer.memorandum_id,
        institution_ids=(consultation.institution_id, offer.institution_id),
        person_ids=(consultation.clinician_id, offer.mentor_id),
    )
    events.record(
        w, "session.logged", None, session.id, audience, state="advice_given", consultation_id=consultation.id
    )
    await _complete(w, consultation, session)
    return session


async def correct(w: Work, session_id: UUID, happened: Happened) -> tables.Session:
    """A new entry stands in the place of the old one, which stays; by its author or a coordinator of either side."""
    _check_times(w, happened)
    deidentification.check(w, {"conclusion": happened.conclusion}, happened.confirmed_spans)
    old = await access.visible_session(w, session_id)
    await bookings.lock_consultation(w, old.consultation_id)
    await w.session.refresh(old, with_for_update={"key_share": True})
    entry = await w.session.get_one(tables.LogEntry, old.id)
    if entry.logged_by != w.actor.person_id:
        institutions = w.actor.institutions("coordinator")
        if not institutions & {old.requesting_institution_id, old.partner_institution_id}:
            raise errors.Forbidden
    if old.is_corrected:
        raise errors.Exists("This entry has been corrected: correct the newer one.")
    row_id = clock.new_id()
    kept = old.model_dump(exclude={"conclusion"})
    session = tables.Session(
        **kept
        | {
            "id": row_id,
            "started_at": happened.started_at.replace(microsecond=0),
            "ended_at": happened.ended_at.replace(microsecond=0),
            "minutes": _minutes(happened),
            "outcome": happened.outcome,
            "participants": sorted(happened.participants or old.participants),
            "conclusion": w.seal(happened.conclusion, row_id),
        }
    )
    if not set(session.participants) <= set(old.participants):
        raise errors.Invalid("/participants", "somebody here did not take part")
    old.is_corrected = True
    w.add(session)
    await append(w, session.memorandum_id, "session", session.id, facts(session), corrects=old.id)
    audience = events.Audience(
        programme_id=session.programme_id,
        memorandum_id=session.memorandum_id,
        institution_ids=(session.requesting_institution_id, session.partner_institution_id),
        person_ids=(session.clinician_id, session.mentor_id),
    )
    events.record(
        w,
        "session.corrected",
        None,
        session.id,
        audience,
        state=session.outcome,
        consultation_id=session.consultation_id,
        corrects=old.id,
    )
    return session


async def read_conclusion(w: Work, session: tables.Session) -> str | None:
    """Give the conclusion to the people of the case, and remember that it was read; None for everybody else."""
    if session.conclusion is None:
        return None
    consultation = await w.session.get_one(tables.Consultation, session.consultation_id)
    if not await access.may_read_case_text(w, consultation):
        return None
    audit.record(w, "read_case_text", "session", session.id)
    return w.unseal(session.conclusion, session.id)


async def give_feedback(
    w: Work, session_id: UUID, *, is_useful: bool, patient_outcome: str | None, note: str | None
) -> tables.Feedback:
    """One side's answer is kept; the other side sees it. Each side answers once."""
    session = await access.visible_session(w, session_id)
    deidentification.check(w, {"note": note})
    me = w.actor.person_id
    side = {session.clinician_id: "requesting", session.mentor_id: "partner"}.get(me) if me else None
    if me is None or side is None:
        raise errors.Forbidden
    row_id = clock.new_id()
    row = tables.Feedback(
        id=row_id,
        session_id=session.id,
        person_id=me,
        side=side,
        is_useful=is_useful,
        patient_outcome=patient_outcome,
        note=w.seal(note, row_id),
        given_at=w.now,
    )
    w.add(row)
    await w.flush()
    return row


async def feedback_of(w: Work, session_id: UUID) -> Sequence[tables.Feedback]:
    """Give both sides' answers, without their notes."""
    await access.visible_session(w, session_id)
    kind = tables.Feedback
    return list(
        (await w.sql(sa.select(kind).where(col(kind.session_id) == session_id).order_by(col(kind.side)))).scalars()
    )


async def entries(
    w: Work, memorandum_id: UUID, after: int, limit: int
) -> Sequence[tuple[tables.LogEntry, tables.Session | None]]:
    """Give the log of a memorandum in its order, after a position."""
    await access.visible_memorandum(w, memorandum_id)
    rows = await w.sql(
        sa.select(tables.LogEntry, tables.Session)
        .outerjoin(tables.Session, col(tables.Session.id) == col(tables.LogEntry.id))
        .where(col(tables.LogEntry.memorandum_id) == memorandum_id, col(tables.LogEntry.position) > after)
        .order_by(col(tables.LogEntry.position))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


async def verification(w: Work, memorandum_id: UUID) -> chain.Verification:
    """Follow the memorandum's chain and name the first broken entry, if any; a cut tail shows at the head."""
    await access.visible_memorandum(w, memorandum_id)
    return await verify(w, memorandum_id)


async def verify(w: Work, memorandum_id: UUID) -> chain.Verification:
    """As `verification`, for the operator: no visibility asked."""
    rows = await entries_of(w, memorandum_id)
    corrected = {entry.corrects for entry, _ in rows if entry.corrects}
    found = chain.verify(
        chain.Entry(
            str(entry.id),
            _sealed(entry, _facts_as_stored(session, is_corrected=entry.id in corrected)),
            entry.previous_hash,
            entry.hash,
        )
        for entry, session in rows
    )
    head = await w.session.get(tables.LogHead, memorandum_id)
    if found.ok and (head.hash if head else chain.GENESIS) != found.head:
        return chain.Verification(ok=False, entries=found.entries, head=found.head, first_broken="head")
    return found


def _facts_as_stored(session: tables.Session | None, *, is_corrected: bool) -> dict[str, Any] | None:
    """Give the facts that must hash to the entry; a session that hides, or claims to be corrected, gives none."""
    return facts(session) if session is not None and session.is_corrected == is_corrected else None


async def entries_of(w: Work, memorandum_id: UUID) -> Sequence[tuple[tables.LogEntry, tables.Session | None]]:
    """Give the whole chain with its facts, as stored now."""
    rows = await w.sql(
        sa.select(tables.LogEntry, tables.Session)
        .outerjoin(tables.Session, col(tables.Session.id) == col(tables.LogEntry.id))
        .where(col(tables.LogEntry.memorandum_id) == memorandum_id)
        .order_by(col(tables.LogEntry.position))
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def verify_all(w: Work) -> dict[UUID, chain.Verification]:
    """Verify every chain there is."""
    heads = await w.sql(sa.text("SELECT memorandum_id FROM log_head ORDER BY memorandum_id"))
    return {memorandum_id: await verify(w, memorandum_id) for memorandum_id in heads.scalars().all()}
