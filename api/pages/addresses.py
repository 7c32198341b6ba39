"""A new address that somebody else has set: stopped or confirmed from the former one; what a keeper does about it.

Opening a link changes nothing; pressing its button does it, once. 410: over, or settled otherwise.
"""

from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import fields, frame
from service import tables, vocabulary
from service.kernel import access, email_addresses, errors
from service.kernel.actor import Actor
from service.kernel.work import Work
from service.people import action_links, address_changes, people
from service.worklists import address_cards

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/a/address/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show what the button does, or what came of it."""
    link, change, holder = await _opened(visit, token)
    return _page(holder, link, change)


@router.post("/a/address/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Stop the change, or confirm it; pressed again, it shows the same."""
    link, change, holder = await _opened(visit, token)
    if not address_changes.is_open(change, link, visit.world.clock.now()):
        return _page(holder, link, change)
    try:
        await holder.do(lambda w: address_changes.decide(w, link))
    except errors.DomainError as error:
        problem = frame.problem_words(holder.words, error)
        return _page(holder, link, change, problems.status_of(type(error)), problem)
    return frame.see(visit.request.url.path)


async def _opened(visit: frame.Visit, token: str) -> tuple[tables.Link, tables.AddressChange, frame.Visit]:
    """Give the link, the change that it is about, and its person's visit: also of somebody who signs in no more."""
    link = await _found(visit, token)
    change = await visit.read(lambda w: address_changes.of_link(w, link))
    return link, change, await visit.by_link_of(Actor("person", link.person_id))


async def _found(visit: frame.Visit, token: str) -> tables.Link:
    try:
        return await visit.read(lambda w: action_links.read(w, token, *vocabulary.ADDRESS_PURPOSES))
    except errors.LinkInvalid:
        raise errors.NotFound from None


def _page(
    visit: frame.Visit,
    link: tables.Link,
    change: tables.AddressChange,
    status: int = 200,
    problem: dict[str, str] | None = None,
) -> Response:
    is_done = address_changes.is_settled_as(change, link)
    if not is_done and not address_changes.is_open(change, link, visit.world.clock.now()):
        texts = visit.words.table["link_over"]
        return visit.show("message.html", 410, title=texts["title"], text=texts["text"])
    said = visit.words.table[link.purpose]
    return visit.show("address.html", status, said=said, is_done=is_done, problem=problem)


@router.get("/people")
async def listed(visit: frame.Known) -> Response:
    """Show whose address needs somebody, with what to do about each."""
    return await _list(visit, fields.Tried("", fields.Fields([])))


@router.post("/people/{person_id}/address-confirmation")
async def confirm(visit: frame.Known, person_id: UUID) -> Response:
    """Confirm the address as a second person."""
    form = await fields.sent(visit.request)
    number = form.typed("number")
    if not (number.isascii() and number.isdigit()):
        raise errors.NotFound
    await visit.do(lambda w: address_changes.confirm(w, person_id, int(number[:9])))
    return frame.see("/people")


@router.post("/people/{person_id}/address")
async def change_address(visit: frame.Known, person_id: UUID) -> Response:
    """Give the person another address, which waits to be confirmed."""
    form = await fields.sent(visit.request)
    address = form.words("email", "email")
    if address is None:
        return await _list(visit, fields.Tried(f"address-{person_id}", form))
    try:
        await visit.do(lambda w: _changed(w, person_id, address))
    except email_addresses.Unmailable as error:
        form.faults["email"] = error.refused
        return await _list(visit, fields.Tried(f"address-{person_id}", form))
    return frame.see("/people")


async def _changed(w: Work, person_id: UUID, address: str) -> None:
    person = await access.visible_person(w, person_id, lock=True)
    await people.change(w, person, {"email": address}, None)


async def _list(visit: frame.Visit, tried: fields.Tried) -> Response:
    cards = await visit.read(address_cards.cards)
    status = 422 if tried.form.faults else 200
    readable = {card.person.id: email_addresses.shown(card.person.email) for card in cards}
    former = {card.person.id: email_addresses.shown(card.former) for card in cards if card.former}
    return visit.show("people.html", status, cards=cards, addresses=readable, former=former, tried=tried)
