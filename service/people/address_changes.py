"""A person's address that somebody else changed: whoever reads the new one's mail may be somebody else as well.

Until it is confirmed the person reads no case text, and no new offer reaches a mentor. The last confirmed address is
told, with a link that stops the change and one that confirms it. A second person may confirm it too: another
coordinator of the person's institutions, or an admin, who was that before the change. What is booked stays
(decision 0034). A stop that cannot give the former address back suspends the person until an admin has looked into it:
the former address is somebody else's by now, or a second person had confirmed the new one (decision 0047).
"""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, audit, clock, email_addresses, errors, limits
from service.kernel.work import Work
from service.outbox import deliveries
from service.outbox.events import instant
from service.people import logins

LINK_LIFE = timedelta(days=14)
A_DAY = timedelta(days=1)
CHANGES_OF_ONE_PERSON = 5
CHANGES_BY_ONE_PERSON = 300
"""How many changes there may be in a day: each suspends somebody, and mails others."""
NOWHERE = "@stopped.invalid"
"""The end of the address of somebody who has none: the new one was stopped, and the former one is another's."""


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
    if address.lower() != trusted.lower():
        await take_from_limits(w, person.id)
    if earlier:
        _settle(w, earlier, "superseded")
        await w.flush()  # at most one is open
        since = person.address_unconfirmed_since or earlier.created_at
        await w.sql(_DELETE_LINKS_SINCE, {"person": person.id, "since": since})  # their mails went to what is none
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
    if person.email.endswith(NOWHERE):
        msg = "This person has no address at present: give them one first."
        raise errors.Conflict(msg)
    if not await may_confirm(w, change):
        msg = (
            "Somebody else must confirm it: not whoever changed it, nor somebody whose own address waits; and an admin"
            " if the holder of the former address says that a confirmation was wrong."
        )
        raise errors.Forbidden(msg)
    await _confirm(w, person, change)
    return person


async def may_confirm(w: Work, change: tables.AddressChange) -> bool:
    """Tell whether the actor is a second person: neither of the two, at a confirmed address, a keeper before it.

    Nor is it somebody whom the one who changed it has registered or changed: that may be a second account of theirs.
    Of an address whose confirmation the former one has contested, it is an admin who had not confirmed it.
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
        "is_contested": _is_contested(w, change),
        "lately": change.created_at - LINK_LIFE,
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

    Raises LinkInvalid once it is over or settled otherwise.
    """
    person: tables.Person = (await w.sql(_PERSON, {"id": link.person_id})).scalar_one()
    change, link = await of_link(w, link), await w.read(tables.Link, link.id)
    if is_settled_as(change, link):
        return
    if not is_open(change, link, w.now):
        raise errors.LinkInvalid
    await w.sql(_USED, {"id": link.id, "now": w.now})
    if link.purpose == "address.confirm":
        await _confirm(w, person, change)
    else:
        await _stop(w, person, change)


async def _stop(w: Work, person: tables.Person, change: tables.AddressChange) -> None:
    """The former address is the person's again; where it cannot be, they are suspended and the admins hear of it.

    A second person had confirmed the new address: then one of the two is wrong, and no link says which. Or somebody
    else has the former address: then the person has none, until somebody finds out which is theirs.
    """
    trusted, since = former_address(w, change), person.address_unconfirmed_since or change.created_at
    is_taken = (await w.sql(_TAKEN, {"address": trusted, "id": person.id})).first() is not None
    if change.outcome == "confirmed":
        await _suspend(w, person, change, person.email)
    elif is_taken:
        _settle(w, change, "stopped")
        await w.flush()
        await _suspend(w, person, change, f"{person.id}{NOWHERE}")
        person.mail_refused_at = w.now
    else:
        _settle(w, change, "stopped")
        await w.flush()
        await _give(w, person, trusted, trusted, outcome="undone")
        person.address_unconfirmed_since = None
    await w.sql(_DELETE_LINKS_SINCE, {"person": person.id, "since": since})
    audit.record(w, "address_stopped", "person", person.id, change_id=str(change.id))
    is_given_back = person.address_unconfirmed_since is None
    template = "address_stopped" if is_given_back else "address_contested"
    await deliveries.tell_keepers(w, template, person.id, but=change.changed_by, with_admins=not is_given_back)


async def _suspend(w: Work, person: tables.Person, change: tables.AddressChange, address: str) -> None:
    """Let the address wait (again) as one that the maker of `change` has set; the former address stays the trusted."""
    later = await _open(w, person.id)
    if later:
        _settle(w, later, "superseded")
        await w.flush()
    await _give(w, person, address, former_address(w, change), outcome=None, changed_by=change.changed_by)
    person.address_unconfirmed_since = person.address_unconfirmed_since or w.now


def is_open(change: tables.AddressChange, link: tables.Link, at: datetime) -> bool:
    """Tell whether the link's button does something: also against a confirmation by others, as long as it holds."""
    is_contestable = (
        link.purpose == "address.stop"
        and change.outcome == "confirmed"
        and (change.settled_by != link.person_id or change.changed_by == link.person_id)
    )
    return link.used_at is None and link.expires_at > at and (change.outcome is None or is_contestable)


def is_settled_as(change: tables.AddressChange, link: tables.Link) -> bool:
    """Tell whether the change ended as the link would have it, or its button was pressed."""
    return change.outcome == _OUTCOMES[link.purpose] or link.used_at is not None


def _is_contested(w: Work, change: tables.AddressChange) -> bool:
    """Tell whether the same address waits anew, because the former one contested its confirmation."""
    return w.keys.decrypt(change.before, change.id) == w.keys.decrypt(change.after, change.id)


async def take_from_limits(w: Work, person_id: UUID) -> None:
    """Count a change by its person and by who makes it; raises TooManyRequests. The operator's are not counted."""
    if not w.actor.is_timer:
        await limits.take(w, f"address-of:{person_id}", clock.wall(), CHANGES_OF_ONE_PERSON, A_DAY)
        await limits.take(w, f"address-by:{w.actor.person_id}", clock.wall(), CHANGES_BY_ONE_PERSON, A_DAY)


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


async def give_own(w: Work, person: tables.Person, address: str) -> None:
    """The person, who reads the mail of this address, has it from now on; their sign-ins and earlier links end.

    The former address is told, and may stop it as long as it may any change: then an admin finds out which is theirs.
    """
    former = person.email
    change = await _give(w, person, address, former, outcome="confirmed")
    await w.sql(_DELETE_LINKS_BEFORE, {"person": person.id, "since": w.now})
    links = {"stop": _link(w, person, change, "address.stop")}
    values = {"expires_at": instant(w.now + LINK_LIFE)}
    await deliveries.mail(w, template="address_taken", person=person, values=values, links=links, address=former)


async def _give(
    w: Work,
    person: tables.Person,
    address: str,
    trusted: str,
    *,
    outcome: vocabulary.AddressOutcome | None,
    changed_by: UUID | None = None,
) -> tables.AddressChange:
    """Give the person another address, and keep which one they had; sign-ins and sign-in links end.

    The links first: a sign-in that just begins by one of them has its tokens by the time that these are looked for.
    """
    row_id = clock.new_id()
    change = tables.AddressChange(
        id=row_id,
        person_id=person.id,
        number=person.address_number,
        before=w.keys.encrypt(person.email, row_id),
        after=w.keys.encrypt(address, row_id),
        trusted=w.keys.encrypt(trusted, row_id),
        changed_by=changed_by or w.actor.person_id,
        created_at=w.now,
        outcome=outcome,
        settled_at=w.now if outcome else None,
        settled_by=w.actor.person_id if outcome else None,
    )
    w.add(change)
    person.email = address
    person.address_number += 1
    person.mail_refused_at = None
    await logins.drop_links(w, person.id)
    await logins.revoke_all(w, person.id)
    w.touch(person)
    audit.record(w, "address_changed", "person", person.id, change_id=str(row_id))
    return change


async def _tell_trusted(w: Work, person: tables.Person, change: tables.AddressChange, trusted: str) -> None:
    purposes: dict[str, vocabulary.AddressPurpose] = {"stop": "address.stop", "confirm": "address.confirm"}
    links = {name: _link(w, person, change, purpose) for name, purpose in purposes.items()}
    values = {"expires_at": instant(w.now + LINK_LIFE)}
    await deliveries.mail(w, template="address_changed", person=person, values=values, links=links, address=trusted)


def _link(
    w: Work, person: tables.Person, change: tables.AddressChange, purpose: vocabulary.AddressPurpose
) -> deliveries.NewLink:
    return deliveries.NewLink(
        id=clock.new_id(),
        person_id=person.id,
        purpose=purpose,
        expires_at=w.now + LINK_LIFE,
        created_at=w.now,
        subject_id=change.id,
    )


def _settle(w: Work, change: tables.AddressChange, outcome: vocabulary.AddressOutcome) -> None:
    change.outcome, change.settled_at, change.settled_by = outcome, w.now, w.actor.person_id


async def _open(w: Work, person_id: UUID) -> tables.AddressChange | None:
    kind = tables.AddressChange
    query = sa.select(kind).where(col(kind.person_id) == person_id, col(kind.outcome).is_(None)).with_for_update()
    change: tables.AddressChange | None = (await w.sql(query)).scalar_one_or_none()
    return change


_WAS_KEEPER = sa.text("""
SELECT 1 FROM role_grant k WHERE k.person_id = :actor AND k.created_at <= :at
AND (k.role = 'programme_admin' OR (k.role = 'coordinator' AND NOT :is_contested
     AND k.institution_id IN (SELECT institution_id FROM role_grant g WHERE g.person_id = :person)))
AND NOT EXISTS (SELECT FROM audit a WHERE a.subject_id = :actor AND a.subject = 'person' AND a.person_id = :changed_by
                AND a.action = ANY(:account_changes))
AND NOT (:is_contested AND EXISTS (SELECT FROM address_change e WHERE e.person_id = :person AND e.settled_by = :actor
                                   AND e.outcome = 'confirmed' AND e.created_at >= :lately))
""")
_TAKEN = sa.text("SELECT 1 FROM person WHERE lower(email) = lower(:address) AND id <> :id")
_PERSON = (
    sa.select(tables.Person)
    .where(col(tables.Person.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)  # a sign-in that just begins names this row, and holds what is wanted next
    .execution_options(populate_existing=True)
)
_USED = sa.text("UPDATE link SET used_at = :now WHERE id = :id AND used_at IS NULL")
# Deleted, since a link that only expired is prolonged when what it is about moves. Those of the change itself say on
# their page what became of it. What counts is where a link's mail went, however long before it was recorded: to the
# address of now goes what has not left yet.
_MAILED = """
SELECT CAST(link.value->>'id' AS uuid) FROM delivery d CROSS JOIN LATERAL jsonb_each(d.payload->'links') link
WHERE d.person_id = :person AND d.kind = 'mail' AND"""
_HANDED_OVER = "SELECT FROM delivery_attempt t WHERE t.delivery_id = d.id"
_UNUSED = "DELETE FROM link WHERE person_id = :person AND used_at IS NULL AND purpose NOT LIKE 'address.%'"
_DELETE_LINKS_SINCE = sa.text(f"""{_UNUSED}
AND (created_at >= :since OR id IN ({_MAILED} (
  EXISTS ({_HANDED_OVER} AND t.at >= :since)
  OR d.state = 'pending' AND d.attempt > 0 AND NOT EXISTS ({_HANDED_OVER} AND t.attempt = d.attempt))))
AND id NOT IN ({_MAILED} d.state = 'pending' AND d.attempt = 0)
""")
_DELETE_LINKS_BEFORE = sa.text(f"""{_UNUSED} AND created_at < :since
AND id NOT IN ({_MAILED} NOT EXISTS ({_HANDED_OVER} AND t.at < :since AND t.outcome = 'delivered')
               AND (d.state = 'pending' OR EXISTS ({_HANDED_OVER} AND t.at >= :since)))
""")
