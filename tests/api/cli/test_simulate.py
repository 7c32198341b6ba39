"""`pobratym simulate`: needs no database, knows its names, and takes no file that could name somebody."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import command
from api.cli.main import commands

SMALL = ["simulate", "--seeds", "1", "--days", "3", "--requests", "4", "--behaviour", "clock", "--policy", "now"]
SHAPE = {
    "format": "pobratym-shape 1",
    "hospitals": [{"zone": "Europe/Kyiv", "clinicians": 4}],
    "partners": [{"country": "FR", "zone": "Europe/Paris", "mentors": [["sur.neuro"]]}],
    "memoranda": [{"hospital": 0, "partner": 0, "areas": ["sur"]}],
}


@pytest.mark.parametrize(
    ("option", "known"),
    [("--policy", "rotation"), ("--behaviour", "deadline"), ("--shape", "dense"), ("--arrivals", "bursts")],
)
def test_an_unknown_name_ends_with_2_and_the_list(option: str, known: str) -> None:
    done = CliRunner().invoke(commands, [*SMALL, option, "nobody-knows"])
    assert done.exit_code == 2
    assert "nobody-knows" in done.stderr
    assert known in done.stderr


def test_a_file_of_counts_and_codes_is_simulated(tmp_path: Path) -> None:
    file = tmp_path / "shape.json"
    file.write_text(json.dumps(SHAPE))
    done = CliRunner().invoke(commands, [*SMALL, "--shape", str(file)])
    assert done.exit_code == 0
    assert done.stdout.startswith("file, arrivals even, 3 days, 4 requests")
    assert "no band" in done.stdout


@pytest.mark.parametrize("key", ["name", "email"])
def test_a_file_with_somebodys_name_or_address_is_refused_without_repeating_it(tmp_path: Path, key: str) -> None:
    file = tmp_path / "shape.json"
    file.write_text(json.dumps({**SHAPE, "hospitals": [{**SHAPE["hospitals"][0], key: "Olena olena@example.org"}]}))  # type: ignore[dict-item]
    done = CliRunner().invoke(commands, [*SMALL, "--shape", str(file)])
    assert isinstance(done.exception, command.Stop)
    assert "hospitals[0]" in str(done.exception)
    assert "lena" not in str(done.exception)


def test_a_folder_that_cannot_be_made_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = CliRunner().invoke(commands, [*SMALL, "--out", str(tmp_path / "taken" / "below")])
    assert isinstance(done.exception, command.Stop)
