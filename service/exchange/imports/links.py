"""Which memoranda link which institutions, for whole files: every memorandum, party and membership in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from service.kernel.work import Work


@dataclass(frozen=True, slots=True)
class Links:
    """The programme, kind, draft status and parties by side of each memorandum; the networks of each institution."""

    programme: Mapping[UUID, UUID]
    kinds: Mapping[UUID, str]
    drafts: frozenset[UUID]
    sides: Mapping[tuple[UUID, str], frozenset[UUID]]
    networks: Mapping[UUID, frozenset[UUID]]

    @classmethod
    async def loaded(cls, w: Work) -> "Links":
        """Load what the database holds now."""
        memoranda = (await w.sql(sa.text("SELECT id, programme_id, kind, status FROM memorandum"))).all()
        sides: dict[tuple[UUID, str], set[UUID]] = {}
        for row in await w.sql(sa.text("SELECT memorandum_id, side, institution_id FROM memorandum_party")):
            sides.setdefault((row.memorandum_id, row.side), set()).add(row.institution_id)
        networks: dict[UUID, set[UUID]] = {}
        for row in await w.sql(sa.text("SELECT institution_id, network_id FROM membership")):
            networks.setdefault(row.institution_id, set()).add(row.network_id)
        return cls(
            {row.id: row.programme_id for row in memoranda},
            {row.id: row.kind for row in memoranda},
            frozenset(row.id for row in memoranda if row.status == "draft"),
            {key: frozenset(institutions) for key, institutions in sides.items()},
            {key: frozenset(institutions) for key, institutions in networks.items()},
        )

    def route(self, memorandum_id: UUID, asking: UUID, answering: UUID) -> str | None:
        """Tell how the memorandum links the two, at any time; None when it does not, or is a draft."""
        if memorandum_id in self.drafts:
            return None
        are_parties = [
            asking in self.sides[memorandum_id, "requesting"],
            answering in self.sides[memorandum_id, "partner"],
        ]
        if all(are_parties):
            return "direct"
        are_reached = [
            bool(self._with_networks(asking) & self.sides[memorandum_id, "requesting"]),
            bool(self._with_networks(answering) & self.sides[memorandum_id, "partner"]),
        ]
        if not all(are_reached):
            return None
        return "umbrella" if self.kinds[memorandum_id] == "umbrella" else "network"

    def parties(self, memorandum_id: UUID) -> tuple[UUID, ...]:
        """Name the institutions that signed."""
        return tuple(sorted(self.sides[memorandum_id, "requesting"] | self.sides[memorandum_id, "partner"]))

    def _with_networks(self, institution_id: UUID) -> frozenset[UUID]:
        return self.networks.get(institution_id, frozenset()) | {institution_id}
