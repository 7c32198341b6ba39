"""Tokens for partner systems, in the words of RFC 6749: a form comes in, its errors are those of that document."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.edge import bodies, deps, query, transactional
from integrations.identity import client_credentials, jwt
from service import vocabulary
from service.kernel import errors

router = APIRouter(tags=["sign-in"], dependencies=query.KNOWN_ONLY)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"

_MOST_BYTES = 16 * 1024
_MOST_FIELDS = 20
_UNAUTHORIZED = 401
_EXAMPLE = {"grant_type": "client_credentials", "scope": "availability:write appointments:write"}
_SCHEMA = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "const": "client_credentials"},
        "scope": {"type": "string", "description": "Separated by spaces; all that are registered, when left out."},
        "client_id": {"type": "string", "format": "uuid"},
        "client_secret": {"type": "string", "description": "For `client_secret_post`, with `client_id`."},
        "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
        "client_assertion": {"type": "string", "description": "For `private_key_jwt`: a JWT (RFC 7523 §3)."},
    },
}


class AccessToken(BaseModel):
    """An access token of a partner system."""

    model_config = bodies.like(
        {
            "access_token": "eyJ…",
            "token_type": "Bearer",
            "expires_in": 900,
            "scope": "appointments:write availability:write",
        }
    )
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: Annotated[int, Field(description="Seconds until it ends; ask for another then.")]
    scope: str


class OAuthError(BaseModel):
    """What was wrong (RFC 6749 §5.2)."""

    model_config = bodies.like({"error": "invalid_client", "error_description": "The client is not known."})
    error: str
    error_description: str


class Metadata(BaseModel):
    """What a client needs to know of this server (RFC 8414)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    scopes_supported: list[str]
    service_documentation: str


_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": OAuthError, "description": "`invalid_request`, `unsupported_grant_type` or `invalid_scope`."},
    401: {"model": OAuthError, "description": "`invalid_client`."},
}


@router.post(
    "/oauth2/token",
    response_model=AccessToken,
    responses=_ERRORS,
    openapi_extra={"requestBody": {"required": True, "content": {FORM: {"schema": _SCHEMA, "example": _EXAMPLE}}}},
)
async def token(request: Request, world: deps.TheWorld) -> Response:
    """Give a partner system an access token: client credentials, by its secret or by `private_key_jwt`.

    A secret comes in `Authorization: Basic`, or in the form (`client_secret_post`). An assertion's `aud` is this
    address or the issuer.

    The token lives at most 15 minutes and is good for the scopes asked for, never for more than is registered.
    """
    async with world.database.apart(request.state.request_id) as w:
        await transactional.admitted(w, request)
    try:
        _must_be_form(request)
        granted = await client_credentials.grant(world, request.state.request_id, _wish(request, await request.body()))
    except client_credentials.TokenRefused as refused:
        return _refusal(refused)
    answer = AccessToken(access_token=granted.token, expires_in=granted.seconds, scope=" ".join(granted.scopes))
    return JSONResponse(answer.model_dump())


@router.get("/.well-known/oauth-authorization-server/{issuer_path:path}", include_in_schema=False)
async def metadata_of_path(issuer_path: str, world: deps.TheWorld) -> Metadata:
    """Describe this server where RFC 8414 §3.1 has an issuer with a path: behind the well-known name."""
    if f"/{issuer_path}" != world.settings.base_path:
        raise errors.NotFound
    return await metadata(world)


@router.get("/.well-known/oauth-authorization-server")
async def metadata(world: deps.TheWorld) -> Metadata:
    """Describe this server to OAuth clients (RFC 8414)."""
    issuer = world.settings.base_url
    return Metadata(
        issuer=issuer,
        token_endpoint=client_credentials.token_address(issuer),
        jwks_uri=f"{issuer}/oauth2/jwks.json",
        response_types_supported=[],
        grant_types_supported=["client_credentials"],
        token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post", "private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported=list(jwt.SIGNATURES),
        scopes_supported=list(vocabulary.SCOPES),
        service_documentation=f"{issuer}/docs",
    )


def _refusal(refused: client_credentials.TokenRefused) -> Response:
    body = OAuthError(error=refused.error, error_description=refused.description).model_dump()
    if refused.error == "invalid_client":
        return JSONResponse(body, _UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="pobratym", charset="UTF-8"'})
    return JSONResponse(body, 400)


def _wish(request: Request, body: bytes) -> client_credentials.TokenRequest:
    """Read the token request; raises TokenRefused."""
    form = _form(body)
    if "grant_type" not in form:
        raise _bad("grant_type is missing.")
    if form["grant_type"] != "client_credentials":
        raise client_credentials.TokenRefused("unsupported_grant_type", "Only client_credentials is offered.")
    scopes = tuple(form["scope"].split(" ")) if form.get("scope") else None
    form_client_id = _id(form["client_id"]) if "client_id" in form else None
    proofs = request.headers.getlist("authorization")
    is_by_assertion = "client_assertion" in form or "client_assertion_type" in form
    if bool(proofs) + is_by_assertion + ("client_secret" in form) > 1:
        raise _bad("A client proves itself in one way, not in two.")
    if "client_secret" in form:
        return client_credentials.TokenRequest(form_client_id, form["client_secret"], None, scopes)
    if is_by_assertion:
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            raise _bad("client_assertion and its client_assertion_type belong together.")
        return client_credentials.TokenRequest(form_client_id, None, form["client_assertion"], scopes)
    client_id, secret = _basic(proofs[0]) if len(proofs) == 1 else (None, None)
    if "client_id" in form and form_client_id != client_id:
        client_id = None
    return client_credentials.TokenRequest(client_id, secret, None, scopes)


def _must_be_form(request: Request) -> None:
    """Pass a head that a form follows; raises TokenRefused before the body is read."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FORM or request.url.query:
        raise _bad(f"Send {FORM}, and nothing in the address.")


def _form(body: bytes) -> Mapping[str, str]:
    """Read the form: every name once (RFC 6749 §3.2)."""
    if len(body) > _MOST_BYTES:
        raise _bad(f"At most {_MOST_BYTES} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise _bad("The form cannot be read.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _bad("A name stands twice in the form.")
    return form


def _basic(header: str) -> tuple[UUID | None, str | None]:
    """Read id and secret, which are form-encoded each (RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return None, None
    return (_id(unquote_plus(name)), unquote_plus(secret)) if colon else (None, None)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _bad(description: str) -> client_credentials.TokenRefused:
    return client_credentials.TokenRefused("invalid_request", description)
