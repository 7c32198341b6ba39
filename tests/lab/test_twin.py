"""A few cases through the service and through the lab: the same offers (`twins`); the drill has two hundred."""

import pytest

import twins
from integrations.runtime.world import World
from lab.registry import Size
from world import TestClock

SIZE = Size(hospitals=2, partners=2, memoranda=4, clinicians=6, mentors=9)


@pytest.mark.parametrize("cases", [8, 14])
async def test_a_few_cases_have_the_same_offers_in_the_service_and_in_the_lab(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch, cases: int
) -> None:
    sent, expected = await twins.both(world, test_clock, monkeypatch, 1, SIZE, days=4, cases=cases)
    assert expected
    assert sent == expected
