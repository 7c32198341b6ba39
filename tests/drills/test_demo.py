"""The demo's walk, as somebody sees it who types it for the first time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.people import demo_people

pytestmark = pytest.mark.drill


def test_a_walk_says_what_it_waits_for_and_leaves_a_link_for_each_person(tmp_path: Path) -> None:
    walked = subprocess.run(
        [sys.executable, "-c", "from api.cli.main import main; main()", "demo", "--once"],
        env=os.environ | {"POBRATYM_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert walked.returncode == 0, walked.stderr
    before, _, steps = walked.stdout.partition("\n1. ")
    assert before.startswith("PostgreSQL is started in ")
    assert before.count(" is signed in") == 4
    links = re.findall(r"^  (\S+) +http://127\.0\.0\.1:8000/sign-in/\S+$", steps, re.MULTILINE)
    assert links == [person.email for person in demo_people.DEMO_PEOPLE]
