"""The commands that import and export files."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from api.cli import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO
    from uuid import UUID

    from api.exchange.mappings import Mapping
    from api.exchange.record_tables import Read
    from api.exchange.told import Speaker
    from integrations.runtime.world import World
    from service.exchange.imports import Outcome
    from service.kernel.work import Work
    from service.rules.file_tables import CellFault

REFUSED = 1
_FORMS = ("csv", "xlsx", "parquet")
Lang = Annotated[str | None, typer.Option("--lang", help="uk or en: the language of the messages.")]
_NOBODY = "Nobody has this address."
_KINDS_HELP = (
    "programmes, specialties, institutions, memberships, memoranda, people, mentors, sessions or activities:"
    " an export's files show the columns."
)
person = typer.Typer(no_args_is_help=True, help="What is kept about one person.")


class _Rehearsed(Exception):
    """The dry run succeeded; raised to roll its transaction back."""


def import_(  # noqa: PLR0913 - each is an option
    kind: Annotated[str, typer.Argument(help=_KINDS_HELP)],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or XLSX, its head naming fields.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Texts that seem to name a person were looked at, and name nobody.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="It is meant that most rows change, or that texts look damaged.")
    ] = False,
    mapping: Annotated[
        str | None, typer.Option("--map", help="A mapping file for a foreign register, or the name of a ready one.")
    ] = None,
    lang: Lang = None,
    as_json: command.AsJson = False,
) -> None:
    """Take in a file: all of it or nothing. The same file twice changes nothing."""
    from api.exchange import record_tables, told  # noqa: PLC0415
    from service.exchange import imports  # noqa: PLC0415

    speaker = told.Speaker(lang or _locale())
    if kind not in record_tables.SHAPES:
        raise command.Stop(speaker.word("kinds", kinds=", ".join(record_tables.SHAPES)))
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    table = record_tables.read(kind, content, _mapping(mapping, kind, speaker) if mapping else None)
    is_asked = not (yes or dry_run)
    if table.is_doubtful and is_asked and not table.faults:
        _print(speaker.warnings(table), to=sys.stderr)
        raise command.Stop(speaker.word("asks_doubts"))
    try:
        outcome = _loaded(kind, table, digest, dry_run=dry_run, is_confirmed=confirmed, may_change_most=not is_asked)
    except imports.FileRefused as refused:
        _complain(file, refused.faults, table, speaker, as_json=as_json)
        raise typer.Exit(REFUSED) from None
    except imports.ChangesMost as error:
        total = error.outcome.changed + error.outcome.same
        _print(speaker.changes(error.outcome), to=sys.stderr)
        raise command.Stop(speaker.word("asks_most", changed=error.outcome.changed, total=total)) from None
    if as_json:
        warnings = [speaker.fault(warning, table.letters) for warning in table.warnings]
        summary = told.summary(outcome)
        print(json.dumps({"kind": kind, "dry_run": dry_run, **summary, "warnings": warnings}, ensure_ascii=False))
        return
    _print(speaker.warnings(table), to=sys.stderr)
    counts = {"kind": kind, "added": outcome.added, "changed": outcome.changed, "same": outcome.same}
    print(speaker.word("checked" if dry_run else "loaded", **counts))
    if dry_run:
        _print(speaker.changes(outcome))


def export(
    target: Annotated[
        str, typer.Argument(help="A folder that is not there yet, or empty; or the kind of the only table wanted.")
    ],
    file: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="A new file for this table; its ending says the form.")
    ] = None,
    *,
    form: Annotated[
        str | None, typer.Option("--format", help="csv, xlsx or parquet; csv unless a file says otherwise.")
    ] = None,
    programme: Annotated[str | None, typer.Option(help="The code of the only programme wanted.")] = None,
    as_json: command.AsJson = False,
) -> None:
    """Write everything but case text as CSV or XLSX.

    Tables that `import` takes, and others to read only. As Parquet, for analysts: sessions, activities or
    consultations, people by id.
    """
    from service.exchange import analysis, exports  # noqa: PLC0415

    is_one = target in (*exports.KINDS, *exports.RECORDS)
    ending = form or (file.suffix.removeprefix(".").lower() if file else "csv")
    if ending not in _FORMS:
        raise command.Stop(f"There are these forms: {', '.join(_FORMS)}.")
    if ending == "parquet" and target not in analysis.SUBJECTS:
        raise command.Stop(f"As Parquet there is one of: {', '.join(analysis.SUBJECTS)}.")
    if is_one:
        kinds = [target]
        paths = {target: file or Path(f"{target}.{ending}")}
    else:
        folder = Path(target)
        _have_empty(folder)
        kinds = [*exports.KINDS, *exports.RECORDS]
        paths = {kind: folder / f"{kind}.{ending}" for kind in exports.KINDS}
        paths |= {kind: folder / "read-only" / f"{kind}.{ending}" for kind in exports.RECORDS}
    counts: dict[str, int] = {}

    async def write(w: "Work") -> None:
        for kind in counts:  # what a replica wrote that was lost in the middle
            paths[kind].unlink()
        counts.clear()
        programme_id = await exports.programme_id(w, programme) if programme else None
        if programme and programme_id is None:
            msg = "No programme has this code."
            raise command.Stop(msg)
        with _bar("export", len(kinds)) as advance:
            for kind in kinds:
                counts[kind] = await _export(w, kind, paths[kind], programme_id, ending)
                advance(1)

    command.in_reading(write)
    if as_json:
        print(json.dumps({"file" if is_one else "folder": str(paths[target] if is_one else target), "rows": counts}))
        return
    for kind, count in counts.items():
        print(f"{count:>8} {kind}")


async def _export(w: "Work", kind: str, path: Path, programme_id: "UUID | None", form: str) -> int:
    """Write one table into a new file; gives the number of rows."""
    from api.exchange import record_tables  # noqa: PLC0415
    from service.exchange import exports  # noqa: PLC0415

    if form == "parquet":
        return await _export_for_analysis(w, kind, path, programme_id)
    is_taken_again = kind in exports.KINDS
    rows = await (exports.rows if is_taken_again else exports.records)(w, kind, programme_id)
    if form == "xlsx":
        with (record_tables.workbook if is_taken_again else record_tables.workbook_only)(kind, rows) as book:
            _write(path, book.read())
    else:
        text = record_tables.written(kind, rows) if is_taken_again else record_tables.written_only(rows)
        _write(path, text.encode())
    return len(rows)


async def _export_for_analysis(w: "Work", subject: str, path: Path, programme_id: "UUID | None") -> int:
    """Write a subject as Parquet into a new file, lot by lot; gives the number of rows."""
    from integrations.documents import parquet_tables  # noqa: PLC0415
    from service.exchange import analysis  # noqa: PLC0415

    try:
        with _new(path) as file, parquet_tables.opened(file, analysis.columns(subject)) as table:
            async for lot in analysis.lots(w, subject, programme_id):
                with _told(path):
                    table.add(lot)
            with _told(path):
                table.finish()
    except parquet_tables.NotInstalled:
        msg = "Parquet needs a package that is not installed: say `pip install 'pobratym[parquet]'`."
        raise command.Stop(msg) from None
    return table.rows


def _mapping(name: str, kind: str, speaker: "Speaker") -> "Mapping":
    """Give the mapping of this name, ready or from a file, which must be for the kind."""
    from api.exchange import mappings  # noqa: PLC0415
    from service.rules.file_tables import Unreadable, filled  # noqa: PLC0415

    try:
        mapping = mappings.ready(name) if name in mappings.READY else mappings.read(Path(name).read_bytes())
    except OSError:
        raise command.Stop(speaker.word("maps", maps=", ".join(mappings.READY))) from None
    except Unreadable as error:
        raise command.Stop(f"{name}: {speaker.sentence(filled(1, '', error.key, error.facts))}") from None
    if mapping.written.kind != kind:
        raise command.Stop(speaker.word("other_kind", kind=mapping.written.kind))
    return mapping


def _loaded(
    kind: str, table: "Read", digest: str, *, dry_run: bool, is_confirmed: bool, may_change_most: bool
) -> "Outcome":
    """Load the rows in one transaction, rolled back for a dry run; raises FileRefused and ChangesMost."""
    from service.exchange import imports  # noqa: PLC0415

    if table.faults:
        raise imports.FileRefused(table.faults)
    rows = table.rows
    outcomes: list[Outcome] = []

    async def load(_: "World", w: "Work") -> None:
        with _bar(kind, len(rows)) as advance:
            outcomes.append(
                await imports.load(
                    w, kind, rows, advance, digest, is_confirmed=is_confirmed, may_change_most=may_change_most
                )
            )
        if dry_run:
            raise _Rehearsed

    with contextlib.suppress(_Rehearsed):
        command.in_work(load)
    return outcomes[0]


def _complain(file: Path, faults: "Sequence[CellFault]", table: "Read", speaker: "Speaker", *, as_json: bool) -> None:
    if as_json:
        listed = [speaker.fault(fault, table.letters) for fault in faults]
        warnings = [speaker.fault(warning, table.letters) for warning in table.warnings]
        print(json.dumps({"errors": listed, "warnings": warnings}, ensure_ascii=False))
        return
    _print((speaker.line(fault, table.letters) for fault in faults), to=sys.stderr)
    _print(speaker.warnings(table), to=sys.stderr)
    print(speaker.word("faults", file=str(file), count=len(faults)), file=sys.stderr)


def _print(lines: "Iterable[str]", to: TextIO | None = None) -> None:
    for line in lines:
        print(line, file=to)


def _locale() -> str:
    """Give the language of whoever sits at the terminal, if there are words in it, else English."""
    from integrations import catalogues  # noqa: PLC0415
    from service import vocabulary  # noqa: PLC0415

    spoken = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    language = spoken.partition("_")[0].lower()
    return language if language in vocabulary.LOCALES else catalogues.FALLBACK


@contextlib.contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress on the terminal; gives the function that advances it."""
    from rich import console, progress  # noqa: PLC0415

    terminal = console.Console(stderr=True)
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    with progress.Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)


def _have_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # people's names and addresses
        (folder / "read-only").mkdir()
        is_empty = len(list(folder.iterdir())) == 1
    except OSError as error:
        msg = f"{folder}: {error.strerror}"
        raise command.Stop(msg) from None
    if not is_empty:
        (folder / "read-only").rmdir()
        msg = f"{folder} is not empty."
        raise command.Stop(msg)


def _write(path: Path, content: bytes) -> None:
    with _new(path) as out, _told(path):
        out.write(content)


@contextlib.contextmanager
def _new(path: Path) -> "Iterator[BinaryIO]":
    """Open a file that is not there yet, for its owner only; half a file does not stay."""
    with _told(path):
        out = path.open("xb")
    try:
        path.chmod(0o600)  # people's names and addresses
        yield out
        with _told(path):
            out.close()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(OSError):
            out.close()


@contextlib.contextmanager
def _told(path: Path) -> "Iterator[None]":
    """Have what the file system refuses told to the operator."""
    try:
        yield
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise command.Stop(msg) from None


@person.command("export")
def export_person(
    email: Annotated[str, typer.Argument(help="The person's address.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="A new file.")],
) -> None:
    """Write all that is kept about one person as JSON.

    Their own texts are in it. The audit remembers it.
    """
    from service.kernel import errors  # noqa: PLC0415
    from service.people import privacy  # noqa: PLC0415

    try:
        dossier = command.in_work(lambda _, w: privacy.dossier(w, email))
    except errors.NotFound:
        raise command.Stop(_NOBODY) from None
    try:
        with file.open("x", encoding="utf-8") as out:
            file.chmod(0o600)
            json.dump(dossier, out, ensure_ascii=False, indent=1, default=str)
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise command.Stop(msg) from None
    print(f"{file} holds what is kept about them.")


@person.command("erase")
def erase_person(
    email: Annotated[str, typer.Argument(help="The person's address.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take out whatever names one person or was written by them. Ids and counts stay. There is no way back."""
    from service.kernel import errors  # noqa: PLC0415
    from service.people import privacy  # noqa: PLC0415

    if not yes:
        typer.confirm(f"Erase {email} for good?", abort=True)
    try:
        command.in_work(lambda _, w: privacy.erase(w, email))
    except errors.NotFound:
        raise command.Stop(_NOBODY) from None
    except errors.Conflict as error:
        raise command.Stop(str(error)) from None
    print("Nothing names this person any more. Backups still do, until they are over.")
