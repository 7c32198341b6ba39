"""One's own address: asked for on the profile, taken by the link of a mail to it. Looking at the link changes nothing.

404: not a link of ours, or the browser is somebody else's. 410: over. Pressed twice, it says the same.
"""

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import frame
from service import tables, vocabulary
from service.kernel import email_addresses, errors
from service.people import action_links, own_address

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/a/own-address/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show which address the button makes one's own, or that it is."""
    return await _page(visit, await _found(visit, token))


@router.post("/a/own-address/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Have the address, and sign in anew by it."""
    link = await _found(visit, token)
    if link.used_at is not None:
        return await _page(visit, link)
    try:
        holder = await visit.by_link_of(await visit.read(lambda w: action_links.holder(w, link)))
        await holder.do(lambda w: own_address.take(w, link))
    except errors.LinkInvalid:
        return await _page(visit, link)
    except errors.Exists as error:
        return await _page(visit, link, problems.status_of(type(error)), frame.problem_words(visit.words, error))
    return frame.see(visit.request.url.path)


async def _found(visit: frame.Visit, token: str) -> tables.Link:
    """Give the link; of a browser that somebody else is signed in with it is none."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, vocabulary.OWN_ADDRESS))
    except errors.LinkInvalid:
        raise errors.NotFound from None
    if visit.actor.person_id not in {None, link.person_id}:
        raise errors.NotFound
    return link


async def _page(
    visit: frame.Visit, link: tables.Link, status: int = 200, problem: dict[str, str] | None = None
) -> Response:
    address = await visit.read(lambda w: own_address.of_link(w, link))
    if address is None and link.used_at is None:
        texts = visit.words.table["link_over"]
        return visit.show("message.html", 410, title=texts["title"], text=texts["text"])
    said = dict(visit.words.table["own_address"])
    said["text"] = said["text"].format(email=email_addresses.shown(address or ""))
    return visit.show("address.html", status, said=said, is_done=link.used_at is not None, problem=problem)
