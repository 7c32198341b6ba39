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


def test_what_few_requests_need_is_not_imported_by_a_start() -> None:
    later = "('reportlab', 'alembic', 'pgqueuer', 'jose', 'icalendar', 'xlsxwriter', 'service.rules.deidentify')"
    start = "import sys; from api import app; app.serving_only()"
    assert said("-c", f"{start}; print([name for name in {later} if name in sys.modules])") == "[]\n"


def test_what_comes_after_a_start_can_be_imported_in_that_order() -> None:
    later = "import importlib; from integrations.runtime import warming"
    assert said("-c", f"{later}; [importlib.import_module(name) for name in warming.LATER]; print('well')") == "well\n"
