"""What recorded choices come to, counted as they are made again: the two levels of a rehearsal that need no model.

Exact: each choice made again as it was. One step: whom the other numbers would have asked at that same moment. What
would have followed from that is no count of these, and is never mixed with them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.reporting.recorded_choices import StoredChoice
from service.rules.matching import replay
from service.rules.policy import Policy

NAMED = 20
"""So many of the choices that differ are named, and as many examples of whom others would have been asked."""
_STEPS = (
    "decisions", "first_pick_changed", "others_asked", "asked_before", "asked_after", "nobody_before", "nobody_after",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What the choices come to under these numbers, as they are added."""

    numbers: Policy
    decisions: int = 0
    same: int = 0
    no_longer_exact: int = 0  # a fact is gone, or of somebody who was erased
    differing: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, choices: Sequence[StoredChoice]) -> None:
        """Make these choices again, and once more by the other numbers; what a coordinator chose has no other."""
        for choice in choices:
            self.decisions += 1
            self._compare(choice)
            if choice.recorded is not None and choice.kind != "hand":
                self._step(choice, choice.recorded)

    def _compare(self, choice: StoredChoice) -> None:
        again = [] if choice.recorded is None else replay.differences(choice.recorded)
        differs_in = [*choice.changed, *again]
        if differs_in:
            self.differing += 1
            if len(self.named) < NAMED:
                self.named.append(_example(choice) | {"differs_in": differs_in})
        elif choice.recorded is None:
            self.no_longer_exact += 1
        else:
            self.same += 1

    def _step(self, choice: StoredChoice, recorded: replay.Recorded) -> None:
        step = replay.one_step(recorded, self.numbers)
        before, after = set(step.before), set(step.after)
        counts = (1, step.is_first_changed, before != after, len(before), len(after), not before, not after)
        self.steps.update({name: int(count) for name, count in zip(_STEPS, counts, strict=True)})
        if before != after and len(self.examples) < NAMED:
            asked = {"asked_before": len(before), "asked_after": len(after), "both": len(before & after)}
            self.examples.append(_example(choice) | {"priority": recorded.inputs.case.priority} | asked)

    def result(self) -> dict[str, Any]:
        """Give both levels."""
        exact = {name: getattr(self, name) for name in ("decisions", "same", "no_longer_exact", "differing")}
        return {
            "exact": exact | {"examples": self.named},
            "one_step": {name: self.steps[name] for name in _STEPS} | {"examples": self.examples},
        }


def _example(choice: StoredChoice) -> dict[str, Any]:
    return {"decision_id": str(choice.id), "at": choice.at.isoformat()}
