"""Where a browser is pushed to, as it says itself: what the API and the pages both take."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from api.edge import bodies, shapes
from integrations.push import encryption
from integrations.runtime.world import World
from service.kernel import errors
from service.outbox.push_subscriptions import Receiver

EXAMPLE_POINT = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
Key = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_=-]+$")
]
Endpoint = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=9, max_length=2_000, pattern=r"^https?://[!-~]+$"),
]


class PushKeys(shapes.Shape):
    """The keys of a subscription, in base64url: a point of P-256, and 16 bytes."""

    p256dh: Key
    auth: Key


class NewSubscription(shapes.Shape):
    """A subscription as `PushSubscription.toJSON()` gives it; its `expirationTime` is not needed."""

    model_config = bodies.like(
        {
            "endpoint": "https://push.example/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
            "keys": {"p256dh": EXAMPLE_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
        }
    )
    endpoint: Endpoint
    keys: PushKeys
    expiration_time: Annotated[float | None, Field(alias="expirationTime")] = None


def checked(world: World, given: NewSubscription) -> Receiver:
    """Give the receiver; raises Invalid for an address that is not called from here, or what is no key."""
    bodies.must_be_outside(world, "/endpoint", given.endpoint)
    readers = {"p256dh": encryption.public_key, "auth": encryption.auth_secret}
    for name, read_key in readers.items():
        try:
            read_key(getattr(given.keys, name))
        except encryption.BadKey:
            raise errors.Invalid(f"/keys/{name}", "is no key of a push subscription") from None
    return Receiver(given.endpoint, given.keys.p256dh, given.keys.auth)


def read(world: World, text: str) -> Receiver:
    """Give the receiver of a subscription that a page's script sent as JSON; raises Invalid."""
    try:
        given = NewSubscription.model_validate_json(text)
    except ValidationError:
        raise errors.Invalid("/made", "is no key of a push subscription") from None
    return checked(world, given)
