"""The registry: programmes, specialties, institutions, memberships. Everybody signed in reads, admins write."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, shapes
from api.edge.transactional import Transactional
from service import tables, vocabulary
from service.kernel import access, errors
from service.registry import institutions as registry

router = APIRouter(tags=["registry"], route_class=Transactional)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_PROGRAMME = {
    "code": "ua-international-medical-partnership",
    "name": "Міжнародне медичне партнерство",
    "name_en": "International Medical Partnership",
    "country": "UA",
    "zone": "Europe/Kyiv",
    "policy": {"hold_minutes": 20},
}
_SPECIALTY = {
    "code": "obp.neonatology",
    "parent": "obp",
    "also_parents": ["ped"],
    "name_en": "Neonatology",
    "name_uk": "Неонатологія",
    "snomed_ct": None,
    "is_bookable": True,
}
_INSTITUTION = {
    "code": "fr-chu-lille",
    "name": "Університетська лікарня Лілля",
    "name_en": "Lille University Hospital",
    "kind": "university_hospital",
    "country": "FR",
    "region": None,
    "city": "Lille",
    "zone": "Europe/Paris",
    "working_weekdays": ["mon", "tue", "wed", "thu", "fri"],
    "languages": ["fr", "en"],
    "aliases": [],
    "shows_its_name": False,
    "sources": ["002"],
    "note": None,
}
_MEMBERSHIP = {"network_id": _EXAMPLE_ID, "from": "2026-01-01", "until": None}
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$", description="ISO 3166-2.")]
Weekdays = Annotated[list[vocabulary.Weekday], Field(max_length=7)]
Names = Annotated[list[shapes.Line], Field(max_length=50)]
Languages = Annotated[list[shapes.Language], Field(max_length=20)]


class NewProgramme(shapes.Shape):
    """A national partnership programme; `policy` holds the numbers in which it differs from the usual ones."""

    model_config = bodies.like(_PROGRAMME)
    code: shapes.Code
    name: shapes.Line
    name_en: shapes.Line
    country: shapes.Country
    zone: shapes.Zone
    policy: Annotated[dict[str, Any], Field(default_factory=dict)]


class ProgrammeChanges(shapes.Shape):
    """What is to change."""

    model_config = bodies.like({"policy": {"hold_minutes": 30}})
    name: shapes.Line = bodies.absent()
    name_en: shapes.Line = bodies.absent()
    zone: shapes.Zone = bodies.absent()
    policy: dict[str, Any] = bodies.absent()


class Programme(NewProgramme):
    """A national partnership programme."""

    model_config = bodies.like({"id": _EXAMPLE_ID, **_PROGRAMME})
    id: shapes.Id


class Specialty(shapes.Shape):
    """A node of the specialty tree; those that are not bookable are for areas of memoranda only."""

    model_config = bodies.like(_SPECIALTY)
    code: shapes.Code
    parent: shapes.Code | None = None
    also_parents: Annotated[list[shapes.Code], Field(max_length=10, default_factory=list)]
    name_en: shapes.Line
    name_uk: shapes.Line
    snomed_ct: Annotated[str, Field(pattern=r"^[0-9]{6,18}$")] | None = None
    is_bookable: bool = True


class NewInstitution(shapes.Shape):
    """A hospital, network, ministry, agency or organisation; what nobody knows is null."""

    model_config = bodies.like(_INSTITUTION)
    code: shapes.Code | None = None
    name: shapes.Line | None = None
    name_en: shapes.Line | None = None
    kind: shapes.Code
    country: shapes.Country | None = None
    region: Region | None = None
    city: shapes.Line | None = None
    zone: shapes.Zone | None = None
    working_weekdays: Annotated[Weekdays, Field(default_factory=lambda: list(vocabulary.WEEKDAYS[:5]))]
    languages: Annotated[Languages, Field(default_factory=list)]
    aliases: Annotated[Names, Field(default_factory=list)]
    shows_its_name: bool = False
    sources: Annotated[Names, Field(default_factory=list)]
    note: shapes.Note | None = None


class InstitutionWish(NewInstitution):
    """What is registered, and what in its note names nobody although it seems to."""

    confirmed_spans: shapes.Spans = []


class InstitutionChanges(shapes.Shape):
    """What is to change."""

    model_config = bodies.like({"working_weekdays": ["sun", "mon", "tue", "wed", "thu"]})
    name: shapes.Line | None = None
    name_en: shapes.Line | None = None
    kind: shapes.Code = bodies.absent()
    country: shapes.Country | None = None
    region: Region | None = None
    city: shapes.Line | None = None
    zone: shapes.Zone | None = None
    working_weekdays: Weekdays = bodies.absent()
    languages: Languages = bodies.absent()
    aliases: Names = bodies.absent()
    shows_its_name: bool = bodies.absent()
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class Institution(NewInstitution):
    """A hospital, network, ministry, agency or organisation."""

    model_config = bodies.like({"id": _EXAMPLE_ID, **_INSTITUTION})
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


@router.get("/v1/programmes")
async def programmes(w: deps.R, page: deps.Paging) -> shapes.Listing[Programme]:
    """List the programmes."""
    rows = await registry.programmes(w, after=page.after_id(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row.id,))
    return shapes.Listing[Programme](items=[_programme(row) for row in items], next=following)


@router.post("/v1/programmes", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def create_programme(body: NewProgramme, w: deps.W, response: Response) -> Programme:
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
    """Change a programme; for its admins."""
    row = await access.visible_programme(w, programme_id, lock=True)
    expect(row)
    return _answered_programme(response, await registry.change_programme(w, row, bodies.given(body)))


@router.get("/v1/specialties")
async def specialties(w: deps.R, page: deps.Paging) -> shapes.Listing[Specialty]:
    """List the specialties, in the order of their codes."""
    views = await registry.specialties(w, after=page.after_text(), limit=page.limit)
    items, following = page.cut(views, lambda view: (view.row.code,))
    return shapes.Listing[Specialty](items=[_specialty(view) for view in items], next=following)


@router.post("/v1/specialties", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def create_specialty(body: Specialty, w: deps.W) -> Specialty:
    """Add a specialty; for admins."""
    fields = body.model_dump(exclude={"also_parents", "parent"}) | {"parent_code": body.parent}
    return _specialty(await registry.create_specialty(w, fields, body.also_parents))


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
    found = await access.visible_institution(w, institution_id)
    return _membership(await registry.join(w, found, body.network_id, body.from_, body.until))


@router.post(
    "/v1/institutions/{institution_id}/memberships/{membership_id}/end", responses=problems.of(errors.Forbidden)
)
async def leave(institution_id: shapes.Id, membership_id: shapes.Id, body: MembershipEnd, w: deps.W) -> Membership:
    """End a membership; for admins."""
    found = await access.visible_institution(w, institution_id)
    return _membership(await registry.leave(w, found, membership_id, body.until))


def _answered_programme(response: Response, row: tables.Programme) -> Programme:
    deps.etag(response, row.version)
    return _programme(row)


def _answered_institution(response: Response, row: tables.Institution) -> Institution:
    deps.etag(response, row.version)
    return _institution(row)


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


def _specialty(view: registry.SpecialtyView) -> Specialty:
    row = view.row
    return Specialty(
        code=row.code,
        parent=row.parent_code,
        also_parents=list(view.also_parents),
        name_en=row.name_en,
        name_uk=row.name_uk,
        snomed_ct=row.snomed_ct,
        is_bookable=row.is_bookable,
    )


def _institution(row: tables.Institution) -> Institution:
    fields = row.model_dump(exclude={"version", "created_at"})
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
