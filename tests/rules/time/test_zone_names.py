"""Names of zones: every one that people and programs use is read, and one is kept (FT-13)."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.core import get_global

from service.rules.time import availability, zone_names

ROOT = Path(__file__).parents[3]
LINKS = [
    line.split()[1:]
    for line in resources.files("tzdata.zoneinfo").joinpath("tzdata.zi").read_text("utf-8").splitlines()
    if line.startswith("L ")
]
PLACES = {
    line.split("\t")[2]
    for line in resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8").splitlines()
    if not line.startswith("#")
}
WINDOWS = dict(get_global("windows_zone_mapping"))
NOWHERE = "Dateline Standard Time"
YEAR = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=7 * week) for week in range(60)]


def clocks(zone: str) -> list[timedelta | None]:
    return [at.astimezone(ZoneInfo(zone)).utcoffset() for at in YEAR]


@pytest.mark.parametrize("name", ["Europe/Kiev", "Europe/Uzhgorod", "Europe/Zaporozhye", "FLE Standard Time"])
def test_inv_10_the_other_names_of_kyiv_become_europe_kyiv(name: str) -> None:
    assert zone_names.canonical(name) == "Europe/Kyiv"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("US/Eastern", "America/New_York"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("Romance Standard Time", "Europe/Paris"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ("India Standard Time", "Asia/Kolkata"),
        ("GB", "Europe/London"),
        ("Iceland", "Atlantic/Reykjavik"),
        ("EST5EDT", "America/New_York"),
        ("Zulu", "UTC"),
        ("Etc/GMT", "UTC"),
        ("europe/kyiv", "Europe/Kyiv"),
        ("EUROPE/KIEV", "Europe/Kyiv"),
        (" Europe/Kyiv\n", "Europe/Kyiv"),
        ("fle standard time", "Europe/Kyiv"),
    ],
)
def test_ft_13_a_former_or_other_name_becomes_the_one_that_is_kept(name: str, kept: str) -> None:
    assert zone_names.canonical(name) == kept


@pytest.mark.parametrize("name", ["Europe/Kyiv", "Europe/Oslo", "Europe/Bratislava", "America/Winnipeg", "UTC"])
def test_ft_13_a_countrys_own_name_stays_though_the_data_link_it_to_a_neighbours(name: str) -> None:
    assert zone_names.canonical(name) == name


def test_ft_13_every_link_of_the_zone_data_is_read_and_no_clock_changes_by_it() -> None:
    for target, name in LINKS:
        kept = zone_names.canonical(name)
        assert kept in PLACES | {"UTC"}, name
        assert zone_names.canonical(kept) == kept, name
        assert clocks(kept) == clocks(target), name


def test_ft_13_every_name_of_windows_is_read_and_has_the_clocks_that_cldr_gives_it() -> None:
    for name in WINDOWS.keys() - {NOWHERE}:
        kept = zone_names.canonical(name)
        assert kept in PLACES | {"UTC"}, name
        assert clocks(kept) == clocks(WINDOWS[name]), name


def test_ft_13_the_names_of_windows_are_those_of_the_table_that_babel_carries() -> None:
    script = [sys.executable, str(Path(__file__).with_name("make-windows-zones"))]
    made = subprocess.run(script, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    assert made.stdout == (ROOT / "service" / "data" / "windows_zones.csv").read_bytes()


def test_ft_13_every_name_that_is_kept_is_a_zone() -> None:
    for place in PLACES:
        assert availability.to_wall(YEAR[0], zone_names.canonical(place)).tzinfo is None


@pytest.mark.parametrize(
    "name",
    ["", " ", "right/Europe/Kyiv", "posix/Europe/Kyiv", "localtime", "Factory", "Europe", "Europe/Kyiv\0", "x" * 5000,
     "../etc/passwd", "/Europe/Kyiv", "code", "Europe/Kyiv/", "Europe\\Kyiv", "zone.tab", NOWHERE, "+02:00", "Москва"],
)  # fmt: skip
def test_ft_13_what_is_no_name_of_a_zone_is_refused(name: str) -> None:
    with pytest.raises(zone_names.UnknownZone):
        zone_names.canonical(name)


@pytest.mark.parametrize("name", ["GMT+2", "Etc/GMT-2", "etc/gmt+12", "UTC+2", "GMT-5"])
def test_ft_13_an_offset_is_no_place_and_is_refused_as_such(name: str) -> None:
    with pytest.raises(zone_names.FixedOffset):
        zone_names.canonical(name)
