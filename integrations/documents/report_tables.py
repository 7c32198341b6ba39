"""A report as tables: what is in the JSON, cell by cell, for people with a spreadsheet and programs without JSON."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import BinaryIO

from integrations import catalogues
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
_CODED = ("record", "unit", "kind", "made_of", "what", "value")
_KEYED = ("outcomes", "report.priorities", "modes", "age_bands", "reasons")
_DAYS = "dd.mm.yyyy"
_DOTTED = "uk"
"""Whose days are written 31.12.2026."""
_WIDTHS = {"figure": 34, "definition": 60, "note": 40, "source": 60, "key": 26, "unit": 14}


def workbook(report: Report, locale: str | None) -> BinaryIO:
    """Give the report as XLSX: what it is of, figures, parts, definitions, what was published, months if asked for.

    In a language if one is asked for, else with the names that the API has.
    """
    words = _Words(locale)
    book = spreadsheets.Xlsx(report.made_at, days=_DAYS if locale == _DOTTED else None)
    about = [(words.of(name), value) for name, value in [*zip(_ABOUT, _about(report), strict=True), _idle(report)]]
    sheets: list[tuple[str, Sequence[str], Iterable[Sequence[Cell]]]] = [
        ("Report", ("what", "value"), about),
        ("Figures", _FIGURE, _figures(report)),
        ("Parts", _PART, _parts(report)),
        ("Definitions", _DEFINITION, ((each.name, each.unit, each.definition, each.of) for each in report.figures)),
        ("Published", _PUBLISHED, _published(report)),
    ]
    if report.months is not None:
        sheets.append(("Months", _MONTH, _months(report)))
    for name, head, rows in sheets:
        book.sheet(words.of(name), [words.of(title) for title in head], [_WIDTHS.get(title, 18) for title in head])
        book.add([words.cell(title, cell) for title, cell in zip(head, row, strict=True)] for row in rows)
    return book.finish()


def text(report: Report, locale: str | None) -> BinaryIO:
    """Give the report as one table of CSV, each row with what it is of; `record` says which kind of row it is."""
    words = _Words(locale)
    table = spreadsheets.Csv()
    table.sheet("", [words.of(name) for name in _LONG])
    about = dict(zip(_ABOUT, _about(report), strict=True))
    definitions = {figure.name: {"unit": figure.unit, "definition": figure.definition} for figure in report.figures}
    records = [
        *(("figure", _FIGURE, row) for row in _figures(report)),
        *(("part", _PART, row) for row in _parts(report)),
        *(("published", _PUBLISHED, row) for row in _published(report)),
    ]
    rows: list[dict[str, Cell]] = []
    for record, head, row in records:
        values_by_name = dict(zip(head, row, strict=True))
        rows.append({"record": record, **definitions[str(values_by_name["figure"])], **values_by_name, **about})
    for month, *values in _months(report):
        for name, value in zip(_MONTH[1:], values, strict=True):
            rows.append({"record": "month", "figure": name, "key": month, "value": value, **about})
    table.add([words.dated(words.cell(name, cells.get(name))) for name in _LONG] for cells in rows)
    return table.finish()


class _Words:
    """Heads and codes in a language; as they are without one."""

    def __init__(self, locale: str | None) -> None:
        self._locale = locale
        self._words = catalogues.of(locale) if locale else None

    def of(self, name: str) -> str:
        return self._words["report.table"].get(name, name) if self._words else name

    def cell(self, column: str, cell: Cell) -> Cell:
        """Give the cell with its code in words."""
        if self._words is None or not isinstance(cell, str):
            return cell
        if column == "figure":
            return self._words["report.figures"].get(cell, self.of(cell))
        if column == "key":
            contexts = [self._words[context] for context in _KEYED]
            return next((words[cell] for words in contexts if cell in words), cell)
        return self.of(cell) if column in _CODED else cell

    def dated(self, cell: Cell) -> Cell:
        """Give a day or time of CSV, where it has no type, as the language writes it."""
        if self._locale != _DOTTED or not isinstance(cell, date):
            return cell
        return cell.strftime("%d.%m.%Y %H:%M:%S" if isinstance(cell, datetime) else "%d.%m.%Y")


def _idle(report: Report) -> tuple[str, Cell]:
    return "idle_since_utc", report.idle_since


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
