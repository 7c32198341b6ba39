"""Signing in: a link by mail, tokens for it, new tokens for old ones, and the keys that prove them."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, StringConstraints

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from integrations.identity import access_tokens
from service.kernel import errors
from service.kernel.work import Work
from service.people import logins

router = APIRouter(tags=["sign-in"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
Token = Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[A-Za-z0-9._=-]+$")]


class SignInLink(shapes.Shape):
    """Who wants to sign in."""

    model_config = bodies.like({"email": "clinician@chernihiv.example"})
    email: shapes.Email


class LinkToken(shapes.Shape):
    """The last part of the link that came by mail."""

    model_config = bodies.like({"link_token": "AZPzxHsefMCKPg1cH28qEQ"})
    link_token: Token


class RefreshToken(shapes.Shape):
    """The refresh token of the last answer; each works once."""

    model_config = bodies.like({"refresh_token": "AZPzxHsefMCKPg1cH28qEQ"})
    refresh_token: Token


class Revocation(shapes.Shape):
    """What is to end: the whole sign-in by its refresh token, or a single access token."""

    model_config = bodies.like({"refresh_token": "AZPzxHsefMCKPg1cH28qEQ"})
    refresh_token: Token = bodies.absent()
    access_token: Token = bodies.absent()


class Tokens(shapes.Shape):
    """An access token, and a refresh token to come back with."""

    model_config = bodies.like(
        {"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900, "refresh_token": "AZPz…"}
    )
    access_token: shapes.ShownOnce
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: Annotated[int, Field(description="Seconds until the access token ends.")]
    refresh_token: shapes.ShownOnce


@router.post("/v1/auth/sign-in-links", status_code=202, response_class=Response)
async def mail_link(body: SignInLink, w: deps.Anyone) -> None:
    """Mail a link that signs in once, within 15 minutes, if somebody with this address is registered.

    The answer is the same for everybody.
    """
    await logins.mail_link(w, body.email)


@router.post("/v1/auth/tokens", responses=problems.of(errors.LinkInvalid))
async def exchange(body: LinkToken, w: deps.Anyone, world: deps.TheWorld) -> Tokens:
    """Exchange the token of a sign-in link for an access token and a refresh token; a link works once."""
    return await _issued(w, world.tokens, await logins.exchange(w, body.link_token))


@router.post("/v1/auth/tokens/refresh", response_model=Tokens, responses=problems.of(errors.Unauthenticated))
async def refresh(body: RefreshToken, w: deps.Anyone, world: deps.TheWorld, request: Request) -> Tokens | Response:
    """Exchange a refresh token for new tokens. Using one a second time ends the whole sign-in."""
    signed_in = await logins.refresh(w, body.refresh_token)
    if signed_in is None:  # answered, not raised: that the sign-in ends must be committed
        return problems.answer(request.scope, "unauthenticated", None, {"WWW-Authenticate": problems.challenge()})
    return await _issued(w, world.tokens, signed_in)


@router.post("/v1/auth/tokens/revoke", status_code=204)
async def revoke(body: Revocation, w: deps.Anyone, world: deps.TheWorld) -> None:
    """End a sign-in with all its tokens, or one access token. What proves nothing anyway is answered the same."""
    if not body.model_fields_set:
        raise errors.Invalid("", "name a refresh_token or an access_token")
    if body.refresh_token:
        await logins.revoke(w, body.refresh_token)
    if body.access_token:
        await world.tokens.revoke(w, body.access_token)


@router.get("/oauth2/jwks.json")
async def jwks(w: deps.Anyone) -> dict[str, list[dict[str, Any]]]:
    """Give the public keys that prove our access tokens (RFC 7517)."""
    keys = await logins.signing_keys(w)
    return {"keys": [dict(key) for key in keys.public.values()] if keys else []}


async def _issued(w: Work, issuer: access_tokens.AccessTokens, signed_in: logins.SignedIn) -> Tokens:
    access_token, seconds = await issuer.issue(w, signed_in.person_id, signed_in.token_id)
    return Tokens(access_token=access_token, expires_in=seconds, refresh_token=signed_in.refresh_token)
