"""Which people's addresses need somebody: one that takes no mail, or one that waits to be confirmed."""

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
from service.people import address_changes

MOST = 50


@dataclass(frozen=True, slots=True)
class AddressCard:
    """A person whose address needs somebody; of one that waits, the former one and whether the actor may confirm."""

    person: tables.Person
    former: str | None
    may_confirm: bool


async def cards(w: Work) -> Sequence[AddressCard]:
    """Give the people whom the actor keeps and whose address needs somebody, the longest waiting first."""
    if not w.actor.holds(*vocabulary.OVERSEEING_PEOPLE):
        return []
    shape, ids = actors.shape(w.actor)
    found = [row.id for row in await w.fetch(_needing_somebody(shape), {}, ids)]
    if not found:
        return []
    person, change = tables.Person, tables.AddressChange
    rows = await w.sql(sa.select(person, change).outerjoin(change, _IS_WAITING).where(col(person.id).in_(found)))
    return [
        AddressCard(
            row.Person,
            address_changes.former_address(w, row.AddressChange) if row.AddressChange else None,
            row.AddressChange is not None and await address_changes.may_confirm(w, row.AddressChange),
        )
        for row in sorted(rows.all(), key=lambda row: found.index(row.Person.id))
    ]


_IS_WAITING = sa.and_(
    col(tables.AddressChange.person_id) == col(tables.Person.id), col(tables.AddressChange.outcome).is_(None)
)


@lru_cache(maxsize=500)
def _needing_somebody(actor: actors.Actor) -> sa.Executable:
    people = needing_somebody(actor).subquery()
    return sa.select(people.c.id).order_by(people.c.since, people.c.id).limit(MOST)


def needing_somebody(actor: actors.Actor) -> sa.Select[tuple[UUID, datetime]]:
    """Give the query of the people whom the actor keeps and whose address needs somebody, and since when."""
    person, change = tables.Person, tables.AddressChange
    return (
        sa.select(col(person.id), sa.func.least(col(person.mail_refused_at), col(change.created_at)).label("since"))
        .outerjoin(change, _IS_WAITING)
        .where(visibility.is_seen(person, actor), col(person.id) != actor.person_id, col(person.state) == "active")
        .where(sa.or_(col(person.mail_refused_at).is_not(None), col(change.id).is_not(None)))
    )
