"""A consultation journal as a table for people: words instead of codes, times by the clock of its zone."""

import functools
import tomllib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from integrations.documents.spreadsheets import Cell
from service.rules.time import availability

_FOLDER = Path(__file__).parent / "templates" / "report"
_NAMED = ("specialty", "requesting_institution", "partner_institution")
_WORDED = ("side", "mode", "priority", "age_band", "outcome")


def head(columns: Sequence[str], locale: str) -> list[str]:
    """Give the heads of the columns."""
    return [_words(locale)["columns"][name] for name in columns]


def rows(found: Iterable[dict[str, Any]], columns: Sequence[str], locale: str, zone: str) -> list[list[Cell]]:
    """Give the rows of `service.reporting.journal` as cells."""
    return [[_cell(row, name, locale, zone) for name in columns] for row in found]


def _cell(row: dict[str, Any], name: str, locale: str, zone: str) -> Cell:
    if name in _NAMED:
        return str(row[f"{name}_{locale}"] or "")
    value = row[name]
    if name in _WORDED:
        return str(_words(locale)["values"][name][value])
    if isinstance(value, datetime):
        return availability.to_wall(value, zone)
    return value if value is None or isinstance(value, int) else str(value)


@functools.cache
def _words(locale: str) -> dict[str, Any]:
    journal: dict[str, Any] = tomllib.loads((_FOLDER / f"{locale}.toml").read_text("utf-8"))["journal"]
    return journal
