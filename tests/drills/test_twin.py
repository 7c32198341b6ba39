"""Two hundred cases of one seed through the service and the lab: the same offers, in order, at the same dates."""

import pytest

import twins
from integrations.runtime.world import World
from lab.registry import Size
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.timeout(7200)]
SMALL = Size(hospitals=4, partners=4, memoranda=7, clinicians=12, mentors=16)
LARGE = Size(hospitals=12, partners=12, memoranda=26, clinicians=80, mentors=60)


@pytest.mark.parametrize(
    ("seed", "size", "days", "cases"), [(1, SMALL, 10, 20), (2, SMALL, 10, 20), (1, LARGE, 60, 200)]
)
async def test_the_service_and_the_lab_send_the_same_offers(
    world: World,
    test_clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    size: Size,
    days: int,
    cases: int,
) -> None:
    sent, expected = await twins.both(world, test_clock, monkeypatch, seed, size, days, cases)
    assert len(expected) > cases / 2
    assert sent == expected
    print(f"twin of {cases} cases, seed {seed}: {len(sent)} offers, all the same")  # noqa: T201 - what the drill shows
