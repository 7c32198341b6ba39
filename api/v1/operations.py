"""What runs, for whoever runs it."""

from typing import Any

from fastapi import APIRouter

from api.edge import deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import housekeeping, vocabulary
from service.kernel import errors, processes

router = APIRouter(tags=["operation"], route_class=Transactional, dependencies=query.KNOWN_ONLY)


class LoopState(shapes.Shape):
    """How one loop of a process does, as of its last beat."""

    moved_s: float
    """Seconds since it moved; over 60 it is stuck."""
    failures: int
    """In a row, now."""
    sqlstate: str | None
    """The database's code for the last of them."""


class Process(shapes.Shape):
    """A process that serves or works. All instants are the database's."""

    id: shapes.Id
    kind: vocabulary.ProcessKind
    host: str
    version: str
    schema_version: str
    tzdata: str
    started_at: shapes.Instant
    beat_at: shapes.Instant
    is_live: bool
    loops: dict[str, LoopState]
    clock_offset_ms: int | None


@router.get("/v1/operations/processes", responses=problems.of(errors.Forbidden))
async def list_processes(w: deps.R) -> shapes.Listing[Process]:
    """List the processes of the last day, those heard of last first; for admins."""
    return shapes.Listing[Process](items=[_process(found) for found in await processes.running(w)], next=None)


class Task(shapes.Shape):
    """What a task of the housekeeper last did; `error` is of a try since then. Instants are the database's."""

    name: str
    ran_at: shapes.Instant | None
    rows: int | None
    ms: int | None
    failed_at: shapes.Instant | None
    error: str | None


@router.get("/v1/operations/housekeeping", responses=problems.of(errors.Forbidden))
async def list_housekeeping(w: deps.R) -> shapes.Listing[Task]:
    """List the housekeeper's tasks with when each was last done, and what failed since; for admins."""
    found = [Task.model_validate(row, from_attributes=True) for row in await housekeeping.tasks(w)]
    return shapes.Listing[Task](items=found, next=None)


def _process(found: processes.Running) -> Process:
    row = found.row
    return Process(
        id=row.id,
        kind=row.kind,
        host=row.host,
        version=row.version,
        schema_version=row.schema_version,
        tzdata=row.tzdata,
        started_at=row.started_at,
        beat_at=row.beat_at,
        is_live=found.is_live,
        loops={name: _loop(state) for name, state in row.loops.items()},
        clock_offset_ms=row.clock_offset_ms,
    )


def _loop(state: dict[str, Any]) -> LoopState:
    """Give what this program knows of a loop; a newer one beside it may tell more."""
    return LoopState(moved_s=state["moved_s"], failures=state["failures"], sqlstate=state["sqlstate"])
