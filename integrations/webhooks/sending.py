"""One webhook to one address: signed as Standard Webhooks 1.0 has it, posted, and the outcome as a value.

What is signed is what is sent. The timestamp is that of the attempt, by the wall clock, because the receiver compares
it with theirs; the id is the event's, on every attempt the same.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519

from integrations import outbound_posts
from service.kernel import clock, outcomes

DEADLINE_SECONDS = 15.0
_TOLERANCE_SECONDS = 300
_OURS = {"Content-Type": "application/json; charset=utf-8"}


def headers_of(message_id: str, content: bytes, at: datetime, signature: str, secrets: Sequence[str]) -> dict[str, str]:
    """Give the headers that let a receiver trust the content; `secrets` are keys in base64, each signs."""
    stamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), stamp.encode(), content))
    signatures = [f"{signature},{base64.b64encode(_signed(signature, key, signed)).decode()}" for key in secrets]
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}


def is_genuine(secret: str, headers: Mapping[str, str], content: bytes, now: datetime) -> bool:
    """Tell whether the content was signed with this `whsec_` secret, within five minutes of now."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(int(stamp[:12]) - now.timestamp()) > _TOLERANCE_SECONDS:
        return False
    key = base64.b64encode(base64.b64decode(secret.removeprefix("whsec_"))).decode()
    at = datetime.fromtimestamp(int(stamp), UTC)
    _, _, ours = headers_of(message_id, content, at, "v1", [key])["webhook-signature"].partition(",")
    signatures = [
        signature.removeprefix("v1,")
        for signature in headers.get("webhook-signature", "").split()
        if signature[:3] == "v1,"
    ]
    return any(hmac.compare_digest(ours.encode(), signature.encode()) for signature in signatures)


def _signed(signature: str, secret: str, content: bytes) -> bytes:
    key = base64.b64decode(secret)
    if signature == "v1a":
        return ed25519.Ed25519PrivateKey.from_private_bytes(key).sign(content)
    return hmac.digest(key, content, hashlib.sha256)


async def post(  # noqa: PLR0913 - what is said, and how it is signed, each by name
    client: httpx.AsyncClient,
    url: str,
    message_id: str,
    body: str,
    *,
    request_id: str | None = None,
    signature: str,
    secrets: Sequence[str],
    deadline_seconds: float = DEADLINE_SECONDS,
) -> outcomes.Outcome:
    """Post the webhook; gives the outcome within the deadline, whatever the receiver does (`outbound_posts`).

    `request_id` names the request that brought it about, for whoever asks us about it.
    """
    content = body.encode()
    headers = _OURS | headers_of(message_id, content, clock.wall(), signature, secrets)
    if request_id:
        headers["X-Request-Id"] = request_id
    return await outbound_posts.post(client, url, content, headers, deadline_seconds=deadline_seconds)
