"""A person gives themself another address: a link in a mail to the new one makes it theirs, and the old one is told.

So nobody has an address whose mail they do not read; and whoever sits at somebody else's open browser changes nothing
behind their back: the present address is told when it is asked for, and again when it is done, with a link that stops
it (`address_changes`, decision 0126).
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import audit, clock, email_addresses, errors
from service.kernel.work import Work
from service.outbox import deliveries
from service.people import address_changes, preferences

LINK_LIFE = timedelta(days=1)


async def ask(w: Work, address: str) -> None:
    """The actor wants this address: it is mailed a link, and their present one is told. A later wish replaces it.

    Raises Unmailable, Forbidden while somebody else's change waits to be confirmed, Invalid for the present address.
    Whether somebody else has the address is not told: who reads its mail learns it by the button.
    """
    address = email_addresses.requires_carried("/email", address, utf8=w.carries_utf8)
    person = await preferences.own(w, lock=True)
    if person.address_unconfirmed_since is not None:
        raise errors.Forbidden
    if address.lower() == email_addresses.as_stored(person.email).lower():
        raise errors.Invalid("/email", "is your address already")
    await address_changes.take_from_limits(w, person.id)
    await w.sql(_DELETE, {"person": person.id})
    row_id, expires_at = clock.new_id(), w.now + LINK_LIFE
    sealed = w.keys.encrypt(address, row_id)
    number = person.address_number
    w.add(tables.AddressWish(id=row_id, person_id=person.id, address=sealed, number=number, expires_at=expires_at))
    link = deliveries.NewLink(
        id=clock.new_id(),
        person_id=person.id,
        purpose=vocabulary.OWN_ADDRESS,
        expires_at=expires_at,
        created_at=w.now,
        subject_id=row_id,
    )
    links = {"confirm": link}
    await deliveries.mail(
        w,
        template="address_wished",
        person=person,
        values={},
        links=links,
        address=address,
        useless_after=expires_at,
    )
    await deliveries.mail(w, template="address_asked", person=person, values={"page": "/profile"})
    audit.record(w, "proposed", "person", person.id)


async def wished(w: Work, person: tables.Person) -> str | None:
    """Give the address that the person wants and has not confirmed; None if there is none that a link is valid for."""
    row = (await w.sql(_OF, {"person": person.id})).scalar_one_or_none()
    return w.keys.decrypt(row.address, row.id) if row and _holds(row, person, w) else None


async def of_link(w: Work, link: tables.Link) -> str | None:
    """Give the address that the link's button makes its person's; None if it does nothing any more."""
    row, person = await w.find(tables.AddressWish, link.subject_id), await w.read(tables.Person, link.person_id)
    is_open = link.used_at is None and link.expires_at > w.now and row is not None and _holds(row, person, w)
    return w.keys.decrypt(row.address, row.id) if row is not None and is_open else None


async def take(w: Work, link: tables.Link) -> None:
    """The address is now that of the link's person; twice is once. Raises LinkInvalid, Exists if it is another's."""
    person = await preferences.own(w, lock=True)
    if person.id != link.person_id:
        raise errors.LinkInvalid
    used = (await w.sql(_USE, {"id": link.id, "now": w.now})).one_or_none()
    if used is None:
        return
    row = await w.find(tables.AddressWish, link.subject_id)
    if link.expires_at <= w.now or row is None or not _holds(row, person, w):
        raise errors.LinkInvalid
    address = w.keys.decrypt(row.address, row.id)
    await w.sql(_DELETE, {"person": person.id})
    await address_changes.give_own(w, person, address)


def _holds(row: tables.AddressWish, person: tables.Person, w: Work) -> bool:
    is_same = row.number == person.address_number and person.address_unconfirmed_since is None
    return is_same and row.expires_at > w.now and person.state == "active"


_OF = sa.select(tables.AddressWish).where(col(tables.AddressWish.person_id) == sa.bindparam("person"))
_DELETE = sa.text("DELETE FROM address_wish WHERE person_id = :person")
_USE = sa.text("UPDATE link SET used_at = :now WHERE id = :id AND used_at IS NULL RETURNING id")
