"""The files and the table of a simulation. Numbers have a fixed count of digits: same results, same bytes."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from lab import picture, simulation
from lab.behaviours import Fit
from lab.measures import FIGURES, Band
from lab.simulation import Figure, Plan, SeedResult
from service.rules.time import availability

_DIGITS = {"offers": 2, "gini": 3, "gini_above": 3}
_SHORT = {
    "in_time": "in time %", "of_bound": "of bound %", "in_time_of_all": "of all %", "accepted_h": "h to accept",
    "answered_h": "h to answer", "offers": "offers", "gini": "Gini", "gini_above": "above", "top_quarter": "top 1/4 %",
    "active": "active %", "unmatched": "nobody %", "passed": "passed %", "uncivil": "uncivil %",
}  # fmt: skip
ONE_SEED = "One seed shows no band: how far a figure may be off is seen from how it differs between seeds."
NO_BOUND = "LEFT OUT: the bound of hindsight, which needs OR-tools: pip install 'pobratym[lab]'"


def table(plan: Plan, figures: Iterable[Figure]) -> str:
    """Give the table for people: a block a behaviour, a row a policy, each figure with half its band."""
    by_row: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        by_row.setdefault((figure.behaviour, figure.policy), {})[figure.code] = figure
    setting = plan.setting
    lines = [
        f"{setting.shape}, arrivals {setting.arrivals}, {setting.days} days, {setting.requests} requests",
        f"seeds {plan.seed} to {plan.seed + plan.seeds - 1}; mean ± 95 % band over the seeds",
    ]
    for behaviour in plan.behaviours:
        rows = [("", [_SHORT[code] for code in FIGURES])]
        rows += [
            (policy, [_cell(own[code].band, code) if code in own else "-" for code in FIGURES])
            for (of, policy), own in by_row.items()
            if of == behaviour
        ]
        widths = [max(len(cells[at]) for _, cells in rows) for at in range(len(FIGURES))]
        lines += ["", f"behaviour {behaviour}"]
        for name, cells in rows:
            padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
            lines.append(f"{name:<11}{'  '.join(padded)}".rstrip())
    if plan.seeds == 1:
        lines += ["", ONE_SEED]
    if not plan.with_bound:
        lines += ["", NO_BOUND]
    return "\n".join(lines)


def _cell(band: Band, code: str) -> str:
    if math.isinf(band.mean):
        return "-"
    digits = _DIGITS.get(code, 1)
    half = "" if band.high is None else f" ±{band.high - band.mean:.{digits}f}"
    return f"{band.mean:.{digits}f}{half}"


def _number(value: float | None) -> str:
    """Write a number for a file; nothing where there is none."""
    return "" if value is None or math.isinf(value) or math.isnan(value) else f"{value:.6f}"


def figures_csv(figures: Iterable[Figure]) -> str:
    """Give every figure with its band, and the paired difference to the first policy with its own."""
    nothing = Band(math.nan, None, None)
    rows = [
        (each.behaviour, each.policy, each.code, *map(_number, each.band), *map(_number, each.difference or nothing))
        for each in figures
    ]
    head = ("behaviour", "policy", "figure", "mean", "low", "high", "difference", "difference_low", "difference_high")
    return _csv(head, rows)


def runs_csv(results: Iterable[SeedResult]) -> str:
    """Give every run's own figures."""
    head = ("seed", "behaviour", "policy", *FIGURES)
    return _csv(
        head,
        (
            (str(result.seed), behaviour, policy, *(_number(measured.figures.get(code)) for code in FIGURES))
            for result in results
            for (behaviour, policy), measured in result.measured.items()
        ),
    )


def _csv(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return file.getvalue()


def fits_csv(fits: Iterable[Fit]) -> str:
    """Give each behaviour beside the published points."""
    head = ("behaviour", "point", "published", "model", "claimed", "fits")
    return _csv(
        head,
        (
            (fit.behaviour, fit.point, f"{fit.published:g}", f"{fit.model:.2f}", str(fit.is_claimed), str(fit.fits))
            for fit in fits
        ),
    )


def files(plan: Plan, results: list[SeedResult], figures: list[Figure]) -> dict[str, str]:
    """Give every file by name, the manifest last: it knows the digests of the others."""
    written = {
        "figures.csv": figures_csv(figures),
        "runs.csv": runs_csv(results),
        "fits.csv": fits_csv(simulation.fit(plan)),
        "year.svg": picture.draw(simulation.curves(plan, results)),
    }
    written["manifest.json"] = json.dumps(_manifest(plan, results, written), indent=1, sort_keys=True) + "\n"
    return written


def _manifest(plan: Plan, results: list[SeedResult], written: Mapping[str, str]) -> dict[str, Any]:
    setting = plan.setting
    return {
        "arguments": {
            "seed": plan.seed,
            "seeds": plan.seeds,
            "shape": setting.shape,
            "arrivals": setting.arrivals,
            "days": setting.days,
            "requests": setting.requests,
            "behaviours": plan.behaviours,
            "policies": [policy.name for policy in plan.policies],
            "with_bound": plan.with_bound,
        },
        "rules_sha256": _digest_of("service", "rules"),
        "lab_sha256": _digest_of("lab"),
        "specialties_sha256": _sha256(resources.files("service").joinpath("data/specialties.csv").read_bytes()),
        "shape_sha256": _sha256(repr(setting.plan or setting.shape).encode()),
        "tzdata": availability.TZDATA_VERSION,
        "worlds": {str(result.seed): result.world for result in results},
        "sha256": {name: _sha256(text.encode()) for name, text in written.items()},
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of(package: str, *below: str) -> str:
    """Give one digest of all Python of a package, by path and content."""
    root = resources.files(package).joinpath(*below)
    digest = hashlib.sha256()
    for path, content in sorted(_sources(root, "")):
        digest.update(path.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _sources(folder: Traversable, path: str) -> Iterable[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield path + entry.name, entry.read_bytes()
