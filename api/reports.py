"""What a memorandum, a programme or an institution can read of the log, as figures."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from api import bodies, deps, problems, shapes
from api.transactional import Transactional
from service import errors, reports
from service.rules import figures

router = APIRouter(tags=["reports"], route_class=Transactional)
_REFUSED = problems.of(errors.Forbidden)


class Published(shapes.Shape):
    """What a comparable service reached, and who says so."""

    source: str
    value: float
    note: str


class Part(shapes.Shape):
    """The figure for one key; quartiles are there where the value is a median."""

    key: str
    value: int | float | None
    rows: int | None = None
    lower_quartile: float | None = None
    upper_quartile: float | None = None


class Figure(shapes.Shape):
    """One number: what it says, in which unit, of how many rows. Null means there was nothing to count."""

    name: str
    value: int | float | None
    unit: str
    definition: str
    rows: Annotated[int | None, Field(description="How many rows it was made of, where that says something.")]
    parts: list[Part]
    published: list[Published]


class Report(shapes.Shape):
    """The figures of one period: days in `zone`, `from` inclusive, `until` exclusive."""

    model_config = bodies.like(
        {
            "kind": "memorandum",
            "id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11",
            "from": "2026-11-01",
            "until": "2026-12-01",
            "zone": "Europe/Kyiv",
            "made_at": "2026-11-30T09:00:00Z",
            "idle_since": "2026-11-20T10:02:00Z",
            "figures": [
                {
                    "name": "hours_to_answer",
                    "value": 4.2,
                    "unit": "hours",
                    "definition": "Median hours from opening to the first session's start, or to the written advice.",
                    "rows": 12,
                    "parts": [
                        {
                            "key": "urgent",
                            "value": 4.2,
                            "rows": 12,
                            "lower_quartile": 2.5,
                            "upper_quartile": 9.0,
                        }
                    ],
                    "published": [{"source": "MSF telemedicine", "value": 5.0, "note": "hours to the answer"}],
                }
            ],
        }
    )
    kind: str
    id: shapes.Id
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day
    zone: str
    made_at: shapes.Instant
    idle_since: Annotated[shapes.Instant | None, Field(description="When something was last logged, in any period.")]
    figures: list[Figure]


class Period:
    """The days that are asked for."""

    def __init__(
        self,
        from_: Annotated[
            shapes.Day | None, Query(alias="from", description="The first day; without it, the first there was.")
        ] = None,
        until: Annotated[
            shapes.Day | None, Query(description="The first day not counted; without it, tomorrow.")
        ] = None,
        zone: Annotated[
            shapes.Zone | None, Query(description="Whose days; without it, the programme's (the institution's own).")
        ] = None,
    ) -> None:
        """Take the query's parameters."""
        self.wanted = (from_, until, zone)


Asked = Annotated[Period, Depends()]


@router.get("/v1/memoranda/{id}/report", responses=_REFUSED)
async def of_memorandum(w: deps.W, id: shapes.Id, period: Asked) -> Report:  # noqa: A002
    """Report on a memorandum, to the coordinators of its parties and the programme's admins."""
    return shown(await reports.memorandum(w, id, *period.wanted))


@router.get("/v1/programmes/{id}/report", responses=_REFUSED)
async def of_programme(w: deps.W, id: shapes.Id, period: Asked) -> Report:  # noqa: A002
    """Report on a programme, to its admins."""
    return shown(await reports.programme(w, id, *period.wanted))


@router.get("/v1/institutions/{id}/report", responses=_REFUSED)
async def of_institution(w: deps.W, id: shapes.Id, period: Asked) -> Report:  # noqa: A002
    """Report on an institution, both sides together, to its coordinators; to an admin what is their programmes'."""
    return shown(await reports.institution(w, id, *period.wanted))


def shown(made: reports.Report) -> Report:
    """Give the report as it goes over the wire."""
    return Report.model_validate(
        {
            "kind": made.kind,
            "id": made.subject_id,
            "from": made.from_on,
            "until": made.until_on,
            "zone": made.zone,
            "made_at": made.made_at,
            "idle_since": made.idle_since,
            "figures": [_figure(each) for each in made.figures],
        }
    )


def _figure(figure: figures.Figure) -> Figure:
    return Figure(
        name=figure.name,
        value=figure.value,
        unit=figure.unit,
        definition=figure.definition,
        rows=figure.rows,
        parts=[
            Part(
                key=part.key,
                value=part.value,
                rows=part.rows,
                lower_quartile=part.lower_quartile,
                upper_quartile=part.upper_quartile,
            )
            for part in figure.parts
        ],
        published=[Published(source=p.source, value=p.value, note=p.note) for p in figure.published],
    )
