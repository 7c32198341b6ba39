"""Institutions and the networks they belong to: everybody signed in reads, admins write."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, registry_shapes, shapes
from api.edge.transactional import Transactional
from service import tables, vocabulary
from service.kernel import access, errors
from service.registry import institutions as registry

router = APIRouter(tags=["registry"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_MEMBERSHIP = {"network_id": _EXAMPLE_ID, "from": "2026-01-01", "until": None}


class InstitutionWish(registry_shapes.NewInstitution):
    """What is registered, and what in its note names nobody although it seems to."""

    confirmed_spans: shapes.Spans = []


class InstitutionChanges(shapes.Shape):
    """What is to change."""

    model_config = bodies.like({"working_weekdays": ["sun", "mon", "tue", "wed", "thu"]})
    name: shapes.Line | None = None
    name_en: shapes.Line | None = None
    kind: shapes.Code = bodies.absent()
    country: shapes.Country | None = None
    region: registry_shapes.Region | None = None
    city: shapes.Line | None = None
    zone: shapes.Zone | None = None
    working_weekdays: registry_shapes.Weekdays = bodies.absent()
    languages: registry_shapes.Languages = bodies.absent()
    aliases: registry_shapes.Names = bodies.absent()
    shows_its_name: bool = bodies.absent()
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class Institution(registry_shapes.NewInstitution):
    """A hospital, network, ministry, agency or organisation."""

    model_config = bodies.like({"id": _EXAMPLE_ID, **registry_shapes.INSTITUTION_EXAMPLE})
    id: shapes.Id


class NewMembership(shapes.Shape):
    """Which network the institution belongs to, from a day until, not including, a day."""

    model_config = bodies.like(_MEMBERSHIP)
    network_id: shapes.Id
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day | None = None


class MembershipEnd(shapes.Shape):
    """The first day without the membership."""

    model_config = bodies.like({"until": "2027-01-01"})
    until: shapes.Day


class Membership(NewMembership):
    """Which network an institution belongs to."""

    model_config = bodies.like({"id": _EXAMPLE_ID, "institution_id": _EXAMPLE_ID, **_MEMBERSHIP})
    id: shapes.Id
    institution_id: shapes.Id


@router.get("/v1/institutions")
async def institutions(
    w: deps.R, page: deps.Paging, country: shapes.Country | None = None, kind: shapes.Code | None = None
) -> shapes.Listing[Institution]:
    """List the institutions."""
    rows = await registry.institutions(w, after=page.after_id(), limit=page.limit, country=country, kind=kind)
    items, following = page.cut(rows, lambda row: (row.id,))
    return shapes.Listing[Institution](items=[_institution(row) for row in items], next=following)


@router.post(
    "/v1/institutions",
    status_code=201,
    responses=problems.of(errors.Forbidden, errors.Exists, errors.PersonalDataFound),
)
async def create_institution(body: InstitutionWish, w: deps.W, response: Response) -> Institution:
    """Register an institution; for admins."""
    row = await registry.create_institution(
        w, _columns(body.model_dump(exclude={"confirmed_spans"})), shapes.confirmed(body.confirmed_spans)
    )
    response.headers["Location"] = f"/v1/institutions/{row.id}"
    return _answered_institution(response, row)


@router.get("/v1/institutions/{institution_id}")
async def institution(institution_id: shapes.Id, w: deps.R, response: Response) -> Institution:
    """Read an institution."""
    return _answered_institution(response, await access.visible_institution(w, institution_id))


@router.patch("/v1/institutions/{institution_id}", responses=problems.of(errors.Forbidden, errors.PersonalDataFound))
async def change_institution(
    institution_id: shapes.Id, body: InstitutionChanges, w: deps.W, expect: deps.IfMatch, response: Response
) -> Institution:
    """Change an institution; for admins."""
    row = await access.visible_institution(w, institution_id, lock=True)
    expect(row)
    changes = _columns({name: value for name, value in bodies.given(body).items() if name != "confirmed_spans"})
    changed = await registry.change_institution(w, row, changes, shapes.confirmed(body.confirmed_spans))
    return _answered_institution(response, changed)


@router.get("/v1/institutions/{institution_id}/memberships")
async def memberships(institution_id: shapes.Id, w: deps.R, page: deps.Paging) -> shapes.Listing[Membership]:
    """List the networks that the institution belongs or belonged to."""
    await access.visible_institution(w, institution_id)
    rows = await registry.memberships(w, institution_id, after=page.after_id(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row.id,))
    return shapes.Listing[Membership](items=[_membership(row) for row in items], next=following)


@router.post("/v1/institutions/{institution_id}/memberships", status_code=201, responses=problems.of(errors.Forbidden))
async def join(institution_id: shapes.Id, body: NewMembership, w: deps.W) -> Membership:
    """Let the institution belong to a network; for admins."""
    row = await access.visible_institution(w, institution_id)
    return _membership(await registry.join(w, row, body.network_id, body.from_, body.until))


@router.post(
    "/v1/institutions/{institution_id}/memberships/{membership_id}/end", responses=problems.of(errors.Forbidden)
)
async def leave(institution_id: shapes.Id, membership_id: shapes.Id, body: MembershipEnd, w: deps.W) -> Membership:
    """End a membership; for admins."""
    row = await access.visible_institution(w, institution_id)
    return _membership(await registry.leave(w, row, membership_id, body.until))


def _answered_institution(response: Response, row: tables.Institution) -> Institution:
    deps.etag(response, row.version)
    return _institution(row)


def _institution(row: tables.Institution) -> Institution:
    fields = row.model_dump(exclude={"version", "created_at", "has_coordinator"})
    return Institution.model_validate(
        fields | {"working_weekdays": [vocabulary.WEEKDAYS[day] for day in row.working_weekdays]}
    )


def _membership(row: tables.Membership) -> Membership:
    return Membership.model_validate(
        {
            "id": row.id,
            "institution_id": row.institution_id,
            "network_id": row.network_id,
            "from": row.from_on,
            "until": row.until_on,
        }
    )


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    if "working_weekdays" in fields:
        fields["working_weekdays"] = sorted({vocabulary.WEEKDAYS.index(day) for day in fields["working_weekdays"]})
    return fields
