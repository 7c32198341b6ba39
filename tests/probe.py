"""A resource for tests of what all resources have in common."""

from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlmodel import col

from api.edge import deps, problems, shapes
from api.edge.transactional import Transactional
from service import tables
from service.kernel import clock, errors
from service.kernel.work import Work

router = APIRouter(prefix="/v1/probes", route_class=Transactional)


class Wish(shapes.Shape):
    model_config = shapes.Shape.model_config | {"json_schema_extra": {"examples": [{"name": "Lille"}]}}

    name: shapes.Line
    note: shapes.Note | None = None
    count: int | None = None
    at: shapes.Instant | None = None
    on: shapes.Day | None = None
    zone: shapes.Zone | None = None
    ids: Annotated[list[shapes.Id], Field(default_factory=list)]


class Made(shapes.Shape):
    id: shapes.Id
    name: str
    secret: shapes.ShownOnce


class Shown(shapes.Shape):
    id: shapes.Id
    name: str | None


@router.post("", status_code=201, responses=problems.of(errors.Exists))
async def make(w: deps.W, wish: Wish, response: Response) -> Made:
    """Make a probe; one named `taken` exists already, and one named `late` fails at the commit."""
    row = tables.Institution(
        id=clock.new_id(), name=wish.name, note=wish.note, kind="hospital", created_at=wish.at or w.now
    )
    w.add(row)
    await w.flush()
    if wish.name == "taken":
        raise errors.Exists("There is one.")
    if wish.name == "late":
        await w.sql(sa.text(f"INSERT INTO late VALUES ('{clock.new_id()}')"))
    response.headers["Location"] = f"/v1/probes/{row.id}"
    return Made(id=row.id, name=wish.name, secret="shown once")


@router.post("/open", status_code=201)
async def make_openly(_w: deps.Anyone, wish: Wish) -> Made:
    """Make nothing, for whoever asks."""
    return Made(id=clock.new_id(), name=wish.name, secret="shown once")


@router.get("")
async def probes(
    w: deps.W, page: deps.Paging, text: Annotated[str | None, Query(max_length=100)] = None
) -> shapes.Listing[Shown]:
    """List probes in the order of their ids."""
    wanted = sa.select(tables.Institution).order_by(col(tables.Institution.id)).limit(page.limit + 1)
    if after := page.after_id():
        wanted = wanted.where(col(tables.Institution.id) > after)
    if text is not None:
        wanted = wanted.where(col(tables.Institution.name) == text)
    rows, following = page.cut((await w.sql(wanted)).scalars().all(), lambda row: (row.id,))
    return shapes.Listing(items=[Shown(id=row.id, name=row.name) for row in rows], next=following)


@router.get("/{id}")
async def probe(w: deps.W, id: shapes.Id, response: Response) -> Shown:  # noqa: A002
    """Show a probe."""
    row = await _loaded(w, id)
    deps.etag(response, row.version)
    return Shown(id=row.id, name=row.name)


@router.patch("/{id}")
async def change(w: deps.W, id: shapes.Id, expect: deps.IfMatch, wish: Wish, response: Response) -> Shown:  # noqa: A002
    """Rename a probe."""
    row = await _loaded(w, id)
    expect(row)
    row.name = wish.name
    w.touch(row)
    deps.etag(response, row.version)
    return Shown(id=row.id, name=row.name)


@router.delete("/{id}", status_code=204)
async def fail(w: deps.W, id: shapes.Id) -> None:  # noqa: A002
    """Fail in a way that nobody foresaw, quoting what nobody should see."""
    raise RuntimeError(f"secret detail {id} {w.now}")


async def _loaded(w: Work, id_: UUID) -> tables.Institution:
    row: tables.Institution | None = await w.find(tables.Institution, id_)
    if row is None:
        raise errors.NotFound
    return row
