"""One webhook to one address: signed as Standard Webhooks 1.0 has it, posted, and the outcome as a value.

What is signed is what is sent. The timestamp is that of the attempt, by the wall clock, because the receiver compares
it with theirs; the id is the event's, on every attempt the same. A total deadline and a cap on raw bytes are ours: the
client's own timeouts are for each read.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519

from integrations import outbound_http, plain_text
from service.kernel import clock, outcomes

DEADLINE_SECONDS = 15.0
BODY_SECONDS = 2.0
"""How long the rest of an answer is waited for once its status is known: it is kept for the log only."""
_MOST_BYTES = 64 * 1024
_SHOWN_BYTES = 1_024
_TOLERANCE_SECONDS = 300
_GONE = 410
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
    """Post the webhook; gives the outcome within the deadline, whatever the receiver does.

    `request_id` names the request that brought it about, for whoever asks us about it.

    Once the head of the answer has come, its status is the outcome: what goes wrong after it changes nothing.
    """
    content = body.encode()
    headers = _OURS | headers_of(message_id, content, clock.wall(), signature, secrets)
    if request_id:
        headers["X-Request-Id"] = request_id
    outcome: outcomes.Outcome | None = None
    try:
        with outbound_http.at_most(_MOST_BYTES):
            async with (
                asyncio.timeout(deadline_seconds),
                client.stream("POST", url, content=content, headers=headers) as answer,
            ):
                outcome = _outcome(answer, "", is_whole=False)
                text, is_whole = await _beginning(answer)
                outcome = _outcome(answer, text, is_whole=is_whole)
    except (TimeoutError, httpx.TimeoutException):
        return outcome or outcomes.Retry(None, "timeout")
    except outbound_http.Refused:
        return outcomes.Retry(None, "address_refused")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as fault:
        return outcome or outcomes.Retry(None, _name(fault))
    return outcome


def _outcome(answer: httpx.Response, text: str, *, is_whole: bool) -> outcomes.Outcome:
    status = answer.status_code
    if answer.is_success:
        return outcomes.Delivered(status, text, is_whole)
    if status == _GONE:
        return outcomes.Gone("gone", status, text)
    error = "redirect" if answer.is_redirect or status // 100 == 3 else "status"  # noqa: PLR2004 - HTTP's own
    return outcomes.Retry(_retry_after(answer), error, status, text)


async def _beginning(answer: httpx.Response) -> tuple[str, bool]:
    """Give the beginning of the answer, as text that steers nothing, and whether the whole answer came.

    The rest may hang, drip, break off or be garbage: it gets a little time only, as the lane's next calls wait for it.
    """
    first, is_whole = bytearray(), False
    with contextlib.suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(BODY_SECONDS):
            async for part in answer.aiter_raw():
                first += part[: _SHOWN_BYTES - len(first)]
        is_whole = True
    return plain_text.text(first.decode("utf-8", "replace")), is_whole


def _retry_after(answer: httpx.Response) -> int | None:
    """Read how long the receiver wants to be left alone, in seconds or as a date; None if it is neither."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value)
        wait = at.replace(tzinfo=at.tzinfo or UTC) - clock.wall()
    except (ValueError, OverflowError):
        return None
    return max(0, round(wait.total_seconds()))


def _name(fault: BaseException) -> str:
    """Name what went wrong, without quoting what anybody said."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls_failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(fault, outbound_http.TooLarge):
        return "too_large"
    if isinstance(fault, httpx.ConnectError):
        return "connect_failed"
    return "bad_address" if isinstance(fault, httpx.InvalidURL | ValueError) else "broken_answer"
