"""The consultation journal of an institution, in the shape of form 003/тм."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.edge import bodies, deps, files, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1.reports import Asked
from integrations.documents import journal_tables, spreadsheets
from service import vocabulary
from service.kernel import errors
from service.outbox.events import instant
from service.reporting import journal
from service.rules.figures import journal_columns as rules

router = APIRouter(tags=["reports"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_OFFERED = files.Offered("csv", "xlsx")
_PIECE = 1_000
_WIDTHS = {"number": 8, "minutes": 10, "filed_at": 20, "started_at": 20, "ended_at": 20}
_USUAL_WIDTH = 26

Form = Annotated[vocabulary.ResponseForm, Depends(_OFFERED)]


class Column(shapes.Shape):
    """A column: its name in the rows, its head on paper."""

    name: str
    head: str


class Journal(shapes.Shape):
    """A page of the journal; each row has the value of each column, codes and ids as everywhere."""

    model_config = bodies.like(
        {
            "institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11",
            "from": "2026-01-01",
            "until": "2027-01-01",
            "zone": "Europe/Kyiv",
            "columns": [{"name": "number", "head": "No."}, {"name": "mode", "head": "Form"}],
            "items": [{"number": 1, "mode": "written"}],
            "next": None,
        }
    )
    institution_id: shapes.Id
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day
    zone: str
    columns: list[Column]
    items: list[dict[str, str | int | None]]
    next: str | None


class Choice:
    """Which columns, in which language."""

    def __init__(
        self,
        world: deps.TheWorld,
        columns: Annotated[
            str | None,
            Query(max_length=500, description="Names of columns by commas; without it, those of the settings."),
        ] = None,
        lang: Annotated[vocabulary.Locale | None, Query(description="Of heads and names; else the caller's.")] = None,
    ) -> None:
        """Take the query's parameters; raises Invalid for a column that is not known."""
        names = tuple(name.strip() for name in columns.split(",")) if columns is not None else None
        fault = names and rules.unknown(names)
        if fault:
            raise errors.Invalid("/query/columns", fault)
        self.columns = names or world.settings.journal_columns
        self.lang = lang


@router.get(
    "/v1/institutions/{id}/journal",
    response_model=Journal,
    responses=_OFFERED.described() | problems.of(errors.Forbidden),
)
async def of_institution(
    w: deps.Reported,
    id: shapes.Id,  # noqa: A002
    period: Asked,
    choice: Annotated[Choice, Depends()],
    form: Form,
    page: deps.Paging,
    response: Response,
) -> Any:  # noqa: ANN401 - the page, or a file
    """List what was logged, live and written, to the institution's coordinators; to an admin what is their programmes'.

    Without dates, this year's. A row has no case text and no patient. CSV and XLSX hold the whole period, with words
    instead of codes and times by the clock of `zone`.
    """
    institution_journal = await journal.read(w, id, *period.wanted)
    if form != "json":
        return await _file(w, institution_journal, choice, form)
    response.headers.update(files.VARY)
    rows = await journal.rows(w, institution_journal, after=page.after_at(), limit=page.limit)
    items, following = page.cut(rows, lambda row: (row["started_at"], row["session_id"]))
    lang = choice.lang or institution_journal.locale or vocabulary.LOCALES[0]
    heads = journal_tables.head(choice.columns, lang)
    return Journal.model_validate(
        {
            "institution_id": institution_journal.institution.id,
            "from": institution_journal.from_on,
            "until": institution_journal.until_on,
            "zone": institution_journal.zone,
            "columns": [Column(name=name, head=head) for name, head in zip(choice.columns, heads, strict=True)],
            "items": [{name: _value(row, name, lang) for name in choice.columns} for row in items],
            "next": following,
        }
    )


async def _file(
    w: deps.Reported, institution_journal: journal.Journal, choice: Choice, form: vocabulary.ResponseForm
) -> files.Later:
    """Write the whole period, a piece at a time, so that a journal of any length can be written."""
    lang = choice.lang or institution_journal.locale or vocabulary.LOCALES[0]
    table: spreadsheets.Table = (
        spreadsheets.Csv() if form == "csv" else spreadsheets.Xlsx(w.now, days=journal_tables.days(lang))
    )
    widths = [_WIDTHS.get(name, _USUAL_WIDTH) for name in choice.columns]
    table.sheet("003", journal_tables.head(choice.columns, lang), widths)
    after: journal.After | None = None
    while True:
        entries = await journal.rows(w, institution_journal, after=after, limit=_PIECE)
        rows = journal_tables.rows(entries[:_PIECE], choice.columns, lang, institution_journal.zone)
        await asyncio.to_thread(table.add, rows)
        if len(entries) <= _PIECE:
            return files.Later(
                table.finish, form, f"journal-{institution_journal.from_on}-{institution_journal.until_on}"
            )
        after = entries[_PIECE - 1]["started_at"], entries[_PIECE - 1]["session_id"]


def _value(row: journal.Row, name: str, lang: str) -> str | int | None:
    value = journal_tables.named(row, name, lang) if name.endswith("_institution") else row[name]
    if isinstance(value, datetime):
        return instant(value)
    return value if value is None or isinstance(value, str | int) else str(value)
