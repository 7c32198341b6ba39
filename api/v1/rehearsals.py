"""Rehearsals: what a programme's recorded choices of mentors come to under other numbers; for its admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import tables, vocabulary
from service.kernel import errors
from service.reporting import rehearsals

router = APIRouter(tags=["registry"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
_POLICY = {"priorities": {"urgent": {"per_wave": 3}}}
_FROM, _UNTIL = "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"
_LINE = {
    "id": _EXAMPLE_ID, "programme_id": _EXAMPLE_ID, "state": "done", "problem": None, "policy": _POLICY,
    "compared_with": {}, "from": _FROM, "until": _UNTIL, "decisions": 40, "decisions_done": 40, "by": _EXAMPLE_ID,
    "created_at": _UNTIL, "settled_at": _UNTIL,
}  # fmt: skip
_BAND = {"mean": 77.2, "low": 76.6, "high": 77.8}


class NewRehearsal(shapes.Shape):
    """Which numbers, as `policy` of the programme would have them, and the choices of which time."""

    model_config = bodies.like({"policy": _POLICY, "from": _FROM, "until": _UNTIL})
    policy: dict[str, Any]
    from_: Annotated[shapes.Instant, Field(alias="from")]
    until: shapes.Instant


class Differing(shapes.Shape):
    """A choice that is not made again as it was, and in what it differs."""

    decision_id: shapes.Id
    at: shapes.Instant
    differs_in: list[vocabulary.ReplayDifference]


class Exact(shapes.Shape):
    """Each choice made again as it was; `no_longer_exact` are those of which a part is gone. Twenty are named."""

    decisions: int
    same: int
    no_longer_exact: int
    differing: int
    examples: list[Differing]


class OtherChoice(shapes.Shape):
    """At one moment: how many were asked, how many would have been, and how many of them are the same."""

    decision_id: shapes.Id
    at: shapes.Instant
    priority: vocabulary.Priority
    asked_before: int
    asked_after: int
    both: int


class OneStep(shapes.Shape):
    """Whom these numbers would have asked at the same moments: exact, and without what would have followed."""

    decisions: int
    first_pick_changed: int
    others_asked: int
    asked_before: int
    asked_after: int
    nobody_before: int
    nobody_after: int
    examples: list[OtherChoice]


class Band(shapes.Shape):
    """The mean over seeds, and between what it lies (95 %); no mean where most were never answered."""

    mean: float | None
    low: float | None
    high: float | None


class EstimatedFigure(shapes.Shape):
    """A figure of the lab under one model of how mentors behave, by both policies; `change` seed by seed."""

    behaviour: str
    name: str
    now: Band
    new: Band
    change: Band | None


class Estimated(shapes.Shape):
    """What would follow, by the lab's models over a made-up registry: an estimate, and of no row of this programme."""

    shape: str
    days: int
    requests: int
    seeds: int
    behaviours: list[str]
    figures: list[EstimatedFigure]


class RehearsalLine(shapes.Shape):
    """Which numbers are tried on what, and how far it is; `compared_with` is the policy of when it was asked for."""

    model_config = bodies.like(_LINE)
    id: shapes.Id
    programme_id: shapes.Id
    state: vocabulary.RehearsalState
    problem: vocabulary.RehearsalProblem | None
    policy: dict[str, Any]
    compared_with: dict[str, Any]
    from_: Annotated[shapes.Instant, Field(alias="from")]
    until: shapes.Instant
    decisions: int
    decisions_done: int
    by: shapes.Id | None
    created_at: shapes.Instant
    settled_at: shapes.Instant | None


class Rehearsal(RehearsalLine):
    """The same with its three levels, once it is done: exact, exact for one step, estimated."""

    model_config = bodies.like({
        **_LINE,
        "exact": {"decisions": 40, "same": 40, "no_longer_exact": 0, "differing": 0, "examples": []},
        "one_step": {
            "decisions": 38, "first_pick_changed": 0, "others_asked": 30, "asked_before": 60, "asked_after": 90,
            "nobody_before": 2, "nobody_after": 2, "examples": [],
        },
        "estimated": {
            "shape": "published", "days": 91, "requests": 400, "seeds": 4, "behaviours": ["clock"],
            "figures": [{"behaviour": "clock", "name": "in_time", "now": _BAND, "new": _BAND, "change": _BAND}],
        },
    })  # fmt: skip
    exact: Exact | None
    one_step: OneStep | None
    estimated: Estimated | None


_PATH = "/v1/programmes/{programme_id}/rehearsals"


@router.post(
    _PATH,
    status_code=202,
    responses=problems.of(errors.Forbidden, errors.Exists, errors.NotComparable, errors.TooManyDecisions),
)
async def submit(programme_id: shapes.Id, body: NewRehearsal, w: deps.W, response: Response) -> Rehearsal:
    """Have the recorded choices of a time rehearsed under other numbers; then poll `Location`."""
    row = await rehearsals.submit(w, programme_id, body.policy, body.from_, body.until)
    response.headers["Location"] = f"/v1/programmes/{programme_id}/rehearsals/{row.id}"
    return _rehearsal(row)


@router.get(_PATH, responses=problems.of(errors.Forbidden))
async def listed(programme_id: shapes.Id, w: deps.R, page: deps.Paging) -> shapes.Listing[RehearsalLine]:
    """List a programme's rehearsals, without what they came to."""
    rows = await rehearsals.page(w, programme_id, after=page.after_id(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row.id,))
    return shapes.Listing[RehearsalLine](
        items=[RehearsalLine.model_validate(_line(row)) for row in items], next=following
    )


@router.get(_PATH + "/{rehearsal_id}", responses=problems.of(errors.Forbidden))
async def read(programme_id: shapes.Id, rehearsal_id: shapes.Id, w: deps.R) -> Rehearsal:
    """Read how far a rehearsal is, and what it came to."""
    return _rehearsal(await rehearsals.read(w, programme_id, rehearsal_id))


def _rehearsal(row: tables.Rehearsal) -> Rehearsal:
    levels = {name: (row.result or {}).get(name) for name in ("exact", "one_step", "estimated")}
    return Rehearsal.model_validate(_line(row) | levels)


def _line(row: tables.Rehearsal) -> dict[str, Any]:
    return {
        "id": row.id,
        "programme_id": row.programme_id,
        "state": row.state,
        "problem": row.problem,
        "policy": row.policy,
        "compared_with": row.compared_with,
        "from": row.from_at,
        "until": row.until_at,
        "decisions": row.decisions,
        "decisions_done": row.decisions_done,
        "by": row.by,
        "created_at": row.created_at,
        "settled_at": row.settled_at,
    }
