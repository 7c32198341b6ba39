"""Answers in other forms than JSON: which form is wanted, and files that are made after the transaction.

`Accept` is read as RFC 9110 has it: the highest weight wins, then the most specific range, then JSON. Where no
offered form is accepted, the answer is 406.
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
    """A dependency that gives the form that the caller prefers among those that the route offers."""

    def __init__(self, *forms: vocabulary.ResponseForm) -> None:
        """Offer JSON and these forms."""
        self.forms: tuple[vocabulary.ResponseForm, ...] = ("json", *forms)

    def __call__(self, request: Request) -> vocabulary.ResponseForm:
        """Give the form; answers 406 when none is accepted."""
        form = wanted(",".join(request.headers.getlist("accept")), self.forms)
        if form is None:
            raise HTTPException(406, headers=VARY)
        return form

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
    """Choose among the forms by an `Accept` header; without one the first. What is no media range is ignored."""
    if not accept.strip():
        return forms[0]
    ranges = []
    for part in accept.split(","):
        media_range = _RANGE.fullmatch(part)
        if media_range:
            weight = _WEIGHT.search(media_range[3] or "")
            ranges.append((media_range[1].lower(), media_range[2].lower(), float(weight[1]) if weight else 1.0))
    best: vocabulary.ResponseForm | None = None
    highest = (0.0, -1)
    for form in forms:
        kind, _, subkind = KINDS[form].partition("/")
        matching = [
            ((first != "*") + (second != "*"), weight)
            for first, second, weight in ranges
            if first in ("*", kind) and second in ("*", subkind)
        ]
        exactness, form_weight = max(matching, default=(-1, 0.0))
        if form_weight > 0 and (form_weight, exactness) > highest:
            best, highest = form, (form_weight, exactness)
    return best
