"""What is promised at filing, tried on the lab's years: does it beat the base rate, and do its tenths come true?"""

import heapq
from collections.abc import Iterator
from datetime import datetime

import pytest

from lab import worlds, year
from lab.behaviours import MODELS, Mentors
from lab.policies import POLICIES
from lab.worlds import Setting
from service.care import promises
from service.rules import promise
from service.rules.promise import Outcomes, Stratum

pytestmark = pytest.mark.drill
SEEDS = range(1, 21)
DAYS, REQUESTS = 182, 1500


def promised(seed: int, shape: str, behaviour: str) -> Iterator[tuple[float | None, bool]]:
    """Give for each filing the chance that is promised, by those alone whose time was over then, and what came."""
    world = worlds.make(Setting(shape, "even", DAYS, REQUESTS), seed)
    run = year.live(world, POLICIES["now"], Mentors(MODELS[behaviour], world.registry, world.draws))
    known: dict[Stratum, Outcomes] = {}
    waiting: list[tuple[datetime, int, Stratum, bool]] = []
    for request in world.requests:
        case, answer = world.cases[request.number], run.answers.get(request.number)
        came = answer is not None and answer.takes_place and answer.at <= case.answer_due_at
        stratum = promise.stratum(request.priority, run.eligible[request.number], request.mode)
        while waiting and waiting[0][0] <= request.at:
            *_, other, did_come = heapq.heappop(waiting)
            requests, in_time, _ = known.get(other, Outcomes(0, 0))
            known[other] = Outcomes(requests + 1, in_time + did_come)
        yield promise.chance(known, stratum), came
        heapq.heappush(waiting, (case.answer_due_at + promises.LOGGED_WITHIN, request.number, stratum, came))


@pytest.mark.parametrize("shape", ["published", "dense"])
@pytest.mark.parametrize("behaviour", ["clock", "sleep"])
def test_the_promise_beats_the_base_rate_and_its_tenths_come_true_on_the_labs_filings(
    shape: str, behaviour: str
) -> None:
    made: list[tuple[float, bool]] = []
    gains, filed = [], 0
    for seed in SEEDS:
        each = list(promised(seed, shape, behaviour))
        said = [(chance, came) for chance, came in each if chance is not None]
        base = sum(came for _, came in said) / len(said)
        brier = sum((chance - came) ** 2 for chance, came in said) / len(said)
        gains.append(base * (1 - base) - brier)
        made, filed = made + said, filed + len(each)
    print(f"{behaviour}, {shape}: {filed} filings, {len(made) / filed:.0%} told")  # noqa: T201 - what the drill shows
    print(f"Brier below the base rate by {sum(gains) / len(gains):.3f}; least {min(gains):.3f}")  # noqa: T201
    tenths = {
        number: tenth for number, tenth in promise.bins([each for each in made if each[0]]).items() if number >= 3
    }
    for tenth in tenths.values():
        print(f"  said {tenth.mean:.1%}, came {tenth.in_time / tenth.promises:.1%} of {tenth.promises}")  # noqa: T201
    assert min(gains) >= 0.05
    for tenth in tenths.values():
        assert abs(tenth.in_time / tenth.promises - tenth.mean) <= 0.05
