"""Answers in other forms than JSON: which form is wanted, and files that are made after the transaction.

`Accept` is read as RFC 9110 has it: the highest weight wins, then the range that names most, then JSON. Where nothing
that is offered will do, the answer is 406.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from fastapi import HTTPException, Request, Response
from starlette.types import Receive, Scope, Send

from service import vocabulary

KINDS: dict[vocabulary.ResponseForm, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
"""The media type of each form."""
VARY = {"Vary": "Accept"}

_RANGE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)/([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;(.*))?", re.DOTALL)
_WEIGHT = re.compile(r"(?:^|;)\s*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)")
_CHUNK = 65_536


class Offered:
    """A dependency that gives the form that the caller wants most of those that the route offers."""

    def __init__(self, *forms: vocabulary.ResponseForm) -> None:
        """Offer JSON and these forms."""
        self.forms: tuple[vocabulary.ResponseForm, ...] = ("json", *forms)

    def __call__(self, request: Request) -> vocabulary.ResponseForm:
        """Give the form; answers 406 when none will do."""
        found = wanted(",".join(request.headers.getlist("accept")), self.forms)
        if found is None:
            raise HTTPException(406, headers=VARY)
        return found

    def described(self) -> dict[int | str, dict[str, Any]]:
        """Describe the forms beside JSON: `responses=offered.described()`."""
        kinds = {KINDS[form]: {"schema": {"type": "string"}} for form in self.forms[1:]}
        return {200: {"content": kinds}}


class Later(Response):
    """A file that a thread finishes once the transaction is over: neither the loop nor a connection waits for it."""

    def __init__(self, finish: Callable[[], BinaryIO], form: vocabulary.ResponseForm, name: str) -> None:
        """Send what `finish` gives; `name` is ASCII, without quotes and without its ending."""
        disposition = f'attachment; filename="{name}.{form}"'
        super().__init__(media_type=KINDS[form], headers=VARY | {"Content-Disposition": disposition})
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Finish the file and send it, a piece at a time."""
        del scope, receive
        file = await asyncio.to_thread(self._finish)
        with file:
            headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            while piece := await asyncio.to_thread(file.read, _CHUNK):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def wanted(accept: str, forms: tuple[vocabulary.ResponseForm, ...]) -> vocabulary.ResponseForm | None:
    """Choose among the forms by an `Accept` header; without one the first. What is no media range is passed over."""
    if not accept.strip():
        return forms[0]
    ranges = []
    for part in accept.split(","):
        found = _RANGE.fullmatch(part)
        if found:
            weight = _WEIGHT.search(found[3] or "")
            ranges.append((found[1].lower(), found[2].lower(), float(weight[1]) if weight else 1.0))
    best: vocabulary.ResponseForm | None = None
    highest = (0.0, -1)
    for form in forms:
        kind, _, subkind = KINDS[form].partition("/")
        matching = [
            ((first != "*") + (second != "*"), weight)
            for first, second, weight in ranges
            if first in ("*", kind) and second in ("*", subkind)
        ]
        exactness, weight_of = max(matching, default=(-1, 0.0))
        if weight_of > 0 and (weight_of, exactness) > highest:
            best, highest = form, (weight_of, exactness)
    return best
