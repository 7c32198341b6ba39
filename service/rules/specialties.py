"""How near two specialties are: a tree of codes in which some have second parents."""

from collections.abc import Collection, Iterable
from enum import StrEnum

MAX_STEPS = 2


class Relation(StrEnum):
    """What a mentor's specialty is to the one asked for, nearest first."""

    EXACT = "exact"
    NARROWER = "narrower"
    BROADER = "broader"
    SECOND_PARENT = "second_parent"
    SIBLING = "sibling"
    ROOT_SIBLING = "root_sibling"
    NONE = "none"


_ORDER = {relation: number for number, relation in enumerate(Relation)}


class Tree:
    """The specialties of a programme; unknown codes are related to nothing but themselves."""

    def __init__(self, rows: Iterable[tuple[str, str | None, Collection[str]]]) -> None:
        """Build from rows of (code, parent or None for an area, second parents)."""
        self._parent: dict[str, str | None] = {}
        self._parents: dict[str, frozenset[str]] = {}
        for code, parent, second_parents in rows:
            self._parent[code] = parent or None
            self._parents[code] = frozenset(filter(None, (*second_parents, parent)))
        self._distances = {code: self._climb(code) for code in self._parent}
        self._relations: dict[tuple[str, str], Relation] = {}

    def rows(self) -> list[tuple[str, str | None, frozenset[str]]]:
        """Give the rows (code, parent or None, second parents) that it is built of, in the order of the codes."""
        return [(code, parent, self._parents[code] - {parent}) for code, parent in sorted(self._parent.items())]

    def __contains__(self, code: str) -> bool:
        """Tell whether the code is in the tree."""
        return code in self._parent

    def _climb(self, code: str) -> dict[str, int]:
        distances = {code: 0}
        level, steps = {code}, 0
        while level:
            steps += 1
            level = {parent for child in level for parent in self._parents.get(child, ()) if parent not in distances}
            distances |= dict.fromkeys(level, steps)
        return distances

    def _line(self, code: str) -> list[str]:
        """Give the first parents up to two steps, nearest first."""
        line: list[str] = []
        parent = self._parent.get(code)
        while parent and len(line) < MAX_STEPS:
            line.append(parent)
            parent = self._parent.get(parent)
        return line

    def ancestors(self, code: str) -> dict[str, int]:
        """Give the code and all above it, through second parents too, with the fewest steps to each."""
        return self._distances.get(code, {code: 0})

    def relation(self, requested: str, offered: str) -> Relation:
        """Say how the offered specialty relates to the requested one, within two steps up or down."""
        key = (requested, offered)
        relation = self._relations.get(key)
        if relation is None:
            relation = self._relate(requested, offered)
            if requested in self and offered in self:  # so that unknown codes cannot fill the memory
                self._relations[key] = relation
        return relation

    def _relate(self, requested: str, offered: str) -> Relation:
        shared = self._parent.get(requested)
        if requested == offered:
            return Relation.EXACT
        if requested in self._line(offered):
            return Relation.NARROWER
        if offered in self._line(requested):
            return Relation.BROADER
        if min(self.ancestors(offered).get(requested, 9), self.ancestors(requested).get(offered, 9)) <= MAX_STEPS:
            return Relation.SECOND_PARENT
        if shared is None or shared != self._parent.get(offered):
            return Relation.NONE
        return Relation.SIBLING if self._parent.get(shared) else Relation.ROOT_SIBLING

    def best(self, requested: str, offered: Iterable[str]) -> Relation:
        """Say how the nearest of the offered specialties relates to the requested one."""
        return min(
            (self.relation(requested, code) for code in offered),
            key=_ORDER.__getitem__,
            default=Relation.NONE,
        )

    def covers(self, areas: Collection[str], requested: str) -> bool:
        """Tell whether the areas include the requested specialty or one above it; no areas at all cover everything."""
        return not areas or not self.ancestors(requested).keys().isdisjoint(areas)

    def steps(self, areas: Collection[str], requested: str) -> int | None:
        """Count the steps from the requested specialty up to the nearest area: fewer is more specific.

        None when the areas do not cover it; areas that list nothing are the least specific of all.
        """
        if not areas:
            return len(self._parent) + 1
        return min(
            (steps for code, steps in self.ancestors(requested).items() if code in areas),
            default=None,
        )
