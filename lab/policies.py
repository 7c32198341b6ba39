"""What the lab compares: the product's rules as they are and as they were, and simple rules beside them.

All share the gate, the waves' times and the way an answer is taken; a policy says who comes first, how many are asked
at once, whether an answer after the date shown still counts, and over which time the load term remembers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from service.rules import policy as policies
from service.rules.policy import Policy

Order = Literal["score", "random", "rotation"]


@dataclass(frozen=True, slots=True)
class LabPolicy:
    """One policy of the lab; the name is only shown."""

    name: str
    numbers: Policy = policies.DEFAULT
    order: Order = "score"
    takes_late: bool = True
    load_days: Literal[7, 180] = 180
    counts_load_from: Literal["nothing", "least"] = "least"  # that of the candidate who was asked least


_EVERYBODY = 1000
_BEFORE = {  # the weights of version 0.2, in the order of `vocabulary.SCORE_TERMS`
    "routine": (24, 8, 8, 14, 12, 12, 8, 6, 3, 3, 2),
    "urgent": (24, 20, 12, 8, 10, 8, 8, 4, 3, 2, 1),
    "asap": (24, 20, 12, 8, 10, 8, 8, 4, 3, 2, 1),
    "stat": (26, 34, 16, 2, 4, 2, 8, 2, 4, 2, 0),
}


def _with_waves(numbers: Policy, *, per_wave: int | None = None, as_needed: bool = False) -> Policy:
    return replace(numbers, paces=MappingProxyType({
        priority: replace(pace, per_wave=per_wave or pace.per_wave, as_needed=as_needed)
        for priority, pace in numbers.paces.items()
    }))  # fmt: skip


def _before() -> Policy:
    numbers = policies.DEFAULT
    return replace(numbers, paces=MappingProxyType({
        priority: replace(pace, weights=MappingProxyType(dict(zip(pace.weights, _BEFORE[priority], strict=True))))
        for priority, pace in numbers.paces.items()
    }))  # fmt: skip


_OLD = _before()
POLICIES: Mapping[str, LabPolicy] = MappingProxyType({
    each.name: each
    for each in (
        LabPolicy("before", _OLD, takes_late=False, load_days=7, counts_load_from="nothing"),
        LabPolicy("now"),
        LabPolicy("late", _OLD, load_days=7, counts_load_from="nothing"),
        LabPolicy("load", takes_late=False),
        LabPolicy("flat", counts_load_from="nothing"),
        LabPolicy("needed", _with_waves(policies.DEFAULT, per_wave=6, as_needed=True)),
        LabPolicy("broadcast", _with_waves(policies.DEFAULT, per_wave=_EVERYBODY)),
        LabPolicy("random", _with_waves(policies.DEFAULT, per_wave=1), order="random"),
        LabPolicy("rotation", _with_waves(policies.DEFAULT, per_wave=1), order="rotation"),
    )
})  # fmt: skip
"""`late` and `load` are the two halves of the way from `before` to `now`; `rotation` is round robin.

`flat` is `now` with a load term that does not tell the busy from the busier: e^(-offers / 6) is nearly nothing for 12
and for 20 (decision 0112).
"""
