"""The caller's events in one order without gaps: the content of the webhooks, for callers that would rather ask."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from api.edge import bodies, deps, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors, installation
from service.outbox import events
from service.rules import restores

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
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


class Restored(shapes.Shape):
    """The database was restored: what you read after the cursor `lost_after` may exist no more.

    The items follow the cursor `resync_from`. A cursor is `epoch.position`, and each restore begins an epoch.
    """

    model_config = bodies.like({"lost_after": "1.20", "resync_from": "2.999999.4021907412"})
    lost_after: str
    resync_from: str


class Events(shapes.Listing[Event]):
    """Events in their order. `cursor` is the `after` of whoever asks again later, whether or not others follow now."""

    model_config = bodies.like({"items": [_EVENT], "next": None, "cursor": "WzQyXQ", "restored": None})
    cursor: str
    restored: Restored | None = None


@router.get("")
async def listed(
    w: deps.W,
    page: deps.EventsPaging,
    types: Annotated[_TypeList | None, Query(description="Only these, by comma.")] = None,
    memorandum: Annotated[shapes.Id | None, Query(description="Only those under this memorandum.")] = None,
) -> Events:
    """List what concerns you, or the institution you keep, in the order in which it became known; kept for 30 days.

    Remember `cursor` and ask with it again: nothing is left out, and nothing comes twice. After a restore of the
    database `restored` tells whether something that you have read exists no more.
    """
    type_names = types.split(",") if types else []
    unknown = [type_ for type_ in type_names if type_ not in vocabulary.EVENT_TYPES]
    if unknown:
        raise errors.Invalid("/query/types", "no event has this type")
    epochs = await installation.epochs(w)
    resumption = restores.resume(epochs, page.after)
    if resumption is None:
        raise errors.Invalid("/query/after", "names an epoch that this database never had: ask without `after`")
    rows = await events.feed(
        w, after=resumption.after.position, limit=page.limit, types=type_names, memorandum_id=memorandum
    )
    items = [Event.model_validate({"id": row.id, **events.read(row.body)}) for row in rows[: page.limit]]
    end = rows[len(items) - 1].position if items else None
    cursor = deps.event_cursor(resumption.after if end is None else restores.cursor_at(epochs, end))
    lost_after = resumption.lost_after
    restored = Restored(lost_after=str(lost_after), resync_from=str(resumption.after)) if lost_after else None
    return Events(items=items, next=cursor if len(rows) > page.limit else None, cursor=cursor, restored=restored)
