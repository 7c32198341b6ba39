"""Who I am, what I have chosen for myself, and what waits for me."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1.people import Role, roles_of
from service import vocabulary
from service.kernel import email_addresses, errors
from service.people import people, preferences
from service.worklists import waiting

router = APIRouter(tags=["people"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_CHOSEN = {"notices": ["digest.mail"], "digest_hour": 7, "phone": "+380441234567", "shows_phone": False}
Hour = Annotated[int, Field(ge=0, le=23)]


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


class Preferences(shapes.Shape):
    """What you have chosen for yourself; nobody else reads or changes it."""

    model_config = bodies.like(_CHOSEN)
    notices: list[vocabulary.Notice]
    """What comes beside the mails that tell of what happens, which always come."""
    digest_hour: int
    """Of the day, by your own clock: when `digest.mail` tells what waits for you, on days on which something does."""
    phone: str | None
    shows_phone: bool
    """Whether whoever you are booked to meet reads your number on the page of the case."""


class PreferenceChanges(shapes.Shape):
    """What you choose anew; `notices` replaces all of them."""

    model_config = bodies.like(_CHOSEN)
    notices: Annotated[list[vocabulary.Notice], Field(max_length=20)] = bodies.absent()
    digest_hour: Hour = bodies.absent()
    phone: Annotated[str, Field(min_length=5, max_length=40)] | None = bodies.absent()
    """With its country's code; blanks, dots and brackets between the digits are taken out."""
    shows_phone: bool = bodies.absent()


class Waiting(shapes.Shape):
    """One thing that waits for you.

    A `draft` is there until its text is erased, a call to `log` for 30 days, a question after a session (`feedback`) as
    long as it can be answered; of times that somebody proposes (`counter`, `move`) the last one counts. An `address`
    has no deadline.
    """

    model_config = bodies.like(
        {
            "kind": "counter",
            "subject": "offer",
            "subject_id": _EXAMPLE_ID,
            "consultation_id": _EXAMPLE_ID,
            "consultation_number": "R-7F3K",
            "due_at": "2026-12-01T07:00:00Z",
            "whose_turn": _EXAMPLE_ID,
            "with": _EXAMPLE_ID,
            "starts_at": None,
            "starts": ["2026-12-01T07:00:00Z"],
            "specialty": "paediatrics",
            "priority": "urgent",
            "page": f"/consultations/{_EXAMPLE_ID}",
        }
    )
    kind: vocabulary.WorkKind
    subject: vocabulary.WorkSubject
    subject_id: shapes.Id
    consultation_id: shapes.Id | None
    consultation_number: str | None
    """What people call it by."""
    due_at: shapes.Instant | None
    whose_turn: shapes.Id
    """Who is to act: you, or the mentor or clinician in whose place you may, as their coordinator."""
    with_: Annotated[shapes.Id | None, Field(alias="with")]
    """The person on the other side."""
    starts_at: shapes.Instant | None
    """Of a call, or of the session that is asked about."""
    starts: list[shapes.Instant]
    """Of an offer or a counter: the times that can still be taken."""
    specialty: str | None
    priority: str | None
    page: str
    """The path of the page where it is done."""


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


@router.get("/v1/me/preferences", responses=problems.of(errors.Forbidden))
async def chosen(w: deps.R, response: Response) -> Preferences:
    """Tell what you have chosen for yourself."""
    return _shown(response, await preferences.read(w))


@router.patch("/v1/me/preferences", responses=problems.of(errors.Forbidden))
async def choose(body: PreferenceChanges, w: deps.W, expect: deps.IfMatch, response: Response) -> Preferences:
    """Choose for yourself which further notices come, and whether the other side sees your telephone."""
    person = await preferences.own(w, lock=True)
    expect(person)
    return _shown(response, await preferences.change(w, person, bodies.given(body)))


@router.get("/v1/me/worklist", responses=problems.of(errors.Forbidden))
async def worklist(w: deps.R, page: deps.Paging) -> shapes.Listing[Waiting]:
    """List what waits for you, by deadline: the same as your first page shows."""
    place = page.after_deadline()
    found = await waiting.entries(w, w.actor, limit=page.limit, after=waiting.Place(*place) if place else None)
    items, following = page.cut(found, lambda entry: entry.place)
    return shapes.Listing[Waiting](items=[_waiting(entry) for entry in items], next=following)


def _shown(response: Response, found: preferences.Preferences) -> Preferences:
    deps.etag(response, found.version)
    return Preferences.model_validate(
        {name: getattr(found, name) for name in Preferences.model_fields} | {"notices": list(found.notices)}
    )


def _waiting(entry: waiting.Entry) -> Waiting:
    return Waiting.model_validate(
        {
            "kind": entry.kind,
            "subject": entry.subject,
            "subject_id": entry.subject_id,
            "consultation_id": entry.consultation_id,
            "consultation_number": entry.number,
            "due_at": entry.due_at,
            "whose_turn": entry.whose_turn_id,
            "with": entry.with_id,
            "starts_at": entry.starts_at,
            "starts": list(entry.starts),
            "specialty": entry.specialty_code,
            "priority": entry.priority,
            "page": entry.page,
        }
    )
