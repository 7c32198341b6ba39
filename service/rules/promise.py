"""What a clinician can be told at filing of how soon requests like this one were answered, and whether to tell it.

A request is like others of its stratum: priority, how many mentors were eligible when it was filed, mode. Only requests
whose time was over are counted, and one that nobody answered counts as answered later than its target: to leave it out
would flatter (decision 0107). The chance of an answer in time is that of the stratum, drawn towards what is known
of wider ones, as a few cases say little. It judges the promise; what people read is the count itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from service import vocabulary

LEAST_SAMPLE = 20
"""Of fewer requests nothing is said."""
MOST_ELIGIBLE = 4
"""So many eligible mentors and more are one stratum."""
BINS = 10
LEAST_IN_BIN = 100
MOST_OFF = 0.1
"""A bin of so many promises whose mean is further from what came than this switches the sentence off."""
_WIDER_IS_WORTH = 20  # requests of the stratum: each level counts the chance of the next wider one as so many
_UNKNOWN = 0.5


class Stratum(NamedTuple):
    """Which requests are alike; `eligible` is `MOST_ELIGIBLE` for more as well."""

    priority: str
    eligible: int
    mode: str


class Outcomes(NamedTuple):
    """What became of the requests of a stratum; `half_hours` until half of all had an answer, None: half had none."""

    requests: int
    in_time: int
    half_hours: float | None = None


class Bin(NamedTuple):
    """The promises of a tenth of the chances: how many, the mean of the chances, how many answers came in time."""

    promises: int
    mean: float
    in_time: int

    @property
    def is_off(self) -> bool:
        """Whether enough promises were made to see that they are wrong."""
        return self.promises >= LEAST_IN_BIN and abs(self.in_time / self.promises - self.mean) > MOST_OFF


@dataclass(frozen=True, slots=True)
class Record:
    """What a programme's past says, and how its promises fared, by the number of their tenth (0 to 9)."""

    outcomes: Mapping[Stratum, Outcomes] = field(default_factory=dict)
    bins: Mapping[int, Bin] = field(default_factory=dict)

    @property
    def is_off(self) -> bool:
        """Whether the promises are wrong somewhere, so that none is made until they are right again."""
        return any(each.is_off for each in self.bins.values())


@dataclass(frozen=True, slots=True)
class Promise:
    """What is told: nobody is eligible, by the rules; or of so many such requests so many were answered in time.

    `half_by` is when half of them had an answer, counted from this one's filing; None if half had none by the target.
    """

    kind: vocabulary.PromiseKind
    requests: int | None = None
    in_time: int | None = None
    half_by: datetime | None = None


def stratum(priority: str, eligible: int, mode: str) -> Stratum:
    """Give the stratum of a request for which so many mentors are eligible."""
    return Stratum(priority, min(eligible, MOST_ELIGIBLE), mode)


def chance(outcomes: Mapping[Stratum, Outcomes], of: Stratum) -> float | None:
    """Give how probably a request of the stratum is answered in time; None where too few such are known.

    Each level (all, priority, eligible mentors, mode) is drawn towards the wider one as if that were 20 requests more.
    Those for which nobody was eligible tell nothing of the others, and are in no wider level.
    """
    if of.eligible == 0:
        return 0.0
    known = outcomes.get(of)
    if known is None or known.requests < LEAST_SAMPLE:
        return None
    value = _UNKNOWN
    for width in range(len(of) + 1):
        alike = [each for which, each in outcomes.items() if which.eligible and which[:width] == of[:width]]
        requests, in_time = sum(each.requests for each in alike), sum(each.in_time for each in alike)
        value = (in_time + _WIDER_IS_WORTH * value) / (requests + _WIDER_IS_WORTH)
    return value


def tell(record: Record, of: Stratum, filed_at: datetime) -> Promise | None:
    """Give what is told of a request that was filed then; None where nothing is to be said."""
    if of.eligible == 0:
        return Promise("nobody_eligible")
    known = record.outcomes.get(of)
    if known is None or known.requests < LEAST_SAMPLE or record.is_off:
        return None
    half_by = None if known.half_hours is None else filed_at + timedelta(hours=known.half_hours)
    return Promise("counted", known.requests, known.in_time, half_by)


def bin_of(promised: float) -> int:
    """Give the number of the tenth in which the chance lies."""
    return min(int(promised * BINS), BINS - 1)


def bins(promises: Sequence[tuple[float, bool]]) -> dict[int, Bin]:
    """Put promises (the chance, and whether the answer came in time) into their tenths."""
    by_bin: dict[int, list[tuple[float, bool]]] = {}
    for promised, came in promises:
        by_bin.setdefault(bin_of(promised), []).append((promised, came))
    return {
        number: Bin(len(each), sum(promised for promised, _ in each) / len(each), sum(came for _, came in each))
        for number, each in sorted(by_bin.items())
    }
