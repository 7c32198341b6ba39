"""The commands that import and export files."""

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.cli import record_tables
    from integrations.runtime.world import World
    from service.exchange.imports import Outcome
    from service.kernel.work import Work
    from service.rules.csv_tables import CellFault

REFUSED = 1
_NOBODY = "Nobody has this address."
person = typer.Typer(no_args_is_help=True, help="What is kept about one person.")


class _Rehearsed(Exception):
    """The dry run succeeded; raised to roll its transaction back."""


def import_(
    kind: Annotated[str, typer.Argument(help="institutions, memoranda, people, sessions, activities, …")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV in UTF-8, its head naming fields.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Texts that seem to name a person were looked at, and name nobody.")
    ] = False,
    as_json: command.AsJson = False,
) -> None:
    """Take in a file: all of it or nothing. The same file twice changes nothing."""
    from api.cli import record_tables  # noqa: PLC0415
    from service.exchange import imports  # noqa: PLC0415

    if kind not in record_tables.SHAPES:
        msg = f"There are these kinds: {', '.join(record_tables.SHAPES)}."
        raise command.Stop(msg)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        msg = f"{file} is not in UTF-8: save it as CSV UTF-8."
        raise command.Stop(msg) from None
    try:
        outcome = _loaded(kind, record_tables.read(kind, text), digest, dry_run=dry_run, is_confirmed=confirmed)
    except imports.FileRefused as refused:
        _complain(file, refused.faults, as_json=as_json)
        raise typer.Exit(REFUSED) from None
    if as_json:
        print(json.dumps({"kind": kind, "dry_run": dry_run, **dataclasses.asdict(outcome)}))
        return
    auxiliary = "would be" if dry_run else "were"
    print(f"{outcome.added} {kind} {auxiliary} added, {outcome.changed} changed; {outcome.same} are as the file says.")


def export(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="A folder that is not there yet, or empty.")],
    *,
    programme: Annotated[str | None, typer.Option(help="The code of the only programme wanted.")] = None,
    as_json: command.AsJson = False,
) -> None:
    """Write everything but case text as CSV files: those that `import` takes, and others to read only."""
    from api.cli import record_tables  # noqa: PLC0415
    from service.exchange import exports  # noqa: PLC0415

    _have_empty(folder)
    counts: dict[str, int] = {}

    async def write(_: "World", w: "Work") -> None:
        programme_id = await exports.programme_id(w, programme) if programme else None
        if programme and programme_id is None:
            msg = "No programme has this code."
            raise command.Stop(msg)
        with _bar("export", len(exports.KINDS) + len(exports.RECORDS)) as advance:
            for kind in exports.KINDS:
                rows = await exports.rows(w, kind, programme_id)
                _write(folder / f"{kind}.csv", record_tables.written(kind, rows))
                counts[kind] = len(rows)
                advance(1)
            for kind in exports.RECORDS:
                rows = await exports.records(w, kind, programme_id)
                _write(folder / "read-only" / f"{kind}.csv", record_tables.written_only(rows))
                counts[kind] = len(rows)
                advance(1)

    command.in_work(write)
    if as_json:
        print(json.dumps({"folder": str(folder), "rows": counts}))
        return
    for kind, count in counts.items():
        print(f"{count:>8} {kind}")


def _loaded(kind: str, table: "record_tables.Read", digest: str, *, dry_run: bool, is_confirmed: bool) -> "Outcome":
    """Load the rows in one transaction, rolled back for a dry run; raises FileRefused."""
    from service.exchange import imports  # noqa: PLC0415

    if table.faults:
        raise imports.FileRefused(table.faults)
    rows = table.rows
    outcomes: list[Outcome] = []

    async def load(_: "World", w: "Work") -> None:
        with _bar(kind, len(rows)) as advance:
            outcomes.append(await imports.load(w, kind, rows, advance, digest, is_confirmed=is_confirmed))
        if dry_run:
            raise _Rehearsed

    with contextlib.suppress(_Rehearsed):
        command.in_work(load)
    return outcomes[0]


def _complain(file: Path, faults: "Sequence[CellFault]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"errors": [dataclasses.asdict(fault) for fault in faults]}, ensure_ascii=False))
        return
    for fault in faults:
        place = f"row {fault.row}" + (f", {fault.column}" if fault.column else "")
        print(f"{place}: {fault.reason}", file=sys.stderr)
    print(f"{file}: {len(faults)} fault(s), nothing was changed.", file=sys.stderr)


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


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


@person.command("export")
def export_person(
    email: Annotated[str, typer.Argument(help="The person's address.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="A new file.")],
) -> None:
    """Write everything that is kept about one person, their own texts included, as JSON. The audit remembers it."""
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
    """Take out whatever names one person or was written by them; ids and counts stay. There is no way back."""
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
