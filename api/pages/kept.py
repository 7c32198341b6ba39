"""Forms that were sent after their visit had ended: shown to whoever sent them, to be checked and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import shapes
from api.pages import fields, frame
from service.people import kept_posts

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_LABELS = {
    "question": ("case", "question"),
    "text": ("case", "advice_text"),
    "conclusion": ("case", "conclusion"),
    "department": ("new", "department"),
    "tags": ("new", "tags"),
    "email": ("welcome", "email"),
}
"""Context and key of the label of each field that people write in."""
_SHORTEST_TEXT = 40
"""From this length on a value of a field without a label here is shown as text, and not as a choice."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A kept form as its page shows it: the texts to read, and all that is sent with it."""

    id: UUID
    path: str
    created_at: datetime
    until: datetime
    texts: Sequence[tuple[str, str]]
    pairs: Sequence[tuple[str, str]]


@router.get("/kept")
async def listed(visit: frame.Known) -> Response:
    """Show all that waits for the visitor to be sent."""
    return _page(visit, await visit.read(kept_posts.own))


@router.get("/kept/{id}")
async def one(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002 - the path's word
    """Show one form, to be checked and sent; after its day, the form as it is when it is empty."""
    found = await visit.read(lambda w: kept_posts.read(w, id))
    if isinstance(found, kept_posts.Over):
        return frame.tell(visit, frame.see(found.path), "kept_over")
    return _page(visit, [found])


@router.post("/kept/{id}/drop")
async def drop(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Throw one away."""
    await fields.sent(visit.request)
    await visit.do(lambda w: kept_posts.drop(w, id))
    return frame.see("/kept")


def _page(visit: frame.Visit, found: Sequence[kept_posts.Kept]) -> Response:
    return visit.show("kept.html", listed=[_shown(each, visit.words.table) for each in found])


def _shown(kept: kept_posts.Kept, words: Mapping[str, Mapping[str, str]]) -> _Shown:
    pairs = parse_qsl(kept.body, keep_blank_values=True, max_num_fields=fields.MOST_FIELDS)
    texts = []
    for name, value in pairs:
        context, key = _LABELS.get(name, ("", ""))
        if value.strip() and (key or len(value) >= _SHORTEST_TEXT) and name not in {"key", "draft"}:
            texts.append((words[context][key] if key else "", value))
    return _Shown(kept.id, kept.path, kept.created_at, kept.until, texts, pairs)
