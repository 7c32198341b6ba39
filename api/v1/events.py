"""The caller's events in one order without gaps: the content of the webhooks, for callers that would rather ask."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from api.edge import bodies, deps, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors
from service.outbox import events

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=Transactional)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_EVENT = {
    "id": _EXAMPLE_ID,
    "type": "appointment.booked",
    "timestamp": "2026-11-20T10:35:00Z",
    "data": {
        "id": _EXAMPLE_ID,
        "version": 1,
        "consultation_id": _EXAMPLE_ID,
        "memorandum_id": _EXAMPLE_ID,
        "state": "booked",
        "starts_at": "2026-11-21T15:00:00Z",
        "links": {"self": f"/v1/appointments/{_EXAMPLE_ID}"},
    },
}
_TypeList = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[a-z0-9_.]+(,[a-z0-9_.]+)*$")]


class Event(shapes.Shape):
    """One change of one subject; `id` is the `webhook-id` of its webhook, the other fields are the webhook's body."""

    model_config = bodies.like(_EVENT)
    id: shapes.Id
    type: str
    timestamp: shapes.Instant
    data: dict[str, Any]


class Events(shapes.Listing[Event]):
    """Events in their order. `cursor` is the `after` of whoever asks again later, whether or not others follow now."""

    model_config = bodies.like({"items": [_EVENT], "next": None, "cursor": "WzQyXQ"})
    cursor: str


@router.get("")
async def listed(
    w: deps.W,
    page: deps.Paging,
    types: Annotated[_TypeList | None, Query(description="Only these, by comma.")] = None,
    memorandum: Annotated[shapes.Id | None, Query(description="Only those under this memorandum.")] = None,
) -> Events:
    """List what concerns you, or the institution you keep, in the order in which it became known; kept for 30 days.

    Remember `cursor` and ask with it again: nothing is left out, and nothing comes twice.
    """
    type_names = types.split(",") if types else []
    unknown = [type_ for type_ in type_names if type_ not in vocabulary.EVENT_TYPES]
    if unknown:
        raise errors.Invalid("/query/types", "no event has this type")
    after = page.after_number() or 0
    rows, following = page.cut(
        await events.feed(w, after=after, limit=page.limit, types=type_names, memorandum_id=memorandum),
        lambda row: (row.position,),
    )
    items = [Event.model_validate({"id": row.id, **events.read(row.body)}) for row in rows]
    return Events(items=items, next=following, cursor=deps.cursor(rows[-1].position if rows else after))
