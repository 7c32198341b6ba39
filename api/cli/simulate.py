"""`pobratym simulate`: what would happen in a year under these rules, beside others. It needs no database."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli import command

if TYPE_CHECKING:
    from lab import registry, simulation

_UNKNOWN = 2
_MOST_BYTES = 8_000_000
_Names = Annotated[str, typer.Option(help="Names, with commas between them.")]


def simulate(  # noqa: PLR0913 - each is an option
    *,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; the following ones are the next numbers.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="How many; one shows no band.")] = 30,
    shape: Annotated[str, typer.Option(help="published, dense, or a file of counts and codes.")] = "published",
    behaviour: _Names = "clock,sleep",
    arrivals: Annotated[str, typer.Option(help="even or bursts.")] = "even",
    policy: Annotated[
        str, typer.Option(help="Names, with commas between them; the others are compared with the first.")
    ] = "now,broadcast,late",
    days: Annotated[int, typer.Option(min=1, max=3660)] = 364,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="In all these days.")] = 3000,
    processes: Annotated[int, typer.Option(min=1, max=256)] = 1,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="The folder that gets the files.")] = None,
) -> None:
    """Simulate a year under the rules, beside others.

    How many requests each policy answers in time, how soon, and who carries the work. It needs no database.
    """
    from lab import arrivals as coming  # noqa: PLC0415 - so that `--help` stays fast
    from lab import hindsight, simulation, worlds  # noqa: PLC0415

    try:
        (arriving,) = simulation.named("arrivals", [arrivals], coming.ARRIVALS)
        layout = _of_file(shape)
        name = layout.name if layout else simulation.shape_named(shape)
        plan = simulation.Plan(
            worlds.Setting(name, arriving, days, requests, layout),
            seed,
            seeds,
            simulation.behaviours_named(_split(behaviour)),
            simulation.policies_named(_split(policy)),
            hindsight.is_at_hand(),
        )
    except simulation.Unknown as error:
        print(error, file=sys.stderr)
        raise typer.Exit(_UNKNOWN) from None
    _run(plan, processes, out)


def _run(plan: "simulation.Plan", processes: int, out: Path | None) -> None:
    from lab import report, simulation  # noqa: PLC0415

    if out:
        _make(out)  # now, not after an hour of work
    results = simulation.run(plan, processes, _tell(plan.seeds))
    figures = simulation.figures(plan, results)
    print(report.table(plan, figures))
    if out:
        for name, text in report.files(plan, results, figures).items():
            (out / name).write_text(text, encoding="utf-8", newline="")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise command.Stop(f"{folder}: {error.strerror}") from None


def _of_file(shape: str) -> "registry.Plan | None":
    """Read the shape from a file, if it is one."""
    from lab import shapes  # noqa: PLC0415

    path = Path(shape)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise command.Stop(f"{path}: larger than {_MOST_BYTES} bytes")
        return shapes.read(path.read_text(encoding="utf-8"), "file")
    except (OSError, UnicodeDecodeError):
        raise command.Stop(f"{path}: cannot be read") from None
    except shapes.UnfitShape as error:
        raise command.Stop(f"{path}: {error}") from None


def _tell(seeds: int) -> Callable[[int], None]:
    """Say on a terminal how far it is."""

    def told(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {seeds} seeds", end="\n" if done == seeds else "", file=sys.stderr, flush=True)

    return told
