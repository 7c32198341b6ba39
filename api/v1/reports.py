"""What a memorandum, a programme or an institution can read of the log, as figures."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.edge import bodies, deps, files, problems, query, report_forms, shapes
from api.edge.transactional import Transactional
from service import vocabulary
from service.kernel import errors
from service.outbox.events import instant
from service.reporting import reports

router = APIRouter(tags=["reports"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_REFUSED = problems.of(errors.Forbidden)


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
    vocabulary.ReportRows,
    Query(description="Which rows: `rows_at` of a figure names them."),
]
_OFFERED = files.Offered(*vocabulary.FILE_FORMS)
_ANSWERS = _OFFERED.described() | _REFUSED


class Extras:
    """What else is asked for: the form, by `Accept`; the period before; the months."""

    def __init__(
        self,
        form: Annotated[vocabulary.ResponseForm, Depends(_OFFERED)],
        compare: Annotated[
            Literal["previous"] | None, Query(description="Give each figure's value in the period before, too.")
        ] = None,
        by: Annotated[
            Literal["month"] | None, Query(description="Give sessions, advices and minutes by month.")
        ] = None,
        lang: Annotated[
            vocabulary.Locale | None,
            Query(
                description="Of a file; without it a PDF is in the caller's, CSV and XLSX have the names of the API."
            ),
        ] = None,
    ) -> None:
        """Take the query's parameters."""
        self.form = form
        self.compare = compare is not None or form == "pdf"
        self.by_month = by is not None or form == "pdf"
        self.lang = lang


Beside = Annotated[Extras, Depends()]


@router.get("/v1/memoranda/{id}/report", response_model=report_forms.Report, responses=_ANSWERS)
async def of_memorandum(w: deps.Reported, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on a memorandum, to the coordinators of its parties and the programme's admins."""
    return await _answer(w, reports.memorandum, id, period, beside, response)


@router.get("/v1/programmes/{id}/report", response_model=report_forms.Report, responses=_ANSWERS)
async def of_programme(w: deps.Reported, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on a programme, to its admins."""
    return await _answer(w, reports.programme, id, period, beside, response)


@router.get("/v1/institutions/{id}/report", response_model=report_forms.Report, responses=_ANSWERS)
async def of_institution(w: deps.Reported, id: shapes.Id, period: Asked, beside: Beside, response: Response) -> Any:  # noqa: A002, ANN401
    """Report on an institution, both sides together, to its coordinators; to an admin what is their programmes'."""
    return await _answer(w, reports.institution, id, period, beside, response)


async def _answer(
    w: deps.Reported,
    make: Callable[..., Awaitable[reports.Report]],
    subject_id: UUID,
    period: Period,
    beside: Extras,
    response: Response,
) -> report_forms.Report | Response:
    """Give the report in the form that is wanted: the JSON now, a file once the transaction is over."""
    report = await make(w, subject_id, *period.wanted, compare=beside.compare, by_month=beside.by_month)
    if beside.form == "json":
        response.headers.update(files.VARY)
        return report_forms.shown(report, w.base_path)
    write = await report_forms.writer(w, report, beside.form, beside.lang)
    return files.Later(write, beside.form, f"{report.kind}-report-{report.from_on}-{report.until_on}")


@router.get("/v1/memoranda/{id}/report/rows", responses=_REFUSED)
async def rows_of_memorandum(
    w: deps.Reported,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that a memorandum's report counts, to who reads the report."""
    return await _rows(w, "memorandum", id, of, period, page)


@router.get("/v1/programmes/{id}/report/rows", responses=_REFUSED)
async def rows_of_programme(
    w: deps.Reported,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that a programme's report counts, to its admins."""
    return await _rows(w, "programme", id, of, period, page)


@router.get("/v1/institutions/{id}/report/rows", responses=_REFUSED)
async def rows_of_institution(
    w: deps.Reported,
    id: shapes.Id,  # noqa: A002
    of: Of,
    period: Asked,
    page: deps.Paging,
) -> shapes.Listing[Row]:
    """List the rows that an institution's report counts, to who reads the report."""
    return await _rows(w, "institution", id, of, period, page)


async def _rows(
    w: deps.Reported, kind: str, subject_id: UUID, of: str, period: Period, page: deps.Page
) -> shapes.Listing[Row]:
    rows = await reports.rows(w, kind, subject_id, period.wanted, of, after=page.after_id(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row["id"],))
    row_shapes = [Row(id=row["id"], facts={key: _fact(row[key]) for key in row if key != "id"}) for row in items]
    return shapes.Listing[Row](items=row_shapes, next=following)


def _fact(value: object) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return instant(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
