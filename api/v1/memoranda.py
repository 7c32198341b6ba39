"""Memoranda: admins write them, the institutions that signed read them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import access, errors
from service.registry import memoranda, memorandum_reminders

router = APIRouter(tags=["memoranda"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_MEMORANDUM = {
    "programme_id": _EXAMPLE_ID,
    "kind": "bilateral",
    "parties": [
        {"institution_id": _EXAMPLE_ID, "side": "requesting"},
        {"institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a12", "side": "partner"},
    ],
    "areas": ["ped"],
    "activities": ["teleconsultation"],
    "signed": {"date": "2025-10-10", "precision": "by"},
    "valid_from": "2025-10-10",
    "valid_until": None,
    "budget": {"minutes": 1200, "per": "year"},
    "source": "002",
}


class Party(shapes.Shape):
    """An institution and the side it signed on."""

    institution_id: shapes.Id
    side: vocabulary.Side


class Signed(shapes.Shape):
    """When it was signed: on a day, by a day at the latest, or unknown."""

    date: shapes.Day | None = None
    precision: vocabulary.DatePrecision


class Budget(shapes.Shape):
    """How many minutes of sessions there may be in each period of the programme's calendar."""

    minutes: shapes.BudgetMinutes
    per: vocabulary.BudgetPeriod


class BudgetLeft(Budget):
    """The budget, and what is neither logged nor booked in the present period."""

    minutes_left: int


class NewMemorandum(shapes.Shape):
    """What a memorandum says; it begins as a draft. No areas mean all, no activities mean all."""

    model_config = bodies.like(_MEMORANDUM)
    programme_id: shapes.Id
    kind: vocabulary.MemorandumKind
    parties: Annotated[list[Party], Field(min_length=2, max_length=200)]
    areas: Annotated[list[shapes.Code], Field(max_length=200, default_factory=list)]
    activities: Annotated[list[shapes.Code], Field(max_length=50, default_factory=list)]
    signed: Signed = Signed(precision="unknown")
    valid_from: shapes.Day | None = None
    valid_until: Annotated[shapes.Day | None, Field(description="The first day on which it no longer holds.")] = None
    budget: Budget | None = None
    source: shapes.Line | None = None
    note: shapes.Note | None = None
    code: shapes.Code | None = None
    confirmed_spans: shapes.Spans = []


class MemorandumChanges(shapes.Shape):
    """What is to change; the parties are those who signed."""

    model_config = bodies.like({"budget": {"minutes": 2400, "per": "year"}})
    areas: Annotated[list[shapes.Code], Field(max_length=200)] = bodies.absent()
    activities: Annotated[list[shapes.Code], Field(max_length=50)] = bodies.absent()
    signed: Signed = bodies.absent()
    valid_from: shapes.Day | None = None
    valid_until: shapes.Day | None = None
    budget: Budget | None = None
    source: shapes.Line | None = None
    note: shapes.Note | None = None
    renewed_by: shapes.Id | None = None
    confirmed_spans: shapes.Spans = []


class Memorandum(shapes.Shape):
    """An agreement between institutions."""

    model_config = bodies.like(
        {
            "id": _EXAMPLE_ID,
            **_MEMORANDUM,
            "status": "active",
            "budget": {"minutes": 1200, "per": "year", "minutes_left": 1170},
            "code": "m-2025-chern-lille",
            "note": None,
            "renewed_by": None,
        }
    )
    id: shapes.Id
    programme_id: shapes.Id
    kind: str
    status: str
    parties: list[Party]
    areas: list[str]
    activities: list[str]
    signed: Signed
    valid_from: shapes.Day | None
    valid_until: shapes.Day | None
    budget: BudgetLeft | None
    source: str | None
    note: str | None
    code: str | None
    renewed_by: shapes.Id | None


class Reason(shapes.Shape):
    """Why nothing happens under a memorandum, and what helps."""

    code: str
    what_to_do: str


class Idle(shapes.Shape):
    """A memorandum under which nothing was logged for some days; the reasons in the order to deal with them."""

    model_config = bodies.like(
        {
            "memorandum_id": _EXAMPLE_ID,
            "last_at": None,
            "idle_days": 120,
            "reasons": [{"code": "no_mentors", "what_to_do": "Ask the partner side to name mentors."}],
        }
    )
    memorandum_id: shapes.Id
    last_at: shapes.Instant | None
    idle_days: int
    reasons: list[Reason]


class Step(shapes.Shape):
    """One step of a memorandum's life."""

    model_config = bodies.like({"to": "active", "on": "2026-11-01", "reason": "Annex signed"})
    to: vocabulary.MemorandumStatus
    on: shapes.Day
    reason: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class StepTaken(shapes.Shape):
    """A step that was taken, as of which day, and whether only for the demo."""

    model_config = bodies.like(
        {"from": "signed", "to": "active", "on": "2026-11-01", "reason": "Annex signed", "is_demo": False}
    )
    from_: Annotated[str, Field(alias="from")]
    to: str
    on: shapes.Day
    reason: str | None
    is_demo: bool


@router.get("/v1/memoranda")
async def listed(
    w: deps.R,
    page: deps.Paging,
    status: vocabulary.MemorandumStatus | None = None,
    programme_id: shapes.Id | None = None,
    institution_id: shapes.Id | None = None,
) -> shapes.Listing[Memorandum]:
    """List the memoranda of your institutions, or of your programme."""
    views = await memoranda.page(
        w,
        after=page.after_id(),
        limit=page.limit,
        status=status,
        programme_id=programme_id,
        institution_id=institution_id,
    )
    items, following = page.cut(views, lambda view: (view.row.id,))
    return shapes.Listing[Memorandum](items=[_shown(view) for view in items], next=following)


@router.post(
    "/v1/memoranda", status_code=201, responses=problems.of(errors.Forbidden, errors.Exists, errors.PersonalDataFound)
)
async def create(body: NewMemorandum, w: deps.W, response: Response) -> Memorandum:
    """Record a memorandum as a draft; transitions lead on. For the programme's admins."""
    access.requires_admin(w)
    fields = _columns(body.model_dump(exclude={"programme_id", "kind", "parties", "confirmed_spans"}))
    parties = [memoranda.Party(party.institution_id, party.side) for party in body.parties]
    await access.visible_programme(w, body.programme_id)
    draft = memoranda.Draft(programme_id=body.programme_id, kind=body.kind, parties=parties, fields=fields)
    view = await memoranda.create(w, draft, shapes.confirmed(body.confirmed_spans))
    response.headers["Location"] = f"/v1/memoranda/{view.row.id}"
    return _answered(response, view)


@router.get("/v1/memoranda/{memorandum_id}")
async def one(memorandum_id: shapes.Id, w: deps.R, response: Response) -> Memorandum:
    """Read a memorandum of your institution or programme."""
    row = await access.visible_memorandum(w, memorandum_id)
    return _answered(response, (await memoranda.views(w, [row]))[0])


@router.patch("/v1/memoranda/{memorandum_id}", responses=problems.of(errors.Forbidden, errors.PersonalDataFound))
async def change(
    memorandum_id: shapes.Id, body: MemorandumChanges, w: deps.W, expect: deps.IfMatch, response: Response
) -> Memorandum:
    """Change what a memorandum says. For the programme's admins."""
    row = await access.visible_memorandum(w, memorandum_id, lock=True)
    expect(row)
    changes = _columns(body.model_dump(exclude_unset=True, exclude={"confirmed_spans"}))
    return _answered(response, await memoranda.change(w, row, changes, shapes.confirmed(body.confirmed_spans)))


@router.get("/v1/memoranda/{memorandum_id}/transitions")
async def steps(memorandum_id: shapes.Id, w: deps.R) -> shapes.Listing[StepTaken]:
    """List the steps of the memorandum's life."""
    await access.visible_memorandum(w, memorandum_id)
    items = [
        StepTaken.model_validate(
            {
                "from": row.from_status,
                "to": row.to_status,
                "on": row.on_date,
                "reason": row.reason,
                "is_demo": row.is_demo,
            }
        )
        for row in await memoranda.transitions(w, memorandum_id)
    ]
    return shapes.Listing[StepTaken](items=items, next=None)


@router.post(
    "/v1/memoranda/{memorandum_id}/transitions",
    responses=problems.of(errors.Forbidden, errors.IllegalTransition, errors.PersonalDataFound),
)
async def step(memorandum_id: shapes.Id, body: Step, w: deps.W, response: Response) -> Memorandum:
    """Take a step of the memorandum's life, for the programme's admins; its appointments are dealt with afterwards."""
    row = await access.visible_memorandum(w, memorandum_id, lock=True)
    return _answered(
        response,
        await memoranda.transition(
            w, row, body.to, body.on, body.reason, confirmed=shapes.confirmed(body.confirmed_spans)
        ),
    )


@router.get("/v1/programmes/{programme_id}/idle", responses=problems.of(errors.Forbidden))
async def idle(
    programme_id: shapes.Id,
    w: deps.W,
    days: Annotated[
        int, Query(ge=1, le=3_660, description="For how long nothing was logged.")
    ] = memorandum_reminders.IDLE_DAYS,
) -> shapes.Listing[Idle]:
    """List the active memoranda under which nothing was logged for so many days, why, and what to do. For admins."""
    items = [
        Idle(
            memorandum_id=memorandum.memorandum_id,
            last_at=memorandum.last_at,
            idle_days=memorandum.idle_days,
            reasons=[
                Reason(code=code, what_to_do=memorandum_reminders.WHAT_TO_DO[code]) for code in memorandum.reasons
            ],
        )
        for memorandum in await memorandum_reminders.idle(w, programme_id, days)
    ]
    return shapes.Listing[Idle](items=items, next=None)


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    """Give the body's fields as columns of the table."""
    if "signed" in fields:
        signed = fields.pop("signed")
        fields |= {"signed_on": signed["date"], "signed_precision": signed["precision"]}
    if "budget" in fields:
        budget = fields.pop("budget") or {"minutes": None, "per": None}
        fields |= {"budget_minutes": budget["minutes"], "budget_per": budget["per"]}
    return fields


def _answered(response: Response, view: memoranda.MemorandumView) -> Memorandum:
    deps.etag(response, view.row.version)
    return _shown(view)


def _shown(view: memoranda.MemorandumView) -> Memorandum:
    row = view.row
    signed = {"date": row.signed_on, "precision": row.signed_precision}
    budget = {"minutes": row.budget_minutes, "per": row.budget_per, "minutes_left": view.minutes_left}
    return Memorandum(
        id=row.id,
        programme_id=row.programme_id,
        kind=row.kind,
        status=row.status,
        parties=[Party.model_validate(party, from_attributes=True) for party in view.parties],
        areas=list(view.areas),
        activities=row.activities,
        signed=Signed.model_validate(signed),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        budget=None if row.budget_minutes is None else BudgetLeft.model_validate(budget),
        source=row.source,
        note=row.note,
        code=row.code,
        renewed_by=row.renewed_by,
    )
