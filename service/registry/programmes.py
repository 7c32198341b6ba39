"""Programmes and the specialties they work in: everybody reads, admins write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import access, audit, clock, errors, paging
from service.kernel.work import Work
from service.outbox import events
from service.outbox.events import Audience
from service.registry import specialty_finder
from service.rules import policy

_SPECIALTIES = 0x73706563
"""The lock under which specialties are added: two that differ in case only have no constraint between them."""
_REHEARSAL = "/rehearsal_id"


@dataclass(frozen=True, slots=True)
class SpecialtyView:
    """A specialty with its second parents."""

    row: tables.Specialty
    also_parents: tuple[str, ...]


async def programmes(w: Work, *, after: UUID | None, limit: int) -> list[tables.Programme]:
    """Give the programmes, oldest first."""
    return await paging.rows(w, tables.Programme, after=after, limit=limit)


async def create_programme(w: Work, fields: Mapping[str, Any]) -> tables.Programme:
    """Make a programme, with the actor as its first admin; for admins of any programme."""
    access.requires_admin(w)
    _check_policy(fields)
    columns: dict[str, Any] = {"id": clock.new_id(), "created_at": w.now, **fields}  # from a file it brings its id
    row = tables.Programme(**columns)
    w.add(row, _version(w, row))
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


async def change_programme(
    w: Work, row: tables.Programme, changes: Mapping[str, Any], rehearsal_id: UUID | None = None
) -> tables.Programme:
    """Change the programme; for its admins. Another policy is for cases that open from now on.

    A rehearsal that is named as its reason must be one of the programme, done, and of this very policy: else Invalid.
    """
    access.requires_admin(w, row.id)
    _check_policy(changes)
    before = row.policy
    if rehearsal_id is not None:
        await _check_rehearsal(w, row, changes.get("policy", before), rehearsal_id)
    for name, value in changes.items():
        setattr(row, name, value)
    if row.policy == before:
        w.touch(row)
    else:
        await _have_first_version(w, row, before)
        w.add(_version(w, row, rehearsal_id))
        _tell_changed(w, row, before, rehearsal_id)
    audit.record(w, "changed", "programme", row.id, fields=sorted(changes))
    return row


async def _check_rehearsal(w: Work, row: tables.Programme, numbers: Mapping[str, Any], rehearsal_id: UUID) -> None:
    try:
        tried = await access.visible_rehearsal(w, rehearsal_id)
    except errors.NotFound:
        raise errors.Invalid(_REHEARSAL, "no such rehearsal") from None
    if tried.programme_id != row.id:
        raise errors.Invalid(_REHEARSAL, "no such rehearsal")
    if tried.state != "done":
        raise errors.Invalid(_REHEARSAL, "this rehearsal is not done")
    if policy.from_overrides(tried.policy) != policy.from_overrides(numbers):
        raise errors.Invalid(_REHEARSAL, "this rehearsal is of another policy")


async def _have_first_version(w: Work, row: tables.Programme, before: Mapping[str, Any]) -> None:
    """Have a version for the cases that are open: an older program makes a programme without one."""
    version = tables.PolicyVersion
    versions = sa.select(col(version.id)).where(col(version.programme_id) == row.id).limit(1)
    if (await w.sql(versions, after_changes=False)).first() is None:
        first = tables.PolicyVersion(
            id=clock.new_id(), programme_id=row.id, valid_from=row.created_at, body=dict(before)
        )
        w.add(first)


def _version(w: Work, row: tables.Programme, rehearsal_id: UUID | None = None) -> tables.PolicyVersion:
    return tables.PolicyVersion(
        id=clock.new_id(),
        programme_id=row.id,
        valid_from=w.now,
        body=row.policy,
        by=w.actor.person_id,
        rehearsal_id=rehearsal_id,
    )


def _tell_changed(w: Work, row: tables.Programme, before: Mapping[str, Any], rehearsal_id: UUID | None) -> None:
    more: dict[str, object] = {"old": before, "new": row.policy}
    if rehearsal_id:
        more["rehearsal_id"] = str(rehearsal_id)
    events.record(w, "policy.changed", row, row.id, Audience(row.id), state="saved", more=more)


async def specialties(w: Work, *, after: str | None, limit: int) -> list[SpecialtyView]:
    """Give the specialties in the order of their codes."""
    return await _views(w, await paging.rows(w, tables.Specialty, after=after, limit=limit, order=("code",)))


async def specialties_meant(w: Work, typed: str, *, limit: int) -> list[SpecialtyView]:
    """Give the specialties that may be meant by what was typed, the likeliest first, so many at most."""
    codes = (await specialty_finder.find(w, typed))[:limit]
    rows = await w.read_all(tables.Specialty, codes)
    return await _views(w, [rows[code] for code in codes])


async def _views(w: Work, rows: Sequence[tables.Specialty]) -> list[SpecialtyView]:
    parent = tables.SpecialtyParent
    codes = [row.code for row in rows]
    also_parents: dict[str, list[str]] = {code: [] for code in codes}
    for row in (
        await w.sql(sa.select(parent).where(col(parent.code).in_(codes)).order_by(col(parent.also_parent_code)))
    ).scalars():
        also_parents[row.code].append(row.also_parent_code)
    return [SpecialtyView(row, tuple(also_parents[row.code])) for row in rows]


async def create_specialty(w: Work, fields: Mapping[str, Any], also_parents: Sequence[str]) -> SpecialtyView:
    """Add a specialty below its parents; for admins. Raises Exists for a code that is taken."""
    access.requires_admin(w)
    code = fields["code"]
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_SPECIALTIES)))
    if await _code_of(w, code):
        msg = "A specialty has this code."
        raise errors.Exists(msg)
    parent = await _parent(w, "/parent", fields["parent_code"]) if fields["parent_code"] is not None else None
    others = {await _parent(w, f"/also_parents/{place}", other) for place, other in enumerate(also_parents)}
    row = tables.Specialty(**{**fields, "parent_code": parent})
    w.add(row)
    w.add(*(tables.SpecialtyParent(code=code, also_parent_code=other) for other in sorted(others)))
    audit.record(w, "created", "specialty", None, code=code)
    return SpecialtyView(row, tuple(sorted(others)))


async def _code_of(w: Work, code: str) -> str | None:
    """Give the code of the specialty as it is written there: codes are one in large and small letters (FT-29)."""
    written = sa.select(col(tables.Specialty.code)).where(sa.func.lower(col(tables.Specialty.code)) == code.lower())
    found: str | None = (await w.sql(written.limit(1))).scalar_one_or_none()
    return found


async def _parent(w: Work, pointer: str, code: str) -> str:
    parent = await _code_of(w, code)
    if parent is None:
        raise errors.Invalid(pointer, "no such specialty")
    return parent


def _check_policy(fields: Mapping[str, Any]) -> None:
    try:
        policy.from_overrides(fields.get("policy", {}))
    except policy.InvalidPolicy as error:
        raise errors.Invalid("/policy", error.args[0]) from error
