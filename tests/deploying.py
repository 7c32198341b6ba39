"""What the tests of `deploy/` share: its files, and other people's programs that read them."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / ".cache" / "deploy"
PATH = f"{TOOLS / 'bin'}:{os.environ.get('PATH', os.defpath)}:/usr/sbin"


def ran(
    program: str, *arguments: str | Path, settings: Iterable[tuple[str, str]] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one of the programs that `make setup-deploy` installs to its end; skips where it is not there."""
    path = shutil.which(program, path=PATH)
    if path is None:
        pytest.skip(f"no {program}")
    told = {"PATH": PATH, "HOME": str(TOOLS), **dict(settings)}
    command = [path, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=told)


def documents(text: str) -> list[dict[str, object]]:
    """Read every document of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]
