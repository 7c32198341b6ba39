"""Who is acting: a person with their grants, a partner system, or the programme's own timer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from service import vocabulary


@dataclass(frozen=True, slots=True)
class Grant:
    """One role, held at an institution or for a programme."""

    role: vocabulary.Role
    institution_id: UUID | None = None
    programme_id: UUID | None = None
    department: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts in one unit of work; `person_id` is None for timers and for strangers."""

    kind: vocabulary.ActorKind
    person_id: UUID | None = None
    grants: frozenset[Grant] = field(default_factory=frozenset)
    scopes: frozenset[str] | None = None  # what a system's token allows; None for people
    days: frozenset[tuple[date, UUID]] = field(default_factory=frozenset)  # today, by the clock of each programme
    is_address_confirmed: bool = True  # else somebody else has set it, and they read no case text

    def institutions(self, *roles: str) -> frozenset[UUID]:
        """Name the institutions where any of these roles is held."""
        return frozenset(g.institution_id for g in self.grants if g.role in roles and g.institution_id)

    def programmes(self, *roles: str) -> frozenset[UUID]:
        """Name the programmes for which any of these roles is held."""
        return frozenset(g.programme_id for g in self.grants if g.role in roles and g.programme_id)

    def holds(self, *roles: str) -> bool:
        """Tell whether any of these roles is held anywhere."""
        return any(g.role in roles for g in self.grants)

    @property
    def is_timer(self) -> bool:
        """Tell whether the clock acts, and no person or system."""
        return self.kind == "timer"


def shape(actor: Actor) -> tuple[Actor, Mapping[UUID, UUID]]:
    """Give an actor of the same roles whose ids are mere numbers, and which id each number stands for.

    A statement that shows what an actor sees is the same for all of one shape, but for ids: so it is made once (see
    `Work.fetch`). Not for statements that ask for the day: a shape has none.
    """
    numbers: dict[UUID, UUID] = {}

    def number(row_id: UUID | None) -> UUID | None:
        return row_id and numbers.setdefault(row_id, UUID(int=len(numbers) + 1))

    person_id = number(actor.person_id)
    in_order = sorted(
        actor.grants, key=lambda g: (g.role, g.department or "", str(g.institution_id), str(g.programme_id))
    )
    grants = frozenset(
        Grant(grant.role, number(grant.institution_id), number(grant.programme_id), grant.department)
        for grant in in_order
    )
    made = Actor(actor.kind, person_id, grants, is_address_confirmed=actor.is_address_confirmed)
    return made, {its: row_id for row_id, its in numbers.items()}


TIMER = Actor(kind="timer")
STRANGER = Actor(kind="stranger")
