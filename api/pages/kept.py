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
    "note": ("case", "note"),
    "department": ("new", "department"),
    "tags": ("new", "tags"),
    "email": ("welcome", "email"),
}
"""Context and key of the label of each field that people write in."""
_BUTTONS = {
    "/consultations/new": ("new", "send"),
    "/consultations/{id}/cancel": ("case", "cancel"),
    "/consultations/{id}/assign": ("case", "assign"),
    "/consultations/{id}/consent": ("case", "record_consent"),
    "/consultations/{id}/widen": ("help", "do"),
    "/consultations/{id}/advice": ("case", "give"),
    "/offers/{id}/accept": ("offer", "accept_title"),
    "/offers/{id}/show": ("offer", "show_again"),
    "/offers/{id}/decline": ("offer", "decline"),
    "/offers/{id}/counter": ("counter", "title"),
    "/offers/{id}/counter/accept": ("case", "take"),
    "/offers/{id}/counter/decline": ("case", "take_none"),
    "/appointments/{id}/cancel": ("case", "call_off"),
    "/appointments/{id}/move": ("case", "move_title"),
    "/appointments/{id}/move/decline": ("case", "keep_time"),
    "/appointments/{id}/session": ("case", "log_title"),
    "/appointments/{id}/release": ("case", "release"),
    "/sessions/{id}/feedback": ("case", "follow_up"),
    "/hours": ("hours", "save"),
    "/hours/preview": ("hours", "preview"),
    "/hours/absences": ("hours", "away_then"),
    "/hours/extra": ("hours", "extra"),
    "/hours/removal": ("hours", "remove"),
    "/profile": ("profile", "title"),
    "/profile/languages": ("profile", "languages"),
    "/profile/devices": ("profile", "everywhere"),
    "/profile/devices/{id}": ("page", "sign_out"),
    "/profile/data": ("profile", "download"),
    "/people/{person_id}/address-confirmation": ("people", "confirm"),
    "/people/{person_id}/address": ("people", "change"),
    "/programmes/{id}/policy/rehearsals": ("policy", "rehearse"),
    "/programmes/{id}/policy/rehearsals/{rehearsal_id}/save": ("rehearsal", "save"),
}
"""Context and key of what the button of each form says: whoever sends one again reads first what it does."""
_SHORTEST_TEXT = 40
"""From this length on a value of a field without a label here is shown as text, and not as a choice."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A kept form as its page shows it: what it does, the texts to read, and all that is sent with it.

    `button` is None for a form that is not known here; `page` is the address of its page, which tells what it is.
    """

    id: UUID
    path: str
    page: str
    button: str | None
    created_at: datetime
    until: datetime
    texts: Sequence[tuple[str, str]]
    pairs: Sequence[tuple[str, str]]
    goes_on: bool  # to another step of its form: nothing is done by it yet


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
    return visit.show("kept.html", listed=[_shown(each, visit) for each in found])


def _shown(kept: kept_posts.Kept, visit: frame.Visit) -> _Shown:
    words: Mapping[str, Mapping[str, str]] = visit.words.table
    scope = visit.request.scope
    named = _BUTTONS.get(frame.route_of(scope, "POST", kept.path) or "")
    button = words[named[0]][named[1]] if named else None
    page = frame.page_of(scope, kept.path)
    pairs = parse_qsl(kept.body, keep_blank_values=True, max_num_fields=fields.MOST_FIELDS)
    texts = []
    for name, value in pairs:
        context, key = _LABELS.get(name, ("", ""))
        if value.strip() and (key or len(value) >= _SHORTEST_TEXT) and name not in {"key", "draft"}:
            texts.append((words[context][key] if key else "", value))
    sent = dict(pairs)
    goes_on = "step" in sent and sent.get("to") != "send"
    return _Shown(kept.id, kept.path, page, button, kept.created_at, kept.until, texts, pairs, goes_on)
