"""Endpoints of partners: where events are sent, which ones, how deliveries fared; and sending again what was missed."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import tables, vocabulary
from service.kernel import access, errors
from service.outbox import subscriptions

router = APIRouter(
    prefix="/v1/webhook-endpoints", tags=["webhooks"], route_class=Transactional, dependencies=query.KNOWN_ONLY
)
Url = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=9, max_length=2_000, pattern=r"^https?://[!-~]+$")
]
Type = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")]
Types = Annotated[list[Type], Field(max_length=len(vocabulary.EVENT_TYPES))]
Memoranda = Annotated[list[shapes.Id], Field(max_length=100)]
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_URL = "https://hospital.example/pobratym"
_SECRET = "whsec_" + "A" * 43 + "="
_ENDPOINT = {
    "id": _EXAMPLE_ID,
    "institution_id": _EXAMPLE_ID,
    "url": _URL,
    "types": ["appointment.booked", "appointment.cancelled"],
    "memoranda": [],
    "state": "active",
    "why": None,
    "signature": "v1",
    "public_key": None,
    "failing_since": None,
    "created_by": _EXAMPLE_ID,
    "created_at": "2026-11-20T10:35:00Z",
}
_ATTEMPT = {
    "attempt": 1,
    "at": "2026-11-20T10:35:00Z",
    "duration_ms": 85,
    "outcome": "delivered",
    "status": 204,
    "error": None,
    "response": "",
    "next_attempt_at": None,
}
_DELIVERY = {
    "id": _EXAMPLE_ID,
    "endpoint_id": _EXAMPLE_ID,
    "webhook_id": _EXAMPLE_ID,
    "type": "appointment.booked",
    "state": "delivered",
    "created_at": "2026-11-20T10:35:00Z",
    "next_attempt_at": None,
    "attempts": [_ATTEMPT],
}


class NewEndpoint(shapes.Shape):
    """Where to send events; no `types` means all, no `memoranda` means every one that the institution is a party to.

    `signature` is `v1` (HMAC-SHA256 with a shared secret) or `v1a` (ed25519: you hold our public key only).
    """

    model_config = bodies.like({"url": _URL, "types": ["appointment.booked", "appointment.cancelled"]})
    url: Url
    types: Types = []
    memoranda: Memoranda = []
    signature: vocabulary.SignatureScheme = "v1"
    institution_id: shapes.Id | None = None


class EndpointChanges(shapes.Shape):
    """What is to change; an endpoint that was disabled is `active` again with a clean slate."""

    model_config = bodies.like({"state": "paused"})
    url: Url = bodies.absent()
    types: Types = bodies.absent()
    memoranda: Memoranda = bodies.absent()
    state: vocabulary.WishedEndpointState = bodies.absent()


class Endpoint(shapes.Shape):
    """Where events are sent. `why` says why it is not active: `by_hand`, `gone` (it answered 410) or `failing`.

    `created_by` is the person or the client that registered it.
    """

    model_config = bodies.like(_ENDPOINT)
    id: shapes.Id
    institution_id: shapes.Id
    url: str
    types: list[str]
    memoranda: list[shapes.Id]
    state: vocabulary.EndpointState
    why: str | None
    signature: str
    public_key: str | None
    failing_since: shapes.Instant | None
    created_by: shapes.Id | None
    created_at: shapes.Instant


class MadeEndpoint(Endpoint):
    """A new endpoint. `secret` is shown this once; with `v1a` there is none, and `public_key` verifies."""

    model_config = bodies.like(_ENDPOINT | {"secret": _SECRET})
    secret: shapes.ShownOnce


class RotationWish(shapes.Shape):
    """For how long the earlier secrets sign beside the new one."""

    model_config = bodies.like({"overlap_hours": 24})
    overlap_hours: Annotated[int, Field(ge=0, le=168)] = 24


class Rotated(shapes.Shape):
    """The new secret, shown this once (or the new public key); the earlier ones sign too until `previous_until`."""

    model_config = bodies.like({"secret": _SECRET, "public_key": None, "previous_until": "2026-11-21T10:35:00Z"})
    secret: shapes.ShownOnce
    public_key: str | None
    previous_until: shapes.Instant


class Attempt(shapes.Shape):
    """One try. `error` names what went wrong, `response` is the first of what the receiver said, as text."""

    model_config = bodies.like(_ATTEMPT)
    attempt: int
    at: shapes.Instant
    duration_ms: int
    outcome: str
    status: int | None
    error: str | None
    response: str | None
    next_attempt_at: shapes.Instant | None


class Delivery(shapes.Shape):
    """One event on its way to one endpoint; `webhook_id` is the header on every attempt."""

    model_config = bodies.like(_DELIVERY)
    id: shapes.Id
    endpoint_id: shapes.Id
    webhook_id: shapes.Id
    type: str
    state: vocabulary.DeliveryState
    created_at: shapes.Instant
    next_attempt_at: shapes.Instant | None
    attempts: list[Attempt]


class RecoveryWish(shapes.Shape):
    """From when on; at most 14 days ago."""

    model_config = bodies.like({"since": "2026-11-19T00:00:00Z"})
    since: shapes.Instant


class Recovery(shapes.Shape):
    """How many deliveries were put on their way."""

    model_config = bodies.like({"count": 12})
    count: int


@router.get("", responses=problems.of(errors.Forbidden))
async def listed(w: deps.W, page: deps.Paging) -> shapes.Listing[Endpoint]:
    """List your institution's endpoints."""
    rows, following = page.cut(await subscriptions.page(w, page.after_id(), page.limit), lambda row: (row.id,))
    keys = await subscriptions.public_keys(w, rows)
    return shapes.Listing[Endpoint](items=[_shown(row, keys.get(row.id)) for row in rows], next=following)


@router.post("", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def register(body: NewEndpoint, w: deps.W, world: deps.TheWorld, response: Response) -> MadeEndpoint:
    """Have events sent to an address from now on: https on port 443, and not into anybody's inside."""
    bodies.must_be_outside(world, "/url", body.url)
    fields = body.model_dump(exclude={"institution_id"})
    new_endpoint = await subscriptions.register(w, fields, body.institution_id)
    response.headers["Location"] = f"{router.prefix}/{new_endpoint.row.id}"
    deps.etag(response, new_endpoint.row.version)
    return MadeEndpoint(**_shown(new_endpoint.row, new_endpoint.public_key).model_dump(), secret=new_endpoint.secret)


@router.get("/{endpoint_id}")
async def one(endpoint_id: shapes.Id, w: deps.W, response: Response) -> Endpoint:
    """Read an endpoint; its secret is not shown again."""
    return await _answered(w, response, await access.visible_webhook_endpoint(w, endpoint_id))


@router.patch("/{endpoint_id}", responses=problems.of(errors.Forbidden))
async def change(
    endpoint_id: shapes.Id,
    body: EndpointChanges,
    w: deps.W,
    world: deps.TheWorld,
    expect: deps.IfMatch,
    response: Response,
) -> Endpoint:
    """Change the address or the filters, pause, or go on. What happened meanwhile is sent by `recover`."""
    row = await access.visible_webhook_endpoint(w, endpoint_id, lock=True)
    expect(row)
    changes = bodies.given(body)
    if "url" in changes:
        bodies.must_be_outside(world, "/url", changes["url"])
    await subscriptions.change(w, row, changes)
    return await _answered(w, response, row)


@router.delete("/{endpoint_id}", status_code=204)
async def delete(endpoint_id: shapes.Id, w: deps.W) -> None:
    """Send nothing there any more, and forget its secrets."""
    await subscriptions.delete(w, await access.visible_webhook_endpoint(w, endpoint_id, lock=True))


@router.post("/{endpoint_id}/rotate-secret", responses=problems.of(errors.Conflict))
async def rotate(endpoint_id: shapes.Id, w: deps.W, body: RotationWish | None = None) -> Rotated:
    """Sign with a new secret; the earlier ones sign too for a while, so that nothing is refused meanwhile."""
    row = await access.visible_webhook_endpoint(w, endpoint_id, lock=True)
    new_key, until = await subscriptions.rotate(w, row, timedelta(hours=(body or RotationWish()).overlap_hours))
    return Rotated(secret=new_key.secret, public_key=new_key.public_key, previous_until=until)


@router.post("/{endpoint_id}/test", status_code=202, responses=problems.of(errors.Conflict))
async def test(endpoint_id: shapes.Id, w: deps.W) -> Delivery:
    """Have a `webhook_endpoint.test` sent to this endpoint; its delivery log tells how it fared."""
    row = await access.visible_webhook_endpoint(w, endpoint_id)
    delivery = await subscriptions.test(w, row)
    return _delivery(subscriptions.DeliveryWithAttempts(delivery, subscriptions.TEST_EVENT, ()))


@router.get("/{endpoint_id}/deliveries")
async def deliveries(
    endpoint_id: shapes.Id,
    w: deps.W,
    page: deps.Paging,
    state: Annotated[vocabulary.DeliveryState | None, Query(description="Only those.")] = None,
) -> shapes.Listing[Delivery]:
    """List what was sent there, newest first, each with its newest 50 attempts."""
    row = await access.visible_webhook_endpoint(w, endpoint_id)
    log = await subscriptions.log(w, row, page.after_id(), page.limit, state)
    items, following = page.cut(log, lambda delivery: (delivery.row.id,))
    return shapes.Listing[Delivery](items=[_delivery(delivery) for delivery in items], next=following)


@router.post("/deliveries/{delivery_id}/resend", status_code=202, responses=problems.of(errors.Conflict))
async def resend(delivery_id: shapes.Id, w: deps.W) -> Delivery:
    """Send one delivery again, under the same `webhook-id`, with a schedule of its own."""
    return _delivery(await subscriptions.resend(w, delivery_id))


@router.post("/{endpoint_id}/recover", status_code=202, responses=problems.of(errors.Conflict))
async def recover(endpoint_id: shapes.Id, body: RecoveryWish, w: deps.W) -> Recovery:
    """Send everything that this endpoint missed since then: what failed, and what happened while it was not active."""
    row = await access.visible_webhook_endpoint(w, endpoint_id, lock=True)
    return Recovery(count=await subscriptions.recover(w, row, body.since))


async def _answered(w: deps.W, response: Response, row: tables.WebhookEndpoint) -> Endpoint:
    deps.etag(response, row.version)
    return _shown(row, (await subscriptions.public_keys(w, [row])).get(row.id))


def _shown(row: tables.WebhookEndpoint, public_key: str | None) -> Endpoint:
    return Endpoint(
        id=row.id,
        institution_id=row.institution_id,
        url=row.url,
        types=row.types,
        memoranda=row.memoranda,
        state=row.state,  # type: ignore[arg-type]  # the column's CHECK knows the same words
        why=row.why,
        signature=row.signature,
        public_key=public_key,
        failing_since=row.failing_since,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _delivery(delivery: subscriptions.DeliveryWithAttempts) -> Delivery:
    row = delivery.row
    return Delivery(
        id=row.id,
        endpoint_id=row.endpoint_id,  # type: ignore[arg-type]  # a webhook has one
        webhook_id=row.event_id or row.id,
        type=delivery.type,
        state=row.state,  # type: ignore[arg-type]  # as above
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        attempts=[
            Attempt(
                attempt=attempt.attempt,
                at=attempt.at,
                duration_ms=attempt.duration_ms,
                outcome=attempt.outcome,
                status=attempt.status,
                error=attempt.error,
                response=attempt.response,
                next_attempt_at=attempt.next_attempt_at,
            )
            for attempt in delivery.attempts
        ],
    )
