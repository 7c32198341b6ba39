"""Who sees which rows, as one condition a kind: the plain form of `service.kernel.visibility`, to compare it with.

Each rule is one OR over all that shows a row. Nothing of it is for speed: PostgreSQL reads whole tables for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import SQLModel, col

from service import tables, vocabulary
from service.kernel import actor as actors

Condition = sa.ColumnElement[bool]
KEEPERS_OF_ENDPOINTS = ("coordinator", "partner_system")


def case_text_read(actor: actors.Actor) -> Condition:
    """Say which consultations' case text the actor may read: none at an address that waits to be confirmed."""
    if actor.is_timer:
        return sa.true()
    if not actor.is_address_confirmed:
        return sa.false()
    is_still_theirs = sa.and_(
        col(tables.Offer.ended_at).is_(None), _among(tables.Offer.institution_id, actor.institutions("mentor"))
    )
    is_shown_again = sa.and_(is_still_theirs, col(tables.Offer.is_late), col(tables.Offer.shown_again_at).is_not(None))
    return sa.or_(
        _of_requesting_side(actor),
        _was_asked(actor, vocabulary.READING_OFFER, is_still_theirs),
        _was_asked(actor, ["expired"], is_shown_again),
    )


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


def rehearsals_seen(actor: actors.Actor) -> Condition:
    """Say which rehearsals the actor sees: those of programmes that they administer."""
    if actor.is_timer:
        return sa.true()
    return _among(tables.Rehearsal.programme_id, actor.programmes("programme_admin"))


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


def everything_seen(_: actors.Actor) -> Condition:
    """Say that everybody sees them all: the registry."""
    return sa.true()


RULES: Mapping[type[SQLModel], Callable[[actors.Actor], Condition]] = {
    tables.Consultation: consultations_seen,
    tables.Offer: offers_seen,
    tables.Appointment: appointments_seen,
    tables.Session: sessions_seen,
    tables.Memorandum: memoranda_seen,
    tables.Activity: activities_seen,
    tables.Event: events_seen,
    tables.Rehearsal: rehearsals_seen,
    tables.Person: people_seen,
    tables.MentorProfile: mentors_seen,
    tables.Client: clients_seen,
    tables.WebhookEndpoint: webhook_endpoints_seen,
    tables.Programme: everything_seen,
    tables.Institution: everything_seen,
    tables.Membership: everything_seen,
    tables.Specialty: everything_seen,
}
