"""Which people's addresses need somebody: one that takes no mail, or one that waits to be confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
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
    person, change = tables.Person, tables.AddressChange
    rows = await w.sql(
        sa.select(person, change)
        .outerjoin(change, sa.and_(col(change.person_id) == col(person.id), col(change.outcome).is_(None)))
        .where(visibility.is_seen(person, w.actor), col(person.id) != w.actor.person_id, col(person.state) == "active")
        .where(sa.or_(col(person.mail_refused_at).is_not(None), col(change.id).is_not(None)))
        .order_by(sa.func.least(col(person.mail_refused_at), col(change.created_at)), col(person.id))
        .limit(MOST)
    )
    return [
        AddressCard(
            row.Person,
            address_changes.former_address(w, row.AddressChange) if row.AddressChange else None,
            row.AddressChange is not None and await address_changes.may_confirm(w, row.AddressChange),
        )
        for row in rows.all()
    ]
