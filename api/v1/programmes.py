"""Programmes: everybody signed in reads, admins write."""

from typing import Any

from fastapi import APIRouter, Response

from api.edge import bodies, deps, problems, query, registry_shapes, shapes
from api.edge.transactional import Transactional
from service import tables
from service.care import promises
from service.kernel import access, errors
from service.registry import programmes as registry
from service.rules import promise

router = APIRouter(tags=["registry"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"


class ProgrammeChanges(shapes.Shape):
    """What is to change."""

    model_config = bodies.like({"policy": {"hold_minutes": 30}})
    name: shapes.Line = bodies.absent()
    name_en: shapes.Line = bodies.absent()
    zone: shapes.Zone = bodies.absent()
    policy: dict[str, Any] = bodies.absent()
    rehearsal_id: shapes.Id = bodies.absent()


class Programme(registry_shapes.NewProgramme):
    """A national partnership programme."""

    model_config = bodies.like({"id": _EXAMPLE_ID, **registry_shapes.PROGRAMME_EXAMPLE})
    id: shapes.Id


@router.get("/v1/programmes")
async def programmes(w: deps.R, page: deps.Paging) -> shapes.Listing[Programme]:
    """List the programmes."""
    rows = await registry.programmes(w, after=page.after_id(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row.id,))
    return shapes.Listing[Programme](items=[_programme(row) for row in items], next=following)


@router.post("/v1/programmes", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def create_programme(body: registry_shapes.NewProgramme, w: deps.W, response: Response) -> Programme:
    """Make a programme; you become its first admin."""
    row = await registry.create_programme(w, body.model_dump())
    response.headers["Location"] = f"/v1/programmes/{row.id}"
    return _answered_programme(response, row)


@router.get("/v1/programmes/{programme_id}")
async def programme(programme_id: shapes.Id, w: deps.R, response: Response) -> Programme:
    """Read a programme."""
    return _answered_programme(response, await access.visible_programme(w, programme_id))


@router.patch("/v1/programmes/{programme_id}", responses=problems.of(errors.Forbidden))
async def change_programme(
    programme_id: shapes.Id, body: ProgrammeChanges, w: deps.W, expect: deps.IfMatch, response: Response
) -> Programme:
    """Change a programme; for its admins. `rehearsal_id` names the rehearsal with which its `policy` was tried."""
    row = await access.visible_programme(w, programme_id, lock=True)
    expect(row)
    changes = bodies.given(body)
    rehearsal_id = changes.pop("rehearsal_id", None)
    return _answered_programme(response, await registry.change_programme(w, row, changes, rehearsal_id))


class TenthOut(shapes.Shape):
    """The promises whose chance lay in this tenth: how many, the mean chance, and how many were answered in time."""

    from_chance: float
    until_chance: float
    promises: int
    mean_chance: float
    answered_in_time: int
    is_off: bool


class PromisesOut(shapes.Shape):
    """How the promises made at filing fared; `is_off` while none is made, as a tenth is off by more than 10 points."""

    counted_at: shapes.Instant | None
    is_off: bool
    tenths: list[TenthOut]


@router.get("/v1/programmes/{programme_id}/promises", responses=problems.of(errors.Forbidden))
async def promises_made(programme_id: shapes.Id, w: deps.R) -> PromisesOut:
    """Show how what clinicians are told at filing compares with what came, of the latest year; for its admins."""
    calibration = await promises.calibration(w, programme_id)
    return PromisesOut(
        counted_at=calibration.counted_at,
        is_off=calibration.is_off,
        tenths=[
            TenthOut(
                from_chance=number / promise.BINS,
                until_chance=(number + 1) / promise.BINS,
                promises=tenth.promises,
                mean_chance=round(tenth.mean, 4),
                answered_in_time=tenth.in_time,
                is_off=tenth.is_off,
            )
            for number, tenth in calibration.bins.items()
        ],
    )


def _answered_programme(response: Response, row: tables.Programme) -> Programme:
    deps.etag(response, row.version)
    return _programme(row)


def _programme(row: tables.Programme) -> Programme:
    return Programme(
        id=row.id,
        code=row.code,
        name=row.name,
        name_en=row.name_en,
        country=row.country,
        zone=row.zone,
        policy=row.policy,
    )
