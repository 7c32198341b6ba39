"""The specialty tree: everybody signed in reads, admins write."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.edge import deps, problems, query, registry_shapes, shapes
from api.edge.transactional import Transactional
from service.kernel import errors
from service.registry import programmes as registry

router = APIRouter(tags=["registry"], route_class=Transactional, dependencies=query.KNOWN_ONLY)


@router.get("/v1/specialties")
async def specialties(
    w: deps.R,
    page: deps.Paging,
    q: Annotated[shapes.Line | None, Query(description="What somebody typed.")] = None,
) -> shapes.Listing[registry_shapes.Specialty]:
    """List the specialties, in the order of their codes; or those that may be meant by `q`, the likeliest first.

    A name in either language, a synonym, or what stands above it: in any spelling, also in Latin letters.
    """
    if q is not None:
        found = await registry.specialties_meant(w, q, limit=page.limit)
        return shapes.Listing[registry_shapes.Specialty](items=[_specialty(view) for view in found], next=None)
    views = await registry.specialties(w, after=page.after_text(), limit=page.limit)
    items, following = page.cut(views, lambda view: (view.row.code,))
    return shapes.Listing[registry_shapes.Specialty](items=[_specialty(view) for view in items], next=following)


@router.post("/v1/specialties", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def create_specialty(body: registry_shapes.Specialty, w: deps.W) -> registry_shapes.Specialty:
    """Add a specialty; for admins."""
    fields = body.model_dump(exclude={"also_parents", "parent"}) | {"parent_code": body.parent}
    return _specialty(await registry.create_specialty(w, fields, body.also_parents))


def _specialty(view: registry.SpecialtyView) -> registry_shapes.Specialty:
    row = view.row
    return registry_shapes.Specialty(
        code=row.code,
        parent=row.parent_code,
        also_parents=list(view.also_parents),
        name_en=row.name_en,
        name_uk=row.name_uk,
        snomed_ct=row.snomed_ct,
        is_bookable=row.is_bookable,
    )
