"""Who I am."""

from fastapi import APIRouter

from api.edge import bodies, deps, query, shapes
from api.edge.transactional import Transactional
from api.v1.people import Role, roles_of
from service.kernel import email_addresses
from service.people import people

router = APIRouter(tags=["people"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"


class Me(shapes.Shape):
    """Whoever is signed in; `institution_id` is that of the first role at one."""

    model_config = bodies.like(
        {
            "person_id": _EXAMPLE_ID,
            "email": "clinician@chernihiv.example",
            "email_shown": "clinician@chernihiv.example",
            "display_name": "Clinician, Chernihiv",
            "roles": [{"role": "clinician", "institution_id": _EXAMPLE_ID, "programme_id": None, "department": None}],
            "institution_id": _EXAMPLE_ID,
            "locale": "uk",
            "zone": "Europe/Kyiv",
        }
    )
    person_id: shapes.Id
    email: str
    email_shown: str
    """The address as people read it, its domain in letters."""
    display_name: str
    roles: list[Role]
    institution_id: shapes.Id | None
    locale: str
    zone: str


@router.get("/v1/me")
async def me(w: deps.W) -> Me:
    """Tell who is signed in, with the roles held at this moment."""
    view = await people.own(w)
    return Me(
        person_id=view.row.id,
        email=view.row.email,
        email_shown=email_addresses.shown(view.row.email),
        display_name=view.row.display_name,
        roles=roles_of(view),
        institution_id=next((grant.institution_id for grant in view.grants if grant.institution_id), None),
        locale=view.row.locale,
        zone=view.row.zone,
    )
