"""What a memorandum, a programme or an institution can read of the log, as figures."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.edge import bodies, deps, files, problems, shapes
from api.edge.transactional import Transactional
from integrations.documents import report_pages, report_tables
from service import vocabulary
from service.kernel import errors
from service.outbox.events import instant
from service.reporting import reports
from service.rules.figures import figures

router = APIRouter(tags=["reports"], route_class=Transactional)
_REFUSED = problems.of(errors.Forbidden)


class Published(shapes.Shape):
    """What a comparable service reached, or was published of this programme; `op` is the sign it was given."""

    source: str
    value: float
    note: str
    op: Literal["=", ">", ">=", "<", "<=", "~"]


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
    rows_at: Annotated[str, Field(description="Where these rows are.")]
    numerator: Annotated[int | float | None, Field(description="Of a share: what was divided.")]
    denominator: Annotated[int | float | None, Field(description="Of a share: by what.")]
    previous: Annotated[
        int | float | None, Field(description="The value in the period before, with `?compare=previous`.")
    ]
    parts: list[Part]
    published: list[Published]


class Before(shapes.Shape):
    """The days that `previous` values are of: `from` inclusive, `until` exclusive."""

    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day


class Month(shapes.Shape):
    """A month of the period, as far as it lies in the period: live sessions held, written advices, minutes logged."""

    month: Annotated[str, Field(description="Such as `2026-11`.")]
    sessions: int
    written_advices: int
    minutes: int


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
            "previous": {"from": "2026-10-01", "until": "2026-11-01"},
            "figures": [
                {
                    "name": "hours_to_answer",
                    "value": 4.2,
                    "unit": "hours",
                    "definition": "Median hours from opening to the first session's start, or to the written advice.",
                    "rows": 12,
                    "rows_at": "/v1/memoranda/0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11/report/rows?of=consultations"
                    "&from=2026-11-01&until=2026-12-01&zone=Europe%2FKyiv",
                    "numerator": None,
                    "denominator": None,
                    "previous": 5.1,
                    "parts": [
                        {
                            "key": "urgent",
                            "value": 4.2,
                            "rows": 12,
                            "lower_quartile": 2.5,
                            "upper_quartile": 9.0,
                        }
                    ],
                    "published": [
                        {"source": "MSF telemedicine", "value": 5.0, "note": "hours to the answer", "op": "="}
                    ],
                }
            ],
            "months": [{"month": "2026-11", "sessions": 9, "written_advices": 3, "minutes": 402}],
        }
    )
    kind: str
    id: shapes.Id
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day
    zone: str
    made_at: shapes.Instant
    idle_since: Annotated[shapes.Instant | None, Field(description="When something was last logged, in any period.")]
    previous: Before | None
    figures: list[Figure]
    months: Annotated[list[Month] | None, Field(description="With `?by=month`.")]


class Row(shapes.Shape):
    """One row that a report counts: its id, and the codes, times and counts that figures are made of."""

    model_config = bodies.like(
        {"id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "facts": {"mode": "live", "minutes": 29, "outcome": "referred"}}
    )
    id: shapes.Id
    facts: dict[str, str | int | float | bool | None]


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
Of = Annotated[
    Literal["consultations", "offers", "sessions", "answers", "memoranda", "activities"],
    Query(description="Which rows: `rows_at` of a figure names them."),
]
_OFFERED = files.Offered("csv", "xlsx", "pdf")
_ANSWERS = _OFFERED.described() | _REFUSED


class Extras:
    """What else is asked for: the form, by `Accept`; the period before; the months."""

    def __init__(
        self,
        form: Annotated[files.Form, Depends(_OFFERED)],
        compare: Annotated[
            Literal["previous"] | None, Query(description="Give each figure's value in the period before, too.")
        ] = None,
        by: Annotated[
            Literal["month"] | None, Query(description="Give sessions, advices and minutes by month.")
        ] = None,
        lang: Annotated[vocabulary.Locale | None, Query(description="Of the PDF; without it, the caller's.")] = None,
    ) -> None:
        """Take the query's parameters."""
        self.form = form
        self.compare = compare is not None or form == "pdf"
        self.by_month = by is not None or form == "pdf"
        self.lang = lang


Beside = Annotated[Extras, Depends()]


@router.get("/v1/memoranda/{id}/report", response_model=Report, responses=_ANSWERS)
async def of_memorandum(w: deps.W, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on a memorandum, to the coordinators of its parties and the programme's admins."""
    return await _answer(w, reports.memorandum, id, period, beside, response)


@router.get("/v1/programmes/{id}/report", response_model=Report, responses=_ANSWERS)
async def of_programme(w: deps.W, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on a programme, to its admins."""
    return await _answer(w, reports.programme, id, period, beside, response)


@router.get("/v1/institutions/{id}/report", response_model=Report, responses=_ANSWERS)
async def of_institution(w: deps.W, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on an institution, both sides together, to its coordinators; to an admin what is their programmes'."""
    return await _answer(w, reports.institution, id, period, beside, response)


async def _answer(
    w: deps.W,
    make: Callable[..., Awaitable[reports.Report]],
    subject_id: UUID,
    period: Period,
    beside: Extras,
    response: Response,
) -> Report | Response:
    """Give the report in the form that is wanted: the JSON now, a file once the transaction is over."""
    made = await make(w, subject_id, *period.wanted, compare=beside.compare, by_month=beside.by_month)
    if beside.form == "json":
        response.headers.update(files.VARY)
        return shown(made)
    write = await writer(w, made, beside.form, beside.lang)
    return files.Later(write, beside.form, f"{made.kind}-report-{made.from_on}-{made.until_on}")


async def writer(w: deps.W, made: reports.Report, form: files.Form, lang: str | None) -> Callable[[], BinaryIO]:
    """Give what writes the report as a file, with everything read that it needs."""
    if form == "pdf":
        titles = await reports.titles(w, made)
        return lambda: report_pages.document(made, titles, lang or titles.locale or vocabulary.LOCALES[0])
    return (lambda: report_tables.text(made)) if form == "csv" else (lambda: report_tables.workbook(made))


@router.get("/v1/memoranda/{id}/report/rows", responses=_REFUSED)
async def rows_of_memorandum(
    w: deps.W,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that a memorandum's report counts, to who reads the report."""
    return await _rows(w, "memorandum", id, of, period, page)


@router.get("/v1/programmes/{id}/report/rows", responses=_REFUSED)
async def rows_of_programme(
    w: deps.W,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that a programme's report counts, to its admins."""
    return await _rows(w, "programme", id, of, period, page)


@router.get("/v1/institutions/{id}/report/rows", responses=_REFUSED)
async def rows_of_institution(
    w: deps.W,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that an institution's report counts, to who reads the report."""
    return await _rows(w, "institution", id, of, period, page)


async def _rows(
    w: deps.W, kind: str, subject_id: UUID, of: str, period: Period, page: deps.Page
) -> shapes.Listing[Row]:
    found = await reports.rows(w, kind, subject_id, period.wanted, of, after=page.after_id(), limit=page.limit)
    items, following = page.cut(found, lambda row: (row["id"],))
    shown = [Row(id=row["id"], facts={key: _fact(row[key]) for key in row if key != "id"}) for row in items]
    return shapes.Listing[Row](items=shown, next=following)


def _fact(value: object) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return instant(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def shown(made: reports.Report) -> Report:
    """Give the report as it goes over the wire."""
    place = {"memorandum": "memoranda", "programme": "programmes", "institution": "institutions"}[made.kind]
    period = urlencode({"from": made.from_on, "until": made.until_on, "zone": made.zone})
    rows_at = f"/v1/{place}/{made.subject_id}/report/rows?of={{}}&{period}"
    return Report.model_validate(
        {
            "kind": made.kind,
            "id": made.subject_id,
            "from": made.from_on,
            "until": made.until_on,
            "zone": made.zone,
            "made_at": made.made_at,
            "idle_since": made.idle_since,
            "previous": made.previous and {"from": made.previous[0], "until": made.previous[1]},
            "figures": [_figure(each, rows_at) for each in made.figures],
            "months": None if made.months is None else [_month(each) for each in made.months],
        }
    )


def _month(month: figures.Month) -> Month:
    counted = {"sessions": month.sessions, "written_advices": month.written_advices, "minutes": month.minutes}
    return Month(month=f"{month.first_on:%Y-%m}", **counted)


def _figure(figure: figures.Figure, rows_at: str) -> Figure:
    return Figure(
        name=figure.name,
        value=figure.value,
        unit=figure.unit,
        definition=figure.definition,
        rows=figure.rows,
        rows_at=rows_at.format(figure.of),
        numerator=figure.numerator,
        denominator=figure.denominator,
        previous=figure.previous,
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
        published=[Published.model_validate(each, from_attributes=True) for each in figure.published],
    )
