"""Who is acting: a person with their grants, a partner system, or the programme's own timer."""

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


TIMER = Actor(kind="timer")
STRANGER = Actor(kind="stranger")
