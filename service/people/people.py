"""Who signs in, with which roles, and which mentors are verified.

Coordinators manage the people of their own institution, admins manage everybody. An institution's systems may register
mentors, but such a mentor cannot sign in before a person has verified them or given them roles: a system that is
revoked leaves nobody behind who can. Nobody changes their own roles, verifies themself or enables themself again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, audit, clock, email_addresses, errors, paging
from service.kernel.actor import Grant
from service.kernel.work import Work
from service.people import action_links, address_changes, logins, preferences

ERASED = "@erased.invalid"
"""The end of an erased person's address."""


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person with their roles."""

    row: tables.Person
    grants: tuple[Grant, ...]


async def page(
    w: Work,
    *,
    after: UUID | None,
    limit: int,
    role: str | None = None,
    institution_id: UUID | None = None,
) -> list[PersonView]:
    """Give the people that the actor sees, oldest first; one more than `limit` if others follow."""
    conditions: list[sa.ColumnElement[bool]] = []
    holders = sa.select(col(tables.RoleGrant.person_id))
    if role is not None:
        holders = holders.where(col(tables.RoleGrant.role) == role)
    if institution_id is not None:
        holders = holders.where(col(tables.RoleGrant.institution_id) == institution_id)
    if role is not None or institution_id is not None:
        conditions.append(col(tables.Person.id).in_(holders))
    return await views(w, await paging.rows(w, tables.Person, *conditions, after=after, limit=limit))


async def views(w: Work, rows: Collection[tables.Person]) -> list[PersonView]:
    """Give the people with their roles, in one query."""
    ids = [row.id for row in rows]
    grants: dict[UUID, list[Grant]] = {row_id: [] for row_id in ids}
    for row in await _grant_rows(w, ids):
        grants[row.person_id].append(_as_grant(row))
    return [PersonView(row, tuple(grants[row.id])) for row in rows]


async def create(w: Work, fields: Mapping[str, Any], grants: Collection[Grant]) -> PersonView:
    """Make a person with these roles; a mentor gets an empty profile, unverified. Raises Exists for a known address."""
    if not grants:
        raise errors.Invalid("/roles", "at least one role is needed")
    _must_give(w, grants)
    await _check_places(w, grants)
    row = add(w, fields, grants)
    await w.flush()
    return (await views(w, [row]))[0]


def add(w: Work, fields: Mapping[str, Any], grants: Collection[Grant]) -> tables.Person:
    """Make a person with these roles, without a query; the caller has checked that their places exist."""
    _must_give(w, grants)
    email_addresses.requires_carried("/email", fields["email"], utf8=w.carries_utf8)
    is_vouched_for = w.actor.kind != "system"
    values: dict[str, Any] = {"id": clock.new_id(), "created_at": w.now, "is_vouched_for": is_vouched_for, **fields}
    row = tables.Person(**values)
    w.add(row)
    _add_grants(w, row, set(grants))
    _add_profile(w, row, _mentoring(grants))
    audit.record(w, "created", "person", row.id)
    return row


async def unmailable(w: Work) -> list[UUID]:
    """Give the active people whose address mail cannot carry: an older release took it."""
    rows = await w.sql(sa.text("SELECT id, email FROM person WHERE state = 'active' AND kind = 'person' ORDER BY id"))
    return [row.id for row in rows if not email_addresses.is_carried(row.email, utf8=w.carries_utf8)]


async def change(
    w: Work, row: tables.Person, changes: Mapping[str, Any], grants: Collection[Grant] | None
) -> PersonView:
    """Change a person: name, language and zone by themself or a keeper; state, address and roles by a keeper only.

    Disabling takes effect at once: every sign-in ends. A new address ends them too, and waits to be confirmed
    (`address_changes`).
    """
    present_grants = {_as_grant(grant) for grant in await _grant_rows(w, [row.id])}
    is_self = row.id == w.actor.person_id
    if is_self and (grants is not None or "state" in changes or "email" in changes):
        msg = "Somebody else must change your roles, your state and your address."
        raise errors.Forbidden(msg)
    if not is_self:
        access.requires(w, *vocabulary.OVERSEEING_PEOPLE)
        if {"state", "email"} & changes.keys():
            _must_give(w, present_grants)  # a change reaches every place where they hold a role
    if grants is not None:
        _must_give(w, present_grants ^ set(grants))
        await _check_places(w, grants)
        await _set_grants(w, row, present_grants, set(grants))
        row.is_vouched_for = True
    if "email" in changes:
        await address_changes.begin(w, row, changes["email"])
    for name, value in changes.items():
        setattr(row, name, value)
    if "zone" in changes:
        await preferences.follow_zone(w, row)
    if changes.get("state") == "disabled":
        await action_links.void_all(w, row.id)  # first: a sign-in that just begins by one of them is seen afterwards
        await logins.revoke_all(w, row.id)
    w.touch(row)
    audit.record(w, "changed", "person", row.id, fields=sorted({*changes, *(["roles"] if grants is not None else [])}))
    return (await views(w, [row]))[0]


async def verify(w: Work, person_id: UUID, until: datetime) -> tables.MentorProfile:
    """Let offers reach the mentor until an instant; for their institution's coordinator or an admin, never the mentor.

    An instant in the past revokes the verification; it does not vouch for the person.
    """
    person = await access.visible_person(w, person_id)
    profile: tables.MentorProfile | None = (
        await w.sql(
            sa.select(tables.MentorProfile).where(col(tables.MentorProfile.person_id) == person_id).with_for_update()
        )
    ).scalar_one_or_none()
    is_keeper = profile is not None and profile.institution_id in w.actor.institutions("coordinator")
    is_allowed = is_keeper or w.actor.is_timer or w.actor.holds("programme_admin")
    if person_id == w.actor.person_id or not is_allowed:
        raise errors.Forbidden
    if profile is None:
        msg = "This person is no mentor."
        raise errors.Conflict(msg)
    profile.verified_until, profile.verified_by = until, w.actor.person_id
    person.is_vouched_for = person.is_vouched_for or until > w.now
    w.touch(profile)
    audit.record(w, "verified", "mentor", person_id, until=until.isoformat())
    return profile


async def oneself(w: Work, *, lock: bool = False) -> tables.Person:
    """Give the actor's own row; raises Forbidden for whoever is no person, or was disabled or erased a moment ago."""
    if w.actor.kind != "person" or w.actor.person_id is None:
        raise errors.Forbidden
    person = await access.visible_person(w, w.actor.person_id, lock=lock)
    if person.state != "active":
        raise errors.Forbidden
    return person


async def own(w: Work) -> PersonView:
    """Give the person who is signed in; raises Unauthenticated when the actor is no person."""
    row = await w.find(tables.Person, w.actor.person_id) if w.actor.person_id else None
    if row is None:
        raise errors.Unauthenticated
    return (await views(w, [row]))[0]


def _must_give(w: Work, grants: Collection[Grant]) -> None:
    """Go on only if the actor may give all these roles: a coordinator at their institution, an admin everywhere.

    Only admins of a programme give its admin role. A system gives the role of a mentor at its institution.
    """
    coordinated = w.actor.institutions("coordinator")
    registered = w.actor.institutions("partner_system")
    programmes = w.actor.programmes("programme_admin")
    for grant in grants:
        is_home = grant.institution_id in coordinated or (grant.role == "mentor" and grant.institution_id in registered)
        is_ours = grant.programme_id in programmes if grant.programme_id else programmes or is_home
        if not (w.actor.is_timer or is_ours):
            msg = "Roles are given by the institution's coordinator or an admin."
            raise errors.Forbidden(msg)


async def _check_places(w: Work, grants: Collection[Grant]) -> None:
    for place, grant in enumerate(grants):
        if grant.role == "partner_system":
            raise errors.Invalid(f"/roles/{place}", "is a system's: register it as a client")
        if (grant.role == "programme_admin") != (grant.programme_id is not None) or not (
            grant.institution_id or grant.programme_id
        ):
            raise errors.Invalid(
                f"/roles/{place}", "an admin has a programme_id, every other role an institution_id, nobody both"
            )
        if grant.institution_id and grant.programme_id:
            raise errors.Invalid(f"/roles/{place}", "one place only: institution_id or programme_id")
        if grant.institution_id and await w.find(tables.Institution, grant.institution_id) is None:
            raise errors.Invalid(f"/roles/{place}/institution_id", "no such institution")
        if grant.programme_id and await w.find(tables.Programme, grant.programme_id) is None:
            raise errors.Invalid(f"/roles/{place}/programme_id", "no such programme")


async def _set_grants(w: Work, person: tables.Person, present_grants: set[Grant], new_grants: set[Grant]) -> None:
    for row in await _grant_rows(w, [person.id]):
        if _as_grant(row) not in new_grants:
            await w.delete(row)
    await w.flush()
    _add_grants(w, person, new_grants - present_grants)
    await _keep_profile(w, person, _mentoring(new_grants))


def _add_grants(w: Work, person: tables.Person, grants: set[Grant]) -> None:
    for grant in sorted(grants, key=repr):
        w.add(
            tables.RoleGrant(
                id=clock.new_id(),
                person_id=person.id,
                role=grant.role,
                institution_id=grant.institution_id,
                programme_id=grant.programme_id,
                department=grant.department,
                created_at=w.now,
            )
        )


def _mentoring(grants: Collection[Grant]) -> set[UUID]:
    return {grant.institution_id for grant in grants if grant.role == "mentor" and grant.institution_id}


def _add_profile(w: Work, person: tables.Person, institutions: set[UUID]) -> None:
    """Give a new mentor an empty profile, unverified."""
    for institution_id in sorted(institutions)[:1]:
        w.add(
            tables.MentorProfile(
                person_id=person.id, institution_id=institution_id, availability_zone=person.zone, created_at=w.now
            )
        )


async def _keep_profile(w: Work, person: tables.Person, institutions: set[UUID]) -> None:
    """Give a new mentor an empty profile; one who moved, or is no longer a mentor there, must be verified anew."""
    profile = await w.find(tables.MentorProfile, person.id)
    if profile is None:
        _add_profile(w, person, institutions)
        return
    if profile.institution_id not in institutions:
        profile.verified_until = profile.verified_by = None
        profile.institution_id = next(iter(sorted(institutions)), profile.institution_id)
        w.touch(profile)


async def _grant_rows(w: Work, people: Collection[UUID]) -> list[tables.RoleGrant]:
    rows = await w.sql(
        sa.select(tables.RoleGrant)
        .where(col(tables.RoleGrant.person_id).in_(people))
        .order_by(col(tables.RoleGrant.person_id), col(tables.RoleGrant.id))
    )
    return list(rows.scalars())


def _as_grant(row: tables.RoleGrant) -> Grant:
    return Grant(row.role, row.institution_id, row.programme_id, row.department)
