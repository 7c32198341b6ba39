"""What is promised at filing: the counts, who is silent, and whether chances come true (decision 0107)."""

import heapq
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from rules.values import NOW
from service import vocabulary
from service.rules import promise
from service.rules.promise import Bin, Outcomes, Promise, Record, Stratum

LIKE = Stratum("urgent", 2, "live")
HOUR = timedelta(hours=1)


def record(requests: int = 34, in_time: int = 26, half_hours: float | None = 3.5, **others: Bin) -> Record:
    return Record({LIKE: Outcomes(requests, in_time, half_hours)}, {int(key[1:]): each for key, each in others.items()})


def test_the_count_and_the_time_of_half_are_told() -> None:
    assert promise.tell(record(), LIKE, NOW) == Promise("counted", 34, 26, NOW + 3.5 * HOUR)
    assert promise.tell(record(in_time=9, half_hours=None), LIKE, NOW) == Promise("counted", 34, 9, None)


@pytest.mark.parametrize(("requests", "is_told"), [(0, False), (19, False), (20, True)])
def test_below_twenty_nothing_is_said(requests: int, is_told: bool) -> None:
    known = record(requests, requests)
    assert (promise.tell(known, LIKE, NOW) is not None) is is_told
    assert (promise.chance(known.outcomes, LIKE) is not None) is is_told


def test_of_another_kind_nothing_is_said() -> None:
    assert promise.tell(record(), Stratum("urgent", 3, "live"), NOW) is None
    assert promise.chance(record().outcomes, Stratum("stat", 2, "live")) is None


@pytest.mark.parametrize("known", [Record(), record(), record(b5=Bin(200, 0.55, 0))])
def test_that_nobody_is_eligible_is_the_rules_word(known: Record) -> None:
    nobody = promise.stratum("urgent", 0, "live")
    of_nobody = Record({**known.outcomes, nobody: Outcomes(500, 3, None)}, known.bins)
    assert promise.tell(of_nobody, nobody, NOW) == Promise("nobody_eligible")
    assert promise.chance(of_nobody.outcomes, nobody) == 0
    assert promise.chance(of_nobody.outcomes, LIKE) == promise.chance(known.outcomes, LIKE)


@pytest.mark.parametrize(
    ("tenth", "is_off"),
    [
        (Bin(100, 0.55, 44), True),
        (Bin(100, 0.55, 66), True),
        (Bin(99, 0.55, 0), False),
        (Bin(100, 0.55, 46), False),
        (Bin(1000, 0.55, 640), False),
    ],
)
def test_promises_that_prove_wrong_switch_the_sentence_off(tenth: Bin, is_off: bool) -> None:
    known = record(b5=tenth, b9=Bin(400, 0.95, 380))
    assert known.is_off is is_off
    assert (promise.tell(known, LIKE, NOW) is None) is is_off
    assert promise.chance(known.outcomes, LIKE) is not None  # it is still written down, to be judged


def test_a_chance_is_drawn_towards_those_of_wider_levels() -> None:
    few = {LIKE: Outcomes(20, 20, 1.0)}
    alone = promise.chance(few, LIKE)
    among_worse = promise.chance({**few, Stratum("urgent", 2, "written"): Outcomes(200, 20, None)}, LIKE)
    among_better = promise.chance({**few, Stratum("urgent", 2, "written"): Outcomes(200, 190, 1.0)}, LIKE)
    assert alone is not None
    assert among_worse is not None
    assert among_better is not None
    assert 0.5 < among_worse < alone < 1
    assert among_worse < among_better < 1
    many = promise.chance({LIKE: Outcomes(20_000, 15_000, 1.0)}, LIKE)
    assert many == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(("eligible", "known_as"), [(0, 0), (1, 1), (3, 3), (4, 4), (40, 4)])
def test_four_and_more_eligible_mentors_are_alike(eligible: int, known_as: int) -> None:
    assert promise.stratum("routine", eligible, "either") == Stratum("routine", known_as, "either")


def test_promises_are_put_into_the_tenths_of_their_chances() -> None:
    found = promise.bins([(0.0, False), (0.25, True), (0.28125, False), (1.0, True)])
    assert found == {0: Bin(1, 0, 0), 2: Bin(2, 0.265625, 1), 9: Bin(1, 1, 1)}


# Twenty made-up programmes: does what is promised come true?

_DUE_HOURS = {"routine": 168, "urgent": 24, "asap": 8, "stat": 1}


def filings(seed: int, count: int = 1500) -> Iterator[tuple[float, Stratum, float]]:
    """Give requests in order: days since the first, their stratum, hours until the answer (without end: none).

    Mentors answer as in one of two behaviours: the one is slow and even, the other quick or never.
    """
    drawn = random.Random(seed)
    is_even, zeal, day = seed % 2 == 0, drawn.uniform(0.7, 1.3), 0.0
    for _ in range(count):
        day += drawn.expovariate(count / 364)
        priority = drawn.choices(vocabulary.PRIORITIES, [5, 3, 1, 1])[0]
        eligible = min(drawn.choices([0, 1, 2, 3, 5, 9], [31, 23, 18, 12, 10, 6])[0], promise.MOST_ELIGIBLE)
        mode = drawn.choices(["live", "written", "either"], [5, 2, 3])[0]
        answers = [_hours(drawn, priority, mode, zeal=zeal, is_even=is_even) for _ in range(eligible)]
        yield day, promise.stratum(priority, eligible, mode), min(answers, default=float("inf"))


def _hours(drawn: random.Random, priority: str, mode: str, *, zeal: float, is_even: bool) -> float:
    does_answer = drawn.random() < (0.55 if is_even else 0.62) * zeal * (0.9 if mode == "live" else 1)
    due = _DUE_HOURS[priority]
    hours = drawn.lognormvariate(0, 1.5) * due / 4 if is_even else drawn.expovariate(4 / due)
    return hours if does_answer else float("inf")


def promised(seed: int) -> Iterator[tuple[float | None, bool]]:
    """Give for each request the chance that was promised, by those alone whose time was over then, and what came."""
    known: dict[Stratum, Outcomes] = {}
    waiting: list[tuple[float, Stratum, bool]] = []
    for day, stratum, hours in filings(seed):
        due = _DUE_HOURS[stratum.priority]
        while waiting and waiting[0][0] <= day:
            _, other, came = heapq.heappop(waiting)
            requests, in_time, _ = known.get(other, Outcomes(0, 0))
            known[other] = Outcomes(requests + 1, in_time + came)
        yield promise.chance(known, stratum), hours <= due
        heapq.heappush(waiting, (day + due / 24, stratum, hours <= due))


def test_the_promise_beats_the_base_rate_and_its_tenths_come_true_on_twenty_seeds() -> None:
    made = [[each for each in promised(seed) if each[0] is not None] for seed in range(20)]
    for of_seed in made:
        base = sum(came for _, came in of_seed) / len(of_seed)
        by_promise = sum((chance - came) ** 2 for chance, came in of_seed if chance is not None) / len(of_seed)
        assert by_promise < base * (1 - base) - 0.05
    pooled = [(chance, came) for of_seed in made for chance, came in of_seed if chance]
    for number, tenth in promise.bins(pooled).items():
        if number >= 3:
            assert abs(tenth.in_time / tenth.promises - tenth.mean) <= 0.05, (number, tenth)
