"""Devices on which one is told at once (Web Push): what happens beside the mail, see `notices` of the preferences."""

from fastapi import APIRouter, Request

from api.edge import bodies, deps, problems, push_receivers, query, shapes
from api.edge.transactional import Transactional
from service.kernel import errors
from service.outbox import push_subscriptions
from service.people import people

router = APIRouter(tags=["people"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"


class PushKey(shapes.Shape):
    """The key that a browser wants as `applicationServerKey`: a point of P-256 in base64url, the same for good."""

    model_config = bodies.like({"public_key": push_receivers.EXAMPLE_POINT})
    public_key: str


class Subscription(shapes.Shape):
    """A device that you are told on. Its address and keys are kept sealed, and are given to nobody."""

    model_config = bodies.like({"id": _EXAMPLE_ID, "device": "Firefox, Android", "since": "2026-11-30T09:00:00Z"})
    id: shapes.Id
    device: str | None
    since: shapes.Instant


class MadeSubscription(shapes.Shape):
    """The subscription that there is now."""

    model_config = bodies.like({"id": _EXAMPLE_ID})
    id: shapes.Id


@router.get("/v1/push-key", responses=problems.of(errors.Forbidden))
async def key(w: deps.W) -> PushKey:
    """Give the key by which this installation signs what it pushes (VAPID)."""
    await people.oneself(w)
    return PushKey(public_key=(await push_subscriptions.signing_key(w)).public)


@router.get("/v1/me/push-subscriptions", responses=problems.of(errors.Forbidden))
async def listed(w: deps.R) -> shapes.Listing[Subscription]:
    """List the devices that you are told on, the newest first; 10 at most."""
    await people.oneself(w)
    return shapes.Listing[Subscription](
        items=[
            Subscription(id=device.id, device=device.name, since=device.since)
            for device in await push_subscriptions.devices(w)
        ],
        next=None,
    )


@router.post("/v1/me/push-subscriptions", status_code=201, responses=problems.of(errors.Forbidden))
async def subscribe(
    body: push_receivers.NewSubscription, w: deps.W, world: deps.TheWorld, request: Request
) -> MadeSubscription:
    """Be told on a device, as long as the sign-in lasts to which your token belongs; the same endpoint keeps its id.

    What comes is chosen by `notices` of your preferences: `offer.push`, `call.push`.
    """
    receiver = push_receivers.checked(world, body)
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    token_id = await world.tokens.id_of(w, token)
    family_id = await push_subscriptions.family_of(w, token_id)
    return MadeSubscription(id=await push_subscriptions.subscribe(w, receiver, family_id, None))


@router.delete("/v1/me/push-subscriptions/{subscription_id}", status_code=204, responses=problems.of(errors.Forbidden))
async def unsubscribe(subscription_id: shapes.Id, w: deps.W) -> None:
    """Be told on this device no more."""
    await push_subscriptions.unsubscribe(w, subscription_id)
