"""A cell as the value that the shapes take, by what may stand in its column; and what pydantic finds, in our words.

Nothing that people read here is pydantic's: no pattern, no type of a programming language.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.exchange import import_words
from service import vocabulary
from service.kernel import email_addresses
from service.rules import csv_tables, file_cells, file_tables, sentences
from service.rules.file_tables import Cell, CellFault, Unreadable, fault

_EXAMPLES = {
    "country": "UA",
    "region": "UA-74",
    "languages": "uk; en",
    "snomed_ct": "408467006",
    "quiet_from": "22:00",
    "quiet_until": "07:00",
    "weekly": "mon 16:00-19:00; tue 09:00-12:00",
    "exceptions": "away 2026-12-24T00:00/2026-12-27T00:00",
    "roles": "clinician@ua-one; mentor@ua-one/cardiology",
    "period": "2026-10",
}
"""How a cell is written whose form a pattern holds; every other pattern is that of a code."""
_LANGUAGE_LEVELS_EXAMPLE = "uk:native; en:B2"
_CODE_EXAMPLE = "ua-one"
_DASHES = re.compile(r"\s*[-\u2010-\u2015\u2212]\s*")
_NEXT_ROLE = re.compile(r",(?=[^,;@/]+@)")
_CLOCK = re.compile(r"(?<![\d:.])(\d)(?=[:.]\d\d)")


@dataclass(frozen=True, slots=True)
class Column:
    """What may stand in the cells of a column."""

    name: str
    types: frozenset[str]
    form: str | None  # date, date-time, uuid, email
    codes: tuple[str, ...]
    words: Mapping[str, str]  # the code of each word that stands for one
    is_free: bool  # any text may stand there; else a comma separates as well as a semicolon
    example: str


def column(name: str, schema: Mapping[str, Any]) -> Column:
    """Read what may stand in a column from its JSON schema."""
    variants = schema.get("anyOf", [schema])
    types = frozenset(variant.get("type", "string") for variant in variants)
    inner = next(variant for variant in variants if variant.get("type") != "null")
    item = inner.get("items", inner)
    codes = tuple(item.get("enum", ()))
    pattern = item.get("pattern", "")
    example = _EXAMPLES.get(name, _CODE_EXAMPLE)
    if vocabulary.LANGUAGE_LEVELS[0] in pattern:
        example = _LANGUAGE_LEVELS_EXAMPLE
    words = import_words.codes(codes) if codes else import_words.codes_of(name)
    is_free = not (codes or item.get("format") or pattern) or name == "roles"
    return Column(name, types, item.get("format"), codes, words, is_free, example)


def value(place: Column, cell: Cell, *, is_1904: bool) -> Any:  # noqa: ANN401, PLR0911 - one line a type
    """Give the value of a cell that is not blank; raises Unreadable."""
    if "array" in place.types:
        return [_item(place, item) for item in _items(place, file_cells.text(cell))]
    if "boolean" in place.types:
        return file_cells.truth(cell)
    if "integer" in place.types:
        return file_cells.whole(cell)
    if "object" in place.types:
        return _object(file_cells.text(cell))
    if place.form == "date":
        return file_cells.day(cell, is_1904=is_1904)
    if place.form == "date-time":
        return file_cells.instant(cell)
    if place.name in ("quiet_from", "quiet_until"):
        return file_cells.clock(cell)
    if place.name == "period":
        return file_cells.period(cell)
    if place.form == "uuid":
        return file_cells.text(cell).strip("{}")
    return _word(place, cell)


def _word(place: Column, cell: Cell) -> str:
    written = file_cells.code(cell, place.words)
    if place.name in ("country", "region"):
        return written.upper()
    return written.removeprefix("mailto:") if place.form == "email" else written


def _items(place: Column, text: str) -> list[str]:
    if place.name == "roles":
        text = _NEXT_ROLE.sub(";", text)
    return csv_tables.items(text, ";\r\n" if place.is_free else ";,\r\n")


def _item(place: Column, text: str) -> str:
    """Give an item of a list; those of two parts (role and place, language and level) have words in each."""
    if place.name == "roles":
        role, at, rest = text.partition("@")
        return f"{file_cells.code(role, place.words)}{at}{rest.strip()}"
    if place.name == "languages":
        language, colon, level = text.partition(":")
        level = level.strip()
        level = level.lower() if level.lower() in vocabulary.LANGUAGE_LEVELS else level.upper()
        return file_cells.code(language, place.words).lower() + colon + file_cells.code(level, place.words)
    if place.name in ("weekly", "exceptions"):
        return _span(place, text)
    return _word(place, text)


def _span(place: Column, text: str) -> str:
    """Give hours or an exception: the word at its beginning, then times between which there may be any dash."""
    word, _, times = text.partition(" ")
    code = file_cells.code(word, place.words)
    if place.name == "weekly":
        spaced = _CLOCK.sub(r"0\1", _DASHES.sub("-", file_cells.latin_digits(times.strip())))
        return f"{code} {spaced.replace('.', ':')}"
    begin, slash, end = times.partition("/")
    walls = [file_cells.wall(begin), file_cells.wall(end)]
    return f"{code} {walls[0]}{slash}{walls[1]}" if all(walls) else text


def _object(text: str) -> Any:  # noqa: ANN401 - whatever the text holds: the shape refuses what is no object
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("must be a JSON object") from None


def fault_of(  # noqa: PLR0911 - one for each kind of fault
    row: int, columns: Mapping[str, Column], detail: Mapping[str, Any]
) -> CellFault:
    """Word what pydantic found in a row."""
    name = str(detail["loc"][0])
    place, limits, kind = columns[name], detail.get("ctx", {}), str(detail["type"])
    if kind == "literal_error":
        return fault(row, name, "must be one of: {codes}", codes=place.codes)
    if kind == "string_pattern_mismatch":
        if place.example == _CODE_EXAMPLE:
            return fault(row, name, "must be a code of Latin letters, digits, dots and hyphens, such as {example}",
                         example=_CODE_EXAMPLE)  # fmt: skip
        return fault(row, name, "must be written like this: {example}", example=place.example)
    for limit, key in _LIMITS.items():
        if kind in limit:
            return fault(row, name, key, most=str(next((limits[each] for each in _BOUNDS if each in limits), "")))
    if isinstance(limits.get("error"), email_addresses.Refused):
        return import_words.address_fault(row, name, limits["error"])
    if kind == "value_error":
        said = limits["error"].args[0]
        return file_tables.filled(row, name, sentences.key(said), sentences.facts(said))
    return fault(row, name, _KINDS.get(kind, "cannot be read"))


_BOUNDS = ("max_length", "ge", "gt", "le", "lt")
_LIMITS = {
    ("string_too_long",): "is longer than {most} characters",
    ("too_long",): "lists more than {most}",
    ("greater_than_equal", "greater_than"): "must be at least {most}",
    ("less_than_equal", "less_than"): "must be at most {most}",
}
_KINDS = {
    "missing": "needs a value",
    "string_too_short": "needs a value",
    "too_short": "needs a value",
    "dict_type": "must be a JSON object",
    "int_type": file_cells.NOT_WHOLE,
    "bool_type": file_cells.NOT_A_TRUTH,
}
