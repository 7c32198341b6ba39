"""A consultation journal as a table for people: words instead of codes, times by the clock of its zone."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from integrations import catalogues, local_times
from integrations.documents.spreadsheets import Cell
from service.rules.time import availability

_NAMED = ("specialty", "requesting_institution", "partner_institution")
_DAYS = {"uk": "dd.mm.yyyy"}
_WORDED = {
    "side": "journal.side",
    "mode": "journal.mode",
    "priority": "report.priorities",
    "age_band": "age_bands",
    "outcome": "outcomes",
}
"""In which context of the catalogues a column's codes are worded."""


def head(columns: Sequence[str], locale: str) -> list[str]:
    """Give the heads of the columns."""
    return [catalogues.of(locale)["journal.columns"][name] for name in columns]


def days(locale: str) -> str | None:
    """Say how a workbook shows days, where the language has a way of its own."""
    return _DAYS.get(locale)


def rows(journal_rows: Iterable[dict[str, Any]], columns: Sequence[str], locale: str, zone: str) -> list[list[Cell]]:
    """Give the rows of `service.reporting.journal` as cells."""
    return [[_cell(row, name, locale, zone) for name in columns] for row in journal_rows]


def named(row: dict[str, Any], column: str, locale: str) -> str | None:
    """Give the name that stands in the column, in English if the registry has none in the language."""
    name: str | None = row.get(f"{column}_{locale}", row[f"{column}_{catalogues.FALLBACK}"])
    return name


def _cell(row: dict[str, Any], name: str, locale: str, zone: str) -> Cell:
    if name in _NAMED:
        return named(row, name, locale) or ""
    value = row[name]
    if name in _WORDED:
        return catalogues.of(locale)[_WORDED[name]][value]
    if isinstance(value, datetime):
        wall = availability.to_wall(value, zone)
        # A clock that is set back shows an hour twice: without the offset an end would stand before its start.
        is_clear = not availability.is_repeated(value, zone)
        return wall if is_clear else f"{wall:%Y-%m-%d %H:%M:%S} ({local_times.offset(value, zone)})"
    return value if value is None or isinstance(value, int) else str(value)
