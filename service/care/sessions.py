"""Sessions: logged by either side, corrected by new entries, followed by one answer of each side."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.care import appointments, bookings, candidates, casefile, offers
from service.care.casefile import CaseFile
from service.kernel import access, audit, clock, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events, notices
from service.registry import agreements, memorandum_log
from service.rules import lifecycle
from service.rules.case import MemorandumLink
from service.rules.matching import gate, score

LONGEST = timedelta(hours=12)
_SESSION = (
    sa.select(tables.Session)
    .where(col(tables.Session.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_MISSED = {"no_show_mentor": "mentor", "no_show_clinician": "clinician"}
_ALERT = "interrupted_alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEntry:
    """What a side says of a session: the actual times, the outcome, the conclusion as case text."""

    started_at: datetime
    ended_at: datetime
    outcome: str
    participants: tuple[UUID, ...] | None = None
    conclusion: str | None = None
    confirmed_spans: tuple[ConfirmedSpan, ...] = ()


def check_times(w: Work, entry: SessionEntry, opened_at: datetime | None = None) -> None:
    """Go on only if the times follow each other and the request, and have passed; raises SessionInFuture, Invalid."""
    if entry.started_at > w.now:
        raise errors.SessionInFuture("/started_at", "this lies ahead of us")
    if entry.ended_at > w.now:
        raise errors.SessionInFuture("/ended_at", "this lies ahead of us")
    if opened_at and entry.started_at < opened_at.replace(microsecond=0):
        raise errors.Invalid("/started_at", "the request had not been filed yet")
    if entry.ended_at < entry.started_at:
        raise errors.Invalid("/ended_at", "a session ends after its start")
    if entry.ended_at - entry.started_at > LONGEST:
        raise errors.Invalid("/ended_at", "a session lasts twelve hours at most")


async def log(w: Work, appointment_id: UUID, entry: SessionEntry) -> tables.Session:
    """The session of a booked appointment is in the log, the appointment fulfilled, the consultation completed.

    Raises SessionInFuture, AlreadyLogged, IllegalTransition. An outcome `no_show_*` counts as that no-show. The side
    that had reported one takes it back by logging the session; another side's word is Disputed, but for an air-raid
    alert, which is never a no-show.
    """
    await deidentification.check_long(w, {"conclusion": entry.conclusion}, entry.confirmed_spans)
    case = await casefile.of_appointment(w, appointment_id)
    if not case.mentors:
        raise errors.Conflict("The mentor has left before the session: nothing was held under this appointment.")
    people = {row.person_id for row in case.participants}
    (mentor,) = case.mentors
    side = casefile.side_of_actor(w, case.consultation, case.participants)
    if side is None and w.actor.person_id not in people:
        raise errors.Forbidden
    await _must_not_contradict(case, entry, side)
    check_times(w, entry, case.consultation.opened_at)
    await _must_still_keep(w, case.consultation.id, "/conclusion", entry.conclusion)
    if entry.outcome in _MISSED:
        await case.may("report_no_show")
    allowed = await case.may("log_session")
    if not case.is_booked and allowed is not lifecycle.May.TAKEN_BACK:
        raise errors.IllegalTransition("appointment", case.appointment.status, "fulfilled")
    if entry.participants is not None and not set(entry.participants) <= people:
        raise errors.Invalid("/participants", "somebody here does not take part in this appointment")
    session = await _session(case, mentor, entry)
    corrects: UUID | None = None
    if entry.outcome in _MISSED:
        await appointments.miss(case, _MISSED[entry.outcome], side or "requesting")
    elif case.is_booked:
        await bookings.fulfil(case)
        await _complete(case, session)
    else:
        corrects = await _replaced_entry(case)
        await _take_back_absence(case, session)
    await _append(case, session, corrects)
    return session


async def _must_not_contradict(case: CaseFile, entry: SessionEntry, side: str | None) -> None:
    """Go on only if this says nothing else than what a side has reported or logged.

    Raises AlreadyLogged, IllegalTransition, and Disputed, once both sides' coordinators are told.
    """
    appointment, absent_role = case.appointment, _MISSED.get(entry.outcome)
    if appointment.status == "fulfilled":
        if absent_role and side != await appointments.logged_by(case):
            await appointments.dispute(case)
        raise errors.AlreadyLogged
    if appointment.status != "noshow":
        return
    if absent_role is None and entry.outcome not in vocabulary.NOT_HELD:
        if side != appointment.absence_told_by and entry.outcome != _ALERT:
            await appointments.dispute(case)
        return
    if absent_role and absent_role != appointment.absent:
        await appointments.dispute(case)
    raise errors.IllegalTransition("appointment", "noshow", "fulfilled")


async def _replaced_entry(case: CaseFile) -> UUID | None:
    """Give the entry that says that somebody did not come, marked as corrected; None if no entry says so."""
    row = tables.Session
    entries = await case.w.sql(
        sa.select(row).where(col(row.appointment_id) == case.appointment.id, col(row.is_corrected).is_(False))
    )
    old: tables.Session | None = entries.scalars().first()
    if old is None:
        return None
    old.is_corrected = True
    return old.id


async def _take_back_absence(case: CaseFile, session: tables.Session) -> None:
    """They met after all, or an alert kept somebody away: the appointment is fulfilled, and everybody is told.

    The consultation is completed, if it only sought another mentor since or was cancelled by that report. One that has
    another time or a promise of advice by now goes on with it.
    """
    w, consultation, absent_role = case.w, case.consultation, case.appointment.absent
    case.become(case.appointment, "fulfilled")
    case.appointment.absent = case.appointment.absence_told_by = None
    audit.record(w, "absence_withdrawn", "appointment", case.appointment.id, who=absent_role)
    await notices.to_participants(case, "noshow_withdrawn")
    was_ended_by_it = consultation.state == "cancelled" and absent_role == "clinician"
    if consultation.state not in lifecycle.SEEKING and not was_ended_by_it:
        await notices.ask_feedback(w, consultation, session.id, session.mentor_id)
        return
    live_case = await casefile.open_case(w, consultation.id)
    if live_case.is_held:
        await bookings.release(live_case, "hold_released")
    await _complete(case, session)
    await w.flush()  # an open offer of the same mentor is closed before their old one stands again
    for row in case.mentors:
        if row.offer_id and not any(offer.mentor_id == row.person_id for offer in case.standing_offers):
            case.offer(row.offer_id).ended_at = None


def build(
    *,
    participants: Iterable[UUID],
    started_at: datetime,
    ended_at: datetime,
    **values: Any,  # noqa: ANN401 - the other columns, as they are
) -> tables.Session:
    """Make a session's row: times in whole seconds, the minutes that follow from them, each participant once."""
    return tables.Session(
        participants=sorted(set(participants)),
        started_at=started_at.replace(microsecond=0),
        ended_at=ended_at.replace(microsecond=0),
        minutes=minutes_of(started_at, ended_at),
        **values,
    )


def record(
    w: Work, session: tables.Session, corrects: UUID | None = None, number: str | None = None
) -> memorandum_log.EntryFacts:
    """Write the session's row and its event; give the facts that its entry in the memorandum's chain will seal.

    `number` is the short one of its consultation; None if that is filed with it, and is not numbered yet.
    """
    w.add(session)
    audience = events.Audience(
        programme_id=session.programme_id,
        memorandum_id=session.memorandum_id,
        institution_ids=(session.requesting_institution_id, session.partner_institution_id),
        person_ids=(session.clinician_id, session.mentor_id),
    )
    events.record(
        w,
        "session.corrected" if corrects else "session.logged",
        None,
        session.id,
        audience,
        state=session.outcome,
        consultation_id=session.consultation_id,
        consultation_number=number,
        corrects=corrects,
    )
    return memorandum_log.EntryFacts("session", session.id, memorandum_log.facts(session), corrects)


async def _append(case: CaseFile, session: tables.Session, corrects: UUID | None = None) -> None:
    """Put the session at the end of its memorandum's log: the last step, because the head is locked last."""
    entry = record(case.w, session, corrects, case.consultation.number)
    await memorandum_log.append(case.w, session.memorandum_id, [entry])


async def _complete(case: CaseFile, session: tables.Session) -> None:
    """The consultation is completed; mentors still asked, to take a colleague's place, can no longer read the case."""
    await offers.withdraw(case, case.open_offers)
    case.become(case.consultation, "completed", session.memorandum_id)
    await notices.ask_feedback(case.w, case.consultation, session.id, session.mentor_id)


async def _session(case: CaseFile, mentor: tables.Participant, entry: SessionEntry) -> tables.Session:
    w, consultation = case.w, case.consultation
    memorandum_id, route, is_anew = await _memorandum_at(case, mentor, entry.started_at)
    clinician = await w.read(tables.Person, consultation.clinician_id)
    row_id = clock.new_id()
    return build(
        id=row_id,
        appointment_id=case.appointment.id,
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
        participants=(clinician.id, mentor.person_id) if entry.participants is None else entry.participants,
        started_at=entry.started_at,
        ended_at=entry.ended_at,
        outcome=entry.outcome,
        is_civil_for_requester=score.is_civil(entry.started_at, clinician.zone),
        is_civil_for_mentor=score.is_civil(entry.started_at, mentor.zone),
        conclusion=w.seal(entry.conclusion, row_id),
    )


def minutes_of(started_at: datetime, ended_at: datetime) -> int:
    """Give a session's length in minutes, from the whole seconds that are stored, so that they follow from its row."""
    lasted = ended_at.replace(microsecond=0) - started_at.replace(microsecond=0)
    return round(lasted.total_seconds() / 60)


async def _memorandum_at(case: CaseFile, mentor: tables.Participant, started_at: datetime) -> tuple[UUID, str, bool]:
    """Keep what was chosen at the offer; choose anew only if it no longer holds at the start."""
    w, consultation, appointment = case.w, case.consultation, case.appointment
    chosen = (appointment.memorandum_id, appointment.route, False)
    parties = (consultation.institution_id, [mentor.institution_id], consultation.programme_id)
    all_links = (await agreements.agreed(w, *parties)).links.get(mentor.institution_id, ())
    for link in all_links:
        if link.memorandum_id == appointment.memorandum_id:
            past_link = replace(link, status=await _status_at(w, link, started_at))
            if past_link.is_valid(started_at):
                return chosen
    links = [link for link in all_links if link.is_valid(started_at)]
    book = await candidates.rulebook(w, consultation.programme_id, consultation.opened_at)
    gate_case = await candidates.case(w, consultation)
    covering = gate.Gate(gate_case, book).covering(links)
    return (covering[0].memorandum_id, covering[0].route, True) if covering else chosen


async def _status_at(w: Work, link: MemorandumLink, at: datetime) -> str:
    """Name the memorandum's status at an instant: it may have ended before the session was logged."""
    step = tables.MemorandumTransition
    later = (
        sa.select(col(step.from_status))
        .where(col(step.memorandum_id) == link.memorandum_id, col(step.created_at) > at)
        .order_by(col(step.created_at), col(step.id))
        .limit(1)
    )
    return (await w.sql(later)).scalar_one_or_none() or link.status


async def log_advice(case: CaseFile, offer: tables.Offer, minutes: int) -> tables.Session:
    """Written advice is in the log as a session of mode `written`, and the consultation completed."""
    w, consultation = case.w, case.consultation
    clinician = await w.read(tables.Person, consultation.clinician_id)
    mentor = await w.read(tables.Person, offer.mentor_id)
    ended_at = w.now.replace(microsecond=0)
    session = build(
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
        clinician_id=clinician.id,
        mentor_id=mentor.id,
        participants=(clinician.id, mentor.id),
        started_at=ended_at - timedelta(minutes=minutes),
        ended_at=ended_at,
        outcome="advice_given",
        is_civil_for_requester=score.is_civil(ended_at, clinician.zone),
        is_civil_for_mentor=score.is_civil(ended_at, mentor.zone),
    )
    await _complete(case, session)
    await _append(case, session)
    return session


async def correct(w: Work, session_id: UUID, entry: SessionEntry) -> tables.Session:
    """A new entry replaces the old one, which stays in the log; by its author or a coordinator of either side."""
    await deidentification.check_long(w, {"conclusion": entry.conclusion}, entry.confirmed_spans)
    old = await access.visible_session(w, session_id)
    case = await casefile.open_case(w, old.consultation_id, old.appointment_id)
    await w.sql(_SESSION, {"id": old.id})  # locked, and as it is now
    log_entry = await w.read(tables.LogEntry, old.id)
    if log_entry.logged_by != w.actor.person_id:
        institutions = w.actor.institutions("coordinator")
        if not institutions & {old.requesting_institution_id, old.partner_institution_id}:
            raise errors.Forbidden
    check_times(w, entry, case.consultation.opened_at)
    if old.mode == "written" and entry.outcome in vocabulary.NOT_HELD:
        raise errors.Invalid("/outcome", "advice was written: nobody can have missed it")
    await _must_still_keep(w, old.consultation_id, "/conclusion", entry.conclusion)
    if old.is_corrected:
        raise errors.Exists("This entry has been corrected: correct the newer one.")
    is_taken_back = await _takes_back(case, old, entry)
    row_id = clock.new_id()
    unchanged_columns = old.model_dump(
        exclude={"id", "outcome", "conclusion", "participants", "started_at", "ended_at", "minutes"}
    )
    session = build(
        **unchanged_columns | await _civil_anew(case, old, entry),
        id=row_id,
        participants=entry.participants or old.participants,
        started_at=entry.started_at,
        ended_at=entry.ended_at,
        outcome=entry.outcome,
        conclusion=w.seal(entry.conclusion, row_id),
    )
    if not set(session.participants) <= set(old.participants):
        raise errors.Invalid("/participants", "somebody here did not take part")
    old.is_corrected = True
    if is_taken_back:
        await _take_back_absence(case, session)
    await _append(case, session, corrects=old.id)
    return session


async def _takes_back(case: CaseFile, old: tables.Session, entry: SessionEntry) -> bool:
    """Tell whether the correction says that they met whom the old entry calls absent; raises TooEarly, Disputed.

    Nobody is called absent by a correction either before they were waited for.
    """
    if old.appointment_id is None:
        return False
    appointment = case.appointment
    if entry.outcome in _MISSED and old.outcome not in _MISSED:
        lifecycle_time = replace(casefile.booked_time(appointment), is_over=False)
        await case.may("report_no_show", lifecycle_time)
    if appointment.status != "noshow" or entry.outcome in vocabulary.NOT_HELD:
        return False
    side = casefile.side_of_actor(case.w, case.consultation, case.participants)
    await _must_not_contradict(case, entry, side)
    return True


async def _civil_anew(case: CaseFile, old: tables.Session, entry: SessionEntry) -> dict[str, bool]:
    """Tell for both sides whether the hour was civil; empty if the time is the one that was logged."""
    is_written = old.mode == "written"
    before, at = (old.ended_at, entry.ended_at) if is_written else (old.started_at, entry.started_at)
    if at == before:
        return {}
    people = await notices.people(case.w, [old.clinician_id, old.mentor_id])
    zones = {person.id: person.zone for person in people.values()} | {
        row.person_id: row.zone for row in case.participants
    }
    sides = {"is_civil_for_requester": zones[old.clinician_id], "is_civil_for_mentor": zones[old.mentor_id]}
    return {name: score.is_civil(at, zone) for name, zone in sides.items()}


async def _must_still_keep(w: Work, consultation_id: UUID, pointer: str, text: str | None) -> None:
    """Refuse a text for a case whose texts were erased already: it would be kept for ever."""
    consultation = await w.read(tables.Consultation, consultation_id)
    if text is not None and consultation.is_forgotten:
        raise errors.Invalid(pointer, "the time for which texts of this case are kept is over: send none")


async def read_conclusion(w: Work, session: tables.Session) -> str | None:
    """Give the conclusion to the people of the case, and remember that it was read; None for everybody else."""
    (conclusion,) = await access.read_case_text(w, session.consultation_id, session, session.conclusion)
    return conclusion


async def give_feedback(
    w: Work,
    session_id: UUID,
    *,
    is_useful: bool,
    patient_outcome: str | None,
    note: str | None,
    confirmed: Collection[ConfirmedSpan] = (),
) -> tables.Feedback:
    """One side's answer is kept; the other side sees it. Each side answers once.

    That the requesting side has answered is mailed to the mentor: never to hear back is what mentors complain of first.
    """
    session = await access.visible_session(w, session_id)
    deidentification.check(w, {"note": note}, confirmed)
    await _must_still_keep(w, session.consultation_id, "/note", note)
    me = w.actor.person_id
    side = {session.clinician_id: "requesting", session.mentor_id: "partner"}.get(me) if me else None
    if me is None or side is None:
        raise errors.Forbidden
    if any(answer.side == side for answer in await _answers(w, session)):
        raise errors.Exists("Your side has answered for this session.")
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
    if side == "requesting":
        await notices.followed_up(w, session)
    return row


async def feedback_of(w: Work, session_id: UUID) -> Sequence[tables.Feedback]:
    """Give both sides' answers, without their notes; also those that were given before the entry was corrected."""
    return await _answers(w, await access.visible_session(w, session_id))


async def read_feedback(w: Work, session_id: UUID) -> list[tuple[tables.Feedback, str | None]]:
    """Give both sides' answers, with their notes for the people of the case, and log that those were read."""
    session = await access.visible_session(w, session_id)
    rows = await _answers(w, session)
    notes = [(await access.read_case_text(w, session.consultation_id, row, row.note))[0] for row in rows]
    return list(zip(rows, notes, strict=True))


async def _answers(w: Work, session: tables.Session) -> Sequence[tables.Feedback]:
    answer, entry = tables.Feedback, tables.Session
    rows = await w.sql(
        sa.select(answer)
        .join(entry, col(entry.id) == col(answer.session_id))
        .where(
            col(entry.consultation_id) == session.consultation_id,
            col(entry.appointment_id).is_not_distinct_from(session.appointment_id),
        )
        .order_by(col(answer.side))
    )
    return list(rows.scalars())
