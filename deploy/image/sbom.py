"""Write what the image is made of, as a CycloneDX 1.6 document, from the lock file: the same lock, the same bytes.

    python deploy/image/sbom.py requirements-run.lock api/__init__.py > sbom.cdx.json

The second file names our own version. Needs the standard library only, since the image is not made yet where it runs.
"""

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
VIA = re.compile(r"^    # (?:via\s+|\s+)([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
OURS = "pobratym"


def packages(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Give the version of every package of the lock, and which others of it asked for it."""
    starts = list(PINNED.finditer(lock))
    ends = [match.start() for match in starts[1:]] + [len(lock)]
    return {
        match[1].lower(): (match[2], [name.lower() for name in VIA.findall(lock[match.end() : end])])
        for match, end in zip(starts, ends, strict=True)
    }


def document(lock: str, version: str) -> Mapping[str, object]:
    """Give the document; `version` is ours."""
    found = packages(lock)
    links = {name: f"pkg:pypi/{name}@{pinned}" for name, (pinned, _) in found.items()}
    links[OURS] = f"pkg:pypi/{OURS}@{version}"
    needs: dict[str, list[str]] = {name: [] for name in links}
    for name, (_, asked_by) in found.items():
        for other in asked_by:
            needs[other].append(links[name])
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{version} {digest}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": links[OURS],
                "name": OURS,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": links[OURS],
            },
            "properties": [{"name": "pobratym:lock:sha256", "value": digest}],
        },
        "components": [
            {"type": "library", "bom-ref": links[name], "name": name, "version": pinned, "purl": links[name]}
            for name, (pinned, _) in sorted(found.items())
        ],
        "dependencies": [{"ref": links[name], "dependsOn": sorted(needs[name])} for name in sorted(links)],
    }


def main(lock: str, ours: str) -> None:
    """Write the document of these two files to the standard output."""
    version = re.search(r'^VERSION = "([^"]+)"', Path(ours).read_text(), re.MULTILINE)
    if version is None:
        sys.exit(f"{ours} names no VERSION")
    sys.stdout.write(json.dumps(document(Path(lock).read_text(), version[1]), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
