"""Compare the lock files with the known advisories of `deploy/advisories/`: one file of OSV's JSON each, kept by hand.

    python deploy/image/advisories.py deploy/advisories requirements-run.lock requirements.lock

Ends with 1 if a locked version is affected. `looked-at` in the folder holds the day on which somebody last compared it
with the public databases; one too long ago is a warning, since no build should fail by the calendar alone.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sbom

STALE_DAYS = 30


def number(version: str) -> tuple[int, ...]:
    """Give the release's numbers to compare by, without zeros at the end; what comes before a release counts as it."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Tell whether the version is listed, or lies in one of the ranges (from `introduced`, until before `fixed`)."""
    if version in affected.get("versions", []):
        return True
    for stretch in affected.get("ranges", []):
        inside = False
        for event in stretch["events"]:
            if "introduced" in event and number(version) >= number(event["introduced"]):
                inside = True
            if "fixed" in event and number(version) >= number(event["fixed"]):
                inside = False
            if "last_affected" in event and number(version) > number(event["last_affected"]):
                inside = False
        if inside:
            return True
    return False


def findings(advisories: Sequence[dict[str, Any]], locked: dict[str, str]) -> Iterator[str]:
    """Name each locked version that an advisory affects; one that was withdrawn affects nothing."""
    for advisory in advisories:
        for affected in () if advisory.get("withdrawn") else advisory["affected"]:
            name = re.sub(r"[-_.]+", "-", affected["package"]["name"]).lower()
            if affected["package"]["ecosystem"] == "PyPI" and name in locked and is_affected(locked[name], affected):
                yield f"{name} {locked[name]}: {advisory['id']}, {advisory['summary']}"


def main(folder: str, *locks: str) -> int:
    """Print what is found; gives the exit code."""
    advisories = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    looked_at = date.fromisoformat((Path(folder) / "looked-at").read_text().strip())
    faults = []
    for lock in locks:
        locked = {name: version for name, (version, _) in sbom.packages(Path(lock).read_text()).items()}
        faults += [f"{lock}: {fault}" for fault in findings(advisories, locked)]
    age = (datetime.now(UTC).date() - looked_at).days
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    if age > STALE_DAYS:
        sys.stdout.write(f"WARNING: the advisories were last looked at on {looked_at}, {age} days ago\n")
    sys.stdout.write(
        f"{len(advisories)} advisories of {looked_at} against {len(locks)} lock files: {len(faults)} findings\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
