from datetime import UTC, datetime

import pytest

from service.rules.time import night
from service.vocabulary import Side

ZONES: dict[Side, str] = {"requesting": "Europe/Kyiv", "partner": "Europe/Paris"}


@pytest.mark.parametrize(
    ("start", "sides"),
    [
        ("04:59", ["requesting", "partner"]),
        ("05:00", ["partner"]),
        ("05:59", ["partner"]),
        ("06:00", []),
        ("19:30", []),
        ("19:31", ["requesting"]),
        ("20:30", ["requesting"]),
        ("20:31", ["requesting", "partner"]),
    ],
)
def test_ft_11_a_session_of_half_an_hour_is_at_night_when_a_minute_of_it_is(start: str, sides: list[str]) -> None:
    at = datetime.fromisoformat(f"2026-11-17T{start}:00+00:00")
    assert [warning.side for warning in night.warnings([at], 30, ZONES)] == sides


def test_ft_11_each_time_is_named_with_its_code() -> None:
    by_day, at_night = datetime(2026, 11, 17, 10, tzinfo=UTC), datetime(2026, 11, 17, 1, tzinfo=UTC)
    found = night.warnings([by_day, at_night], 30, {"partner": "Europe/Paris"})
    assert found == [(at_night, "partner", "night_hours")]


def test_ft_11_a_mail_names_whose_night_it_is() -> None:
    times = [{"who": "clinician", "zone": "Europe/Kyiv"}, {"who": "mentor", "zone": "America/Toronto"}]
    times.append({"who": "observer", "zone": "America/Toronto"})
    by_day_in_kyiv = [datetime(2026, 11, 17, 8, tzinfo=UTC), datetime(2026, 11, 17, 15, tzinfo=UTC)]
    assert night.at_night(iter(by_day_in_kyiv), 30, times) == ["mentor"]
