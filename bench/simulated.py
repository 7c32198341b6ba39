"""How fast the lab lives through a year: what it takes beside the rankings, which are the product's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bench.table import Line, at_most
from lab import worlds, year
from lab.behaviours import MODELS, Mentors
from lab.policies import POLICIES
from lab.worlds import Setting, World
from service.rules.matching import ranking

OVERHEAD = 0.5
DAYS, REQUESTS = 364, 3_000
_DAYS_WHEN_QUICK, _REQUESTS_WHEN_QUICK = 60, 500


def lines(*, quick: bool) -> list[Line]:
    """Simulate one year of the published shape; the time inside `ranking.rank` is the baseline of the same run."""
    days, requests = (_DAYS_WHEN_QUICK, _REQUESTS_WHEN_QUICK) if quick else (DAYS, REQUESTS)
    world = worlds.make(Setting("published", "even", days, requests), seed=1)
    with _timed() as rankings:
        whole = _seconds(world)
    inside = sum(rankings)
    name = f"A6 a year of {requests:,} requests in the lab, beside its rankings"
    per_second = f"{requests / whole:,.0f} requests/s, {whole - inside:.2f} s"
    baseline = f"{len(rankings):,} rankings, {inside:.2f} s"
    return [at_most(name, per_second, baseline, (whole - inside) / inside, OVERHEAD)]


def _seconds(world: World) -> float:
    mentors = Mentors(MODELS["clock"], world.registry, world.draws)
    began = time.perf_counter()
    year.live(world, POLICIES["now"], mentors)
    return time.perf_counter() - began


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Take down the seconds of each ranking."""
    taken: list[float] = []
    rank = ranking.rank

    def timed(*what: Any, **how: Any) -> ranking.Ranking:  # noqa: ANN401 - handed on
        began = time.perf_counter()
        ranked = rank(*what, **how)
        taken.append(time.perf_counter() - began)
        return ranked

    with mock.patch.object(ranking, "rank", timed):
        yield taken
