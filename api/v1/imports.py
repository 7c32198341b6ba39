"""Files taken in over the API: sent, checked by the worker, looked at, and loaded when that is wished."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Response, UploadFile

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.exchange import mappings
from integrations import catalogues
from integrations.documents import opened_files
from service import tables, vocabulary
from service.exchange import import_files
from service.kernel import errors

router = APIRouter(tags=["files"], route_class=Transactional, dependencies=query.KNOWN_ONLY)
_FAULT = {"row": 3, "column": "valid_from", "letter": "G", "reason": "is no date: write 2026-12-31 or 31.12.2026"}
_SUMMARY = {
    "added": 2,
    "changed": 1,
    "same": 40,
    "columns": [{"column": "city", "changed": 1, "examples": [{"row": 4, "now": "Lviv", "before": None}]}],
    "asks": [],
}
_SENT = {"kind": "institutions", "file": "code,kind,name\nx-one,hospital,Перша лікарня\n", "dry_run": True}


class ImportFault(shapes.Shape):
    """What is wrong, or odd, at one place of the file: row and letter are those of a spreadsheet."""

    row: int
    column: str
    letter: str | None
    reason: str


class Example(shapes.Shape):
    """A value that changes; the present one only where it says nothing about people."""

    row: int
    now: str
    before: str | None


class ColumnChanges(shapes.Shape):
    """In how many rows a column changes, and the first three of them."""

    column: str
    changed: int
    examples: list[Example]


class Summary(shapes.Shape):
    """What is, or would be, done; `asks` names what has to be confirmed before it is loaded."""

    added: int
    changed: int
    same: int
    columns: list[ColumnChanges]
    asks: list[Literal["changes_most", "looks_damaged"]]


class Import(shapes.Shape):
    """A file and how far it is. It is kept for a day."""

    model_config = bodies.like({
        "id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "kind": "institutions", "state": "checked", "dry_run": True,
        "rows_done": 43, "rows_total": 43, "summary": _SUMMARY, "faults": [], "warnings": [_FAULT],
    })  # fmt: skip
    id: shapes.Id
    kind: vocabulary.RecordKind
    state: vocabulary.ImportState
    dry_run: bool
    rows_done: int
    rows_total: int
    summary: Summary | None
    faults: list[ImportFault]
    warnings: list[ImportFault]


class LoadWish(shapes.Shape):
    """What somebody has looked at: texts that seem to name a person and do not, most rows changing, odd letters."""

    model_config = bodies.like({"confirmed": False, "may_change_most": True, "may_be_damaged": False})
    confirmed: bool = False
    may_change_most: bool = False
    may_be_damaged: bool = False


@router.post(
    "/v1/imports",
    status_code=202,
    responses=problems.of(errors.Forbidden, errors.Conflict),
    openapi_extra={"requestBody": {"content": {"multipart/form-data": {"example": _SENT}}}},
)
async def sent(
    w: deps.W,
    response: Response,
    kind: Annotated[vocabulary.RecordKind, Form(examples=["institutions"])],
    file: Annotated[UploadFile, File(description="CSV or XLSX, at most 10 MB.")],
    *,
    map: Annotated[  # noqa: A002 - the name of the part
        str | None, Form(max_length=mappings.MOST_BYTES, description="A mapping in TOML, or the name of a ready one.")
    ] = None,
    dry_run: Annotated[bool, Form(description="Check only; else a file without questions is loaded at once.")] = True,
    lang: Annotated[vocabulary.Locale, Form(description="Of what is said about the file.")] = catalogues.FALLBACK,
) -> Import:
    """Send a file, as an admin; people and mentors of their institution as a coordinator too. Then poll `Location`."""
    content = await file.read(opened_files.MOST_BYTES + 1)
    if len(content) > opened_files.MOST_BYTES:
        raise problems.TooLarge(opened_files.MOST_BYTES)
    row = await import_files.submit(w, kind, base64.b64encode(content).decode(), map, lang, is_dry=dry_run)
    response.headers["Location"] = f"/v1/imports/{row.id}"
    return _import(w, row)


@router.get("/v1/imports/{import_id}")
async def read(import_id: shapes.Id, w: deps.R) -> Import:
    """Read how far your file is, and what was found in it."""
    return _import(w, await import_files.own(w, import_id))


@router.post(
    "/v1/imports/{import_id}/load",
    status_code=202,
    responses=problems.of(errors.Forbidden, errors.IllegalTransition),
)
async def load(import_id: shapes.Id, body: LoadWish, w: deps.W) -> Import:
    """Have your checked file loaded: all of it or nothing, as what the registry holds then allows."""
    row = await import_files.own(w, import_id, lock=True)
    await import_files.load(
        w, row, is_confirmed=body.confirmed, may_change_most=body.may_change_most, may_be_damaged=body.may_be_damaged
    )
    return _import(w, row)


def _import(w: deps.W, row: tables.ImportFile) -> Import:
    found: dict[str, Any] = dict(import_files.found(w, row))
    return Import.model_validate(
        {
            "id": row.id, "kind": row.kind, "state": row.state, "dry_run": row.is_dry, "rows_done": row.rows_done,
            "rows_total": row.rows_total, **found,
        }
    )  # fmt: skip
