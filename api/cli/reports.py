"""The commands that print reports, or write them as files."""

import io
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import command
from service import vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from service.kernel.work import Work
    from service.reporting.reports import PeriodWish, Report

Form = Literal["table", vocabulary.ResponseForm]
_FILES_ONLY = ("xlsx", "pdf")
report = typer.Typer(no_args_is_help=True, help="The figures of the log.")
_A: "Mapping[vocabulary.ReportKind, str]" = {
    "memorandum": "a memorandum",
    "programme": "a programme",
    "institution": "an institution",
}


def _command(kind: vocabulary.ReportKind) -> None:
    @report.command(kind, help=f"Print the figures of {_A[kind]}, or write them as a file.")
    def of_subject(  # noqa: PLR0913 - the options of the command
        subject: Annotated[str, typer.Argument(metavar="ID", help="Its id or its code.")],
        from_: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")] = None,
        until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day not counted.")] = None,
        zone: Annotated[str | None, typer.Option(help="Whose days; the programme's or institution's if unset.")] = None,
        form: Annotated[Form, typer.Option("--format", help="XLSX and PDF need -o.")] = "table",
        out: Annotated[Path | None, typer.Option("-o", "--out", dir_okay=False, help="Write it to this file.")] = None,
        lang: Annotated[vocabulary.Locale | None, typer.Option(help="Of a file; a PDF is Ukrainian without.")] = None,
        *,
        as_json: command.AsJson = False,
    ) -> None:
        output_form: Form = "json" if as_json else form
        if output_form in _FILES_ONLY and out is None:
            msg = f"{output_form} is no text for a terminal: name a file by -o."
            raise command.Stop(msg)
        days = from_ and from_.date(), until and until.date()
        report, write = _read(kind, subject, (*days, zone), output_form, lang)
        _give(report, write, out)


for _kind in _A:
    _command(_kind)


def _read(
    kind: vocabulary.ReportKind, subject: str, period: "PeriodWish", form: Form, lang: str | None
) -> "tuple[Report, Callable[[], BinaryIO] | None]":
    """Give the report, and what writes it unless it is a table: then with the period before and months."""
    from api.edge import report_forms  # noqa: PLC0415
    from service.kernel import access, errors  # noqa: PLC0415
    from service.reporting import reports  # noqa: PLC0415
    from service.rules.time import zone_names  # noqa: PLC0415

    makers = {"memorandum": reports.memorandum, "programme": reports.programme, "institution": reports.institution}
    is_whole = form != "table"

    async def read(w: "Work") -> "tuple[Report, Callable[[], BinaryIO] | None]":
        from_on, until_on, zone = period
        canonical_zone = zone_names.canonical(zone) if zone else None
        subject_id = await access.id_of(w, kind, subject)
        report = await makers[kind](
            w, subject_id, from_on, until_on, canonical_zone, compare=is_whole, by_month=is_whole
        )
        if form == "table":
            return report, None
        if form == "json":
            text = report_forms.shown(report, w.base_path).model_dump_json(by_alias=True)
            return report, lambda: io.BytesIO(f"{text}\n".encode())
        return report, await report_forms.writer(w, report, form, lang)

    try:
        return command.in_reading(read)
    except errors.NotFound:
        msg = f"No {kind} has this id or code."
        raise command.Stop(msg) from None
    except (errors.Invalid, zone_names.UnknownZone) as error:
        raise command.Stop(str(error)) from None


def _give(report: "Report", write: "Callable[[], BinaryIO] | None", out: Path | None) -> None:
    if write is not None:
        with write() as file:
            content = file.read()
    else:
        content = f"{_table(report)}\n".encode()
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        msg = f"{out}: {error.strerror}"
        raise command.Stop(msg) from None


def _table(report: "Report") -> str:
    lines = [f"{report.kind} {report.subject_id}, {report.from_on} until {report.until_on} in {report.zone}"]
    for figure in report.figures:
        lines.append(f"  {figure.name:<34}{_short(figure.value):>12} {figure.unit}")
        lines += [f"    {part.key:<32}{_short(part.value):>12}" for part in figure.parts]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
