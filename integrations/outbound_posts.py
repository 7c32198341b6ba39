"""One POST to an address that others name, and what came of it as a value: webhooks, pushes, text messages.

A total deadline and a cap on raw bytes are ours: the client's own timeouts are for each read (`outbound_http`).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

from integrations import outbound_http, plain_text
from service.kernel import clock, outcomes

BODY_SECONDS = 2.0
"""How long the rest of an answer is waited for once its status is known: it is kept for the log only."""
_MOST_BYTES = 64 * 1024
_SHOWN_BYTES = 1_024
_GONE = 410


async def post(
    client: httpx.AsyncClient,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    deadline_seconds: float,
    gone: Collection[int] = (_GONE,),
) -> outcomes.Outcome:
    """Post the content; gives the outcome within the deadline, whatever the receiver does.

    A status of `gone` says that the receiver has ended. Once the head of the answer has come, its status is the
    outcome: what goes wrong after it changes nothing.
    """
    outcome: outcomes.Outcome | None = None
    try:
        with outbound_http.at_most(_MOST_BYTES):
            async with (
                asyncio.timeout(deadline_seconds),
                client.stream("POST", url, content=content, headers=dict(headers)) as answer,
            ):
                outcome = _outcome(answer, gone, "", is_whole=False)
                text, is_whole = await _beginning(answer)
                outcome = _outcome(answer, gone, text, is_whole=is_whole)
    except (TimeoutError, httpx.TimeoutException):
        return outcome or outcomes.Retry(None, "timeout")
    except outbound_http.Refused:
        return outcomes.Retry(None, "address_refused")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as fault:
        return outcome or outcomes.Retry(None, _name(fault))
    return outcome


def _outcome(answer: httpx.Response, gone: Collection[int], text: str, *, is_whole: bool) -> outcomes.Outcome:
    status = answer.status_code
    if answer.is_success:
        return outcomes.Delivered(status, text, is_whole)
    if status in gone:
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
