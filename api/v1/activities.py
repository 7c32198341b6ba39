"""What else a memorandum brings: traineeships, visits, joint operations and the like, logged once they have begun."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors
from service.registry import activities

router = APIRouter(tags=["activities"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_ACTIVITY = {
    "kind": "traineeship",
    "period": "2026-10",
    "days": 10,
    "people": {"op": "=", "count": 12},
    "specialties": ["sur.neuro"],
    "institutions": [{"institution_id": _EXAMPLE_ID, "direction": "to"}],
    "note": "Observed operations and outpatient clinics.",
    "source": "Ministry of Health, 2026-11-11",
}
_WRITTEN = problems.of(errors.Forbidden, errors.PersonalDataFound)


class People(shapes.Shape):
    """How many people, as it was given: exactly, more than, about."""

    op: vocabulary.CountSign
    count: Annotated[int, Field(ge=0, le=10_000_000)]


class Place(shapes.Shape):
    """An institution that took part: people came `from` it, or went `to` it."""

    institution_id: shapes.Id
    direction: vocabulary.Direction


class NewActivity(shapes.Shape):
    """What happened: on a day, in a period, or from a day until the first day after it; or nobody knows when.

    The note is read by everybody who sees the memorandum. It must name no patient and is checked for that.
    """

    model_config = bodies.like(_ACTIVITY)
    kind: vocabulary.ActivityKind
    on: shapes.Day | None = None
    period: shapes.Period | None = None
    from_: Annotated[shapes.Day | None, Field(alias="from")] = None
    until: Annotated[shapes.Day | None, Field(description="The first day after it.")] = None
    days: Annotated[int, Field(ge=1, le=3_660)] | None = None
    people: People | None = None
    specialties: Annotated[list[shapes.Code], Field(max_length=50, default_factory=list)]
    institutions: Annotated[list[Place], Field(max_length=50, default_factory=list)]
    note: shapes.Note | None = None
    source: shapes.Line | None = None
    confirmed_spans: shapes.Spans = []


class Activity(shapes.Shape):
    """An activity in the log; `published_kind` is the source's own word for it. A correction names the older one."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            "programme_id": _EXAMPLE_ID,
            "memorandum_id": _EXAMPLE_ID,
            **_ACTIVITY,
            "published_kind": None,
            "on": None,
            "from": None,
            "until": None,
            "is_corrected": False,
            "corrects": None,
            "logged_at": "2026-11-20T10:35:00Z",
        }
    )
    id: shapes.Id
    programme_id: shapes.Id
    memorandum_id: shapes.Id | None
    kind: str
    published_kind: str | None
    on: shapes.Day | None
    period: str | None
    from_: Annotated[shapes.Day | None, Field(alias="from")]
    until: shapes.Day | None
    days: int | None
    people: People | None
    specialties: list[str]
    institutions: list[Place]
    note: str | None
    source: str | None
    is_corrected: bool
    corrects: shapes.Id | None
    logged_at: shapes.Instant


@router.get("/v1/memoranda/{id}/activities")
async def of_memorandum(w: deps.W, id: shapes.Id, page: deps.Paging) -> shapes.Listing[Activity]:  # noqa: A002
    """List what a memorandum has brought beside sessions and advices, as it stands; corrected ones are in the log."""
    return _listed(page, await activities.of_memorandum(w, id, after=page.after_id(), limit=page.limit))


@router.post("/v1/memoranda/{id}/activities", status_code=201, responses=_WRITTEN)
async def log(w: deps.W, id: shapes.Id, body: NewActivity, response: Response) -> Activity:  # noqa: A002
    """Log an activity of a memorandum, in its chain. For coordinators of its parties and the programme's admins."""
    return _created(response, await activities.log(w, id, _entry(body)))


@router.get("/v1/programmes/{id}/activities")
async def of_programme(w: deps.W, id: shapes.Id, page: deps.Paging) -> shapes.Listing[Activity]:  # noqa: A002
    """List the programme's activities that name no memorandum: all to its admins, to others those they took part in."""
    return _listed(page, await activities.of_programme(w, id, after=page.after_id(), limit=page.limit))


@router.post("/v1/programmes/{id}/activities", status_code=201, responses=_WRITTEN)
async def log_of_programme(w: deps.W, id: shapes.Id, body: NewActivity, response: Response) -> Activity:  # noqa: A002
    """Log an activity that names no memorandum. For the programme's admins."""
    return _created(response, await activities.log_of_programme(w, id, _entry(body)))


@router.get("/v1/activities/{activity_id}")
async def one(w: deps.W, activity_id: shapes.Id) -> Activity:
    """Read one activity, corrected or not."""
    return _shown(await activities.one(w, activity_id))


@router.post(
    "/v1/activities/{activity_id}/corrections",
    status_code=201,
    responses=problems.of(errors.Forbidden, errors.PersonalDataFound, errors.Exists),
)
async def correct(w: deps.W, activity_id: shapes.Id, body: NewActivity, response: Response) -> Activity:
    """Correct an activity by a whole new one that names it; the old one stays. By its author or who may log here."""
    return _created(response, await activities.correct(w, activity_id, _entry(body)))


def _entry(body: NewActivity) -> activities.ActivityEntry:
    return activities.ActivityEntry(
        kind=body.kind,
        on=body.on,
        period=body.period,
        from_on=body.from_,
        until_on=body.until,
        days=body.days,
        people=(body.people.op, body.people.count) if body.people else None,
        specialties=body.specialties,
        places=[activities.Place(place.institution_id, place.direction) for place in body.institutions],
        note=body.note,
        source=body.source,
        confirmed_spans=shapes.confirmed(body.confirmed_spans),
    )


def _listed(page: deps.Page, views: list[activities.ActivityView]) -> shapes.Listing[Activity]:
    items, following = page.cut(views, lambda view: (view.row.id,))
    return shapes.Listing[Activity](items=[_shown(view) for view in items], next=following)


def _created(response: Response, view: activities.ActivityView) -> Activity:
    response.headers["Location"] = f"/v1/activities/{view.row.id}"
    return _shown(view)


def _shown(view: activities.ActivityView) -> Activity:
    row = view.row
    dates: dict[str, date | None] = {"on": row.on_date, "from": row.from_on, "until": row.until_on}
    return Activity.model_validate(
        dates
        | {
            "id": row.id,
            "programme_id": row.programme_id,
            "memorandum_id": row.memorandum_id,
            "kind": row.kind,
            "published_kind": row.published_kind,
            "period": row.period,
            "days": row.days,
            "people": None if row.people_op is None else {"op": row.people_op, "count": row.people_count},
            "specialties": list(view.specialties),
            "institutions": [
                {"institution_id": place.institution_id, "direction": place.direction} for place in view.places
            ],
            "note": view.note,
            "source": row.source,
            "is_corrected": row.is_corrected,
            "corrects": row.corrects,
            "logged_at": row.created_at,
        }
    )
