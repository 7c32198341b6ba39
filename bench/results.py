"""The figures of each release, as `bench/results/*.json` keeps them: ratios only, and what they were measured on.

`python -m bench --save NAME` writes one; the next run is compared with the newest, and `--docs` puts all of them into
docs/benchmarks.md. A machine swings by half and more, so a flag asks somebody to look and measure again: it is no miss.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Self

from bench.table import Line

FOLDER = Path(__file__).with_name("results")
PAGE = FOLDER.parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by `python -m bench --docs` -->", "<!-- end -->"
WORSE = 0.1
"""A ratio that is worse by more than this than the last one is flagged."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a run that has a goal: its ratio to the baseline, where it has one, and whether it was met."""

    goal: str
    ratio: float | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One run: its name, when and of which commit, on how many cores under which load, and its figures by name."""

    name: str
    on: str
    commit: str
    cores: int
    load: float
    python: str
    seconds: int
    figures: Mapping[str, Figure]
    again: Sequence[str] = field(
        default_factory=list
    )  # parts that were measured again later, with their commit and load

    @classmethod
    def of(cls, name: str, lines: Iterable[Line], *, today: date, seconds: float) -> Self:
        """Take what is kept of a run that has just ended."""
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True)
        figures = {
            line.name.strip(): Figure(
                line.goal, None if line.ratio is None else float(f"{line.ratio:.3g}"), line.is_met
            )
            for line in lines
            if line.is_met is not None
        }
        return cls(
            name, today.isoformat(), commit.stdout.strip(), os.cpu_count() or 0, round(os.getloadavg()[0], 1),
            platform.python_version(), round(seconds), figures,
        )  # fmt: skip


def save(result: Result, parts: Sequence[str] = (), folder: Path = FOLDER) -> None:
    """Write the result's file; of `parts` that were measured again the figures go among those that are there."""
    before = next((one for one in kept(folder) if one.name == result.name), None) if parts else None
    if before is not None:
        figures = {name: figure for name, figure in before.figures.items() if name not in parts}  # of parts that failed
        told = f"{', '.join(parts)}: commit {result.commit}, under a load of {result.load:g}"
        result = replace(before, figures={**figures, **result.figures}, again=[*before.again, told])
    (folder / f"{result.name}.json").write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")


def kept(folder: Path = FOLDER) -> Sequence[Result]:
    """Give the results that are kept, the oldest first."""
    found = []
    for path in folder.glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        found.append(Result(**told | {"figures": {name: Figure(**one) for name, one in told["figures"].items()}}))
    return sorted(found, key=lambda result: (result.on, result.name))


def flags(lines: Iterable[Line], before: Result) -> list[str]:
    """Say of each ratio that is more than a tenth worse than it was: by how much, and since when."""
    return [
        f"{line.name.strip()}: {line.ratio:.3g}, {_worse(line.goal, line.ratio, was.ratio):.0%} worse than"
        f" {was.ratio:.3g} at {before.name} ({before.commit})"
        for line in lines
        if line.ratio and (was := before.figures.get(line.name.strip())) and was.ratio
        if _worse(line.goal, line.ratio, was.ratio) > WORSE
    ]


def _worse(goal: str, now: float, before: float) -> float:
    """Tell by which share a ratio is worse, above nothing where it is: whether more is better stands in the goal."""
    return before / now - 1 if goal.startswith(">=") else now / before - 1


def table(results: Sequence[Result]) -> str:
    """Write the ratios over time, a column for each result; a figure that missed its goal is bold."""
    names = list(dict.fromkeys(name for result in reversed(results) for name in result.figures))
    goals = {name: figure.goal for result in results for name, figure in result.figures.items()}
    head = ["figure", "goal", *(result.name for result in results)]
    rows = [[name, goals[name], *(_shown(result.figures.get(name)) for result in results)] for name in names]
    machines = [
        f"- **{result.name}**: {result.on}, commit {result.commit}, {result.cores} cores under a load of"
        f" {result.load:g}, Python {result.python}, {result.seconds} s"
        f"{''.join(f'; measured again: {told}' for told in result.again)}"
        for result in results
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", *machines])


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = ("met" if figure.is_met else "missed") if figure.ratio is None else f"{figure.ratio:.3g}"
    return text if figure.is_met else f"**{text}**"


def page(before: str, results: Sequence[Result]) -> str:
    """Give the page with the made part anew."""
    head, _, rest = before.partition(BEGIN)
    _, _, foot = rest.partition(END)
    return f"{head}{BEGIN}\n{table(results)}\n{END}{foot}"


def write_page() -> None:
    """Put what is kept into docs/benchmarks.md."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), kept()), encoding="utf-8")
