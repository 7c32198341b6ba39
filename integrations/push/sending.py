"""One push to one browser, by its push service (RFC 8030), and the outcome as a value.

The service sees whose key signed, how urgent it is and for how long it is of use; it reads nothing.
"""

import base64
import hashlib

import httpx

from integrations import outbound_posts
from integrations.push import encryption
from service.kernel import outcomes
from service.outbox.push_subscriptions import Receiver

DEADLINE_SECONDS = 10.0
_GONE = (404, 410)
_REFUSED_US = (400, 401, 403)
_TOO_LARGE = 413
_TOPIC_BYTES = 24


def origin(endpoint: str) -> str:
    """Give the push service of an endpoint, without the path, which is a secret."""
    url = httpx.URL(endpoint)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


async def post(
    client: httpx.AsyncClient,
    receiver: Receiver,
    content: bytes,
    *,
    authorization: str,
    seconds: int,
    about: str,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> outcomes.Outcome:
    """Push the content, encrypted for the receiver; the service keeps it so many `seconds` for a device that is off.

    What is said later about the same thing takes the place of what the device has not taken yet.
    """
    try:
        body = encryption.encrypted(content, receiver.p256dh, receiver.auth)
    except ValueError as fault:
        return outcomes.Unsendable(f"cannot be encrypted: {type(fault).__name__}")
    headers = {
        "Authorization": authorization,
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(max(0, seconds)),
        "Urgency": "high",
        "Topic": base64.urlsafe_b64encode(hashlib.sha256(about.encode()).digest()[:_TOPIC_BYTES]).decode(),
    }
    outcome = await outbound_posts.post(
        client, receiver.endpoint, body, headers, deadline_seconds=deadline_seconds, gone=_GONE
    )
    if isinstance(outcome, outcomes.Retry) and outcome.status in _REFUSED_US:
        return outcomes.Ours(outcome.after_seconds, "key_refused", outcome.status, outcome.response)
    if isinstance(outcome, outcomes.Retry) and outcome.status == _TOO_LARGE:
        return outcomes.Unsendable("too_large", outcome.status, outcome.response)
    return outcome
