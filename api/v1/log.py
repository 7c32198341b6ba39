"""The log of a memorandum: its chain, entry by entry, and whether it holds."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field, TypeAdapter

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1 import activities
from service.kernel import errors
from service.registry import memorandum_log

router = APIRouter(
    prefix="/v1/memoranda/{id}/log", tags=["log"], route_class=Transactional, dependencies=query.KNOWN_ONLY
)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_MARK = 16  # digits of a hash that tell two entries apart
_GENESIS, _HASH = "0" * 64, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FACTS = {
    "kind": "session",
    "session_id": _EXAMPLE_ID,
    "appointment_id": _EXAMPLE_ID,
    "consultation_id": _EXAMPLE_ID,
    "memorandum_id": _EXAMPLE_ID,
    "programme_id": _EXAMPLE_ID,
    "route": "direct",
    "is_memorandum_chosen_anew": False,
    "mode": "live",
    "specialty": "paed",
    "priority": "urgent",
    "requesting_institution_id": _EXAMPLE_ID,
    "partner_institution_id": _EXAMPLE_ID,
    "clinician_id": _EXAMPLE_ID,
    "mentor_id": _EXAMPLE_ID,
    "participants": [_EXAMPLE_ID],
    "started_at": "2026-11-20T10:02:00Z",
    "ended_at": "2026-11-20T10:31:00Z",
    "minutes": 29,
    "outcome": "advice_given",
    "is_civil_for_requester": True,
    "is_civil_for_mentor": True,
}


class SessionFacts(shapes.Shape):
    """What an entry seals of a session or an advice: ids, times, codes and counts."""

    model_config = bodies.like(_FACTS)
    kind: Literal["session"]
    session_id: shapes.Id
    appointment_id: shapes.Id | None
    consultation_id: shapes.Id
    memorandum_id: shapes.Id
    programme_id: shapes.Id
    route: str
    is_memorandum_chosen_anew: bool
    mode: str
    specialty: str
    priority: str
    requesting_institution_id: shapes.Id
    partner_institution_id: shapes.Id
    clinician_id: shapes.Id
    mentor_id: shapes.Id
    participants: list[shapes.Id]
    started_at: shapes.Instant
    ended_at: shapes.Instant
    minutes: int
    outcome: str
    is_civil_for_requester: bool
    is_civil_for_mentor: bool


class ActivityFacts(shapes.Shape):
    """What an entry seals of an activity: ids, days, codes, counts and its source's SHA-256; of the note nothing."""

    kind: Literal["activity"]
    activity_id: shapes.Id
    memorandum_id: shapes.Id
    programme_id: shapes.Id
    activity: str
    published_kind: str | None
    on: shapes.Day | None
    period: str | None
    from_: Annotated[shapes.Day | None, Field(alias="from")]
    until: shapes.Day | None
    days: int | None
    people: activities.People | None
    specialties: list[str]
    institutions: list[activities.Place]
    source_sha256: str | None


Facts = Annotated[SessionFacts | ActivityFacts, Field(discriminator="kind")]
_facts: TypeAdapter[SessionFacts | ActivityFacts] = TypeAdapter(Facts)


class LogEntry(shapes.Shape):
    """One entry; `hash` is SHA-256 over `previous_hash` and the other fields in the canonical form of RFC 8785."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            "memorandum_id": _EXAMPLE_ID,
            "position": 1,
            "kind": "session",
            "corrects": None,
            "logged_at": "2026-11-20T10:35:00Z",
            "logged_by": _EXAMPLE_ID,
            "facts": _FACTS,
            "previous_hash": _GENESIS,
            "hash": _HASH,
        }
    )
    id: shapes.Id
    memorandum_id: shapes.Id
    position: int
    kind: str
    corrects: shapes.Id | None
    logged_at: shapes.Instant
    logged_by: shapes.Id | None
    facts: Facts | None
    previous_hash: str
    hash: str


class LogVerification(shapes.Shape):
    """Whether the chain holds: how many entries do, the last good hash, and the first entry that does not.

    `first_broken` is an entry's id, `head` when the end of the chain is missing, or the id of a session or an activity
    that names the memorandum and has no entry.
    """

    model_config = bodies.like({"ok": True, "entries": 12, "head": _HASH, "first_broken": None})
    ok: bool
    entries: int
    head: str
    first_broken: str | None


@router.get("", responses=problems.of(errors.Forbidden, errors.LogForked))
async def log(w: deps.W, id: shapes.Id, page: deps.Paging) -> shapes.Listing[LogEntry]:  # noqa: A002
    """List the entries of the memorandum's log in their order; a correction names the entry it stands for.

    `next` holds how the hash of the last entry begins. Where the database was restored to before that entry, `after` is
    409 `log-forked`: read the log from its beginning.
    """
    position, mark = page.after_link() or (0, "")
    rows = await memorandum_log.entries(w, id, position, page.limit + 1, mark)
    items, following = page.cut(rows, lambda row: (row.entry.position, row.entry.hash[:_MARK]))
    return shapes.Listing(items=[_shown(row) for row in items], next=following)


@router.get("/verification", responses=problems.of(errors.Forbidden))
async def verification(w: deps.W, id: shapes.Id) -> LogVerification:  # noqa: A002
    """Follow the whole chain, over the facts as they are stored now."""
    result = await memorandum_log.verification(w, id)
    return LogVerification(ok=result.ok, entries=result.entries, head=result.head, first_broken=result.first_broken)


def _shown(link: memorandum_log.SealedEntry) -> LogEntry:
    entry = link.entry
    return LogEntry(
        id=entry.id,
        memorandum_id=entry.memorandum_id,
        position=entry.position,
        kind=entry.kind,
        corrects=entry.corrects,
        logged_at=entry.logged_at,
        logged_by=entry.logged_by,
        facts=None if link.facts is None else _facts.validate_python(link.facts),
        previous_hash=entry.previous_hash,
        hash=entry.hash,
    )
