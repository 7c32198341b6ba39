"""The page that confirms a certificate to whoever holds its code: initials, day, hours, topic, programme."""

from fastapi import APIRouter, Response

from api.pages import frame
from service.reporting import certificates

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/certificates/{code}")
async def confirm(visit: frame.Anybody, code: str) -> Response:
    """Say whether the certificate is ours, whether it still stands, and what it is about; no name is shown."""
    certificate = await visit.read(lambda w: certificates.confirmed(w, code[:100]))
    if certificate is None:
        texts = visit.words.table["certificate"]
        return visit.show("message.html", 404, title=texts["unknown_title"], text=texts["unknown"])
    return visit.show("certificate.html", found=certificate)
