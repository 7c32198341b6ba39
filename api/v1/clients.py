"""Partner systems: registered by the coordinators of their institution and by admins, in the words of RFC 7591."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from integrations.identity import key_sets
from service import vocabulary
from service.kernel import access, errors
from service.people import clients

router = APIRouter(tags=["partner systems"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
Scope = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[a-z:]+( [a-z:]+)*$"),
    Field(
        description="Separated by spaces: " + "; ".join(f"`{name}`: {text}" for name, text in vocabulary.SCOPES.items())
    ),
]
Jwks = Annotated[
    dict[str, Any],
    Field(
        description="A set of public keys (RFC 7517): EC P-256 or P-384, or RSA of 2048 to 4096 bits, each with a kid."
    ),
]
JwksUri = Annotated[
    str,
    StringConstraints(min_length=9, max_length=2_000, pattern=r"^https?://[!-~]+$"),
    Field(description="Where the set of keys is fetched: https on port 443, a public address."),
]
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_MOST_HOURS = int(clients.LONGEST_OVERLAP / timedelta(hours=1))
_USUAL_HOURS = int(clients.OVERLAP / timedelta(hours=1))
_WISH = {
    "institution_id": _EXAMPLE_ID,
    "client_name": "Hospital information system",
    "scope": "appointments:write availability:write",
    "token_endpoint_auth_method": "client_secret_basic",
}
_CLIENT = _WISH | {
    "client_id": _EXAMPLE_ID,
    "jwks": None,
    "jwks_uri": None,
    "secrets": [{"created_at": "2026-11-16T08:00:00Z", "expires_at": None, "last_used_at": None}],
    "created_at": "2026-11-16T08:00:00Z",
    "last_used_at": None,
    "refused_at": "2026-11-16T09:00:00Z",
    "refused_for": "audience",
    "revoked_at": None,
}


class NewClient(shapes.Shape):
    """A partner system to register. With `private_key_jwt`, give `jwks` or `jwks_uri`."""

    model_config = bodies.like(_WISH)
    institution_id: shapes.Id
    client_name: shapes.Line
    scope: Scope
    token_endpoint_auth_method: vocabulary.AuthMethod = "client_secret_basic"  # noqa: S105 - a method's name
    jwks: Jwks = bodies.absent()
    jwks_uri: JwksUri = bodies.absent()


class ClientChanges(shapes.Shape):
    """What is to change; `jwks` and `jwks_uri` take each other's place."""

    model_config = bodies.like({"scope": "availability:write"})
    client_name: shapes.Line = bodies.absent()
    scope: Scope = bodies.absent()
    jwks: Jwks = bodies.absent()
    jwks_uri: JwksUri = bodies.absent()


class Secret(shapes.Shape):
    """A secret that counts, never shown again; one with `expires_at` was rotated away."""

    created_at: shapes.Instant
    expires_at: shapes.Instant | None
    last_used_at: shapes.Instant | None


class Client(shapes.Shape):
    """A partner system. `last_used_at` is when it last got a token.

    `refused_at` is when a proof in its name was refused last, and `refused_for` why: you are told, the system is not.
    """

    model_config = bodies.like(_CLIENT)
    client_id: shapes.Id
    institution_id: shapes.Id
    client_name: str
    scope: str
    token_endpoint_auth_method: str
    jwks: dict[str, Any] | None
    jwks_uri: str | None
    secrets: list[Secret]
    created_at: shapes.Instant
    last_used_at: shapes.Instant | None
    refused_at: shapes.Instant | None
    refused_for: vocabulary.ProofFault | None
    revoked_at: shapes.Instant | None


class ClientWithSecret(Client):
    """A partner system and its new secret, which is shown this once; null for one that has keys."""

    model_config = bodies.like(_CLIENT | {"client_secret": "kT5w…"})
    client_secret: shapes.ShownOnce


class Rotation(shapes.Shape):
    """How long the old secret goes on beside the new one, in hours; 0 ends it now."""

    model_config = bodies.like({"overlap_hours": _USUAL_HOURS})
    overlap_hours: Annotated[int, Field(ge=0, le=_MOST_HOURS)] = _USUAL_HOURS


@router.post("/v1/clients", status_code=201, responses=problems.of(errors.Forbidden))
async def register(body: NewClient, w: deps.W, world: deps.TheWorld, response: Response) -> ClientWithSecret:
    """Register a partner system of your institution. Its secret is in this answer and nowhere else."""
    if body.jwks_uri is not None:
        bodies.must_be_outside(world, "/jwks_uri", body.jwks_uri)
    registration = clients.Registration(
        institution_id=body.institution_id,
        name=body.client_name,
        scopes=tuple(body.scope.split(" ")),
        method=body.token_endpoint_auth_method,
        jwks=_keys(body.jwks),
        jwks_uri=body.jwks_uri,
    )
    view, secret = await clients.register(w, registration)
    response.headers["Location"] = f"/v1/clients/{view.row.id}"
    return _with_secret(response, view, secret)


@router.get("/v1/clients")
async def listed(w: deps.W, page: deps.Paging, institution_id: shapes.Id | None = None) -> shapes.Listing[Client]:
    """List the partner systems that you keep, revoked ones too: those of your institution, all for an admin."""
    views = await clients.page(w, after=page.after_id(), limit=page.limit, institution_id=institution_id)
    items, following = page.cut(views, lambda view: (view.row.id,))
    return shapes.Listing[Client](items=[_shown(view) for view in items], next=following)


@router.get("/v1/clients/{client_id}")
async def one(client_id: shapes.Id, w: deps.W, response: Response) -> Client:
    """Read a partner system that you keep."""
    return _answered(response, (await clients.views(w, [await access.visible_client(w, client_id)]))[0])


@router.patch("/v1/clients/{client_id}", responses=problems.of(errors.Conflict))
async def change(
    client_id: shapes.Id,
    body: ClientChanges,
    w: deps.W,
    world: deps.TheWorld,
    expect: deps.IfMatch,
    response: Response,
) -> Client:
    """Change a partner system. What its scopes lose, its tokens lose at once."""
    row = await access.visible_client(w, client_id, lock=True)
    expect(row)
    changes = bodies.given(body)
    if "client_name" in changes:
        changes["name"] = changes.pop("client_name")
    if "scope" in changes:
        changes["scopes"] = tuple(changes.pop("scope").split(" "))
    if "jwks_uri" in changes:
        bodies.must_be_outside(world, "/jwks_uri", changes["jwks_uri"])
    if "jwks" in changes:
        changes["jwks"] = _keys(changes["jwks"])
    return _answered(response, await clients.change(w, row, changes))


@router.delete("/v1/clients/{client_id}", status_code=204)
async def revoke(client_id: shapes.Id, w: deps.W) -> None:
    """Revoke a partner system for ever: its tokens, secrets and keys prove nothing from the next request on."""
    await clients.revoke(w, await access.visible_client(w, client_id, lock=True))


@router.post("/v1/clients/{client_id}/rotate-secret", responses=problems.of(errors.Conflict))
async def rotate(client_id: shapes.Id, body: Rotation, w: deps.W, response: Response) -> ClientWithSecret:
    """Give a partner system a new secret; the old one goes on for the overlap, so that nothing stops meanwhile."""
    row = await access.visible_client(w, client_id, lock=True)
    view, secret = await clients.rotate(w, row, timedelta(hours=body.overlap_hours))
    return _with_secret(response, view, secret)


def _keys(jwks: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give the checked keys of the set, with the members that we use; raises Invalid."""
    if jwks is None:
        return None
    try:
        return key_sets.checked(jwks)
    except key_sets.BadKeySet as error:
        raise errors.Invalid(f"/jwks{error.pointer}", error.detail) from None


def _shown(view: clients.ClientView) -> Client:
    row = view.row
    return Client.model_validate(
        {
            "client_id": row.id,
            "institution_id": row.institution_id,
            "client_name": row.name,
            "scope": " ".join(row.scopes),
            "token_endpoint_auth_method": row.token_endpoint_auth_method,
            "jwks": row.jwks,
            "jwks_uri": row.jwks_uri,
            "secrets": [
                Secret(created_at=secret.created_at, expires_at=secret.expires_at, last_used_at=secret.last_used_at)
                for secret in view.secrets
            ],
            "created_at": row.created_at,
            "last_used_at": row.last_used_at,
            "refused_at": row.refused_at,
            "refused_for": row.refused_for,
            "revoked_at": row.revoked_at,
        }
    )


def _answered(response: Response, view: clients.ClientView) -> Client:
    deps.etag(response, view.row.version)
    return _shown(view)


def _with_secret(response: Response, view: clients.ClientView, secret: str | None) -> ClientWithSecret:
    return ClientWithSecret(**_answered(response, view).model_dump(), client_secret=secret)
