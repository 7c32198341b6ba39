"""What a request that was filed a moment ago has come to: whom it went to, and what happens next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.care import widening
from service.care.widening import Outlook
from service.kernel import access
from service.kernel.work import Work


@dataclass(frozen=True, slots=True)
class Filed:
    """A request without its text, the offers that wait for an answer and whose they are, and what would help."""

    row: tables.Consultation
    waiting: Sequence[tables.Offer]
    places: Mapping[UUID, tables.Institution]
    stuck: Outlook | None  # nobody can be asked


async def filed(w: Work, consultation_id: UUID) -> Filed:
    """Give the request to its side; raises NotFound, Forbidden."""
    row = await access.visible_consultation(w, consultation_id)
    access.requires_requesting_side(w, row)
    offer = tables.Offer
    waiting = sa.select(offer).where(col(offer.consultation_id) == row.id, col(offer.state) == "pending")
    offers = list((await w.sql(waiting.order_by(col(offer.id)))).scalars())
    places = await w.read_all(tables.Institution, [each.institution_id for each in offers])
    return Filed(row, offers, places, await widening.if_stuck(w, row) if row.state == "unmatched" else None)
