"""What each type of event looks like, as JSON Schema: for receivers that check what comes, and for the description.

A type's schema only ever gets wider: a field may be added, and a required one is never left out.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.edge import base_path, query
from service import vocabulary
from service.kernel import errors
from service.outbox import subscriptions

MEDIA_TYPE = "application/schema+json"
router = APIRouter(prefix="/schemas/events", include_in_schema=False, dependencies=query.KNOWN_ONLY)

_ID = {"type": "string", "format": "uuid"}
_INSTANT = {"type": "string", "format": "date-time"}
_COMMON: dict[str, Any] = {
    "id": _ID | {"description": "What changed."},
    "version": {
        "type": "integer",
        "minimum": 1,
        "description": "Rises by one with each change of it: drop what is older.",
    },
    "links": {
        "type": "object",
        "properties": {"self": {"type": "string", "description": "Where it is read, with a token of your own."}},
        "required": ["self"],
    },
}
_NUMBERS = {"type": "object", "description": "A programme's own numbers, as its `policy` has them."}
_CASE = {
    "consultation_id": _ID,
    "consultation_number": {"type": "string", "description": "What people call the case by, such as R-7F3K."},
}
_UNDER = {"memorandum_id": _ID}
_SUBJECTS: dict[str, tuple[tuple[str, ...] | None, dict[str, Any], tuple[str, ...]]] = {
    # its states; the fields beside the common ones; those of them that are always there
    "consultation": (vocabulary.CONSULTATION_STATES, _CASE | _UNDER, ("consultation_id",)),
    "offer": (vocabulary.OFFER_STATES, _CASE | _UNDER, ("consultation_id", "memorandum_id")),
    "appointment": (
        vocabulary.APPOINTMENT_STATUSES,
        _CASE | _UNDER | {"starts_at": _INSTANT},
        ("consultation_id", "memorandum_id", "starts_at"),
    ),
    "advice": (("given",), _CASE | _UNDER, ("consultation_id", "memorandum_id")),
    "session": (
        vocabulary.SESSION_OUTCOMES,
        _CASE | _UNDER | {"corrects": _ID | {"description": "The entry whose place this one takes."}},
        ("consultation_id", "memorandum_id"),
    ),
    "activity": (None, _UNDER | {"state": {"type": "string"}, "corrects": _ID}, ()),
    "memorandum": (vocabulary.MEMORANDUM_STATUSES, _UNDER, ("memorandum_id",)),
    "mentor": (vocabulary.MENTOR_EVENT_STATES, {}, ()),
    "policy": (("saved",), {"old": _NUMBERS, "new": _NUMBERS, "rehearsal_id": _ID}, ("old", "new")),
    "webhook_endpoint": (vocabulary.ENDPOINT_EVENT_STATES, {}, ()),
    "installation": (
        ("restored",),
        {
            "epoch": {"type": "integer", "minimum": 2},
            "lost_after": {"type": "integer", "description": "Later positions of the epoch before exist no more."},
            "resync_from": {"type": "string", "description": "The cursor at which this epoch begins."},
        },
        ("epoch", "lost_after", "resync_from"),
    ),
}


def of(type_: str) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of this type's body."""
    states, fields, required = _SUBJECTS[type_.partition(".")[0]]
    properties = _COMMON | fields | ({"state": {"enum": list(states)}} if states else {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{router.prefix}/{type_}.json",
        "title": type_,
        "type": "object",
        "properties": {
            "type": {"const": type_},
            "timestamp": _INSTANT | {"description": "When it happened."},
            "data": {
                "type": "object",
                "properties": properties,
                "required": ["id", "version", "state", "links", *required],
            },
        },
        "required": ["type", "timestamp", "data"],
    }


def described() -> dict[str, Any]:
    """Give the OpenAPI document's section of webhooks: one POST by us for each type."""
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": description}
        for name, description in (
            ("webhook-id", "The event, the same on every attempt: what you have handled, handle no more."),
            ("webhook-timestamp", "Seconds since 1970 of this attempt."),
            ("webhook-signature", "Signatures of `id.timestamp.body`, separated by spaces (Standard Webhooks 1.0)."),
        )
    ]
    answers = {
        "2XX": {"description": "Taken. Anything else, and no answer within 15 s, is tried again for three days."},
        "410": {"description": "Wanted no more: the endpoint is disabled."},
    }
    return {
        type_: {
            "post": {
                "operationId": f"on_{type_.replace('.', '_')}",
                "summary": f"{type_.replace('.', ' ').replace('_', ' ').capitalize()}",
                "security": [],
                "tags": ["events"],
                "description": f"Sent when `{type_}` has happened.",
                "parameters": headers,
                "requestBody": {"required": True, "content": {"application/json": {"schema": of(type_)}}},
                "responses": answers,
            }
        }
        for type_ in (*vocabulary.EVENT_TYPES, subscriptions.TEST_EVENT)
    }


@router.get("/{type_}.json")
async def one(type_: str, request: Request) -> JSONResponse:
    """Give the schema to anybody; raises NotFound."""
    if type_ not in vocabulary.EVENT_TYPES and type_ != subscriptions.TEST_EVENT:
        raise errors.NotFound
    schema = of(type_)
    schema["$id"] = base_path.outward(request.scope, schema["$id"])
    return JSONResponse(schema, media_type=MEDIA_TYPE, headers={"Cache-Control": "public, max-age=3600"})
