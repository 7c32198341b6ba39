"""A made-up installation for comparing who sees what: rows that point at each other by chance.

Nothing fits together as in life (an offer's institution is not its mentor's, a session's programme not its case's), so
that no rule can be right because two columns happen to be equal.
"""

# ruff: noqa: ANN401 - a builder takes what the columns take

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import SQLModel

import build
from service import tables, vocabulary
from service.kernel.actor import STRANGER, TIMER, Actor, Grant
from service.kernel.work import Work
from service.rules.time import availability

DEPARTMENTS = (None, "neonatology", "oncology")
SPECIALTIES = ("oncology", "urology")
PEOPLE = 11


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Who may act, and the ids of each kind of row."""

    actors: list[Actor]
    ids: Mapping[type[SQLModel], list[UUID]]


async def installation(w: Work, seed: int) -> MadeUp:
    """Fill the database; the same rows for the same seed."""
    maker = _Maker(w, seed)
    await maker.registry()
    await maker.people()
    await maker.cases()
    await maker.log()
    return MadeUp(maker.actors(), maker.ids)


class _Maker:
    def __init__(self, w: Work, seed: int) -> None:
        self.w, self.chance = w, random.Random(seed)
        self.ids: dict[type[SQLModel], list[UUID]] = {}
        self.grants: dict[UUID, frozenset[Grant]] = {}
        self.days: frozenset[Any] = frozenset()

    def new_id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def one(self, kind: type[SQLModel]) -> UUID:
        return self.chance.choice(self.ids[kind])

    def some(self, kind: type[SQLModel], most: int) -> list[UUID]:
        return self.chance.sample(self.ids[kind], self.chance.randint(0, most))

    def maybe(self, value: Any, share: float = 0.5) -> Any:
        return value if self.chance.random() < share else None

    def at(self) -> datetime:
        return self.w.now + timedelta(hours=self.chance.randint(-60, 60))

    def keep(self, row: SQLModel, key: str = "id") -> None:
        """Insert the row, and remember its id."""
        self.ids.setdefault(type(row), []).append(getattr(row, key))
        self.w.add(row)

    async def registry(self) -> None:
        chance, now, today = self.chance, self.w.now, self.w.now.date()
        for code in SPECIALTIES:
            await build.specialty(self.w, code)
        for zone in ("Europe/Kyiv", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
            names: dict[str, Any] = {"code": self.new_id().hex, "name": "N", "name_en": "N", "country": "UA"}
            programme = tables.Programme(id=self.new_id(), zone=zone, created_at=now, **names)
            self.days |= {(availability.local_date(now, zone), programme.id)}
            self.keep(programme)
            for _ in range(3):
                rehearsal = tables.Rehearsal(
                    id=self.new_id(), programme_id=programme.id, from_at=now, until_at=now, state="done", decisions=0,
                    created_at=now,
                )  # fmt: skip
                self.keep(rehearsal)
        for _ in range(7):
            self.keep(tables.Institution(id=self.new_id(), kind="hospital", country="UA", created_at=now))
        for _ in range(9):
            member, network = chance.sample(self.ids[tables.Institution], 2)
            from_on = today + timedelta(days=chance.randint(-2, 1))
            until_on = self.maybe(from_on + timedelta(days=chance.randint(1, 2)))
            places = {"institution_id": member, "network_id": network}
            self.keep(tables.Membership(id=self.new_id(), from_on=from_on, until_on=until_on, **places))
        for _ in range(8):
            row = tables.Memorandum(
                id=self.new_id(),
                programme_id=self.one(tables.Programme),
                kind="bilateral",
                status=chance.choice(["active", "active", "suspended", "expired"]),
                signed_precision="on",
                created_at=now,
            )
            self.keep(row)
            for place in self.some(tables.Institution, 3):
                side = chance.choice(vocabulary.SIDES)
                self.w.add(tables.MemorandumParty(memorandum_id=row.id, institution_id=place, side=side))
        await self.w.flush()

    async def people(self) -> None:
        for number in range(PEOPLE + 3):
            is_system = number >= PEOPLE
            row = tables.Person(
                id=self.new_id(),
                kind="system" if is_system else "person",
                email=f"{number}@example.org",
                display_name="N",
                locale="uk",
                zone="Europe/Kyiv",
                state=self.chance.choice(["active", "active", "disabled"]),
                created_at=self.w.now,
            )
            self.keep(row)
            self.grants[row.id] = self._grants(is_system=is_system)
            for grant in sorted(self.grants[row.id], key=repr):
                values = {
                    name: getattr(grant, name) for name in ("role", "institution_id", "programme_id", "department")
                }
                self.w.add(tables.RoleGrant(id=self.new_id(), person_id=row.id, created_at=self.w.now, **values))
            if is_system:
                self.keep(
                    tables.Client(
                        id=row.id, name="S", **self._of_a_place(), token_endpoint_auth_method="client_secret_basic"
                    )
                )
            elif self.maybe(value=True):
                zone: dict[str, Any] = {"availability_zone": "Europe/Paris"}
                self.keep(tables.MentorProfile(person_id=row.id, **self._of_a_place(), **zone), "person_id")
        await self.w.flush()

    def _of_a_place(self) -> dict[str, Any]:
        return {"institution_id": self.one(tables.Institution), "created_at": self.w.now}

    def _grants(self, *, is_system: bool) -> frozenset[Grant]:
        """Give up to four roles: one at most of a kind at a place, as the database has it."""
        grants: dict[object, Grant] = {}
        for _ in range(1 if is_system else self.chance.randint(0, 4)):
            role = "partner_system" if is_system else self.chance.choice(vocabulary.ROLES)
            if role == "programme_admin":
                grant = Grant(role, programme_id=self.one(tables.Programme))
            else:
                department = self.chance.choice(DEPARTMENTS) if role == "clinician" else None
                grant = Grant(role, self.one(tables.Institution), department=department)
            grants[role, grant.institution_id, grant.programme_id] = grant
        return frozenset(grants.values())

    async def cases(self) -> None:
        chance, now = self.chance, self.w.now
        for _ in range(40):
            row = tables.Consultation(
                id=self.new_id(),
                programme_id=self.one(tables.Programme),
                clinician_id=self.one(tables.Person),
                department=chance.choice(DEPARTMENTS),
                specialty_code=chance.choice(SPECIALTIES),
                priority=chance.choice(vocabulary.PRIORITIES),
                mode="live",
                state=chance.choice(vocabulary.CONSULTATION_STATES),
                age_band="child",
                duration_minutes=30,
                answer_due_at=now,
                closed_at=self.maybe(self.at()),
                clinician_left_at=self.maybe(now, 0.2),
                **self._of_a_place(),
            )
            self.keep(row)
            for mentor in self.some(tables.Person, 3):
                self._offer(row.id, mentor)
            for _ in range(chance.randint(0, 2)):
                self._appointment(row.id)
        await self.w.flush()

    def _offer(self, consultation_id: UUID, mentor_id: UUID) -> None:
        state = self.chance.choice(vocabulary.OFFER_STATES)
        self.keep(
            tables.Offer(
                id=self.new_id(),
                consultation_id=consultation_id,
                mentor_id=mentor_id,
                memorandum_id=self.one(tables.Memorandum),
                route="direct",
                kind="live",
                state="expired" if state == "late" else state,
                is_late=state == "late",
                shown_again_at=self.maybe(self.w.now) if state == "late" else None,
                wave=1,
                starts=[self.at()],
                sent_at=self.w.now,
                answer_by=self.at(),
                ended_at=self.maybe(self.w.now),
                **self._of_a_place(),
            )
        )

    def _appointment(self, consultation_id: UUID) -> None:
        starts_at = self.at()
        row = tables.Appointment(
            id=self.new_id(),
            consultation_id=consultation_id,
            memorandum_id=self.one(tables.Memorandum),
            route="direct",
            status=self.chance.choice(["cancelled", "fulfilled"]),
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=30),
            tzdata_version="2026c",
            dtstamp=self.w.now,
            created_at=self.w.now,
        )
        self.keep(row)
        for person_id in self.some(tables.Person, 3):
            taking_part: dict[str, Any] = {
                "person_id": person_id,
                "role": self.chance.choice(vocabulary.PARTICIPANT_ROLES),
                "institution_id": self.one(tables.Institution),
            }
            times: dict[str, Any] = {"zone": "UTC", "wall": (starts_at + self._offset()).replace(tzinfo=None)}
            self.w.add(tables.Participant(appointment_id=row.id, status="accepted", **taking_part, **times))

    def _offset(self) -> timedelta:
        """Give how far a clock somewhere on earth is ahead of UTC."""
        return timedelta(hours=self.chance.randint(-12, 14))

    async def log(self) -> None:
        self._sessions()
        self._activities()
        self._events()
        for _ in range(8):
            address = {"url": "https://hospital.example/in", "deleted_at": self.maybe(self.w.now, 0.3)}
            self.keep(tables.WebhookEndpoint(id=self.new_id(), **self._of_a_place(), **address))
        await self.w.flush()

    def _sessions(self) -> None:
        for _ in range(25):
            started_at = self.at()
            self.keep(
                tables.Session(
                    id=self.new_id(),
                    consultation_id=self.one(tables.Consultation),
                    memorandum_id=self.one(tables.Memorandum),
                    programme_id=self.one(tables.Programme),
                    route="direct",
                    mode="live",
                    specialty_code=self.chance.choice(SPECIALTIES),
                    priority="routine",
                    requesting_institution_id=self.one(tables.Institution),
                    partner_institution_id=self.one(tables.Institution),
                    clinician_id=self.one(tables.Person),
                    mentor_id=self.one(tables.Person),
                    participants=self.some(tables.Person, 3),
                    started_at=started_at,
                    ended_at=started_at,
                    minutes=1,
                    outcome="advice_given",
                    is_civil_for_requester=True,
                    is_civil_for_mentor=True,
                )
            )

    def _activities(self) -> None:
        for _ in range(30):
            row = tables.Activity(
                id=self.new_id(),
                programme_id=self.one(tables.Programme),
                memorandum_id=self.maybe(self.one(tables.Memorandum)),
                kind=self.chance.choice(vocabulary.ACTIVITY_KINDS),
                is_corrected=self.maybe(value=True, share=0.2) or False,
                created_at=self.w.now,
            )
            self.keep(row)
            for place in self.some(tables.Institution, 2):
                direction = self.chance.choice(vocabulary.DIRECTIONS)
                self.w.add(tables.ActivityInstitution(activity_id=row.id, institution_id=place, direction=direction))

    def _events(self) -> None:
        for position in self.chance.sample(range(1, 200), 60):
            self.keep(
                tables.Event(
                    id=self.new_id(),
                    position=position,
                    type=self.chance.choice(vocabulary.EVENT_TYPES),
                    subject_id=self.new_id(),
                    subject_version=1,
                    programme_id=self.maybe(self.one(tables.Programme), 0.3),
                    memorandum_id=self.maybe(self.one(tables.Memorandum), 0.3),
                    institution_ids=self.some(tables.Institution, 2),
                    person_ids=self.some(tables.Person, 2),
                    occurred_at=self.w.now,
                    body="{}",
                ),
                "position",
            )

    def actors(self) -> list[Actor]:
        """Everybody as they are; one without a role, one of every role everywhere, one at an unconfirmed address."""
        people = [
            Actor(
                "system" if len(grants) == 1 and "partner_system" in repr(grants) else "person",
                row_id,
                grants,
                days=self.days,
            )
            for row_id, grants in self.grants.items()
        ]
        everything = frozenset(
            [Grant(role, place) for role in vocabulary.INSTITUTION_ROLES for place in self.ids[tables.Institution]]
            + [Grant("programme_admin", programme_id=row_id) for row_id in self.ids[tables.Programme]]
        )
        here = self.one(tables.Person)
        everywhere = Actor("person", here, everything, days=self.days)
        return [
            *people,
            everywhere,
            replace(everywhere, grants=everything - {g for g in everything if g.role == "programme_admin"}),
            replace(everywhere, is_address_confirmed=False),
            replace(everywhere, grants=frozenset()),
            TIMER,
            STRANGER,
        ]
