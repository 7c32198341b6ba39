"""Problems at addresses that are no pages, or before a page knows its visitor, as pages of their own.

They ask the database nothing, since it may be what is away: whoever looks is a stranger to them.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from api.edge import problems
from api.pages import frame

_SERVER_FAULT = 500


def page(scope: Mapping[str, Any], name: str, headers: Mapping[str, str]) -> Response:
    """Give the page of the problem: what it means and what to do, in the language of the browser."""
    visit = frame.strangers_visit(Request(scope))  # type: ignore[arg-type]  # a mapping will do
    status, _ = problems.catalogue()[name]
    texts = visit.words.problem(name) or visit.words.table["problems.other"]
    reference = scope["state"]["request_id"] if status >= _SERVER_FAULT else None
    answer = visit.show("message.html", status, title=texts["title"], text=texts["advice"], reference=reference)
    for header, value in headers.items():
        answer.headers[header] = value
    return answer
