"""The last link of a digest: it switches the mail off. Opening it changes nothing; pressing the button does it.

A mail program may do it by one POST (RFC 8058), which must not be answered by sending it elsewhere: so the answer to a
press is the page itself, and pressing again shows the same. It never grows too old: as long as its row is kept
somebody is left in peace by it. 404: not a link of ours.
"""

from fastapi import APIRouter, Response

from api.pages import frame
from service import vocabulary
from service.kernel import errors
from service.kernel.actor import Actor
from service.kernel.work import Work
from service.people import action_links, preferences

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/a/digest/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show the button, or that the mail is off."""
    return await _page(await _holder(visit, token))


@router.post("/a/digest/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Switch the mail off."""
    holder = await _holder(visit, token)
    await holder.do(_stop)
    return await _page(holder)


async def _stop(w: Work) -> None:
    await preferences.stop_digest(w, await preferences.own(w, lock=True))


async def _holder(visit: frame.Visit, token: str) -> frame.Visit:
    """Give the visit of the link's person: no sign-in is needed to be left in peace. Raises NotFound."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, vocabulary.STOP_DIGEST))
    except errors.LinkInvalid:
        raise errors.NotFound from None
    return await visit.by_link_of(Actor("person", link.person_id))


async def _page(holder: frame.Visit) -> Response:
    chosen = await holder.read(preferences.read)
    said = holder.words.table[vocabulary.STOP_DIGEST]
    return holder.show("address.html", said=said, is_done="digest.mail" not in chosen.notices, problem=None)
