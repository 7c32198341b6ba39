"""Every id in a request becomes a row here and nowhere else (invariant A1); and who may do what.

`visible_*` give the row, or raise NotFound when it does not exist or is not the caller's to see: by the rules of
`visibility`, of which lists are made too. Case text has narrower rules of its own (invariant D1).
"""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import SQLModel, col

from service import tables, vocabulary
from service.kernel import actor as actors
from service.kernel import audit, errors, visibility
from service.kernel.work import Work

Row = TypeVar("Row", bound=SQLModel)
CaseRow = tables.Consultation | tables.Offer | tables.Appointment | tables.Advice | tables.Session | tables.Feedback
_CODED: Mapping[vocabulary.ReportKind, type[tables.Memorandum | tables.Programme | tables.Institution]] = {
    "memorandum": tables.Memorandum,
    "programme": tables.Programme,
    "institution": tables.Institution,
}


def requires(w: Work, *roles: str) -> None:
    """Go on only if the actor holds one of the roles anywhere, or is the timer; raises Forbidden."""
    if not (w.actor.is_timer or w.actor.holds(*roles)):
        raise errors.Forbidden


def requires_at(w: Work, institution_id: UUID, *roles: str) -> None:
    """Go on only if the actor holds one of the roles at this institution, or is the timer; raises Forbidden."""
    if not (w.actor.is_timer or institution_id in w.actor.institutions(*roles)):
        raise errors.Forbidden


def requires_mentors_side(w: Work, offer: tables.Offer) -> None:
    """Go on only for the mentor who was asked, or who acts for their institution; raises Forbidden."""
    if w.actor.person_id != offer.mentor_id:
        requires_at(w, offer.institution_id, "coordinator", "partner_system")


def is_requesting_side(w: Work, consultation: tables.Consultation) -> bool:
    """Tell whether the actor is the clinician, of their department, or their institution's coordinator."""
    return (
        w.actor.is_timer
        or consultation.institution_id in w.actor.institutions("coordinator")
        or (w.actor.person_id == consultation.clinician_id and _is_clinician_at(w.actor, consultation.institution_id))
        or (consultation.institution_id, consultation.department) in visibility.departments(w.actor)
    )


def acts_for_requesting_side(w: Work, consultation: tables.Consultation) -> bool:
    """Tell whether the actor is of the requesting side or its institution's system: for what was agreed."""
    return is_requesting_side(w, consultation) or (
        consultation.institution_id in w.actor.institutions("partner_system")
    )


def _is_clinician_at(actor: actors.Actor, institution_id: UUID) -> bool:
    """Tell whether the actor still works there: who has left the hospital no longer acts in its cases."""
    return institution_id in actor.institutions("clinician")


async def is_clinician_there(w: Work, consultation: tables.Consultation) -> bool:
    """Tell whether the consultation's clinician is active, and still a clinician of its institution."""
    values = {"clinician": consultation.clinician_id, "institution": consultation.institution_id}
    return bool(await w.fetch(_IS_THERE, values))


_IS_THERE = sa.text("""
SELECT 1 FROM person p JOIN role_grant g ON g.person_id = p.id AND g.role = 'clinician'
WHERE p.id = :clinician AND p.state = 'active' AND g.institution_id = :institution
""")


def requires_requesting_side(w: Work, consultation: tables.Consultation) -> None:
    """Go on only for the requesting side; raises Forbidden."""
    if not is_requesting_side(w, consultation):
        raise errors.Forbidden


async def requires_reader(w: Work, memorandum_id: UUID, *roles: str) -> None:
    """Go on only for an actor who sees the memorandum even with these roles alone; raises Forbidden."""
    reader = dataclasses.replace(w.actor, grants=frozenset(g for g in w.actor.grants if g.role in roles))
    visible = _seeing(tables.Memorandum, reader, is_locking=False)
    if (await w.sql(visible, {"row_id": memorandum_id})).first() is None:
        raise errors.Forbidden


def requires_admin(w: Work, programme_id: UUID | None = None) -> None:
    """Go on only for an admin of this programme (of any, when none is named) or the timer; raises Forbidden."""
    programmes = w.actor.programmes("programme_admin")
    if not (w.actor.is_timer or (programme_id in programmes if programme_id else programmes)):
        raise errors.Forbidden


async def visible_programme(w: Work, programme_id: UUID, *, lock: bool = False) -> tables.Programme:
    """Give the programme: everybody signed in reads the registry."""
    return await _one(w, tables.Programme, programme_id, lock=lock)


async def visible_institution(w: Work, institution_id: UUID, *, lock: bool = False) -> tables.Institution:
    """Give the institution: everybody signed in reads the registry."""
    return await _one(w, tables.Institution, institution_id, lock=lock)


async def visible_memorandum(w: Work, memorandum_id: UUID, *, lock: bool = False) -> tables.Memorandum:
    """Give the memorandum to its parties, their members and its programme's admins."""
    return await _one(w, tables.Memorandum, memorandum_id, lock=lock)


async def visible_person(w: Work, person_id: UUID, *, lock: bool = False) -> tables.Person:
    """Give the person to themself, to coordinators of an institution where they hold a role, and to admins."""
    return await _one(w, tables.Person, person_id, lock=lock)


async def visible_client(w: Work, client_id: UUID, *, lock: bool = False) -> tables.Client:
    """Give the partner system to the coordinators of its institution and to admins."""
    return await _one(w, tables.Client, client_id, lock=lock)


async def visible_mentor(w: Work, mentor_id: UUID, *, lock: bool = False) -> tables.MentorProfile:
    """Give the mentor to themself, their side, admins, and institutions that an active memorandum links with theirs."""
    return await _one(w, tables.MentorProfile, mentor_id, lock=lock)


async def visible_consultation(w: Work, consultation_id: UUID, *, lock: bool = False) -> tables.Consultation:
    """Give the consultation to its side, to mentors asked who still are, and (without case text) to the admins."""
    return await _one(w, tables.Consultation, consultation_id, lock=lock)


async def visible_offer(w: Work, offer_id: UUID, *, lock: bool = False) -> tables.Offer:
    """Give the offer to its mentor and both sides; a rival mentor does not see it."""
    return await _one(w, tables.Offer, offer_id, lock=lock)


async def visible_appointment(w: Work, appointment_id: UUID, *, lock: bool = False) -> tables.Appointment:
    """Give the appointment to its participants and to both sides."""
    return await _one(w, tables.Appointment, appointment_id, lock=lock)


async def visible_session(w: Work, session_id: UUID) -> tables.Session:
    """Give the session to its participants and to both sides."""
    return await _one(w, tables.Session, session_id, lock=False)


async def visible_activity(w: Work, activity_id: UUID, *, lock: bool = False) -> tables.Activity:
    """Give the activity to those who see its memorandum, to the institutions in it, and to the programme's admins."""
    return await _one(w, tables.Activity, activity_id, lock=lock)


async def visible_rehearsal(w: Work, rehearsal_id: UUID) -> tables.Rehearsal:
    """Give the rehearsal to its programme's admins."""
    return await _one(w, tables.Rehearsal, rehearsal_id, lock=False)


async def visible_webhook_endpoint(w: Work, endpoint_id: UUID, *, lock: bool = False) -> tables.WebhookEndpoint:
    """Give the endpoint to its institution's coordinators and systems."""
    return await _one(w, tables.WebhookEndpoint, endpoint_id, lock=lock)


async def read_case_text(w: Work, consultation_id: UUID, row: CaseRow, *sealed: bytes | None) -> tuple[str | None, ...]:
    """Give the people of the case the sealed texts of a row, and audit it (invariant D1); None to everybody else."""
    if not any(sealed) or (await w.sql(_reading_text(w.actor), {"row_id": consultation_id})).first() is None:
        return (None,) * len(sealed)
    audit.record(w, "read_case_text", str(row.__tablename__), row.id)
    return tuple(w.unseal(text, row.id) for text in sealed)


async def _one(w: Work, kind: type[Row], row_id: UUID, *, lock: bool) -> Row:
    statement = _seeing(kind, w.actor, is_locking=lock)
    row: Row | None = (await w.sql(statement, {"row_id": row_id})).scalar_one_or_none()
    if row is None:
        raise errors.NotFound
    return row


@lru_cache(maxsize=2000)  # building a statement takes longer than running it, and the same actors call again
def _seeing(kind: type[Row], actor: actors.Actor, *, is_locking: bool) -> sa.Select[Row]:
    key = next(iter(sa.inspect(kind).primary_key))
    statement = sa.select(kind).where(key == sa.bindparam("row_id"), visibility.is_seen(kind, actor))
    if is_locking:
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return statement


@lru_cache(maxsize=2000)
def _reading_text(actor: actors.Actor) -> sa.Select[Any]:
    row_id = col(tables.Consultation.id)
    return sa.select(row_id).where(row_id == sa.bindparam("row_id"), visibility.case_text_is_read(actor))


async def id_of(w: Work, kind: vocabulary.ReportKind, name: str) -> UUID:
    """Give the id of the `memorandum`, `programme` or `institution` with this code, or with this id as text.

    Raises NotFound when there is none. For operators: visibility is not checked.
    """
    table = _CODED[kind]
    is_called = sa.or_(sa.func.lower(col(table.code)) == name.lower(), sa.cast(col(table.id), sa.Text) == name.lower())
    row_id: UUID | None = (await w.sql(sa.select(col(table.id)).where(is_called))).scalar_one_or_none()
    if row_id is None:
        raise errors.NotFound
    return row_id
