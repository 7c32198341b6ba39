"""The log of each memorandum, append-only and chained (invariant L1).

An entry seals the facts of its `session` or `activity` row: ids, times, codes and counts. Names and free text lie
beside it and can be erased (invariant L2). The head of the chain is the last lock that a transaction takes. It holds
position and hash of the newest entry, so that a tail that was cut off is noticed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, errors
from service.kernel.work import Work
from service.outbox.events import instant
from service.rules import chain


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry with the facts that it must seal, as they are stored now; None when their row is missing."""

    entry: tables.LogEntry
    facts: dict[str, Any] | None
    is_corrected: bool


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the chain of a memorandum ended when it was written down."""

    memorandum_id: UUID
    head: chain.Head


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


def facts_of_activity(
    row: tables.Activity, specialties: Sequence[str], institutions: Sequence[tuple[UUID, str]]
) -> dict[str, Any]:
    """Give what an entry of the log seals of an activity; `institutions` with their direction, `from` or `to`."""
    return {
        "kind": "activity",
        "activity_id": str(row.id),
        "memorandum_id": str(row.memorandum_id),
        "programme_id": str(row.programme_id),
        "activity": row.kind,
        "published_kind": row.published_kind,
        "on": row.on_date and row.on_date.isoformat(),
        "period": row.period,
        "from": row.from_on and row.from_on.isoformat(),
        "until": row.until_on and row.until_on.isoformat(),
        "days": row.days,
        "people": None if row.people_op is None else {"op": row.people_op, "count": row.people_count},
        "specialties": sorted(specialties),
        "institutions": [
            {"institution_id": str(place), "direction": direction}
            for place, direction in sorted(institutions, key=lambda item: (item[1], str(item[0])))
        ],
        "source_sha256": row.source and hashlib.sha256(row.source.encode()).hexdigest(),
    }


def _sealed(entry: tables.LogEntry, body: Mapping[str, Any] | None) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What a new entry is to seal: the facts of the row with this id."""

    kind: vocabulary.LogEntryKind
    row_id: UUID
    body: Mapping[str, Any]
    corrects: UUID | None = None


_HEAD = (
    sa.select(tables.LogHead)
    .where(col(tables.LogHead.memorandum_id) == sa.bindparam("id"))
    .execution_options(populate_existing=True)
)


async def append(w: Work, memorandum_id: UUID, facts: Sequence[EntryFacts]) -> None:
    """Add the entries to the memorandum's chain in their order; locks the head, last of all locks."""
    await w.sql(
        sa.text(
            "INSERT INTO log_head (memorandum_id, position, hash) VALUES (:id, 0, :genesis) ON CONFLICT DO NOTHING"
        ),
        {"id": memorandum_id, "genesis": chain.GENESIS},
    )
    head = (await w.sql(_HEAD.with_for_update(), {"id": memorandum_id})).scalar_one()
    for fact in facts:
        entry = tables.LogEntry(
            id=fact.row_id,
            memorandum_id=memorandum_id,
            position=head.position + 1,
            kind=fact.kind,
            corrects=fact.corrects,
            logged_at=w.now.replace(microsecond=0),
            logged_by=w.actor.person_id,
            previous_hash=head.hash,
            hash="",
        )
        entry.hash = chain.entry_hash(head.hash, _sealed(entry, fact.body))
        head.position, head.hash = entry.position, entry.hash
        w.add(entry)


async def entries(w: Work, memorandum_id: UUID, after: int, limit: int, mark: str = "") -> list[SealedEntry]:
    """Give the log of a memorandum in its order, after a position at which the entry's hash begins with `mark`.

    Raises LogForked where it does not: whoever has read so far has read another log.
    """
    await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *vocabulary.OVERSEEING_ROLES)
    if mark:
        entry = tables.LogEntry
        known = sa.select(col(entry.hash)).where(
            col(entry.memorandum_id) == memorandum_id, col(entry.position) == after
        )
        if not ((await w.sql(known)).scalar_one_or_none() or "").startswith(mark):
            raise errors.LogForked(after)
    return await links_of(w, memorandum_id, after, limit)


async def verification(w: Work, memorandum_id: UUID) -> chain.Verification:
    """Follow the memorandum's chain and name the first broken entry, if any; a cut tail shows at the head."""
    await access.visible_memorandum(w, memorandum_id)
    await access.requires_reader(w, memorandum_id, *vocabulary.OVERSEEING_ROLES)
    return await verify(w, memorandum_id)


async def verify(w: Work, memorandum_id: UUID, anchor: chain.Head | None = None) -> chain.Verification:
    """As `verification`, for the operator: visibility is not checked. An anchored entry must still be in the chain."""
    end = await _end(w, memorandum_id)
    while True:  # entries and head are two statements: an entry that is logged between them is no tampering
        links, previous_end = await links_of(w, memorandum_id), end
        end = await _end(w, memorandum_id)
        if end == previous_end:
            break
    result = chain.verify(plain(links), end=end, anchor=anchor)
    stray = (await w.sql(_STRAY, {"id": memorandum_id})).scalars().first() if result.ok else None
    if stray is not None:
        return chain.Verification(ok=False, entries=result.entries, head=result.head, first_broken=str(stray))
    return result


async def _end(w: Work, memorandum_id: UUID) -> chain.Head:
    head = (await w.sql(_HEAD, {"id": memorandum_id})).scalar_one_or_none()
    return chain.Head(head.position, head.hash) if head else chain.Head(0, chain.GENESIS)


def plain(links: Sequence[SealedEntry]) -> list[chain.Entry]:
    """Give the chain as the values that `chain.verify` reads.

    A row whose mark `is_corrected` differs from the entries has no facts here, and so breaks the chain: somebody who
    sets the mark by hand would hide the row from the reports.
    """
    corrected = {link.entry.corrects for link in links if link.entry.corrects}
    return [
        chain.Entry(
            str(link.entry.id),
            _sealed(link.entry, link.facts if link.is_corrected == (link.entry.id in corrected) else None),
            link.entry.previous_hash,
            link.entry.hash,
        )
        for link in links
    ]


_STRAY = sa.text("""
SELECT id FROM (SELECT id FROM session WHERE memorandum_id = :id
                UNION ALL SELECT id FROM activity WHERE memorandum_id = :id) logged
WHERE NOT EXISTS (SELECT 1 FROM log_entry e WHERE e.id = logged.id AND e.memorandum_id = :id)
ORDER BY id LIMIT 1
""")


async def links_of(w: Work, memorandum_id: UUID, after: int = 0, limit: int | None = None) -> list[SealedEntry]:
    """Give the chain, or a part of it, with its facts as they are stored now."""
    entry, place, area = tables.LogEntry, tables.ActivityInstitution, tables.ActivitySpecialty
    rows = await w.sql(
        sa.select(
            entry,
            tables.Session,
            tables.Activity,
            sa.select(sa.func.array_agg(col(area.specialty_code)))
            .where(col(area.activity_id) == col(entry.id))
            .scalar_subquery(),
            sa.select(
                sa.func.array_agg(sa.func.concat_ws(" ", sa.cast(col(place.institution_id), sa.Text), place.direction))
            )
            .where(col(place.activity_id) == col(entry.id))
            .scalar_subquery(),
        )
        .outerjoin(tables.Session, col(tables.Session.id) == col(entry.id))
        .outerjoin(tables.Activity, col(tables.Activity.id) == col(entry.id))
        .where(col(entry.memorandum_id) == memorandum_id, col(entry.position) > after)
        .order_by(col(entry.position))
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return [_link(*row) for row in rows]


def _link(
    entry: tables.LogEntry,
    session: tables.Session | None,
    activity: tables.Activity | None,
    specialties: Sequence[str] | None,
    institutions: Sequence[str] | None,
) -> SealedEntry:
    if entry.kind == "activity":
        if activity is None or activity.corrects != entry.corrects:
            return SealedEntry(entry, None, is_corrected=False)
        places = [(UUID(text[:36]), text[37:]) for text in institutions or ()]
        return SealedEntry(entry, facts_of_activity(activity, specialties or (), places), activity.is_corrected)
    return SealedEntry(entry, facts(session) if session else None, bool(session and session.is_corrected))


async def verify_all(w: Work, anchors: Sequence[Anchor] = ()) -> dict[UUID, chain.Verification]:
    """Verify every chain there is, and every one that was anchored."""
    anchored: Mapping[UUID, chain.Head] = {anchor.memorandum_id: anchor.head for anchor in anchors}
    memorandum_ids = set((await w.sql(sa.text("SELECT memorandum_id FROM log_head"))).scalars())
    return {id_: await verify(w, id_, anchored.get(id_)) for id_ in sorted(memorandum_ids | anchored.keys())}


@dataclass(frozen=True, slots=True)
class RestoredEnd:
    """Where a memorandum's chain ended when a restored database was released: what had stood behind it was lost."""

    memorandum_id: UUID
    epoch: int
    position: int
    hash: str
    made_at: datetime


async def restored_ends(w: Work) -> list[RestoredEnd]:
    """Give where each chain ended at each restore, the oldest first."""
    row = tables.LogAnchor
    rows = (await w.sql(sa.select(row).order_by(col(row.epoch), col(row.memorandum_id)))).scalars()
    return [RestoredEnd(each.memorandum_id, each.epoch, each.position, each.hash, each.made_at) for each in rows]


async def anchors(w: Work) -> list[Anchor]:
    """Give where every chain ends now, to be stored where the database's operators cannot write."""
    rows = (await w.sql(sa.select(tables.LogHead).order_by(col(tables.LogHead.memorandum_id)))).scalars()
    return [Anchor(row.memorandum_id, chain.Head(row.position, row.hash)) for row in rows]
