"""The tables of imports and exports: their columns are fields of the API, checked as its bodies are.

References are what people know: institutions, memoranda and programmes by code (by id where they have none), people by
address. Lists are separated by semicolons. An empty cell means unknown. `id` may be left out: a new record then
gets one; with it, a record that moves from one installation to another keeps its id.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from api.edge import problems, registry_shapes, shapes
from integrations import catalogues
from service import vocabulary
from service.exchange.imports import FileRow
from service.kernel import email_addresses
from service.outbox.events import instant
from service.rules import csv_tables
from service.rules.csv_tables import CellFault

_YES, _NO = "yes", "no"
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_TRUTHS = {_YES: True, "true": True, "1": True, _NO: False, "false": False, "0": False}


def _version_7(value: UUID) -> UUID:
    if value.version != 7:  # noqa: PLR2004 - RFC 9562
        msg = "must be a UUID of version 7"
        raise ValueError(msg)
    return value


Id = Annotated[shapes.Id, AfterValidator(_version_7)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A code, or the id of what has none."""
Names = Annotated[list[Name], Field(max_length=200, default_factory=list)]
Codes = Annotated[list[shapes.Code], Field(max_length=200, default_factory=list)]
Roles = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z_]+@[^/]+(/.+)?$", max_length=300)]],
    Field(max_length=20, default_factory=list),
]
Language = Annotated[str, StringConstraints(pattern=rf"^[a-z]{{2,3}}:({'|'.join(vocabulary.LANGUAGE_LEVELS)})$")]
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
Hours = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(vocabulary.WEEKDAYS)}) {_MINUTE}-({_MINUTE}|24:00)$")]
_WALL = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"
Exception_ = Annotated[str, StringConstraints(pattern=f"^({'|'.join(vocabulary.EXCEPTION_KINDS)}) {_WALL}/{_WALL}$")]


class ProgrammeRow(registry_shapes.NewProgramme):
    """A programme."""

    id: Id | None = None


class SpecialtyRow(registry_shapes.Specialty):
    """A specialty."""


class InstitutionRow(registry_shapes.NewInstitution):
    """An institution."""

    id: Id | None = None


class MembershipRow(shapes.Shape):
    """An institution's time in a network."""

    institution: Name
    network: Name
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day | None = None
    id: Id | None = None


class MemorandumRow(shapes.Shape):
    """A memorandum, its parties by side."""

    code: shapes.Code | None = None
    programme: shapes.Code
    kind: vocabulary.MemorandumKind
    status: vocabulary.MemorandumStatus = "draft"
    requesting: Names
    partners: Names
    areas: Codes
    activities: Codes
    signed_date: shapes.Day | None = None
    signed_precision: vocabulary.DatePrecision = "unknown"
    valid_from: shapes.Day | None = None
    valid_until: shapes.Day | None = None
    budget_minutes: shapes.BudgetMinutes | None = None
    budget_per: vocabulary.BudgetPeriod | None = None
    renewed_by: Name | None = None
    source: shapes.Line | None = None
    note: shapes.Note | None = None
    id: Id | None = None


class PersonRow(shapes.Shape):
    """Somebody who signs in; a role is `clinician@code-of-institution` or `…@code/department`."""

    email: shapes.Email
    display_name: shapes.Line
    locale: vocabulary.Locale = "uk"
    zone: shapes.Zone
    state: vocabulary.PersonState = "active"
    roles: Roles
    id: Id | None = None


class MentorRow(shapes.Shape):
    """What a mentor offers and when: hours as `mon 16:00-19:00`, `away 2026-12-24T00:00/2026-12-27T00:00`."""

    email: shapes.Email
    institution: Name | None = None
    verified_until: shapes.Instant | None = None
    specialties: Codes
    languages: Annotated[list[Language], Field(max_length=30, default_factory=list)]
    sessions_per_week: Annotated[int, Field(ge=0, le=100)] = 3
    offers_per_week: Annotated[int, Field(ge=0, le=100)] = 5
    notice_minutes: Annotated[int, Field(ge=0, le=20160)] = 720
    buffer_minutes: Annotated[int, Field(ge=0, le=120)] = 10
    treats_children: bool = False
    opt_ins: Annotated[list[vocabulary.Priority], Field(max_length=4, default_factory=list)]
    tags: Codes
    quiet_from: shapes.Clock = "22:00"
    quiet_until: shapes.Clock = "07:00"
    availability_zone: shapes.Zone
    weekly: Annotated[list[Hours], Field(max_length=100, default_factory=list)]
    exceptions: Annotated[list[Exception_], Field(max_length=500, default_factory=list)]


class SessionRow(shapes.Shape):
    """A session or a written advice of the past; `minutes` follows from the times and is only compared with them."""

    memorandum: Name
    clinician: shapes.Email
    mentor: shapes.Email
    participants: Annotated[list[shapes.Email], Field(max_length=20, default_factory=list)]
    requesting_institution: Name
    partner_institution: Name
    specialty: shapes.Code
    priority: vocabulary.Priority = "routine"
    mode: vocabulary.SessionMode
    age_band: vocabulary.AgeBand
    started_at: shapes.Instant
    ended_at: shapes.Instant
    minutes: Annotated[int, Field(ge=0, le=1440)] | None = None
    outcome: vocabulary.SessionOutcome
    route: vocabulary.Route | None = None
    is_memorandum_chosen_anew: bool = False
    is_civil_for_requester: bool | None = None
    is_civil_for_mentor: bool | None = None
    consultation_id: Id | None = None
    corrects: Id | None = None
    id: Id | None = None


class ActivityRow(shapes.Shape):
    """What else a memorandum, or a programme, has brought."""

    code: shapes.Code | None = None
    programme: shapes.Code
    memorandum: Name | None = None
    kind: vocabulary.ActivityKind
    published_kind: shapes.Code | None = None
    on: shapes.Day | None = None
    period: shapes.Period | None = None
    from_: Annotated[shapes.Day | None, Field(alias="from")] = None
    until: shapes.Day | None = None
    days: Annotated[int, Field(ge=1, le=3_660)] | None = None
    people_op: vocabulary.CountSign | None = None
    people_count: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    specialties: Codes
    from_institutions: Names
    to_institutions: Names
    note: shapes.Note | None = None
    source: shapes.Note | None = None
    corrects: Id | None = None
    id: Id | None = None


SHAPES: Mapping[str, type[shapes.Shape]] = {
    "programmes": ProgrammeRow,
    "specialties": SpecialtyRow,
    "institutions": InstitutionRow,
    "memberships": MembershipRow,
    "memoranda": MemorandumRow,
    "people": PersonRow,
    "mentors": MentorRow,
    "sessions": SessionRow,
    "activities": ActivityRow,
}
"""Every table that can be imported; each comes after the tables it refers to."""


@dataclass(frozen=True, slots=True)
class Read:
    """A parsed table."""

    rows: list[FileRow]
    faults: list[CellFault]


@functools.cache
def columns(kind: str) -> Mapping[str, frozenset[str]]:
    """Give the columns of a table, with the JSON types of the values in each."""
    properties = SHAPES[kind].model_json_schema()["properties"]
    return {
        name: frozenset(variant.get("type", "string") for variant in schema.get("anyOf", [schema]))
        for name, schema in properties.items()
    }


def read(kind: str, text: str) -> Read:
    """Parse a table: each row's values as the API has them, or what is wrong with it."""
    shape, column_types = SHAPES[kind], columns(kind)
    needed = [field.alias or name for name, field in shape.model_fields.items() if field.is_required()]
    lines, faults = csv_tables.read(text, column_types, needed)
    rows = []
    for line in lines:
        typed, cell_faults = _typed(line, column_types)
        try:
            values = shape.model_validate(typed).model_dump(by_alias=True)
        except ValidationError as error:
            faulty_columns = {fault.column for fault in cell_faults}
            cell_faults += [fault for fault in _faults(line.row, error) if fault.column not in faulty_columns]
        faults += cell_faults
        if not cell_faults:
            rows.append(FileRow(line.row, values, frozenset(line.cells)))
    return Read(rows, faults)


def _faults(row: int, error: ValidationError) -> list[CellFault]:
    details = error.errors(include_url=False, include_input=False)
    words = catalogues.of(catalogues.FALLBACK)
    return [CellFault(row, str(detail["loc"][0]), problems.sentence(detail, words)) for detail in details]


def written(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table of this kind, as `read` parses it."""
    names, addresses = list(columns(kind)), _address_columns(kind)
    readable = ({**row, **{name: _readable(row[name]) for name in addresses}} for row in rows)
    return csv_tables.written(names, ([_cell(row[name]) for name in names] for row in readable))


@functools.cache
def _address_columns(kind: str) -> frozenset[str]:
    """Name the columns that hold e-mail addresses, one or a list of them."""
    properties = SHAPES[kind].model_json_schema()["properties"].items()
    return frozenset(name for name, schema in properties if schema.get("items", schema).get("format") == "email")


def _readable(value: str | list[str]) -> str | list[str]:
    """Give addresses as people read them: `read` takes them back."""
    return [*map(email_addresses.shown, value)] if isinstance(value, list) else email_addresses.shown(value)


def written_only(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table that nothing reads again, with the columns of its rows."""
    names = list(rows[0]) if rows else []
    return csv_tables.written(names, ([_cell(row[name]) for name in names] for row in rows))


def _typed(
    line: csv_tables.TableRow, column_types: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Any], list[CellFault]]:
    """Give the values of the cells, of their columns' types; an empty cell gives none."""
    typed: dict[str, Any] = {}
    faults = []
    for name, cell in line.cells.items():
        text, types = cell.strip(), column_types[name]
        if not text:
            continue
        typed[name] = cell
        if "array" in types:
            typed[name] = csv_tables.items(text)
        elif "boolean" in types:
            typed[name] = _TRUTHS.get(text.lower(), cell)
        elif "integer" in types and _WHOLE.fullmatch(text):
            typed[name] = int(text)
        elif "object" in types:
            try:
                typed[name] = json.loads(text)
            except (ValueError, RecursionError):
                faults.append(CellFault(line.row, name, "must be a JSON object"))
    return typed, faults


@functools.singledispatch
def _cell(value: object) -> str:
    """Write a value as a cell."""
    return "" if value is None else str(value)


_cell.register(bool, lambda value: _YES if value else _NO)
_cell.register(date, date.isoformat)
_cell.register(datetime, instant)
_cell.register(list, csv_tables.joined)
_cell.register(dict, lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True) if value else "")
