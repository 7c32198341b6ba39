"""A clinician's request: filed, consented, assigned, withdrawn, expired."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.care import bookings, candidates, casefile, filing, offers, promises
from service.care.casefile import CaseFile
from service.kernel import access, audit, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events, hearers, notices
from service.rules import case_numbers, lifecycle, policy, transfer
from service.rules.case import Case
from service.rules.matching import ranking
from service.rules.promise import Promise
from service.rules.sentences import Sentence
from service.rules.time import availability, intervals
from service.rules.time.intervals import Interval


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """What the patient agreed to: sending under the general list, or to the named countries (ISO 3166-1)."""

    scope: str
    given_on: date
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request for a consultation, as the caller files it."""

    specialty: str
    priority: str
    mode: str
    question: str
    languages: tuple[str, ...]
    age_band: str
    duration_minutes: int
    windows: tuple[tuple[datetime, datetime], ...] = ()
    department: str | None = None
    tags: tuple[str, ...] = ()
    is_translated: bool = False
    excluded_mentors: tuple[UUID, ...] = ()
    clinician_id: UUID | None = None
    institution_id: UUID | None = None  # of several of the clinician's; else the one whose memorandum covers the case
    follows_id: UUID | None = None
    consent: ConsentGiven | None = None
    question_language: str | None = None  # of the text; one of `languages`
    confirmed_spans: Collection[ConfirmedSpan] = field(default_factory=tuple)
    is_one_of_many: bool = False  # its mentors are asked by the worker, a moment later


async def draft_of(w: Work, wish: NewRequest, *, is_filed: bool = False) -> tables.Consultation:
    """Give the request as a draft that is not stored, without its question; raises what keeps it from being filed."""
    requester = await filing.requester(w, wish, is_filed=is_filed)
    await check(w, wish)
    return tables.Consultation(
        id=clock.new_id(),
        version=0,
        number=requester.number,
        created_at=w.now,
        programme_id=requester.programme_id,
        institution_id=requester.institution_id,
        clinician_id=requester.clinician_id,
        department=requester.department,
        follows_id=wish.follows_id,
        specialty_code=wish.specialty,
        priority=wish.priority,
        mode=wish.mode,
        state="draft",
        languages=list(wish.languages),
        age_band=wish.age_band,
        duration_minutes=wish.duration_minutes,
        tags=list(wish.tags),
        is_translated=wish.is_translated,
        excluded_mentors=sorted(set(wish.excluded_mentors)),
        question_language=wish.question_language,
    )


async def request(w: Work, wish: NewRequest) -> tables.Consultation:
    """The consultation is filed; with consent it is open and its first wave out. A coordinator may file for others.

    The first wave of one of many is the worker's: it is due with the row itself, and asked for again until it is made.
    """
    consultation = await draft_of(w, wish, is_filed=True)
    await deidentification.check_long(w, texts_of(wish), wish.confirmed_spans)
    row_id = consultation.id
    consultation.question = w.seal(wish.question, row_id)
    consultation.created_by = w.actor.person_id
    windows = tuple(intervals.merge(wish.windows))
    w.add(
        consultation,
        *(
            tables.ConsultationWindow(consultation_id=row_id, from_at=from_at, until_at=until_at)
            for from_at, until_at in windows
        ),
    )
    if wish.consent:
        case = CaseFile(w, consultation, new_windows=windows)
        await _open(case, wish.consent, is_one_of_many=wish.is_one_of_many)
    else:
        w.touch(consultation)
    return consultation


def texts_of(wish: NewRequest) -> dict[str, str | None]:
    """Give what the writer wrote, by field: what may name a person."""
    return {"question": wish.question, "department": wish.department, **deidentification.of_tags(wish.tags)}


async def check(w: Work, wish: NewRequest) -> None:
    """Pass a request in which all but the text is right; raises Invalid, Forbidden, NotFound."""
    if wish.mode == "board":
        raise errors.ModeNotOffered("/mode", "boards of several mentors are not offered yet")
    specialty = (await w.read_all(tables.Specialty, [wish.specialty])).get(wish.specialty)
    if specialty is None or not specialty.is_bookable:
        raise errors.Invalid("/specialty", "not a specialty that consultations are asked for")
    if wish.follows_id:
        access.requires_requesting_side(w, await access.visible_consultation(w, wish.follows_id))
    _check_windows(w, wish)
    if wish.question_language not in {None, *wish.languages}:
        raise errors.Invalid("/question_language", "write in one of the languages of the answer")


_SHORT = "less than the {minutes} minutes of the call lie ahead in this window"


def _check_windows(w: Work, wish: NewRequest) -> None:
    """Pass windows that each leave room for the call, with those that they touch; raises Invalid."""
    for number, (from_at, until_at) in enumerate(wish.windows):
        if until_at <= from_at:
            raise errors.Invalid(f"/windows/{number}/until", "a window ends after its start")
        if until_at <= w.now:
            raise errors.Invalid(f"/windows/{number}/until", "this window lies behind us")
    if wish.mode == "written":
        return
    ahead = intervals.merge([(max(from_at, w.now), until_at) for from_at, until_at in wish.windows])
    for number, (_, until_at) in enumerate(wish.windows):
        minutes = next((end - begin).total_seconds() / 60 for begin, end in ahead if begin < until_at <= end)
        if minutes < wish.duration_minutes:
            detail = Sentence(
                "less than the {minutes} minutes of the call lie ahead in this window", minutes=wish.duration_minutes
            )
            raise errors.Invalid(f"/windows/{number}/until", detail)


async def _of_requesting_side(w: Work, consultation_id: UUID) -> CaseFile:
    """Open the case for its requesting side only; raises NotFound, Forbidden."""
    access.requires_requesting_side(w, await access.visible_consultation(w, consultation_id))
    return await casefile.open_case(w, consultation_id)


async def consent(
    w: Work, consultation_id: UUID, new_consent: ConsentGiven, *, is_one_of_many: bool = False
) -> tables.Consultation:
    """The patient's consent is on record; a draft is open now, as in `request`. A later one may name more countries."""
    case = await _of_requesting_side(w, consultation_id)
    consultation = case.consultation
    if consultation.state in vocabulary.CLOSED:
        raise errors.IllegalTransition("consultation", consultation.state, "open")
    if consultation.state == "draft":
        await _open(case, new_consent, is_one_of_many=is_one_of_many)
        return consultation
    await case.may_if_booked("consent")
    await record_consent(w, consultation, new_consent)
    w.touch(consultation)
    await _withdraw_without_basis(case)
    if consultation.state == "unmatched":
        consultation.next_wave_at = w.now
    return consultation


async def _withdraw_without_basis(case: CaseFile) -> None:
    """Offers to mentors whose country the consent no longer covers are withdrawn, and the case text closed to them."""
    gate_case = await candidates.case(case.w, case.consultation)
    places = {case.consultation.institution_id, *(offer.institution_id for offer in case.open_offers)}
    institutions = await case.w.sql(sa.select(tables.Institution).where(col(tables.Institution.id).in_(places)))
    countries = {institution.id: institution.country for institution in institutions.scalars()}
    basis = candidates.transfer_basis()
    refused = [
        offer
        for offer in case.open_offers
        if not transfer.allows(basis, gate_case.consent, gate_case.country, countries[offer.institution_id])
    ]
    await offers.withdraw(case, refused)
    await bookings.release_of(case, [offer.mentor_id for offer in refused])


async def record_consent(w: Work, consultation: tables.Consultation, new_consent: ConsentGiven) -> None:
    """The consent stands with the case; raises Invalid for a day that is yet to come where the clinician is."""
    clinician = await w.read(tables.Person, consultation.clinician_id)
    if new_consent.given_on > availability.local_date(w.now, clinician.zone):
        raise errors.Invalid("/given_on", "consent cannot be given in the future")
    consultation.consent_scope, consultation.consent_given_on = new_consent.scope, new_consent.given_on
    consultation.consent_countries = sorted(set(new_consent.countries))


async def _open(case: CaseFile, new_consent: ConsentGiven, *, is_one_of_many: bool) -> None:
    """The consultation is open; its first wave is out, and the clinician has a receipt, unless many are filed."""
    w, consultation = case.w, case.consultation
    await record_consent(w, consultation, new_consent)
    book = await candidates.rulebook(w, consultation.programme_id)
    case.become(consultation, "open")
    consultation.opened_at = consultation.next_wave_at = w.now
    consultation.answer_due_at = policy.answer_due_at(book.policy, consultation.priority, w.now)
    consultation.alert_at = policy.alert_at(book.policy, consultation.priority, w.now)
    if not is_one_of_many:
        await offers.first_wave(case)


async def cancel(
    w: Work, consultation_id: UUID, reason: str, note: str | None = None, confirmed: Collection[ConfirmedSpan] = ()
) -> tables.Consultation:
    """The request is withdrawn: open offers closed, a booked or held time freed, everybody told."""
    access.requires_requesting_side(w, await access.visible_consultation(w, consultation_id))
    deidentification.check(w, {"note": note}, confirmed)
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    if consultation.state == "cancelled" and consultation.cancel_reason == reason:
        return consultation
    await case.may_if_booked("cancel_consultation")
    consultation.note, consultation.noted_by = w.seal(note, consultation.id), w.actor.person_id
    case.become(consultation, "cancelled")
    consultation.cancel_reason = reason
    promised_offers = [] if case.maybe_appointment else case.standing_offers  # of written advice
    if case.is_booked:
        await bookings.cancel(case, "request_cancelled", by_side="requesting")
    elif case.is_held:
        await bookings.release(case, "request_cancelled")
    for offer in case.standing_offers:
        offer.ended_at = w.now
    if promised_offers:
        mentors = await notices.people(w, [offer.mentor_id for offer in promised_offers])
        await notices.to_people(w, "withdrawn", consultation, mentors.values())
    await offers.withdraw(case, case.open_offers)
    return consultation


async def lapse(w: Work, consultation_id: UUID) -> None:
    """Close a draft that never had the patient's consent; nothing if it was opened."""
    case = await casefile.open_case(w, consultation_id)
    if case.consultation.state == "draft":
        case.become(case.consultation, "cancelled")
        case.consultation.cancel_reason = "no_longer_needed"


async def forget(w: Work, consultation_id: UUID) -> None:
    """Erase the case text of a consultation that closed, or stayed a draft, long ago; its facts stay.

    Tags are words of the clinician, and so is a department that no role at the hospital names: they go with the text.
    """
    await lapse(w, consultation_id)
    for statement in _FORGET:
        await w.sql(statement, {"id": consultation_id})


_FORGET = tuple(
    sa.text(statement)
    for statement in (
        (
            "UPDATE consultation SET question = NULL, note = NULL, is_forgotten = true, tags = '{}', department ="
            " (SELECT g.department FROM role_grant g WHERE g.institution_id = consultation.institution_id"
            " AND g.department = consultation.department LIMIT 1) WHERE id = :id"
        ),
        "UPDATE offer SET note = NULL, override_reason = NULL WHERE consultation_id = :id",
        "UPDATE appointment SET note = NULL WHERE consultation_id = :id",
        "UPDATE advice SET text = NULL WHERE consultation_id = :id",
        "UPDATE session SET conclusion = NULL WHERE consultation_id = :id AND conclusion IS NOT NULL",
        "UPDATE feedback SET note = NULL WHERE session_id IN (SELECT id FROM session WHERE consultation_id = :id)",
    )
)


async def assign(w: Work, consultation_id: UUID, clinician_id: UUID) -> tables.Consultation:
    """A colleague of the same institution takes the consultation over; a booked time must be free for them."""
    case = await _of_requesting_side(w, consultation_id)
    consultation = case.consultation
    if consultation.state in vocabulary.CLOSED:
        raise errors.IllegalTransition("consultation", consultation.state, consultation.state)
    colleague = await _colleague(w, consultation.institution_id, clinician_id)
    if colleague is None:
        raise errors.Invalid("/clinician_id", "not a clinician of this institution")
    if colleague.id == consultation.clinician_id and consultation.clinician_left_at is None:
        return consultation
    await case.may_if_booked("assign")
    if any(offer.mentor_id == colleague.id for offer in (*case.open_offers, *case.standing_offers)):
        raise errors.Invalid("/clinician_id", "is asked as the mentor of this consultation")
    await notices.void_links(w, consultation.clinician_id, [offer.id for offer in case.offers])
    consultation.clinician_id, consultation.clinician_left_at = colleague.id, None
    w.touch(consultation)
    if case.maybe_appointment:
        await bookings.replace_clinician(case, colleague)
    return consultation


async def _colleague(w: Work, institution_id: UUID, person_id: UUID) -> tables.Person | None:
    """Give the person if they are an active clinician of the institution."""
    rows = await w.sql(
        sa.select(tables.Person)
        .join(tables.RoleGrant, col(tables.RoleGrant.person_id) == col(tables.Person.id))
        .where(col(tables.Person.id) == person_id, col(tables.Person.state) == "active")
        .where(col(tables.RoleGrant.role) == "clinician")
        .where(col(tables.RoleGrant.institution_id) == institution_id)
    )
    person: tables.Person | None = rows.scalars().first()
    return person


async def alert(w: Work, consultation_id: UUID) -> None:
    """The coordinators hear that nobody has taken the request yet, once; nothing if somebody has."""
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    if consultation.alert_at is None or consultation.alert_at > w.now:
        return
    consultation.alert_at = None
    if consultation.state in lifecycle.SEEKING:
        receivers = await hearers.coordinators(w, [consultation.institution_id], consultation.programme_id)
        due = consultation.answer_due_at
        await notices.to_people(w, "alert", consultation, receivers, answer_due_at=due and events.instant(due))


async def expire(w: Work, consultation_id: UUID) -> None:
    """Close a consultation whose answer was due a day ago with nothing agreed; nothing if something was."""
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    if consultation.answer_due_at is None:
        return
    book = await candidates.rulebook(w, consultation.programme_id, consultation.opened_at)
    ends_at = policy.expires_at(book.policy, consultation.answer_due_at)
    if lifecycle.expire_consultation(consultation.state, ends_at, w.now) == consultation.state:
        return
    case.become(consultation, "expired")
    if case.is_held:
        await bookings.release(case, "hold_expired")
    elif case.seeks_mentor:
        await bookings.cancel(case, "mentor_left")
    await offers.withdraw(case, case.open_offers)
    receivers = [
        *await hearers.clinicians(w, consultation),
        *await hearers.coordinators(w, [consultation.institution_id], consultation.programme_id),
    ]
    await notices.to_people(w, "expired", consultation, {person.id: person for person in receivers}.values())


async def candidates_of(w: Work, consultation_id: UUID) -> tuple[ranking.Ranking, Case]:
    """Rank the mentors who can answer, with every term of the score, and name the others, with every reason."""
    consultation = await access.visible_consultation(w, consultation_id)
    if not access.is_requesting_side(w, consultation):
        access.requires_admin(w, consultation.programme_id)
    ranked = await candidates.ranked(w, consultation, limit=20, near=True)
    return ranked.ranking, ranked.case


@dataclass(frozen=True, slots=True)
class ConsultationView:
    """A consultation as its readers see it: the agreement it led to, and its texts for the people of the case."""

    row: tables.Consultation
    memorandum_id: UUID | None
    appointment_id: UUID | None
    windows: tuple[Interval, ...] = ()  # when the clinician can attend: apart, and in order
    question: str | None = None
    note: str | None = None
    promise: Promise | None = None  # how soon such requests were answered: at its filing only

    @property
    def is_first_wave_due(self) -> bool:
        """Whether it is open and the worker is about to ask the first mentors."""
        return lifecycle.awaits_first_wave(self.row.state, self.row.waves)


async def read(w: Work, consultation_id: UUID) -> ConsultationView:
    """Give one consultation, with its texts for the people of the case; that they were read is logged."""
    return await view(w, await access.visible_consultation(w, consultation_id))


async def view(w: Work, row: tables.Consultation) -> ConsultationView:
    """Give the row to the person who changed it; its texts only if they still belong to the case's people."""
    question, note = await access.read_case_text(w, row.id, row, row.question, row.note)
    return replace((await views(w, [row]))[0], question=question, note=note)


async def filed(w: Work, row: tables.Consultation, wish: NewRequest) -> ConsultationView:
    """Give the consultation that the actor filed in this unit of work: nothing is agreed yet, the question is theirs.

    Only the requesting side files requests, and it may read them (`access`); this reading is logged like any other.
    """
    audit.record(w, "read_case_text", "consultation", row.id)
    windows, question = tuple(intervals.merge(wish.windows)), w.unseal(row.question, row.id)
    return ConsultationView(row, None, None, windows, question, promise=await promises.told(w, row))


async def page(
    w: Work,
    *,
    after: UUID | None,
    limit: int,
    state: str | None = None,
    priority: str | None = None,
    specialty: str | None = None,
    number: str | None = None,
) -> list[ConsultationView]:
    """Give the consultations that the actor sees, oldest first, without case text: one more than `limit` at most."""
    kind = tables.Consultation
    filters = (
        (kind.state, state),
        (kind.priority, priority),
        (kind.specialty_code, specialty),
        (kind.number, number),
    )
    conditions = (col(column) == value for column, value in filters if value is not None)
    return await views(w, await paging.rows(w, kind, *conditions, after=after, limit=limit))


async def find(w: Work, typed: str) -> UUID | None:
    """Give the id of the consultation whose short number somebody typed; None if they see none that has it."""
    number = case_numbers.read(typed)
    found = await page(w, after=None, limit=1, number=number) if number else []
    return found[0].row.id if found else None


async def views(w: Work, rows: Sequence[tables.Consultation]) -> list[ConsultationView]:
    """Give the rows, each with its appointment, its memorandum and its windows, in one query."""
    beside_rows = {row.id: row for row in await w.sql(_BESIDE, {"ids": [row.id for row in rows]})}
    return [_with(row, beside_rows[row.id]) for row in rows]


def _with(row: tables.Consultation, beside: Any) -> ConsultationView:  # noqa: ANN401 - a row of `_BESIDE`
    windows = intervals.merge(zip(beside.froms, beside.untils, strict=True))
    return ConsultationView(row, beside.memorandum_id, beside.appointment_id, tuple(windows))


_BESIDE = sa.text("""
SELECT c.id, coalesce(a.memorandum_id, o.memorandum_id) AS memorandum_id, a.id AS appointment_id,
       ARRAY(SELECT from_at FROM consultation_window WHERE consultation_id = c.id ORDER BY from_at) AS froms,
       ARRAY(SELECT until_at FROM consultation_window WHERE consultation_id = c.id ORDER BY from_at) AS untils
FROM unnest(:ids) AS c (id)
LEFT JOIN LATERAL (SELECT id, memorandum_id FROM appointment WHERE consultation_id = c.id
                   AND status IN ('pending', 'booked', 'fulfilled') ORDER BY id DESC LIMIT 1) a ON true
LEFT JOIN LATERAL (SELECT memorandum_id FROM offer WHERE consultation_id = c.id AND state = 'accepted'
                   AND ended_at IS NULL LIMIT 1) o ON true
""").bindparams(sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True))))
