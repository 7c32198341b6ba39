"""People, their roles, and the verification that lets offers reach a mentor."""

from datetime import datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import access, email_addresses, errors
from service.kernel.actor import Grant
from service.people import address_changes, people
from service.rules.time import availability

router = APIRouter(tags=["people"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_PERSON = {
    "email": "clinician@chernihiv.example",
    "display_name": "Clinician, Chernihiv",
    "locale": "uk",
    "zone": "Europe/Kyiv",
    "roles": [{"role": "clinician", "institution_id": _EXAMPLE_ID}],
}


class Role(shapes.Shape):
    """A role, at an institution; that of an admin, for a programme."""

    role: vocabulary.Role
    institution_id: shapes.Id | None = None
    programme_id: shapes.Id | None = None
    department: shapes.Line | None = None


class GivenRole(shapes.Shape):
    """A role to give; that of a partner system comes with its registration (`POST /v1/clients`)."""

    role: vocabulary.PersonRole
    institution_id: shapes.Id | None = None
    programme_id: shapes.Id | None = None
    department: shapes.Line | None = None


class NewPerson(shapes.Shape):
    """Somebody who will sign in."""

    model_config = bodies.like(_PERSON)
    email: shapes.Email
    display_name: shapes.Line
    locale: vocabulary.Locale = "uk"
    zone: shapes.Zone
    roles: Annotated[list[GivenRole], Field(min_length=1, max_length=20)]


class PersonChanges(shapes.Shape):
    """What is to change; `roles` replaces all of them."""

    model_config = bodies.like({"locale": "en", "state": "active"})
    email: shapes.Email = bodies.absent()
    display_name: shapes.Line = bodies.absent()
    locale: vocabulary.Locale = bodies.absent()
    zone: shapes.Zone = bodies.absent()
    state: vocabulary.PersonState = bodies.absent()
    roles: Annotated[list[GivenRole], Field(max_length=20)] = bodies.absent()


class Person(shapes.Shape):
    """Somebody who signs in."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            **_PERSON,
            "email_shown": _PERSON["email"],
            "state": "active",
            "address_confirmed": True,
            "mail_refused_at": None,
        }
    )
    id: shapes.Id
    email: str
    email_shown: str
    """The address as people read it: a domain in letters of its own stands in these, where `email` has A-labels."""
    display_name: str
    locale: str
    zone: str
    roles: list[Role]
    state: str
    address_confirmed: bool
    """False while an address that somebody else set waits to be confirmed: the person reads no case text meanwhile."""
    mail_refused_at: shapes.Instant | None
    """When the mail server at this address first refused a mail for good; `null` again once the address is changed."""


class VerificationWish(shapes.Shape):
    """Until when offers may reach the mentor: an instant, or a day that is still included in the mentor's zone."""

    model_config = bodies.like({"until": "2027-12-31"})
    until: shapes.DayOrInstant


class MentorVerification(shapes.Shape):
    """Until when offers reach the mentor, and who saw to it."""

    model_config = bodies.like(
        {"person_id": _EXAMPLE_ID, "verified_until": "2027-12-31T22:59:59Z", "verified_by": _EXAMPLE_ID}
    )
    person_id: shapes.Id
    verified_until: shapes.Instant
    verified_by: shapes.Id | None


@router.get("/v1/people")
async def listed(
    w: deps.W,
    page: deps.Paging,
    role: vocabulary.Role | None = None,
    institution_id: shapes.Id | None = None,
) -> shapes.Listing[Person]:
    """List the people you keep: those of your institution for a coordinator, all for an admin, yourself otherwise."""
    views = await people.page(w, after=page.after_id(), limit=page.limit, role=role, institution_id=institution_id)
    items, following = page.cut(views, lambda view: (view.row.id,))
    return shapes.Listing[Person](items=[shown(view) for view in items], next=following)


@router.post("/v1/people", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists))
async def create(body: NewPerson, w: deps.W, response: Response) -> Person:
    """Register somebody. Coordinators give roles at their own institution, admins everywhere, a system a mentor's.

    No offer reaches a mentor until a person has verified them.
    """
    access.requires(w, *vocabulary.OVERSEEING_ROLES)
    fields = body.model_dump(exclude={"roles"})
    return _answered(response, await people.create(w, fields, _grants(body.roles)), is_new=True)


@router.get("/v1/people/{person_id}")
async def one(person_id: shapes.Id, w: deps.W, response: Response) -> Person:
    """Read somebody you keep, or yourself."""
    row = await access.visible_person(w, person_id)
    return _answered(response, (await people.views(w, [row]))[0])


@router.patch("/v1/people/{person_id}", responses=problems.of(errors.Forbidden, errors.Exists))
async def change(
    person_id: shapes.Id, body: PersonChanges, w: deps.W, expect: deps.IfMatch, response: Response
) -> Person:
    """Change somebody. Yourself: name, language and zone. Disabling somebody ends all their tokens at once."""
    row = await access.visible_person(w, person_id, lock=True)
    expect(row)
    changes = bodies.given(body)
    roles = changes.pop("roles", None)
    return _answered(response, await people.change(w, row, changes, None if roles is None else _grants(roles)))


@router.post("/v1/people/{person_id}/verification", responses=problems.of(errors.Forbidden, errors.Conflict))
async def verify(person_id: shapes.Id, body: VerificationWish, w: deps.W) -> MentorVerification:
    """Let offers reach a mentor until an instant; a past one takes that back. Nobody verifies themself."""
    person = await access.visible_person(w, person_id)
    until = body.until
    if not isinstance(until, datetime):
        until = availability.to_instant(
            datetime.combine(until + timedelta(days=1), time.min), person.zone, strict=False
        )
    profile = await people.verify(w, person_id, until)
    return MentorVerification(person_id=person_id, verified_until=until, verified_by=profile.verified_by)


@router.post("/v1/people/{person_id}/address-confirmation", responses=problems.of(errors.Forbidden, errors.Conflict))
async def confirm_address(person_id: shapes.Id, w: deps.W, expect: deps.MaybeIfMatch, response: Response) -> Person:
    """Confirm an address that somebody else has set: as another coordinator of the person's institutions, or an admin.

    Not as the person, nor as whoever changed it; the person confirms by the mail to the former address. With If-Match,
    an address that was changed again since you read it is not confirmed.
    """
    if expect:
        expect(await access.visible_person(w, person_id, lock=True))
    row = await address_changes.confirm(w, person_id)
    return _answered(response, (await people.views(w, [row]))[0])


def roles_of(view: people.PersonView) -> list[Role]:
    """Show the roles."""
    return [
        Role(
            role=grant.role,
            institution_id=grant.institution_id,
            programme_id=grant.programme_id,
            department=grant.department,
        )
        for grant in view.grants
    ]


def shown(view: people.PersonView) -> Person:
    """Show a person."""
    row = view.row
    return Person(
        id=row.id,
        email=row.email,
        email_shown=email_addresses.shown(row.email),
        display_name=row.display_name,
        locale=row.locale,
        zone=row.zone,
        roles=roles_of(view),
        state=row.state,
        address_confirmed=row.address_unconfirmed_since is None,
        mail_refused_at=row.mail_refused_at,
    )


def _answered(response: Response, view: people.PersonView, *, is_new: bool = False) -> Person:
    deps.etag(response, view.row.version)
    if is_new:
        response.headers["Location"] = f"/v1/people/{view.row.id}"
    return shown(view)


def _grants(roles: list[GivenRole]) -> list[Grant]:
    return [Grant(role.role, role.institution_id, role.programme_id, role.department) for role in roles]
