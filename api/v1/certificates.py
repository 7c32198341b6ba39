"""Certificates of attendance: one's own, as JSON or on paper, of one session or of a period."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge import certificate_papers as papers
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors
from service.people import people
from service.reporting import certificates

router = APIRouter(tags=["certificates"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
PDF = papers.MEDIA_TYPE
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_CERTIFICATE = {
    "session_id": _EXAMPLE_ID,
    "name": "Mentor in paediatrics, Lille",
    "role": "mentor",
    "on": "2026-11-20",
    "mode": "live",
    "minutes": 30,
    "topic": {"en": "General paediatrics", "uk": "Педіатрія"},
    "programme": {"en": "International Medical Partnership", "uk": "Міжнародне медичне партнерство"},
    "code": "AGJ7-HRD3-DZ6M-BCR6-BVOB-63ZK-CEMN-PLB7",
    "confirmed_at": "https://pobratym.example/certificates/AGJ7-HRD3-DZ6M-BCR6-BVOB-63ZK-CEMN-PLB7",
}
_ON_PAPER: dict[int | str, dict[str, Any]] = {
    200: {"content": {PDF: {"schema": {"type": "string", "format": "binary"}}}}
}


class Both(shapes.Shape):
    """A name in both languages."""

    en: str
    uk: str


class Certificate(shapes.Shape):
    """Your part in one session; `code` is what the page at `confirmed_at` confirms to whoever holds it."""

    model_config = bodies.like(_CERTIFICATE)
    session_id: shapes.Id
    name: str
    role: vocabulary.CertificateRole
    on: Annotated[shapes.Day, Field(description="By your own clock.")]
    mode: vocabulary.SessionMode
    minutes: int
    topic: Both
    programme: Both
    code: str
    confirmed_at: str


@router.get(
    "/v1/sessions/{session_id}/certificate",
    responses=problems.of(errors.Forbidden, errors.Conflict) | _ON_PAPER,
    response_model=Certificate,
)
async def of_session(
    session_id: shapes.Id, request: Request, w: deps.W, world: deps.TheWorld, locale: vocabulary.Locale | None = None
) -> Certificate | Response:
    """Have your own certificate of a session that you took part in; on paper with `Accept: application/pdf`."""
    certificate = await certificates.of_session(w, session_id)
    answer = _shown(certificate, world.settings.base_url)
    if not _wants_paper(request):
        return answer
    language = locale or (await people.own(w)).row.locale
    return Response(await papers.of_session(certificate, language, world.settings.base_url), media_type=PDF)


@router.get("/v1/me/certificates", responses=_ON_PAPER, response_model=shapes.Listing[Certificate])
async def of_period(
    request: Request,
    w: deps.W,
    world: deps.TheWorld,
    from_: Annotated[shapes.Day, Query(alias="from", description="The first day, by your own clock.")],
    until: Annotated[shapes.Day, Query(description="The first day not counted.")],
    locale: vocabulary.Locale | None = None,
) -> shapes.Listing[Certificate] | Response:
    """List what you took part in, 500 sessions at most; on paper, with the sum, with `Accept: application/pdf`."""
    own_certificates = await certificates.of_period(w, from_, until)
    base = world.settings.base_url
    if not _wants_paper(request):
        return shapes.Listing[Certificate](
            items=[_shown(certificate, base) for certificate in own_certificates], next=None
        )
    me = (await people.own(w)).row
    paper = await papers.of_period(own_certificates, locale or me.locale, me.display_name, (from_, until), base)
    return Response(paper, media_type=PDF)


def _wants_paper(request: Request) -> bool:
    return PDF in request.headers.get("accept", "")


def _shown(certificate: certificates.Certificate, base_url: str) -> Certificate:
    fields = {
        name: getattr(certificate, name) for name in ("session_id", "name", "role", "on", "mode", "minutes", "code")
    }
    return Certificate.model_validate(
        fields
        | {
            "topic": Both(en=certificate.topic[0], uk=certificate.topic[1]),
            "programme": Both(en=certificate.programme[0], uk=certificate.programme[1]),
            "confirmed_at": papers.address(base_url, certificate.code),
        }
    )
