"""What the first page shows: what waits for the person, then what they have: calls, proposals of theirs, requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import actor as actors
from service.kernel import visibility
from service.kernel.work import Work
from service.worklists import waiting

MOST = 20
"""Of each list, for a phone's page: the others are a press away, behind these or in the list of all consultations."""


@dataclass(frozen=True, slots=True)
class ConsultationCard:
    """A consultation in a list, with the names of its specialty."""

    id: UUID
    number: str
    priority: str
    state: str
    created_at: datetime
    name_en: str
    name_uk: str


@dataclass(frozen=True, slots=True)
class ProposalCard:
    """An offer whose mentor has proposed other times, and waits for the clinician."""

    id: UUID
    mentor_id: UUID
    mentor: str
    counter_starts: Sequence[datetime]
    number: str
    name_en: str
    name_uk: str


@dataclass(frozen=True, slots=True)
class CallCard:
    """An appointment ahead, with the zones of those who take part, the others' names, and what it is about."""

    id: UUID
    consultation_id: UUID
    status: str
    starts_at: datetime
    ends_at: datetime
    number: str
    name_en: str
    name_uk: str
    others: Sequence[str]
    zones: Sequence[str]


@dataclass(frozen=True, slots=True)
class FirstPage:
    """What waits for the person, and what they have; of each list `MOST` at most."""

    waiting: Sequence[waiting.Entry]
    is_more_waiting: bool
    calls: Sequence[CallCard]
    proposals: Sequence[ProposalCard]
    consultations: Sequence[ConsultationCard]
    is_more_filed: bool


async def read(w: Work, after: waiting.Place | None = None) -> FirstPage:
    """Give what the first page of the actor shows, with what waits from behind `after`."""
    entries = await waiting.entries(w, w.actor, limit=MOST, after=after)
    filed = await _consultations(w)
    return FirstPage(
        waiting=entries[:MOST],
        is_more_waiting=len(entries) > MOST,
        calls=await _calls(w),
        proposals=await _proposals(w),
        consultations=filed[:MOST],
        is_more_filed=len(filed) > MOST,
    )


async def _calls(w: Work) -> list[CallCard]:
    values = {
        "me": w.actor.person_id,
        "live": list(vocabulary.LIVE_APPOINTMENT),
        "now": w.now,
        "begun": w.now - waiting.LONGEST,
        "most": MOST,
    }
    return [CallCard(*row) for row in await w.fetch(_CALLS, values)]


# OFFSET, so that the person's own are looked up one by one: else all that are live are read, while these seem few.
_CALLS = sa.text("""
SELECT a.id, a.consultation_id, a.status, a.starts_at, a.ends_at, c.number, s.name_en, s.name_uk,
       ARRAY(SELECT k.display_name FROM participant p JOIN person k ON k.id = p.person_id
             WHERE p.appointment_id = a.id AND p.person_id <> :me ORDER BY p.role, p.person_id) AS others,
       ARRAY(SELECT p.zone FROM participant p WHERE p.appointment_id = a.id ORDER BY p.role, p.person_id) AS zones
FROM participant mine
CROSS JOIN LATERAL (
  SELECT * FROM appointment WHERE id = mine.appointment_id AND status = ANY(:live) AND ends_at > :now OFFSET 0
) a
JOIN consultation c ON c.id = a.consultation_id JOIN specialty s ON s.code = c.specialty_code
WHERE mine.person_id = :me AND mine.starts_at > :begun
ORDER BY a.starts_at, a.id LIMIT :most
""")


async def _proposals(w: Work) -> list[ProposalCard]:
    places = sorted(w.actor.institutions("coordinator"))
    if not (places or w.actor.holds("mentor")):
        return []
    values = {"me": w.actor.person_id, "places": places, "most": MOST}
    return [ProposalCard(*row) for row in await w.fetch(_PROPOSALS, values)]


# Each way is asked by an index of its own.
_PROPOSALS = sa.text("""
WITH listed AS (
  SELECT id FROM offer WHERE mentor_id = :me AND state IN ('pending', 'countered') AND state = 'countered'
  UNION
  SELECT id FROM offer WHERE institution_id = ANY(:places) AND state IN ('pending', 'countered')
  AND state = 'countered'
)
SELECT o.id, o.mentor_id, m.display_name, o.counter_starts, c.number, s.name_en, s.name_uk
FROM listed l JOIN offer o ON o.id = l.id JOIN consultation c ON c.id = o.consultation_id
JOIN specialty s ON s.code = c.specialty_code JOIN person m ON m.id = o.mentor_id
ORDER BY o.answered_at, o.id LIMIT :most
""")


async def _consultations(w: Work) -> list[ConsultationCard]:
    shape, ids = actors.shape(w.actor)
    return [ConsultationCard(*columns) for columns in await w.fetch(_newest(shape, MOST + 1), {}, ids)]


@lru_cache(maxsize=500)
def _newest(actor: actors.Actor, most: int) -> sa.Executable:
    """Give the query of the newest consultations of the actor's side, those that are not closed first."""
    row = tables.Consultation
    unclosed = visibility.keys_of_side(actor, col(row.closed_at).is_(None), limit=most).cte("unclosed")
    # Only where those do not fill the list: else it would read past all of them to find one that is closed.
    has_room = sa.select(sa.func.count()).select_from(unclosed).scalar_subquery() < most
    closed = visibility.keys_of_side(actor, col(row.closed_at).is_not(None), limit=most).subquery()
    older = sa.select(closed.c.id).where(has_room)
    return (
        sa.select(*LISTED)
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .where(visibility.is_among(row.id, sa.select(sa.union_all(sa.select(unclosed.c.id), older).subquery())))
        .order_by(col(row.closed_at).is_not(None), col(row.id).desc())
        .limit(most)
    )


LISTED = (
    col(tables.Consultation.id),
    col(tables.Consultation.number),
    col(tables.Consultation.priority),
    col(tables.Consultation.state),
    col(tables.Consultation.created_at),
    col(tables.Specialty.name_en),
    col(tables.Specialty.name_uk),
)
"""What a card shows of a consultation: to load all of fifty cases takes longer than to find them."""
