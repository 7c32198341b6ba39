"""A mentor's consultations: what became of each, how long it took, and the certificates."""

from datetime import date
from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import certificate_papers, shapes
from api.pages import frame
from service.kernel import errors
from service.reporting import certificates
from service.worklists import mentor_consultations

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/mine")
async def listed(visit: frame.Known) -> Response:
    """List what the visitor took, newest first, a page at a time; to others, say whom the page is for."""
    before = _before(visit)
    taken = await visit.read(lambda w: mentor_consultations.page(w, before=before))
    if not taken and not visit.actor.holds("mentor"):
        texts = visit.words.table["mentors_only"]
        return visit.show("message.html", 403, title=texts["title"], text=texts["text"])
    given = await visit.read(lambda w: mentor_consultations.this_year(w, visit.zone))
    most = mentor_consultations.MOST
    return visit.show(
        "mine.html",
        taken=taken[:most],
        older=taken[most - 1].offer_id if len(taken) > most else None,
        is_first=before is None,
        given=given,
    )


@router.get("/mine/certificates/{year}")
async def certificates_of_year(visit: frame.Known, year: int) -> Response:
    """Give the list of what the visitor took part in during the year, on paper."""
    if not shapes.FIRST.year <= year < shapes.LAST.year - 1:
        raise errors.NotFound
    period = date(year, 1, 1), date(year + 1, 1, 1)
    own = await visit.read(lambda w: certificates.of_period(w, *period))
    name = visit.person.display_name if visit.person else ""
    paper = await certificate_papers.of_period(own, visit.words.locale, name, period, visit.world.settings.base_url)
    return _file(paper, f"certificates-{year}.pdf")


@router.get("/sessions/{id}/certificate")
async def certificate(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002 - the path's word
    """Give the visitor's own certificate of the session, on paper."""
    own = await visit.read(lambda w: certificates.of_session(w, id))
    paper = await certificate_papers.of_session(own, visit.words.locale, visit.world.settings.base_url)
    return _file(paper, f"certificate-{own.on.isoformat()}.pdf")


def _before(visit: frame.Visit) -> UUID | None:
    """Read behind which offer the page goes on; what is no id is the first page."""
    try:
        return UUID(visit.request.query_params.get("before", ""))
    except ValueError:
        return None


def _file(content: bytes, name: str) -> Response:
    headers = frame.HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=certificate_papers.MEDIA_TYPE, headers=headers)
