"""What a start imports, and what is told without one."""

import subprocess
import sys

import api
import postoffice


def said(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=postoffice.ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_the_version_is_told_without_a_database() -> None:
    assert said("-m", "api", "--version") == f"{api.VERSION}\n"


def test_what_makes_pdf_and_what_migrates_are_not_imported_by_a_start() -> None:
    large = "('reportlab', 'alembic')"
    assert said("-c", f"import sys, api.app; print([name for name in {large} if name in sys.modules])") == "[]\n"
