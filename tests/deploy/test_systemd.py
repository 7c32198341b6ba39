"""systemd reads the units, finds little that they may do, and hands over each secret as a file."""

import configparser
import re
import shutil
from pathlib import Path

import pytest

from deploying import DEPLOY, ran
from integrations.runtime import settings

UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix)
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PROGRAM = "/opt/pobratym/bin/pobratym"
MOST_EXPOSED = 20  # tenths, of a hundred: 1.2 was measured with systemd 252


def lines(path: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", path.read_text(), re.MULTILINE)


def test_systemd_reads_every_unit(tmp_path: Path) -> None:
    (tmp_path / "pobratym").write_text("#!/bin/sh\n")
    (tmp_path / "pobratym").chmod(0o755)
    for path in UNITS:  # the program has to be where a unit names it, and is not on this machine
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, str(tmp_path / "pobratym")))
        shutil.copymode(path, tmp_path / path.name)
    if not Path("/usr/bin/pg_dump").exists():
        pytest.skip("no pg_dump")

    made = ran("systemd-analyze", "--man=no", "verify", *(tmp_path / path.name for path in UNITS))

    assert (made.returncode, made.stderr) == (0, "")


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_may_do_little(path: Path) -> None:
    made = ran("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", path)
    assert made.returncode == 0, made.stdout[-200:]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_every_secret_is_handed_over_as_a_file(path: Path) -> None:
    handed = {line.partition(":")[0] for line in lines(path, "LoadCredential")}
    told = dict(line.split("=", 1) for line in lines(path, "Environment"))
    files = {name: text for name, text in told.items() if name.endswith("_FILE")}
    fields = {f"POBRATYM_{name.upper()}" for name in settings.Settings.model_fields}
    assert {text.removeprefix("%d/") for text in files.values()} == handed
    assert {name.removesuffix("_FILE") for name in told if name.startswith("POBRATYM_")} - fields <= {
        "POBRATYM_WORKER_PORT"
    }
    assert bool(handed) == (PROGRAM in path.read_text())


def test_the_target_wants_what_is_there() -> None:
    (wanted,) = lines(DEPLOY / "systemd" / "pobratym.target", "Wants")
    names = {re.sub(r"@\d", "@", name) for name in wanted.split()}
    assert names == {path.name for path in UNITS if path.name != "pobratym.target"} - {
        "pobratym-backup.service",  # its timer starts it
        "pobratym-anchor.service",
    }


def test_a_timer_has_its_service() -> None:
    for path in UNITS:
        reader = configparser.RawConfigParser(strict=False)
        reader.read(path)
        if path.suffix == ".timer":
            assert path.with_suffix(".service") in UNITS
            assert reader["Timer"]["OnCalendar"].endswith(" UTC")
