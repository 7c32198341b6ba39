"""A person's address that somebody else changed: whoever reads the new one's mail may be somebody else as well.

Until it is confirmed the person reads no case text, and no new offer reaches a mentor. The last confirmed address is
told, with a link that stops the change and one that confirms it. A second person may confirm it too: another
coordinator of the person's institutions, or an admin, who was that before the change. What is booked stays
(decision 0034).
"""

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, audit, clock, email_addresses, errors
from service.kernel.work import Work
from service.outbox import deliveries
from service.outbox.events import instant
from service.people import logins

LINK_LIFE = timedelta(days=14)


async def begin(w: Work, person: tables.Person, address: str) -> None:
    """Let somebody else's change of the person's address wait for its confirmation; every sign-in ends.

    The same address in other letters changes nothing but those. The last confirmed address given back needs nobody.
    Raises Unmailable.
    """
    address = email_addresses.requires_carried("/email", address, utf8=w.carries_utf8)
    await w.sql(_PERSON, {"id": person.id})  # locked, and as it is now: another change may have been settled meanwhile
    if address.lower() == email_addresses.as_stored(person.email).lower():
        person.email = address
        return
    earlier = await _open(w, person.id)
    trusted = former_address(w, earlier) if earlier else person.email
    if earlier:
        _settle(w, earlier, "superseded")
        await w.flush()  # at most one is open
        since = person.address_unconfirmed_since or earlier.created_at
        await w.sql(_DELETE_LINKS_SINCE, {"person": person.id, "since": since})  # they were mailed to what is none
    if address.lower() == trusted.lower():
        await _give(w, person, address, trusted, outcome="undone")
        person.address_unconfirmed_since = None
    else:
        change = await _give(w, person, address, trusted, outcome=None)
        person.address_unconfirmed_since = person.address_unconfirmed_since or w.now
        await _tell_trusted(w, person, change, trusted)
        await deliveries.tell_keepers(w, "address_waits", person.id, but=w.actor.person_id)


async def confirm(w: Work, person_id: UUID, number: int | None = None) -> tables.Person:
    """Confirm the address as a second person; raises Forbidden for anybody else, Conflict if none waits.

    `number` is the person's `address_number` as the confirmer saw it: nobody confirms an address that they have not
    seen, so another one by now is a Conflict too.
    """
    person = await access.visible_person(w, person_id, lock=True)
    change = await _open(w, person_id)
    if w.actor.person_id == person_id or not w.actor.holds(*vocabulary.OVERSEEING_PEOPLE):
        raise errors.Forbidden
    if change is None:
        msg = "No address of this person waits to be confirmed."
        raise errors.Conflict(msg)
    if number not in {None, person.address_number}:
        msg = "The address was changed again: look at it once more."
        raise errors.Conflict(msg)
    if not await may_confirm(w, change):
        msg = "Somebody else must confirm it: not whoever changed it, nor somebody whose own address waits."
        raise errors.Forbidden(msg)
    await _confirm(w, person, change)
    return person


async def may_confirm(w: Work, change: tables.AddressChange) -> bool:
    """Tell whether the actor is a second person: neither of the two, at a confirmed address, a keeper before it.

    Nor is it somebody whom the one who changed it has registered or changed: that may be a second account of theirs.
    """
    is_other = w.actor.person_id not in {None, change.person_id, change.changed_by}
    if not (is_other and w.actor.is_address_confirmed):
        return False
    values = {
        "actor": w.actor.person_id,
        "person": change.person_id,
        "at": change.created_at,
        "changed_by": change.changed_by,
        "account_changes": list(vocabulary.ACCOUNT_CHANGES),
    }
    return (await w.sql(_WAS_KEEPER, values)).first() is not None


def former_address(w: Work, change: tables.AddressChange) -> str:
    """Give the last confirmed address, to which the change was told."""
    return w.keys.decrypt(change.trusted, change.id)


async def of_link(w: Work, link: tables.Link) -> tables.AddressChange:
    """Give the change that the link is about; raises NotFound when it was erased."""
    change = await w.find(tables.AddressChange, link.subject_id)
    if change is None:
        raise errors.NotFound
    return change


async def decide(w: Work, link: tables.Link) -> None:
    """Stop the change, or confirm it, as whoever reads the mail of the last confirmed address; twice is once.

    Raises LinkInvalid once it is over or settled otherwise, Exists when somebody else has the former address by now.
    """
    person: tables.Person = (await w.sql(_PERSON, {"id": link.person_id})).scalar_one()
    change = await of_link(w, link)
    if change.outcome == _OUTCOMES[link.purpose]:
        return
    if change.outcome is not None or link.expires_at <= w.now:
        raise errors.LinkInvalid
    await w.sql(_USED, {"id": link.id, "now": w.now})
    if link.purpose == "address.confirm":
        await _confirm(w, person, change)
        return
    trusted, since = former_address(w, change), person.address_unconfirmed_since or change.created_at
    _settle(w, change, "stopped")
    await w.flush()
    await _give(w, person, trusted, trusted, outcome="undone")
    person.address_unconfirmed_since = None
    await w.sql(_DELETE_LINKS_SINCE, {"person": person.id, "since": since})
    audit.record(w, "address_stopped", "person", person.id, change_id=str(change.id))
    await deliveries.tell_keepers(w, "address_stopped", person.id, but=change.changed_by)


def is_settled_as(change: tables.AddressChange, link: tables.Link) -> bool:
    """Tell whether the change ended as the link would have it."""
    return change.outcome == _OUTCOMES[link.purpose]


_OUTCOMES: dict[str, vocabulary.AddressOutcome] = {"address.stop": "stopped", "address.confirm": "confirmed"}


async def _confirm(w: Work, person: tables.Person, change: tables.AddressChange) -> None:
    """The address is the person's: what was mailed to the former one acts no more, and both are told."""
    since = person.address_unconfirmed_since or change.created_at
    _settle(w, change, "confirmed")
    person.address_unconfirmed_since = None
    w.touch(person)
    await w.sql(_DELETE_LINKS_BEFORE, {"person": person.id, "since": since})
    audit.record(w, "address_confirmed", "person", person.id, change_id=str(change.id))
    values = {"person_id": str(person.id)}
    trusted = former_address(w, change)
    await deliveries.mail(w, template="address_confirmed", person=person, values=values, address=trusted)
    await deliveries.mail(w, template="address_confirmed", person=person, values=values)


async def _give(
    w: Work, person: tables.Person, address: str, trusted: str, *, outcome: vocabulary.AddressOutcome | None
) -> tables.AddressChange:
    """Give the person another address, and keep which one they had; sign-ins and sign-in links end."""
    row_id = clock.new_id()
    change = tables.AddressChange(
        id=row_id,
        person_id=person.id,
        number=person.address_number,
        before=w.keys.encrypt(person.email, row_id),
        after=w.keys.encrypt(address, row_id),
        trusted=w.keys.encrypt(trusted, row_id),
        changed_by=w.actor.person_id,
        created_at=w.now,
        outcome=outcome,
        settled_at=w.now if outcome else None,
        settled_by=w.actor.person_id if outcome else None,
    )
    w.add(change)
    person.email = address
    person.address_number += 1
    person.mail_refused_at = None
    await logins.revoke_all(w, person.id)
    await logins.drop_links(w, person.id)
    w.touch(person)
    audit.record(w, "address_changed", "person", person.id, change_id=str(row_id))
    return change


async def _tell_trusted(w: Work, person: tables.Person, change: tables.AddressChange, trusted: str) -> None:
    links = {
        name: deliveries.NewLink(
            id=clock.new_id(),
            person_id=person.id,
            purpose=purpose,
            expires_at=w.now + LINK_LIFE,
            created_at=w.now,
            subject_id=change.id,
        )
        for name, purpose in (("stop", "address.stop"), ("confirm", "address.confirm"))
    }
    values = {"expires_at": instant(w.now + LINK_LIFE)}
    await deliveries.mail(w, template="address_changed", person=person, values=values, links=links, address=trusted)


def _settle(w: Work, change: tables.AddressChange, outcome: vocabulary.AddressOutcome) -> None:
    change.outcome, change.settled_at, change.settled_by = outcome, w.now, w.actor.person_id


async def _open(w: Work, person_id: UUID) -> tables.AddressChange | None:
    kind = tables.AddressChange
    query = sa.select(kind).where(col(kind.person_id) == person_id, col(kind.outcome).is_(None)).with_for_update()
    change: tables.AddressChange | None = (await w.sql(query)).scalar_one_or_none()
    return change


_WAS_KEEPER = sa.text("""
SELECT 1 FROM role_grant k WHERE k.person_id = :actor AND k.created_at <= :at
AND (k.role = 'programme_admin' OR (k.role = 'coordinator'
     AND k.institution_id IN (SELECT institution_id FROM role_grant g WHERE g.person_id = :person)))
AND NOT EXISTS (SELECT FROM audit a WHERE a.subject_id = :actor AND a.subject = 'person' AND a.person_id = :changed_by
                AND a.action = ANY(:account_changes))
""")
_PERSON = (
    sa.select(tables.Person)
    .where(col(tables.Person.id) == sa.bindparam("id"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_USED = sa.text("UPDATE link SET used_at = :now WHERE id = :id AND used_at IS NULL")
# Deleted, since a link that only expired is prolonged when what it is about moves. Those of the change itself say on
# their page what became of it.
_DELETE_LINKS_SINCE = sa.text("""
DELETE FROM link WHERE person_id = :person AND created_at >= :since AND used_at IS NULL AND purpose NOT LIKE 'address.%'
""")
_DELETE_LINKS_BEFORE = sa.text("""
DELETE FROM link WHERE person_id = :person AND created_at < :since AND used_at IS NULL AND purpose NOT LIKE 'address.%'
""")
