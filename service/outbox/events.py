"""The catalogue of events, and the one way to record one: in the transaction of the change it tells of.

A payload is thin (invariant W1): ids, state, times, links; never case text or contact data. One event per subject
and change; `record` lets the subject's version rise, so that a consumer can drop what is stale.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import clock, paging
from service.kernel.work import Work
from service.tables import columns

_LINKS = {  # where a receiver reads more, with a token of its own
    "consultation": {"self": "/v1/consultations/{id}"},
    "offer": {"self": "/v1/offers/{id}"},
    "appointment": {"self": "/v1/appointments/{id}"},
    # Advice is case text, which no partner system reads: they get the consultation too.
    "advice": {
        "self": "/v1/consultations/{consultation_id}/advice",
        "consultation": "/v1/consultations/{consultation_id}",
    },
    "session": {"self": "/v1/sessions/{id}"},
    "memorandum": {"self": "/v1/memoranda/{id}"},
    "mentor": {"self": "/v1/mentors/{id}/availability"},
    "activity": {"self": "/v1/activities/{id}"},
    "policy": {"self": "/v1/programmes/{id}"},
    "webhook_endpoint": {"self": "/v1/webhook-endpoints/{id}"},
    "installation": {"self": "/v1/events?after={resync_from}"},
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom an event concerns, beside the programme's admins: both institutions, the people of the case."""

    programme_id: UUID | None = None
    memorandum_id: UUID | None = None
    institution_ids: tuple[UUID, ...] = ()
    person_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event that exists once the unit of work is committed."""

    id: UUID


def instant(at: datetime) -> str:
    """Write an instant as RFC 3339 in UTC, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def record(  # noqa: PLR0913 - the payload's fields, each by name
    w: Work,
    type_: vocabulary.EventType,
    subject: columns.Versioned | None,
    subject_id: UUID,
    audience: Audience,
    *,
    state: str,
    consultation_id: UUID | None = None,
    consultation_number: str | None = None,
    starts_at: datetime | None = None,
    corrects: UUID | None = None,
    position: int | None = None,
    more: Mapping[str, object] | None = None,
) -> Recorded:
    """Record one change of `subject`; a subject without versions (a session, an advice) is None, and at version 1.

    Its position is given once it is committed, unless whoever holds `installation.LOCK_POSITIONS` gives it; `more` are
    facts that events of this type alone have.
    """
    if type_ not in vocabulary.EVENT_TYPES:
        raise ValueError(type_)
    version = 1
    if subject is not None:
        subject.version += 1
        version = subject.version
    data: dict[str, object] = {"id": str(subject_id), "version": version}
    optional = {
        "consultation_id": consultation_id and str(consultation_id),
        "consultation_number": consultation_number,
        "memorandum_id": audience.memorandum_id and str(audience.memorandum_id),
        "state": state,
        "starts_at": starts_at and instant(starts_at),
        "corrects": corrects and str(corrects),
    }
    data |= {name: value for name, value in optional.items() if value is not None}
    data |= more or {}
    links = _LINKS[type_.partition(".")[0]]
    data["links"] = {name: w.base_path + path.format(**data) for name, path in links.items()}
    row_id = clock.new_id()
    values = {
        "id": row_id,
        "position": position,
        "type": type_,
        "subject_id": subject_id,
        "subject_version": version,
        "programme_id": audience.programme_id,
        "memorandum_id": audience.memorandum_id,
        "institution_ids": _unique(audience.institution_ids),
        "person_ids": _unique(audience.person_ids),
        "occurred_at": w.now,
        "body": body(type_, w.now, data),
    }
    w.write(tables.Event, values)
    return Recorded(row_id)


def body(type_: str, at: datetime, data: Mapping[str, object]) -> str:
    """Write what every receiver gets (invariant W2): the bytes that are signed are these, in UTF-8."""
    return json.dumps(
        {"type": type_, "timestamp": instant(at), "data": data}, ensure_ascii=False, separators=(",", ":")
    )


def read(text: str) -> dict[str, Any]:
    """Read what `body` wrote."""
    content: dict[str, Any] = json.loads(text)
    return content


async def feed(
    w: Work, *, after: int, limit: int, types: Sequence[str] = (), memorandum_id: UUID | None = None
) -> list[tables.Event]:
    """Give the events that the actor may see after a position, in their order: one more than `limit` at most.

    Events without a position are left out, so no event will ever appear before one that was given.
    """
    event = tables.Event
    filters: list[ColumnElement[bool]] = []
    if types:
        filters.append(col(event.type).in_(types))
    if memorandum_id is not None:
        filters.append(col(event.memorandum_id) == memorandum_id)
    return await paging.rows(w, event, *filters, after=after, limit=limit, order=("position",))


def _unique(ids: Iterable[UUID]) -> list[UUID]:
    return sorted(set(ids))
