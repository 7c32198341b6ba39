"""Which pages of other sites may read the API in a browser (CORS): those whose origin the operator named, exactly.

Never with cookies: the API takes a token in `Authorization`, which a page sends of its own accord, so no answer allows
credentials. The pages for people are nobody else's to read, and are left out.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from integrations.runtime.settings import Settings

_READABLE = ("/v1/", "/fhir/", "/oauth2/", "/openapi.json", "/problems/", "/schemas/", "/.well-known/", "/health/")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT = (
    "Accept, Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer,"
    " X-Request-Id"
)
_SHOWN = (
    "As-Of, ETag, Location, Retry-After, X-Request-Id, Idempotency-Replayed, WWW-Authenticate, Content-Disposition,"
    " Expires, Preference-Applied"
)
_KEPT_SECONDS = "600"


def headers(scope: Scope, settings: Settings) -> Mapping[str, str]:
    """Give what the answer says about who may read it; nothing where no origin was named, or on a page."""
    if not settings.cors_origins or not scope["path"].startswith(_READABLE):
        return {}
    origin = Headers(scope=scope).get("origin", "")
    if origin not in settings.cors_origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _SHOWN}


def preflight(scope: Scope, allowed: Mapping[str, str]) -> Response | None:
    """Answer a browser that asks before it lets a page call; None for any other request, or another origin."""
    asked = Headers(scope=scope)
    if scope["method"] != "OPTIONS" or "access-control-request-method" not in asked:
        return None
    if "Access-Control-Allow-Origin" not in allowed:
        return None
    told = {"Allow-Methods": _METHODS, "Allow-Headers": _SENT, "Max-Age": _KEPT_SECONDS}
    return Response(None, 204, {f"Access-Control-{name}": value for name, value in told.items()})
