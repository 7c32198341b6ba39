"""The link of each mail to a mentor by which they are away. Opening it changes nothing, pressing a button does it once.

The page names nobody and shows nothing of the mentor's days: the mail may have been forwarded. 404: not a link of ours.
410: over; whoever it is signs in.
"""

from datetime import timedelta

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import fields, frame, hours
from service.kernel import errors
from service.kernel.actor import Actor
from service.people import away_links
from service.rules.time import availability
from service.worklists import mentor_hours

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/a/away/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show for how long one can be away by this link, or that it was used."""
    link, holder = await _opened(visit, token)
    return await _page(holder, link)


@router.post("/a/away/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Be away until the day that was chosen; pressed again, it shows the same."""
    link, holder = await _opened(visit, token)
    if link.standing != "ready":
        return await _page(holder, link)
    form = await fields.sent(visit.request)
    own = await holder.read(mentor_hours.own)
    absence = hours.read_absence(form, own.zone, visit.world.clock.now())
    if absence is None:
        return await _page(holder, link, form, 422)
    try:
        await holder.do(lambda w: away_links.use(w, link, absence))
    except errors.Invalid as error:
        form.faults["away_back" if form.typed("away_back") else "until"] = str(error)
        return await _page(holder, link, form, problems.status_of(type(error)))
    except errors.LinkInvalid:
        return _over(holder)
    return frame.see(visit.request.url.path)


async def _opened(visit: frame.Visit, token: str) -> tuple[away_links.AwayLink, frame.Visit]:
    """Give the link, and the visit of whoever it was mailed to; raises NotFound for one that is not ours."""
    try:
        link = await visit.read(lambda w: away_links.read(w, token))
    except errors.LinkInvalid:
        raise errors.NotFound from None
    return link, await visit.by_link_of(Actor("person", link.person_id))


def _over(visit: frame.Visit) -> Response:
    texts = visit.words.table["away_over"]
    return visit.show("message.html", 410, title=texts["title"], text=texts["text"])


async def _page(
    visit: frame.Visit, link: away_links.AwayLink, form: fields.Fields | None = None, status: int = 200
) -> Response:
    if link.standing == "over":
        return _over(visit)
    own = await visit.read(mentor_hours.own)
    today = availability.to_wall(visit.world.clock.now(), own.zone).date()
    return visit.show(
        "away.html",
        status,
        is_done=link.standing == "used",
        form=form or fields.Fields([]),
        zone_of_hours=own.zone,
        quick=[(days, today + timedelta(days=days)) for days in hours.USUAL_ABSENCES],
        today=today,
    )
