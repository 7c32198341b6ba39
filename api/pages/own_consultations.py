"""All consultations of one's own side, the newest first; and the way to one by its short number."""

from uuid import UUID

from fastapi import APIRouter, Response

from api.pages import frame
from service.care import consultations
from service.worklists import own_consultations

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/consultations")
async def listed(visit: frame.Known) -> Response:
    """List them a page at a time; with a `number`, lead to the consultation that has it, of either side."""
    typed = visit.request.query_params.get("number", "").strip()
    if typed:
        found = await visit.read(lambda w: consultations.find(w, typed))
        if found:
            return frame.see(f"/consultations/{found}")
    before = _before(visit)
    rows = await visit.read(lambda w: own_consultations.page(w, before=before))
    most = own_consultations.MOST
    return visit.show(
        "consultations.html",
        404 if typed else 200,
        listed=rows[:most],
        older=rows[most - 1].id if len(rows) > most else None,
        is_first=before == own_consultations.NEWEST,
        typed=typed,
    )


def _before(visit: frame.Visit) -> UUID:
    """Read behind which consultation the page goes on; what is no id is the first page."""
    try:
        return UUID(visit.request.query_params.get("before", ""))
    except ValueError:
        return own_consultations.NEWEST
