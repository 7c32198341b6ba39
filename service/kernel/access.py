"""Who sees what. Every id in a request becomes a row here and nowhere else (invariant A1).

`visible_*` give the row, or raise NotFound when it does not exist or is not the caller's to see. `*_seen` give the same
rules as SQL conditions, for lists and filters. A role at an institution reaches what that institution takes part in and
no further (invariant A2). Case text has narrower rules of its own (invariant D1).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import SQLModel, col

from service import tables, vocabulary
from service.kernel import actor as actors
from service.kernel import audit, errors
from service.kernel.work import Work

Row = TypeVar("Row", bound=SQLModel)
Condition = sa.ColumnElement[bool]
CaseRow = tables.Consultation | tables.Offer | tables.Appointment | tables.Advice | tables.Session | tables.Feedback
_CODED: Mapping[vocabulary.ReportKind, type[tables.Memorandum | tables.Programme | tables.Institution]] = {
    "memorandum": tables.Memorandum,
    "programme": tables.Programme,
    "institution": tables.Institution,
}
KEEPERS_OF_ENDPOINTS = ("coordinator", "partner_system")


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
    own = {(grant.institution_id, grant.department) for grant in _departments(w.actor)}
    return (
        w.actor.is_timer
        or consultation.institution_id in w.actor.institutions("coordinator")
        or (w.actor.person_id == consultation.clinician_id and _is_clinician_at(w.actor, consultation.institution_id))
        or (consultation.institution_id, consultation.department) in own
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
SELECT FROM person p JOIN role_grant g ON g.person_id = p.id AND g.role = 'clinician'
WHERE p.id = :clinician AND p.state = 'active' AND g.institution_id = :institution
""")


def requires_requesting_side(w: Work, consultation: tables.Consultation) -> None:
    """Go on only for the requesting side; raises Forbidden."""
    if not is_requesting_side(w, consultation):
        raise errors.Forbidden


async def requires_reader(w: Work, memorandum_id: UUID, *roles: str) -> None:
    """Go on only for an actor who sees the memorandum even with these roles alone; raises Forbidden."""
    reader = dataclasses.replace(w.actor, grants=frozenset(g for g in w.actor.grants if g.role in roles))
    visible = sa.select(col(tables.Memorandum.id)).where(
        col(tables.Memorandum.id) == memorandum_id, memoranda_seen(reader)
    )
    if not await _is_there(w, visible):
        raise errors.Forbidden


def requires_admin(w: Work, programme_id: UUID | None = None) -> None:
    """Go on only for an admin of this programme (of any, when none is named) or the timer; raises Forbidden."""
    programmes = w.actor.programmes("programme_admin")
    if not (w.actor.is_timer or (programme_id in programmes if programme_id else programmes)):
        raise errors.Forbidden


async def visible_programme(w: Work, programme_id: UUID, *, lock: bool = False) -> tables.Programme:
    """Give the programme: everybody signed in reads the registry."""
    return await _one(w, tables.Programme, programme_id, _everything_seen, lock=lock)


async def visible_institution(w: Work, institution_id: UUID, *, lock: bool = False) -> tables.Institution:
    """Give the institution: everybody signed in reads the registry."""
    return await _one(w, tables.Institution, institution_id, _everything_seen, lock=lock)


async def visible_memorandum(w: Work, memorandum_id: UUID, *, lock: bool = False) -> tables.Memorandum:
    """Give the memorandum to its parties, their members and its programme's admins."""
    return await _one(w, tables.Memorandum, memorandum_id, memoranda_seen, lock=lock)


async def visible_person(w: Work, person_id: UUID, *, lock: bool = False) -> tables.Person:
    """Give the person to themself, to coordinators of an institution where they hold a role, and to admins."""
    return await _one(w, tables.Person, person_id, people_seen, lock=lock)


async def visible_client(w: Work, client_id: UUID, *, lock: bool = False) -> tables.Client:
    """Give the partner system to the coordinators of its institution and to admins."""
    return await _one(w, tables.Client, client_id, clients_seen, lock=lock)


async def visible_mentor(w: Work, mentor_id: UUID, *, lock: bool = False) -> tables.MentorProfile:
    """Give the mentor to themself, their side, admins, and institutions that an active memorandum links with theirs."""
    return await _one(w, tables.MentorProfile, mentor_id, mentors_seen, lock=lock)


async def visible_consultation(w: Work, consultation_id: UUID, *, lock: bool = False) -> tables.Consultation:
    """Give the consultation to its side, to mentors asked who still are, and (without case text) to the admins."""
    return await _one(w, tables.Consultation, consultation_id, consultations_seen, lock=lock)


async def visible_offer(w: Work, offer_id: UUID, *, lock: bool = False) -> tables.Offer:
    """Give the offer to its mentor and both sides; a rival mentor does not see it."""
    return await _one(w, tables.Offer, offer_id, offers_seen, lock=lock)


async def visible_appointment(w: Work, appointment_id: UUID, *, lock: bool = False) -> tables.Appointment:
    """Give the appointment to its participants and to both sides."""
    return await _one(w, tables.Appointment, appointment_id, appointments_seen, lock=lock)


async def visible_session(w: Work, session_id: UUID) -> tables.Session:
    """Give the session to its participants and to both sides."""
    return await _one(w, tables.Session, session_id, sessions_seen, lock=False)


async def visible_activity(w: Work, activity_id: UUID, *, lock: bool = False) -> tables.Activity:
    """Give the activity to those who see its memorandum, to the institutions in it, and to the programme's admins."""
    return await _one(w, tables.Activity, activity_id, activities_seen, lock=lock)


async def visible_webhook_endpoint(w: Work, endpoint_id: UUID, *, lock: bool = False) -> tables.WebhookEndpoint:
    """Give the endpoint to its institution's coordinators and systems."""
    return await _one(w, tables.WebhookEndpoint, endpoint_id, webhook_endpoints_seen, lock=lock)


async def read_case_text(w: Work, consultation_id: UUID, row: CaseRow, *sealed: bytes | None) -> tuple[str | None, ...]:
    """Give the people of the case the sealed texts of a row, and audit it (invariant D1); None to everybody else."""
    readable = _seeing(tables.Consultation, case_text_read, w.actor, is_locking=False)
    if not any(sealed) or (await w.sql(readable, {"row_id": consultation_id})).first() is None:
        return (None,) * len(sealed)
    audit.record(w, "read_case_text", str(row.__tablename__), row.id)
    return tuple(w.unseal(text, row.id) for text in sealed)


def case_text_read(actor: actors.Actor) -> Condition:
    """Say which consultations' case text the actor may read: none at an address that waits to be confirmed."""
    if actor.is_timer:
        return sa.true()
    if not actor.is_address_confirmed:
        return sa.false()
    is_still_theirs = sa.and_(
        col(tables.Offer.ended_at).is_(None), _among(tables.Offer.institution_id, actor.institutions("mentor"))
    )
    return sa.or_(_of_requesting_side(actor), _was_asked(actor, vocabulary.READING_OFFER, is_still_theirs))


def consultations_seen(actor: actors.Actor) -> Condition:
    """Say which consultations the actor sees."""
    if actor.is_timer:
        return sa.true()
    return sa.or_(
        _of_requesting_side(actor),
        _was_asked(actor, vocabulary.OFFER_STATES, _among(tables.Offer.institution_id, actor.institutions("mentor"))),
        _among(tables.Consultation.institution_id, actor.institutions("partner_system")),
        _among(tables.Consultation.programme_id, actor.programmes("programme_admin")),
    )


def offers_seen(actor: actors.Actor) -> Condition:
    """Say which offers the actor sees."""
    if actor.is_timer:
        return sa.true()
    return sa.or_(
        col(tables.Offer.mentor_id) == actor.person_id,
        _among(tables.Offer.institution_id, actor.institutions("coordinator", "partner_system")),
        col(tables.Offer.consultation_id).in_(_consultations_of_side(actor)),
    )


def appointments_seen(actor: actors.Actor) -> Condition:
    """Say which appointments the actor sees; a mentor's institution sees those in which the mentor takes part."""
    if actor.is_timer:
        return sa.true()
    taking_part = sa.select(col(tables.Participant.appointment_id)).where(
        col(tables.Participant.person_id) == actor.person_id
    )
    institution_ids = actor.institutions("coordinator", "partner_system")
    of_mentors = (
        sa.select(col(tables.Participant.appointment_id))
        .join(tables.MentorProfile, col(tables.MentorProfile.person_id) == col(tables.Participant.person_id))
        .where(col(tables.Participant.role) == "mentor", _among(tables.MentorProfile.institution_id, institution_ids))
    )
    return sa.or_(
        col(tables.Appointment.id).in_(taking_part),
        col(tables.Appointment.id).in_(of_mentors) if institution_ids else sa.false(),
        col(tables.Appointment.consultation_id).in_(_consultations_of_side(actor)),
    )


def sessions_seen(actor: actors.Actor) -> Condition:
    """Say which sessions the actor sees."""
    if actor.is_timer:
        return sa.true()
    institution_ids = actor.institutions("coordinator", "partner_system")
    return sa.or_(
        col(tables.Session.mentor_id) == actor.person_id,
        col(tables.Session.participants).contains([actor.person_id]),
        _among(tables.Session.partner_institution_id, institution_ids),
        col(tables.Session.consultation_id).in_(_consultations_of_side(actor)),
    )


def memoranda_seen(actor: actors.Actor) -> Condition:
    """Say which memoranda the actor sees: those of their institutions and of the networks these belong to."""
    if actor.is_timer:
        return sa.true()
    return sa.or_(
        col(tables.Memorandum.id).in_(_memoranda_of(actor, actor.institutions(*vocabulary.INSTITUTION_ROLES))),
        _among(tables.Memorandum.programme_id, actor.programmes("programme_admin")),
    )


def activities_seen(actor: actors.Actor) -> Condition:
    """Say which activities the actor sees: those of their memoranda, and those that their institutions took part in."""
    if actor.is_timer:
        return sa.true()
    taking_part = sa.select(col(tables.ActivityInstitution.activity_id)).where(
        _among(tables.ActivityInstitution.institution_id, actor.institutions(*vocabulary.INSTITUTION_ROLES))
    )
    return sa.or_(
        col(tables.Activity.memorandum_id).in_(sa.select(col(tables.Memorandum.id)).where(memoranda_seen(actor))),
        _among(tables.Activity.programme_id, actor.programmes("programme_admin")),
        sa.and_(col(tables.Activity.memorandum_id).is_(None), col(tables.Activity.id).in_(taking_part)),
    )


def webhook_endpoints_seen(actor: actors.Actor) -> Condition:
    """Say which webhook endpoints the actor sees."""
    institution_ids = actor.institutions(*KEEPERS_OF_ENDPOINTS)
    return sa.and_(
        sa.true() if actor.is_timer else _among(tables.WebhookEndpoint.institution_id, institution_ids),
        col(tables.WebhookEndpoint.deleted_at).is_(None),
    )


def events_seen(actor: actors.Actor) -> Condition:
    """Say which events the actor sees: those that name them, and those that their institutions' webhooks are sent."""
    if actor.is_timer:
        return sa.true()
    event, party = tables.Event, tables.MemorandumParty
    institution_ids = actor.institutions(*KEEPERS_OF_ENDPOINTS)
    memoranda = sa.select(col(party.memorandum_id)).where(_among(party.institution_id, institution_ids))
    return sa.or_(
        col(event.person_ids).contains([actor.person_id]),
        col(event.institution_ids).op("&&")(sa.bindparam(None, sorted(institution_ids), type_=ARRAY(PG_UUID)))
        if institution_ids
        else sa.false(),
        col(event.memorandum_id).in_(memoranda) if institution_ids else sa.false(),
        _among(event.programme_id, actor.programmes("programme_admin")),
    )


def people_seen(actor: actors.Actor) -> Condition:
    """Say which people the actor sees; the row that stands for a partner system is none of them."""
    is_person = col(tables.Person.kind) == "person"
    if actor.is_timer or actor.programmes("programme_admin"):
        return is_person
    colleagues = sa.select(col(tables.RoleGrant.person_id)).where(
        _among(tables.RoleGrant.institution_id, actor.institutions("coordinator"))
    )
    return sa.and_(is_person, sa.or_(col(tables.Person.id) == actor.person_id, col(tables.Person.id).in_(colleagues)))


def clients_seen(actor: actors.Actor) -> Condition:
    """Say which partner systems the actor sees."""
    if actor.is_timer or actor.programmes("programme_admin"):
        return sa.true()
    return _among(tables.Client.institution_id, actor.institutions("coordinator"))


def mentors_seen(actor: actors.Actor) -> Condition:
    """Say which mentors the actor sees."""
    if actor.is_timer or actor.programmes("programme_admin"):
        return sa.true()
    return sa.or_(
        col(tables.MentorProfile.person_id) == actor.person_id,
        _among(tables.MentorProfile.institution_id, actor.institutions("coordinator", "partner_system")),
        col(tables.MentorProfile.institution_id).in_(
            _linked_with(actor, actor.institutions("clinician", "coordinator"))
        ),
    )


def _linked_with(actor: actors.Actor, requesting: frozenset[UUID]) -> sa.CompoundSelect[Any]:
    """Name the institutions (and members of networks) that are partners of these in an active memorandum."""
    agreed, party, membership = tables.Memorandum, orm.aliased(tables.MemorandumParty), tables.Membership
    parties = (
        sa.select(col(party.institution_id))
        .join(agreed, col(agreed.id) == col(party.memorandum_id))
        .where(col(agreed.status) == "active", col(party.side) == "partner")
        .where(col(agreed.id).in_(_memoranda_of(actor, requesting, "requesting")))
    )
    members = (
        parties.with_only_columns(col(membership.institution_id))
        .join(membership, col(membership.network_id) == col(party.institution_id))
        .where(_holds_today(actor, agreed))
    )
    return parties.union(members)


def _memoranda_of(actor: actors.Actor, institutions: frozenset[UUID], *sides: str) -> sa.CompoundSelect[Any]:
    """Name the memoranda signed by these institutions, or by a network or umbrella that they belong to today."""
    agreed, party, membership = orm.aliased(tables.Memorandum), tables.MemorandumParty, tables.Membership
    signed = sa.select(col(party.memorandum_id)).where(col(party.side).in_(sides or vocabulary.SIDES))
    by_network = (
        signed.join(agreed, col(agreed.id) == col(party.memorandum_id))
        .join(membership, col(membership.network_id) == col(party.institution_id))
        .where(_among(membership.institution_id, institutions), _holds_today(actor, agreed))
    )
    return signed.where(_among(party.institution_id, institutions)).union(by_network)


def _holds_today(actor: actors.Actor, agreed: type[tables.Memorandum]) -> Condition:
    """Say which memberships hold today, by the calendar of the memorandum's programme."""
    row, conditions = tables.Membership, []
    for day in sorted({day for day, _ in actor.days}):
        programmes = frozenset(programme_id for today, programme_id in actor.days if today == day)
        holds = sa.and_(col(row.from_on) <= day, sa.or_(col(row.until_on).is_(None), col(row.until_on) > day))
        conditions.append(sa.and_(_among(agreed.programme_id, programmes), holds))
    return sa.or_(sa.false(), *conditions)


def _of_requesting_side(actor: actors.Actor) -> Condition:
    """The clinician, the clinicians of the same department, the coordinator of the institution."""
    row = tables.Consultation
    departments = (
        sa.and_(col(row.institution_id) == grant.institution_id, col(row.department) == grant.department)
        for grant in _departments(actor)
    )
    return sa.or_(
        sa.and_(col(row.clinician_id) == actor.person_id, _among(row.institution_id, actor.institutions("clinician"))),
        _among(row.institution_id, actor.institutions("coordinator")),
        *departments,
    )


def _departments(actor: actors.Actor) -> list[actors.Grant]:
    """Name the departments whose cases the actor shares; a grant without one shares none."""
    return [g for g in sorted(actor.grants, key=repr) if g.role == "clinician" and g.department is not None]


def _consultations_of_side(actor: actors.Actor) -> sa.Select[Any]:
    return sa.select(col(tables.Consultation.id)).where(
        sa.or_(
            _of_requesting_side(actor),
            _among(tables.Consultation.institution_id, actor.institutions("partner_system")),
            _among(tables.Consultation.programme_id, actor.programmes("programme_admin")),
        )
    )


def _was_asked(actor: actors.Actor, states: Sequence[str], *more: Condition) -> Condition:
    return col(tables.Consultation.id).in_(
        sa.select(col(tables.Offer.consultation_id)).where(
            col(tables.Offer.mentor_id) == actor.person_id, col(tables.Offer.state).in_(states), *more
        )
    )


def _among(column: Any, ids: frozenset[UUID]) -> Condition:  # noqa: ANN401 - a class attribute of a table
    return col(column).in_(sorted(ids)) if ids else sa.false()


async def _one(
    w: Work, kind: type[Row], row_id: UUID, visible: Callable[[actors.Actor], Condition], *, lock: bool
) -> Row:
    statement = _seeing(kind, visible, w.actor, is_locking=lock)
    row: Row | None = (await w.sql(statement, {"row_id": row_id})).scalar_one_or_none()
    if row is None:
        raise errors.NotFound
    return row


@lru_cache(maxsize=2000)  # building a statement takes longer than running it, and the same actors call again
def _seeing(
    kind: type[Row], visible: Callable[[actors.Actor], Condition], actor: actors.Actor, *, is_locking: bool
) -> sa.Select[Row]:
    key = next(iter(sa.inspect(kind).primary_key))
    statement = sa.select(kind).where(key == sa.bindparam("row_id"), visible(actor))
    if is_locking:
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return statement


def _everything_seen(_actor: actors.Actor) -> Condition:
    return sa.true()


async def _is_there(w: Work, statement: sa.Select[Any]) -> bool:
    return (await w.sql(statement.limit(1))).first() is not None


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
