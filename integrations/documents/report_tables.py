"""A report as tables: what is in the JSON, cell by cell, for people with a spreadsheet and programs without JSON."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import BinaryIO

from integrations.documents import spreadsheets
from integrations.documents.spreadsheets import Cell
from service.reporting.reports import Report

_ABOUT = ("kind", "id", "from", "until", "zone", "made_at_utc", "previous_from", "previous_until")
_FIGURE = ("figure", "value", "unit", "rows", "numerator", "denominator", "previous")
_PART = ("figure", "key", "value", "rows", "lower_quartile", "upper_quartile")
_DEFINITION = ("figure", "unit", "definition", "made_of")
_PUBLISHED = ("figure", "sign", "value", "note", "source")
_MONTH = ("month", "sessions", "written_advices", "minutes")
_LONG = (
    "record", "figure", "key", "value", "unit", "rows", "lower_quartile", "upper_quartile", "numerator", "denominator",
    "previous", "sign", "note", "source", "definition", *_ABOUT,
)  # fmt: skip
_WIDTHS = {"figure": 34, "definition": 60, "note": 40, "source": 60, "key": 26, "unit": 14}


def workbook(report: Report) -> BinaryIO:
    """Give the report as XLSX: what it is of, figures, parts, definitions, what was published, months if asked for."""
    book = spreadsheets.Xlsx(report.made_at)
    about = [*zip(_ABOUT, _about(report), strict=True), ("idle_since_utc", report.idle_since)]
    _sheet(book, "Report", ("what", "value"), about)
    _sheet(book, "Figures", _FIGURE, _figures(report))
    _sheet(book, "Parts", _PART, _parts(report))
    _sheet(
        book,
        "Definitions",
        _DEFINITION,
        ((figure.name, figure.unit, figure.definition, figure.of) for figure in report.figures),
    )
    _sheet(book, "Published", _PUBLISHED, _published(report))
    if report.months is not None:
        _sheet(book, "Months", _MONTH, _months(report))
    return book.finish()


def text(report: Report) -> BinaryIO:
    """Give the report as one table of CSV, each row with what it is of; `record` says which kind of row it is."""
    table = spreadsheets.Csv()
    table.sheet("", _LONG)
    about = dict(zip(_ABOUT, _about(report), strict=True))
    definitions = {figure.name: {"unit": figure.unit, "definition": figure.definition} for figure in report.figures}
    records = [
        *(("figure", _FIGURE, row) for row in _figures(report)),
        *(("part", _PART, row) for row in _parts(report)),
        *(("published", _PUBLISHED, row) for row in _published(report)),
    ]
    for record, head, row in records:
        values_by_name = dict(zip(head, row, strict=True))
        cells = {"record": record, **definitions[str(values_by_name["figure"])], **values_by_name, **about}
        table.add([[cells.get(name) for name in _LONG]])
    for month, *values in _months(report):
        for name, value in zip(_MONTH[1:], values, strict=True):
            cells = {"record": "month", "figure": name, "key": month, "value": value, **about}
            table.add([[cells.get(column) for column in _LONG]])
    return table.finish()


def _sheet(book: spreadsheets.Xlsx, name: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    book.sheet(name, head, [_WIDTHS.get(title, 18) for title in head])
    book.add(rows)


def _about(report: Report) -> list[Cell]:
    days: tuple[date | None, date | None] = report.previous or (None, None)
    return [report.kind, str(report.subject_id), report.from_on, report.until_on, report.zone, report.made_at, *days]


def _figures(report: Report) -> Iterator[Sequence[Cell]]:
    for figure in report.figures:
        yield figure.name, figure.value, figure.unit, figure.rows, figure.numerator, figure.denominator, figure.previous


def _parts(report: Report) -> Iterator[Sequence[Cell]]:
    for figure in report.figures:
        for part in figure.parts:
            yield figure.name, part.key, part.value, part.rows, part.lower_quartile, part.upper_quartile


def _published(report: Report) -> Iterator[Sequence[Cell]]:
    for figure in report.figures:
        for published in figure.published:
            yield figure.name, published.op, published.value, published.note, published.source


def _months(report: Report) -> Iterator[Sequence[Cell]]:
    for month in report.months or ():
        yield f"{month.first_on:%Y-%m}", month.sessions, month.written_advices, month.minutes
