"""Programmes, specialties, institutions and who belongs to which network: everybody reads, admins write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import access, audit, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.rules import policy

_CODED: Mapping[str, type[tables.Memorandum | tables.Programme | tables.Institution]] = {
    "memorandum": tables.Memorandum,
    "programme": tables.Programme,
    "institution": tables.Institution,
}
Row = TypeVar("Row", tables.Programme, tables.Institution)


@dataclass(frozen=True, slots=True)
class SpecialtyView:
    """A specialty with its second parents."""

    row: tables.Specialty
    also_parents: tuple[str, ...]


async def id_of(w: Work, kind: str, name: str) -> UUID:
    """Give the id of the `memorandum`, `programme` or `institution` that is called so: by its code, or its id as text.

    Raises NotFound for what is neither. For operators: it asks nobody's leave.
    """
    table = _CODED[kind]
    is_called = sa.or_(col(table.code) == name, sa.cast(col(table.id), sa.Text) == name.lower())
    found: UUID | None = (await w.sql(sa.select(col(table.id)).where(is_called))).scalar_one_or_none()
    if found is None:
        raise errors.NotFound
    return found


async def programmes(w: Work, *, after: UUID | None, limit: int) -> list[tables.Programme]:
    """Give the programmes, oldest first."""
    return await paging.rows(w, tables.Programme, sa.true(), after=after, limit=limit)


async def create_programme(w: Work, fields: Mapping[str, Any]) -> tables.Programme:
    """Make a programme, with the actor as its first admin; for admins of any programme."""
    access.requires_admin(w)
    _check_policy(fields)
    row = tables.Programme(**_made(w, fields))
    w.add(row)
    if w.actor.person_id is not None:
        w.add(
            tables.RoleGrant(
                id=clock.new_id(),
                person_id=w.actor.person_id,
                role="programme_admin",
                programme_id=row.id,
                created_at=w.now,
            )
        )
    audit.record(w, "created", "programme", row.id)
    return row


async def change_programme(w: Work, row: tables.Programme, changes: Mapping[str, Any]) -> tables.Programme:
    """Change the programme; for its admins."""
    access.requires_admin(w, row.id)
    _check_policy(changes)
    return _changed(w, "programme", row, changes)


async def specialties(w: Work, *, after: str | None, limit: int) -> list[SpecialtyView]:
    """Give the specialties in the order of their codes."""
    found = await paging.rows(w, tables.Specialty, sa.true(), after=after, limit=limit, key="code")
    parent = tables.SpecialtyParent
    codes = [row.code for row in found]
    also: dict[str, list[str]] = {code: [] for code in codes}
    for row in (
        await w.sql(sa.select(parent).where(col(parent.code).in_(codes)).order_by(col(parent.also_parent_code)))
    ).scalars():
        also[row.code].append(row.also_parent_code)
    return [SpecialtyView(row, tuple(also[row.code])) for row in found]


async def create_specialty(w: Work, fields: Mapping[str, Any], also_parents: Sequence[str]) -> SpecialtyView:
    """Add a specialty below its parents; for admins. Raises Exists for a code that is taken."""
    access.requires_admin(w)
    row = tables.Specialty(**fields)
    if await w.session.get(tables.Specialty, row.code):
        msg = "A specialty has this code."
        raise errors.Exists(msg)
    parents = {"/parent": row.parent_code} | {f"/also_parents/{n}": code for n, code in enumerate(also_parents)}
    for pointer, code in parents.items():
        if code is not None and await w.session.get(tables.Specialty, code) is None:
            raise errors.Invalid(pointer, "no such specialty")
    w.add(row)
    w.add(*(tables.SpecialtyParent(code=row.code, also_parent_code=code) for code in sorted(set(also_parents))))
    audit.record(w, "created", "specialty", None, code=row.code)
    return SpecialtyView(row, tuple(sorted(set(also_parents))))


async def institutions(
    w: Work, *, after: UUID | None, limit: int, country: str | None = None, kind: str | None = None
) -> list[tables.Institution]:
    """Give the institutions, oldest first."""
    seen: list[sa.ColumnElement[bool]] = [sa.true()]
    if country is not None:
        seen.append(col(tables.Institution.country) == country)
    if kind is not None:
        seen.append(col(tables.Institution.kind) == kind)
    return await paging.rows(w, tables.Institution, sa.and_(*seen), after=after, limit=limit)


async def create_institution(
    w: Work, fields: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None = None
) -> tables.Institution:
    """Make an institution; for admins of any programme.

    Its texts are checked unless `confirmed` is None: those of a file, which the operator has looked at.
    """
    access.requires_admin(w)
    _check_texts(w, fields, confirmed)
    row = tables.Institution(**_made(w, fields))
    w.add(row)
    audit.record(w, "created", "institution", row.id)
    return row


async def change_institution(
    w: Work, row: tables.Institution, changes: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None = None
) -> tables.Institution:
    """Change the institution; for admins of any programme. Its texts are checked as in `create_institution`."""
    access.requires_admin(w)
    _check_texts(w, changes, confirmed)
    return _changed(w, "institution", row, changes)


def _check_texts(w: Work, fields: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None) -> None:
    if confirmed is not None:
        texts = {"note": fields.get("note")}
        for name in ("aliases", "sources"):
            texts |= deidentification.numbered(name, fields.get(name, ()))
        deidentification.check(w, texts, confirmed)


async def memberships(w: Work, institution_id: UUID, *, after: UUID | None, limit: int) -> list[tables.Membership]:
    """Give the networks that the institution belongs or belonged to."""
    is_theirs = col(tables.Membership.institution_id) == institution_id
    return await paging.rows(w, tables.Membership, is_theirs, after=after, limit=limit)


async def join(
    w: Work,
    institution: tables.Institution,
    network_id: UUID,
    from_on: date,
    until_on: date | None,
    row_id: UUID | None = None,
) -> tables.Membership:
    """Let the institution belong to the network from a date until, not including, a date; for admins."""
    access.requires_admin(w)
    if network_id == institution.id:
        raise errors.Invalid("/network_id", "an institution does not belong to itself")
    if await w.session.get(tables.Institution, network_id) is None:
        raise errors.Invalid("/network_id", "no such institution")
    _check_order(from_on, until_on)
    row = tables.Membership(
        id=row_id or clock.new_id(),
        institution_id=institution.id,
        network_id=network_id,
        from_on=from_on,
        until_on=until_on,
    )
    w.add(row)
    audit.record(w, "joined", "institution", institution.id, network_id=str(network_id))
    return row


async def leave(w: Work, institution: tables.Institution, membership_id: UUID, until_on: date) -> tables.Membership:
    """End a membership on a date, the first day without it; for admins."""
    access.requires_admin(w)
    row = await w.session.get(tables.Membership, membership_id)
    if row is None or row.institution_id != institution.id:
        raise errors.NotFound
    _check_order(row.from_on, until_on)
    row.until_on = until_on
    audit.record(w, "left", "institution", institution.id, network_id=str(row.network_id))
    return row


def _made(w: Work, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of a new row; one that comes from elsewhere brings its id."""
    return {"id": clock.new_id(), "created_at": w.now, **fields}


def _changed(w: Work, subject: str, row: Row, changes: Mapping[str, Any]) -> Row:
    for name, value in changes.items():
        setattr(row, name, value)
    w.touch(row)
    audit.record(w, "changed", subject, row.id, fields=sorted(changes))
    return row


def _check_policy(fields: Mapping[str, Any]) -> None:
    try:
        policy.from_overrides(fields.get("policy", {}))
    except policy.InvalidPolicy as error:
        raise errors.Invalid("/policy", str(error)) from error


def _check_order(from_on: date, until_on: date | None) -> None:
    if until_on is not None and until_on <= from_on:
        raise errors.Invalid("/until", "must be later than the first day")
