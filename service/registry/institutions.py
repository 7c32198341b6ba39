"""Institutions, and who belongs to which network: everybody reads, admins write."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import access, audit, clock, deidentification, errors, paging
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work


async def institutions(
    w: Work, *, after: UUID | None, limit: int, country: str | None = None, kind: str | None = None
) -> list[tables.Institution]:
    """Give the institutions, oldest first."""
    conditions: list[sa.ColumnElement[bool]] = []
    if country is not None:
        conditions.append(col(tables.Institution.country) == country)
    if kind is not None:
        conditions.append(col(tables.Institution.kind) == kind)
    return await paging.rows(w, tables.Institution, *conditions, after=after, limit=limit)


async def create_institution(
    w: Work, fields: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None = None
) -> tables.Institution:
    """Make an institution; for admins of any programme.

    Its texts are checked unless `confirmed` is None: those of a file, which the operator has looked at.
    """
    access.requires_admin(w)
    _check_texts(w, fields, confirmed)
    columns: dict[str, Any] = {"id": clock.new_id(), "created_at": w.now, **fields}  # from a file it brings its id
    row = tables.Institution(**columns)
    w.add(row)
    audit.record(w, "created", "institution", row.id)
    return row


async def change_institution(
    w: Work, row: tables.Institution, changes: Mapping[str, Any], confirmed: Collection[ConfirmedSpan] | None = None
) -> tables.Institution:
    """Change the institution; for admins of any programme. Its texts are checked as in `create_institution`."""
    access.requires_admin(w)
    _check_texts(w, changes, confirmed)
    for name, value in changes.items():
        setattr(row, name, value)
    w.touch(row)
    audit.record(w, "changed", "institution", row.id, fields=sorted(changes))
    return row


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
    if await w.find(tables.Institution, network_id) is None:
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
    row = await w.find(tables.Membership, membership_id)
    if row is None or row.institution_id != institution.id:
        raise errors.NotFound
    _check_order(row.from_on, until_on)
    row.until_on = until_on
    audit.record(w, "left", "institution", institution.id, network_id=str(row.network_id))
    return row


def _check_order(from_on: date, until_on: date | None) -> None:
    if until_on is not None and until_on <= from_on:
        raise errors.Invalid("/until", "must be later than the first day")
