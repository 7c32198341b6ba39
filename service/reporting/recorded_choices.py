"""Recorded choices of mentors, read back with the facts that they name: for rehearsals, and for nobody else."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import SQLModel, col

from service import tables, vocabulary
from service.kernel.work import Work
from service.rules.case import Mentor, Rulebook
from service.rules.matching import records, replay
from service.rules.matching.records import Written

_MOST_FACTS = 50_000
_NIL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """A choice as it is stored. `recorded` is None once it cannot be made again: a fact is gone, or of who was erased.

    `changed` says what of the record is no longer what was written; a changed row is not made again.
    """

    id: UUID
    at: datetime
    kind: vocabulary.DecisionKind
    recorded: replay.Recorded | None
    changed: tuple[vocabulary.ReplayDifference, ...] = ()


@dataclass(slots=True)
class Facts:
    """Facts that were read, by their ids: the same ones are named again and again."""

    mentors: dict[bytes, Mentor | None] = field(default_factory=dict)  # by `records.ref`; None: erased, or changed
    memoranda: dict[UUID | None, Mapping[str, Any]] = field(default_factory=dict)
    rulebooks: dict[UUID | None, Rulebook] = field(default_factory=dict)
    changed: set[UUID | bytes | None] = field(default_factory=set)  # those that no longer say what they are named by


async def load(
    w: Work,
    programme_id: UUID,
    since: datetime,
    until: datetime,
    facts: Facts,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[StoredChoice]:
    """Give the programme's whole choices of that time (until not included), oldest first, behind the one named."""
    table = tables.Decision
    query = (
        sa.select(table)
        .where(col(table.programme_id) == programme_id, col(table.at) >= since, col(table.at) < until)
        .where(col(table.body).is_not(None))
        .order_by(col(table.at), col(table.id))
        .limit(limit)
    )
    if after:
        query = query.where(sa.tuple_(col(table.at), col(table.id)) > after)
    rows: Sequence[tables.Decision] = (await w.sql(query)).scalars().all()
    await _have(w, rows, facts)
    return [_stored(row, facts) for row in rows]


def _stored(row: tables.Decision, facts: Facts) -> StoredChoice:
    refs = records.refs_of(row.refs or b"")
    mentors = [facts.mentors.get(ref) for ref in refs]
    people = [mentor for mentor in mentors if mentor is not None]
    memoranda, book = facts.memoranda.get(row.memoranda_id), facts.rulebooks.get(row.rulebook_id)
    changed: list[vocabulary.ReplayDifference] = []
    if facts.changed.intersection([*refs, row.rulebook_id, row.memoranda_id]):
        changed.append("facts")
    written = _written(row)
    if written is None:
        return StoredChoice(row.id, row.at, row.kind, None, (*changed, "record"))
    if len(people) < len(mentors) or memoranda is None or book is None:
        return StoredChoice(row.id, row.at, row.kind, None, tuple(changed))
    recorded = replay.read(written, people, memoranda, book, is_by_hand=row.kind == "hand")
    return StoredChoice(row.id, row.at, row.kind, recorded, tuple(changed))


def _written(row: tables.Decision) -> Written | None:
    """Give what was written, or None if the row is no longer that."""
    try:
        text = records.unpack(row.body or b"")
    except ValueError:
        return None
    rulebook_id, memoranda_id = row.rulebook_id or _NIL, row.memoranda_id or _NIL
    written = Written(row.consultation_id, row.at, text, row.refs or b"", rulebook_id, memoranda_id)
    return written if written.digest == row.digest else None


async def _have(w: Work, rows: Sequence[tables.Decision], facts: Facts) -> None:
    """Read the facts that these rows name and that were not read yet."""
    if len(facts.mentors) > _MOST_FACTS:
        facts.mentors.clear()
    refs = {ref for row in rows for ref in records.refs_of(row.refs or b"")} - facts.mentors.keys()
    for fact in await _mentor_facts(w, refs):
        ref = records.ref(fact.id)
        facts.mentors[ref] = None if fact.is_erased else _mentor(fact)
        if facts.mentors[ref] is None and not fact.is_erased:
            facts.changed.add(ref)
    memoranda = {row.memoranda_id for row in rows if row.memoranda_id} - facts.memoranda.keys()
    for fact in await _rows(w, tables.MemorandaFact, memoranda):
        facts.memoranda[fact.id] = fact.body
        _check(facts, records.fact(fact.body), fact.id)
    books = {row.rulebook_id for row in rows if row.rulebook_id} - facts.rulebooks.keys()
    for book in await _rows(w, tables.Rulebook, books):
        body = {name: getattr(book, name) for name in _OF_RULEBOOK}
        facts.rulebooks[book.id] = records.read_rulebook(body)
        _check(facts, records.fact(body), book.id)


def _mentor(fact: Any) -> Mentor | None:  # noqa: ANN401 - a row
    """Give the mentor as they stood; None if the fact no longer says what it is named by."""
    try:
        text = records.unpack(fact.body)
    except ValueError:
        return None
    if records.digest(fact.person_id.bytes, text.encode()) != fact.id.bytes:
        return None
    return records.read_mentor(fact.person_id, json.loads(text))


# Choices name the beginning of an id: all ids that begin so lie between two.
_MENTOR_FACTS = sa.text("""
SELECT f.id, person_id, body, is_erased FROM unnest(:least, :most) AS named (least, most)
JOIN mentor_fact f ON f.id BETWEEN named.least AND named.most
""").bindparams(*(sa.bindparam(name, type_=ARRAY(PG_UUID(as_uuid=True))) for name in ("least", "most")))


async def _mentor_facts(w: Work, refs: Collection[bytes]) -> Sequence[Any]:
    rest = records.ID_BYTES - records.REF_BYTES
    bounds = {
        name: [UUID(bytes=ref + byte * rest) for ref in sorted(refs)]
        for name, byte in (("least", b"\x00"), ("most", b"\xff"))
    }
    return await w.fetch(_MENTOR_FACTS, bounds) if refs else ()


_OF_RULEBOOK = ("policy", "tree", "transfer", "rules_version", "tzdata_version")


def _check(facts: Facts, fact: records.Fact, named: UUID) -> None:
    if fact.id != named:
        facts.changed.add(named)


async def _rows(w: Work, kind: type[SQLModel], ids: Collection[UUID]) -> Sequence[Any]:
    if not ids:
        return ()
    table: Any = kind
    return (await w.sql(sa.select(table).where(table.id.in_(ids)))).scalars().all()
