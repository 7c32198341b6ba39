"""Chance that depends on what is drawn, and on nothing that was drawn before.

A draw is named by the seed and by what it is for, such as ("reacts", request, mentor). So two policies meet the very
same people and the same luck (common random numbers), and their difference is theirs. The value is that of a digest:
the same in each process and on each machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from statistics import NormalDist
from typing import TypeVar
from uuid import UUID

_STANDARD = NormalDist()
_STEPS = 2**53  # as many as a float of 0..1 tells apart
_Item = TypeVar("_Item")
Named = str | int


def _digest(seed: int, what: tuple[Named, ...], size: int) -> bytes:
    text = "\x1f".join(map(str, (seed, *what)))
    return blake2b(text.encode(), digest_size=size).digest()


@dataclass(frozen=True, slots=True)
class Draws:
    """All the chance of one seed."""

    seed: int

    def uniform(self, *what: Named) -> float:
        """Give a number between 0 and 1, both exclusive."""
        return ((int.from_bytes(_digest(self.seed, what, 8)) >> 11) + 0.5) / _STEPS

    def normal(self, *what: Named) -> float:
        """Give a number of the standard normal distribution."""
        return _STANDARD.inv_cdf(self.uniform(*what))

    def is_so(self, probability: float, *what: Named) -> bool:
        """Tell whether what has this probability is so."""
        return self.uniform(*what) < probability

    def whole(self, least: int, most: int, *what: Named) -> int:
        """Give a whole number from `least` to `most`, both inclusive."""
        return least + int(self.uniform(*what) * (most - least + 1))

    def one_of(self, items: Sequence[_Item], *what: Named) -> _Item:
        """Give one of the items, each as likely as the others."""
        return items[int(self.uniform(*what) * len(items))]

    def weighted(self, weights: Mapping[_Item, float], *what: Named) -> _Item:
        """Give a key, as likely as its weight says."""
        left = self.uniform(*what) * sum(weights.values())
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        return item

    def shuffled(self, items: Sequence[_Item], *what: Named) -> list[_Item]:
        """Give the items in any order."""
        places = sorted(range(len(items)), key=lambda place: self.uniform(*what, place))
        return [items[place] for place in places]

    def uuid(self, *what: Named) -> UUID:
        """Give an id that no other name has."""
        return UUID(bytes=_digest(self.seed, what, 16))
