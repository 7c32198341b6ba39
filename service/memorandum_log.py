"""The log of each memorandum: append-only and chained.

An entry seals the facts of its `session` row: ids, times, codes and counts, never names or free text, which lie
beside it and can be erased. The head of the chain is locked last of all locks, and shows a tail that was cut.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col, select

from service import access, tables
from service.events import instant
from service.rules import chain
from service.work import Work

READERS = ("coordinator", "programme_admin", "partner_system")
"""Who reads a memorandum's log: entries name the people of every party by id."""


def facts(row: tables.Session) -> dict[str, Any]:
    """Give what an entry of the log seals of a session."""
    return {
        "kind": "session",
        "session_id": str(row.id),
        "appointment_id": str(row.appointment_id) if row.appointment_id else None,
        "consultation_id": str(row.consultation_id),
        "memorandum_id": str(row.memorandum_id),
        "programme_id": str(row.programme_id),
        "route": row.route,
        "is_memorandum_chosen_anew": row.is_memorandum_chosen_anew,
        "mode": row.mode,
        "specialty": row.specialty_code,
        "priority": row.priority,
        "requesting_institution_id": str(row.requesting_institution_id),
        "partner_institution_id": str(row.partner_institution_id),
        "clinician_id": str(row.clinician_id),
        "mentor_id": str(row.mentor_id),
        "participants": sorted(str(person) for person in row.participants),
        "started_at": instant(row.started_at),
        "ended_at": instant(row.ended_at),
        "minutes": row.minutes,
        "outcome": row.outcome,
        "is_civil_for_requester": row.is_civil_for_requester,
        "is_civil_for_mentor": row.is_civil_for_mentor,
    }


def _sealed(entry: tables.LogEntry, body: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "memorandum_id": str(entry.memorandum_id),
        "position": entry.position,
        "kind": entry.kind,
        "corrects": str(entry.corrects) if entry.corrects else None,
        "logged_at": instant(entry.logged_at),
        "logged_by": str(entry.logged_by) if entry.logged_by else None,
        "facts": body,
    }


async def append(
    w: Work, memorandum_id: UUID, kind: str, row_id: UUID, body: dict[str, Any], corrects: UUID | None = None
) -> tables.LogEntry:
    """Add an entry to the memorandum's chain, of the row with the same id; locks the head, last of all locks."""
    await w.sql(
        sa.text(
            "INSERT INTO log_head (memorandum_id, position, hash) VALUES (:id, 0, :genesis) ON CONFLICT DO NOTHING"
        ),
        {"id": memorandum_id, "genesis": chain.GENESIS},
    )
    query = select(tables.LogHead).where(col(tables.LogHead.memorandum_id) == memorandum_id).with_for_update()
    head = (await w.session.exec(query.execution_options(populate_existing=True))).one()
    entry = tables.LogEntry(
        id=row_id,
        memorandum_id=memorandum_id,
        position=head.position + 1,
        kind=kind,
        corrects=corrects,
        logged_at=w.now.replace(microsecond=0),
        logged_by=w.actor.person_id,
        previous_hash=head.hash,
        hash="",
    )
    entry.hash = chain.entry_hash(head.hash, _sealed(entry, body))
    head.position, head.hash = entry.position, entry.hash
    w.add(entry)
    return entry


async def entries(
    w: Work, memorandum_id: UUID, after: int, limit: int
) -> Sequence[tuple[tables.LogEntry, tables.Session | None]]:
    """Give the log of a memorandum in its order, after a position."""
    await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *READERS)
    rows = await w.sql(
        sa.select(tables.LogEntry, tables.Session)
        .outerjoin(tables.Session, col(tables.Session.id) == col(tables.LogEntry.id))
        .where(col(tables.LogEntry.memorandum_id) == memorandum_id, col(tables.LogEntry.position) > after)
        .order_by(col(tables.LogEntry.position))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


async def verification(w: Work, memorandum_id: UUID) -> chain.Verification:
    """Follow the memorandum's chain and name the first broken entry, if any; a cut tail shows at the head."""
    await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *READERS)
    return await verify(w, memorandum_id)


async def verify(w: Work, memorandum_id: UUID) -> chain.Verification:
    """As `verification`, for the operator: no visibility asked."""
    rows = await entries_of(w, memorandum_id)
    corrected = {entry.corrects for entry, _ in rows if entry.corrects}
    found = chain.verify(
        chain.Entry(
            str(entry.id),
            _sealed(entry, _facts_as_stored(session, is_corrected=entry.id in corrected)),
            entry.previous_hash,
            entry.hash,
        )
        for entry, session in rows
    )
    head = await w.session.get(tables.LogHead, memorandum_id)
    if found.ok and (head.hash if head else chain.GENESIS) != found.head:
        return chain.Verification(ok=False, entries=found.entries, head=found.head, first_broken="head")
    return found


def _facts_as_stored(session: tables.Session | None, *, is_corrected: bool) -> dict[str, Any] | None:
    """Give the facts that must hash to the entry; a session that hides, or claims to be corrected, gives none."""
    return facts(session) if session is not None and session.is_corrected == is_corrected else None


async def entries_of(w: Work, memorandum_id: UUID) -> Sequence[tuple[tables.LogEntry, tables.Session | None]]:
    """Give the whole chain with its facts, as stored now."""
    rows = await w.sql(
        sa.select(tables.LogEntry, tables.Session)
        .outerjoin(tables.Session, col(tables.Session.id) == col(tables.LogEntry.id))
        .where(col(tables.LogEntry.memorandum_id) == memorandum_id)
        .order_by(col(tables.LogEntry.position))
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def verify_all(w: Work) -> dict[UUID, chain.Verification]:
    """Verify every chain there is."""
    heads = await w.sql(sa.text("SELECT memorandum_id FROM log_head ORDER BY memorandum_id"))
    return {memorandum_id: await verify(w, memorandum_id) for memorandum_id in heads.scalars().all()}
