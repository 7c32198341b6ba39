"""People with their roles, and mentors with what they offer, from files."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.exchange.imports.desk import Desk, FileRow
from service.kernel import clock, email_addresses, errors
from service.kernel.actor import Grant
from service.people import mentors, people
from service.rules.time.availability import DatedHours, Hours, Weekly

Tell = Callable[[int], None]
_OF_PERSON = ("email", "display_name", "locale", "zone", "state")
_OF_PROFILE = ("sessions_per_week", "offers_per_week", "notice_minutes", "treats_children", "opt_ins", "tags")


async def add_people(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the people; nobody is mailed, and mentors are unverified until a file of mentors or a person says so."""
    for row in rows:
        grants = _grants(desk, row)
        fields = {name: row.values[name] for name in _OF_PERSON}
        try:
            people.add(desk.w, fields | {"id": row.values["id"] or clock.new_id()}, grants)
        except email_addresses.Unmailable as error:
            desk.refuse_error(row, error)
        tell(1)


async def change_person(desk: Desk, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    """Change the person to what the row says; an erased person stays erased, whatever an older file says."""
    if existing["email"].endswith(people.ERASED):
        desk.refuse(row, "id", "names somebody who was erased")
        return
    person = await desk.w.read(tables.Person, existing["id"])
    grants = _grants(desk, row) if "roles" in differing else None
    await people.change(desk.w, person, {name: row.values[name] for name in differing - {"roles"}}, grants)


async def add_mentors(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Refuse the rows: a profile comes with the role of a mentor, so a new one names a person without that role."""
    for row in rows:
        if desk.find(row, "email", "person"):
            desk.refuse(row, "email", "names a person without the role of a mentor")
        tell(1)


async def change_mentor(desk: Desk, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    """Change the mentor to what the row says; hours and profile are each changed as a whole."""
    profile = await desk.w.read(tables.MentorProfile, desk.names["person"][row.values["email"].lower()])
    values = dict(existing) | {name: row.values[name] for name in row.given}
    if "institution" in differing:
        await _move(desk, row, profile)
    if "verified_until" in differing:
        until: datetime | None = values["verified_until"]
        if until is not None:
            await people.verify(desk.w, profile.person_id, until)
        else:
            profile.verified_until = profile.verified_by = None
    if differing & {"availability_zone", "weekly", "exceptions"}:
        await mentors.put_hours(desk.w, profile, _hours(values))
    if differing - {"availability_zone", "weekly", "exceptions", "verified_until", "institution"}:
        await mentors.put_profile(
            desk.w,
            profile,
            specialties=values["specialties"],
            languages=dict(language.split(":") for language in values["languages"]),
            buffer_minutes=values["buffer_minutes"],
            fields={name: values[name] for name in _OF_PROFILE}
            | {f"quiet_{end}_minute": _minute(values[f"quiet_{end}"]) for end in ("from", "until")},
            confirmed=desk.confirmed if "tags" in differing else None,
        )


async def _move(desk: Desk, row: FileRow, profile: tables.MentorProfile) -> None:
    """Move the mentor to another of their institutions, unverified there unless the file says so."""
    place_id = desk.find(row, "institution", "institution")
    grants = sa.select(col(tables.RoleGrant.institution_id)).where(
        col(tables.RoleGrant.person_id) == profile.person_id, col(tables.RoleGrant.role) == "mentor"
    )
    if place_id is None:
        return
    if place_id not in (await desk.w.sql(grants)).scalars().all():
        desk.refuse(row, "institution", "is no institution of this mentor")
        return
    profile.institution_id = place_id
    if "verified_until" not in row.given:
        profile.verified_until = profile.verified_by = None
    desk.w.touch(profile)


def _grants(desk: Desk, row: FileRow) -> list[Grant]:
    """Read roles as they are written: `clinician@code-of-institution`, `…/department`, `programme_admin@code`."""
    grants = []
    for text in row.values["roles"]:
        role, _, place = text.partition("@")
        name, _, department = place.partition("/")
        if role not in vocabulary.ROLES:
            desk.refuse(row, "roles", "there are these roles only: {codes}", codes=vocabulary.ROLES)
            continue
        kind = "programme" if role == "programme_admin" else "institution"
        place_id = desk.find(row, "roles", kind, name)
        if place_id is not None:
            place_field = {f"{kind}_id": place_id}
            grants.append(Grant(role, department=department or None, **place_field))
    if len({(grant.role, grant.institution_id, grant.programme_id) for grant in grants}) < len(grants):
        desk.refuse(row, "roles", "one role at one place is there twice")
        return []
    return grants


def _hours(values: Mapping[str, Any]) -> Hours:
    weekly = []
    for text in values["weekly"]:
        day, _, span = text.partition(" ")
        start, _, end = span.partition("-")
        weekly.append(Weekly(vocabulary.WEEKDAYS.index(day), _minute(start), _minute(end)))
    dated = []
    for text in values["exceptions"]:
        kind, _, span = text.partition(" ")
        start, _, end = span.partition("/")
        dated.append(DatedHours(kind, _wall(start), _wall(end)))
    return Hours(values["availability_zone"], tuple(weekly), tuple(dated))


def _wall(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise errors.Invalid("/exceptions", "there is no such day or time") from None


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
