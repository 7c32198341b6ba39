"""All consultations of the actor's side, the newest first, a page at a time: the first page has room for a few."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables
from service.kernel import actor as actors
from service.kernel import visibility
from service.kernel.work import Work
from service.worklists import first_page

MOST = 25
NEWEST = UUID(int=2**128 - 1)
"""Before it comes every id."""


@dataclass(frozen=True, slots=True)
class OwnConsultation(first_page.ConsultationCard):
    """A consultation in the list, and whose it is. No case text."""

    clinician_id: UUID
    clinician: str


async def page(w: Work, *, before: UUID = NEWEST) -> Sequence[OwnConsultation]:
    """Give those filed before the consultation `before`; one more than MOST if others follow."""
    shape, ids = actors.shape(w.actor)
    return [OwnConsultation(*row) for row in await w.fetch(_listed(shape), {"before": before}, ids)]


@lru_cache(maxsize=500)
def _listed(actor: actors.Actor) -> sa.Executable:
    row, person = tables.Consultation, tables.Person
    before = sa.bindparam("before", NEWEST, type_=PG_UUID(as_uuid=True))
    ids = visibility.keys_of_side(actor, col(row.id) < before, limit=MOST + 1).subquery()
    return (
        sa.select(*first_page.LISTED, col(person.id), col(person.display_name))
        .join(tables.Specialty, col(tables.Specialty.code) == col(row.specialty_code))
        .join(person, col(person.id) == col(row.clinician_id))
        .where(visibility.is_among(row.id, sa.select(ids.c.id)))
        .order_by(col(row.id).desc())
    )
