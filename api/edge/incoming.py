"""The body of a request: read when somebody wants it, bounded in octets and time, and plain JSON if it says so.

Nobody wants it before it is known whose request it is and what answers it, so that an address that does not exist and
a caller who is nobody cost us the head alone. What was not wanted is not read: the connection ends with the answer
(`connections`).
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from api.edge import plain_json, problems
from service.kernel import clock

MOST_BYTES = {
    "application/json": 1_000_000,
    "application/x-www-form-urlencoded": 64 * 1024,
}
"""How large a body may be by its media type; what is not listed is as a form."""
FILES_PATH, MOST_FILE_BYTES = "/v1/imports", 10_500_000
"""Where files are sent to, and how large such a body may be: the file, its mapping, and what is between them."""
SLOWEST = 1_000
"""Octets a second that a body has to bring, once its first seconds (a setting) are over."""

LATE_SECONDS = 0.05
"""A body that is not there after this, or came in pieces, came late: who sends it is asked for again."""

_LONGEST_LENGTH = 20


def is_announced(headers: Headers) -> bool:
    """Tell whether a body follows the head."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class Body:
    """The body of one request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Read nothing yet."""
        self._headers, self._scope, self._receive = Headers(scope=scope), scope, receive
        self._was_given = False
        scope["state"]["body_came_late"] = False
        self.is_left = is_announced(self._headers)

    async def receive(self) -> Message:
        """Give the whole body at once, then whatever the client does next; raises BadBody, TooLarge or TooSlow."""
        if self._was_given:
            return await self._receive()
        whole = await self._read()
        if whole is None:
            return {"type": "http.disconnect"}
        self._was_given = True
        if whole and plain_json.is_meant(self._headers.get("content-type", "")):
            plain_json.check(whole)
        return {"type": "http.request", "body": whole, "more_body": False}

    async def _read(self) -> bytes | None:
        """Give the octets, or None when the client went away before their end."""
        most = most_bytes(self._headers.get("content-type", ""), self._scope["path"])
        announced = self._headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit() and int(announced[:_LONGEST_LENGTH]) <= most):
            raise problems.TooLarge(most)
        body, began = bytearray(), clock.monotonic()
        while True:
            seconds = self._scope["app"].state.world.settings.body_seconds + len(body) / SLOWEST
            try:
                async with asyncio.timeout(began + seconds - clock.monotonic()):
                    message = await self._receive()
            except TimeoutError:
                raise problems.TooSlow from None
            if message["type"] == "http.disconnect":
                self.is_left = False
                return None
            body += message.get("body", b"")
            self.is_left = message.get("more_body", False)
            if len(body) > most:
                raise problems.TooLarge(most)
            self._scope["state"]["body_came_late"] |= self.is_left or clock.monotonic() - began > LATE_SECONDS
            if not self.is_left:
                return bytes(body)


def most_bytes(content_type: str, path: str = "") -> int:
    """Give how large a body of this media type may be; that of a file that is taken in is larger."""
    if path == FILES_PATH and content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return MOST_FILE_BYTES
    kind = "application/json" if plain_json.is_meant(content_type) else content_type.partition(";")[0].strip().lower()
    return MOST_BYTES.get(kind, MOST_BYTES["application/x-www-form-urlencoded"])
