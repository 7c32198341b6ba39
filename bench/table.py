"""One line of the table, and how a ratio is taken: medians of rounds that take turns."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A figure, the baseline of the same run, their ratio, what is wanted of it and whether it is so.

    `why` is the reason, as far as it is known, for which the goal may be missed; it is said only when it is.
    """

    name: str
    figure: str
    baseline: str = ""
    ratio: float | None = None
    goal: str = ""
    is_met: bool | None = None
    why: str = ""


def at_most(name: str, figure: str, baseline: str, ratio: float, limit: float, why: str = "") -> Line:
    """Say that the ratio should not be more."""
    return Line(name, figure, baseline, ratio, f"<= {limit:g}", ratio <= limit, why)


def at_least(name: str, figure: str, baseline: str, ratio: float, limit: float, why: str = "") -> Line:
    """Say that the ratio should not be less."""
    return Line(name, figure, baseline, ratio, f">= {limit:g}", ratio >= limit, why)


async def medians(rounds: int, *measures: Measure) -> list[float]:
    """Take each measure once a round, in turns, so that what slows the machine slows all of them."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for taken, measure in zip(found, measures, strict=True):
            taken.append(await measure())
    return [median(taken) for taken in found]


def ms(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1000:.3g} ms"


def show(lines: Sequence[Line]) -> str:
    """Write the table, in Markdown that is as readable without a reader."""
    cells = [("figure", "here", "baseline", "ratio", "goal", "met?")]
    for line in lines:
        met = {True: "yes", False: "NO", None: ""}[line.is_met]
        ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
        cells.append((line.name, line.figure, line.baseline, ratio, line.goal, met))
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    rows = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]])


def judged(lines: Sequence[Line]) -> str:
    """Say how many goals were met, and of each that was missed for which reason, as far as one is known."""
    goals = [line for line in lines if line.is_met is not None]
    missed = [line for line in goals if not line.is_met]
    told = [
        f"- {line.name.strip()}: {line.figure if line.ratio is None else f'{line.ratio:.3g}'}"
        f"{f', goal {line.goal}' if line.goal else ''}. {line.why or _UNKNOWN}"
        for line in missed
    ]
    return "\n".join([f"{len(goals) - len(missed)} of {len(goals)} goals met, {len(missed)} missed.", *told])


_UNKNOWN = "No reason is known: measure this part again, alone and on a quiet machine."
