"""A report in the forms in which it is sent: its JSON, and what writes it as a file."""

from collections.abc import Callable
from typing import Annotated, BinaryIO
from urllib.parse import urlencode

from pydantic import Field

from api.edge import bodies, shapes
from integrations.documents import report_tables
from service import vocabulary
from service.kernel.work import Work
from service.reporting import reports
from service.rules.figures import figures


class Published(shapes.Shape):
    """What a comparable service reached, or was published of this programme; `op` is the sign it was given."""

    source: str
    value: float
    note: str
    op: vocabulary.CountSign


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
            "as_of": "2026-11-30T09:00:00Z",
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
    as_of: Annotated[shapes.Instant, Field(description="What is counted was so then: up to a minute before.")]
    idle_since: Annotated[shapes.Instant | None, Field(description="When something was last logged, in any period.")]
    previous: Before | None
    figures: list[Figure]
    months: Annotated[list[Month] | None, Field(description="With `?by=month`.")]


def shown(report: reports.Report, base_path: str) -> Report:
    """Give the report as it goes over the wire; its addresses begin with `base_path`."""
    place = {"memorandum": "memoranda", "programme": "programmes", "institution": "institutions"}[report.kind]
    period = urlencode({"from": report.from_on, "until": report.until_on, "zone": report.zone})
    rows_at = f"{base_path}/v1/{place}/{report.subject_id}/report/rows?of={{}}&{period}"
    return Report.model_validate(
        {
            "kind": report.kind,
            "id": report.subject_id,
            "from": report.from_on,
            "until": report.until_on,
            "zone": report.zone,
            "made_at": report.made_at,
            "as_of": report.as_of,
            "idle_since": report.idle_since,
            "previous": report.previous and {"from": report.previous[0], "until": report.previous[1]},
            "figures": [_figure(figure, rows_at) for figure in report.figures],
            "months": None if report.months is None else [_month(month) for month in report.months],
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
        published=[Published.model_validate(published, from_attributes=True) for published in figure.published],
    )


async def writer(
    w: Work, report: reports.Report, form: vocabulary.FileForm, lang: str | None
) -> Callable[[], BinaryIO]:
    """Give the function that writes the report as a file; everything it needs is read by now."""
    if form == "pdf":
        titles = await reports.titles(w, report)

        def pages() -> BinaryIO:  # imported by its thread: it is large and seldom needed, and no request waits for it
            from integrations.documents import report_pages  # noqa: PLC0415

            return report_pages.document(report, titles, lang or titles.locale or vocabulary.LOCALES[0])

        return pages
    write = report_tables.text if form == "csv" else report_tables.workbook
    return lambda: write(report, lang)
