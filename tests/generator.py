"""A programme of any size from a seed, as rows: registry, people, consultations, offers, sessions, answers, activities.

It uses nothing of the program but its tables' names and columns, and is loaded by COPY. What it makes is plausible and
awkward at once: several waves, counters, refusals, corrections, undecided cases, hours at the edges of days.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

Row = dict[str, Any]
OUTCOMES = ("advice_given", "plan_changed", "referred")
BROKEN = ("interrupted_alert", "interrupted_power", "interrupted_link")
MISSED = ("no_show_mentor", "no_show_clinician", "cancelled_late")
DUE = {
    "routine": timedelta(days=7),
    "urgent": timedelta(days=1),
    "asap": timedelta(hours=8),
    "stat": timedelta(hours=1),
}
COUNTRIES = ("FR", "DE", "LT", "PL", "NO", "CA", "IL")
KINDS = ("traineeship", "joint_operation", "visit", "conference", "education", "research", "grant", "publication")
ORDER = (
    "programme", "specialty", "institution", "membership", "memorandum", "memorandum_party", "memorandum_area",
    "person", "role_grant", "mentor_profile", "mentor_specialty", "consultation", "offer", "appointment",
    "participant", "session", "feedback", "activity", "activity_institution", "activity_specialty", "statistic",
    "milestone",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is of everything."""

    memoranda: int = 95
    institutions: int = 300
    people: int = 2_000
    sessions: int = 50_000
    activities: int = 600
    days: int = 730


@dataclass
class Generator:
    """Makes the rows; the same seed, size and instant make the same ones."""

    now: datetime
    size: Size = Size()
    seed: int = 1
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in ORDER})

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.dice_of_profiles = random.Random(self.seed)

    def id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128), version=4)

    def add(self, table: str, **columns: Any) -> UUID:  # noqa: ANN401 - what the columns take
        row = {"id": self.id(), **columns}
        self.rows[table].append(row)
        return UUID(int=row["id"].int)

    def link(self, table: str, **columns: Any) -> None:  # noqa: ANN401
        """Add a row that has no id of its own."""
        self.rows[table].append(columns)

    def make(self) -> dict[str, list[Row]]:
        """Give the rows of every table, in an order in which they can go in."""
        self._registry()
        self._people()
        cases = 0
        while len(self.rows["session"]) < self.size.sessions:
            cases += 1
            self._case(cases)
        for _ in range(self.size.activities):
            self._activity()
        return self.rows

    def _registry(self) -> None:
        dice, made = self.dice, self.now - timedelta(days=self.size.days)
        common = {"created_at": made}
        self.programmes = [
            self.add("programme", code=code, name=code, name_en=code, country=country, zone=zone, policy="{}", **common)
            for code, country, zone in (("ua-generated", "UA", "Europe/Kyiv"), ("uz-generated", "UZ", "Asia/Tashkent"))
        ]
        for number in range(30):
            parent = f"area{number % 6}" if number >= 6 else None
            code = f"area{number}" if number < 6 else f"area{number % 6}.s{number}"
            self.link("specialty", code=code, parent_code=parent, name_en=code, name_uk=code, is_bookable=number >= 6)
        self.specialties = [row["code"] for row in self.rows["specialty"] if row["is_bookable"]]
        half = self.size.institutions // 2
        self.asking = [self._institution("UA", region=f"UA-{10 + n % 25}" if n % 7 else None) for n in range(half)]
        self.answering = [
            self._institution(COUNTRIES[n % len(COUNTRIES)] if n % 11 else None)
            for n in range(self.size.institutions - half)
        ]
        networks = self.answering[:3]
        self.members: dict[UUID, list[UUID]] = {network: [] for network in networks}
        for place in self.answering[3:50]:
            network = dice.choice(networks)
            self.members[network].append(place)
            self.link(
                "membership",
                id=self.id(),
                institution_id=place,
                network_id=network,
                from_on=date(2020, 1, 1),
                until_on=None,
            )
        self.memoranda = [self._memorandum(number) for number in range(self.size.memoranda)]

    def _institution(self, country: str | None, region: str | None = None) -> UUID:
        return self.add("institution", name="x", kind="hospital", country=country, region=region,
                        zone="Europe/Kyiv" if country == "UA" else "Europe/Paris", created_at=self.now)  # fmt: skip

    def _memorandum(self, number: int) -> Row:
        dice = self.dice
        signed = (self.now - timedelta(days=dice.randrange(self.size.days + 200))).date() if number % 9 else None
        row = {
            "id": self.id(),
            "programme_id": self.programmes[number % 20 == 7],
            "kind": "umbrella" if number < 3 else "bilateral" if number % 4 else "multilateral",
            "status": dice.choice(["active"] * 6 + ["signed", "suspended", "expired"]),
            "signed_on": signed,
            "signed_precision": "on" if signed else "unknown",
            "valid_from": signed,
            "budget_minutes": dice.choice([None, None, 6_000, 20_000]),
            "created_at": self.now - timedelta(days=self.size.days),
        }
        row["budget_per"] = dice.choice(["year", "quarter", "total"]) if row["budget_minutes"] else None
        self.rows["memorandum"].append(row)
        asking = dice.sample(self.asking, 2 if row["kind"] == "multilateral" else 1)
        answering = [self.answering[number]] if number < 3 else dice.sample(self.answering[3:], 1 + (number % 5 == 0))
        for side, places in (("requesting", asking), ("partner", answering)):
            for place in places:
                self.link("memorandum_party", memorandum_id=row["id"], institution_id=place, side=side)
        if number % 3 == 1:
            for area in self.dice_of_profiles.sample(["area0", "area1", "area2", self.specialties[0]], 2):
                self.link("memorandum_area", memorandum_id=row["id"], specialty_code=area)
        return {**row, "asking": asking, "answering": self.members.get(answering[0]) or answering}

    def _people(self) -> None:
        self.clinicians: dict[UUID, list[UUID]] = {}
        self.mentors: dict[UUID, list[UUID]] = {}
        places = {place for row in self.memoranda for place in row["asking"]}
        others = {place for row in self.memoranda for place in row["answering"]}
        for number in range(self.size.people):
            groups = (self.clinicians, sorted(places), "clinician"), (self.mentors, sorted(others), "mentor")
            held, choices, role = groups[number % 2]
            place = choices[number // 2 % len(choices)]
            who = self.add(
                "person", email=f"g{number}@hospital.example", display_name=f"G {number}", locale="en",
                zone="Europe/Kyiv", state="active", created_at=self.now,
            )  # fmt: skip
            self.add("role_grant", person_id=who, role=role, institution_id=place, created_at=self.now)
            if role == "mentor":
                self._profile(who, place)
            held.setdefault(place, []).append(who)
        self.usable = [
            row
            for row in self.memoranda
            if any(place in self.clinicians for place in row["asking"])
            and any(place in self.mentors for place in row["answering"])
        ][:-3]  # some are never used

    def _profile(self, who: UUID, place: UUID) -> None:
        dice = self.dice_of_profiles
        self.link(
            "mentor_profile", person_id=who, institution_id=place, availability_zone="Europe/Paris",
            verified_until=self.now + timedelta(days=dice.choice([-100, 300, 300])),
            created_at=self.now - timedelta(days=dice.choice([0, 30, 60, self.size.days])),
            sessions_per_week=dice.choice([0, 3, 3, 3]),
        )  # fmt: skip
        for code in dice.sample(self.specialties, dice.randrange(3)):
            self.link("mentor_specialty", person_id=who, specialty_code=code)

    def _case(self, number: int) -> None:
        dice = self.dice
        # Some memoranda are used a lot, most are not.
        agreed = self.usable[min(int(dice.expovariate(6 / len(self.usable))), len(self.usable) - 1)]
        asking = dice.choice([place for place in agreed["asking"] if place in self.clinicians])
        opened = self.now - timedelta(seconds=dice.randrange(self.size.days * 86_400))
        if number % 50 == 0:
            opened = opened.replace(hour=(21, 22, 0)[number % 3], minute=0, second=0)  # midnights of Kyiv and of UTC
        priority = dice.choices(tuple(DUE), (10, 5, 3, 2))[0]
        state = dice.choices(
            ("completed", "scheduled", "offered", "unmatched", "cancelled", "expired", "draft"), (80, 4, 3, 3, 5, 4, 1)
        )[0]
        is_open = state in {"offered", "scheduled", "draft"}
        case = {
            "id": self.id(), "programme_id": agreed["programme_id"], "institution_id": asking,
            "clinician_id": dice.choice(self.clinicians[asking]), "specialty_code": dice.choice(self.specialties),
            "activity": "teleconsultation", "priority": priority, "mode": "either", "state": state,
            "is_translated": False, "age_band": "adult", "duration_minutes": 30,
            "opened_at": None if state == "draft" else opened,
            "answer_due_at": None if state == "draft" else opened + DUE[priority],
            "closed_at": None if is_open else opened + timedelta(minutes=dice.randrange(30, 20_000)),
            "created_at": opened,
        }  # fmt: skip
        self.rows["consultation"].append(case)
        if state != "draft":
            accepted = self._offers(case, agreed)
            if accepted and state == "completed":
                self._sessions(case, accepted)

    def _offers(self, case: Row, agreed: Row) -> Row | None:
        dice = self.dice
        places = [place for place in agreed["answering"] if place in self.mentors]
        waves, taken = dice.choices((1, 2, 3), (70, 25, 5))[0], None
        asked: set[UUID] = set()
        for wave in range(1, waves + 1):
            place = dice.choice(places)
            mentor = dice.choice(self.mentors[place])
            if mentor in asked:
                continue
            asked.add(mentor)
            is_taken = (
                wave == waves and case["state"] in {"completed", "scheduled", "cancelled"} and dice.random() < 0.95
            )
            state = (
                "accepted" if is_taken else dice.choice(["declined", "expired", "withdrawn", "pending", "countered"])
            )
            sent = case["opened_at"] + timedelta(minutes=dice.randrange(0, 300)) * wave
            answered = sent + timedelta(minutes=dice.randrange(1, 3_000))
            offer = {
                "id": self.id(), "consultation_id": case["id"], "mentor_id": mentor, "institution_id": place,
                "memorandum_id": agreed["id"], "route": dice.choice(("direct", "network", "umbrella")),
                "kind": "either", "state": state, "wave": wave, "sent_at": sent, "answer_by": sent + timedelta(days=1),
                "counter_starts": [sent] if is_taken and dice.random() < 0.1 else [],
                "answered_at": answered if state in {"accepted", "declined"} else None,
                "decline_reason": dice.choice(("busy", "wrong_specialty", "language")) if state == "declined" else None,
                "is_undelivered": state in {"expired", "withdrawn"} and dice.random() < 0.2, "created_at": sent,
            }  # fmt: skip
            self.rows["offer"].append(offer)
            if is_taken:
                taken = offer
                if offer["counter_starts"]:
                    self._appointment(case, offer, answered + timedelta(minutes=dice.randrange(-60, 900)))
        return taken

    def _appointment(self, case: Row, offer: Row, made: datetime) -> None:
        """The time that a counter named was taken; an offer without one needs no appointment here."""
        starts = made + timedelta(hours=30)
        visit = self.add(
            "appointment", consultation_id=case["id"], memorandum_id=offer["memorandum_id"], route=offer["route"],
            status="fulfilled", starts_at=starts, ends_at=starts + timedelta(minutes=30), tzdata_version="x",
            sequence=0, dtstamp=made, created_at=made,
        )  # fmt: skip
        self.link(
            "participant", appointment_id=visit, person_id=offer["mentor_id"], institution_id=offer["institution_id"],
            role="mentor", status="accepted", offer_id=offer["id"], zone="Europe/Paris",
            wall=starts.replace(tzinfo=None),
        )  # fmt: skip

    def _sessions(self, case: Row, offer: Row) -> None:
        dice = self.dice
        outcome = dice.choice(dice.choices((OUTCOMES, BROKEN, MISSED), (88, 7, 5))[0])
        minutes = dice.randrange(5, 61)
        started = offer["answered_at"] + timedelta(minutes=dice.randrange(10, 8_000))
        started = min(started, self.now - timedelta(minutes=minutes))
        session = {
            "id": self.id(), "consultation_id": case["id"], "memorandum_id": offer["memorandum_id"],
            "programme_id": case["programme_id"], "route": offer["route"],
            "mode": dice.choices(("live", "written"), (3, 7))[0] if outcome == "advice_given" else "live",
            "specialty_code": case["specialty_code"], "priority": case["priority"],
            "requesting_institution_id": case["institution_id"], "partner_institution_id": offer["institution_id"],
            "clinician_id": case["clinician_id"], "mentor_id": offer["mentor_id"],
            "participants": [case["clinician_id"], offer["mentor_id"]], "started_at": started,
            "ended_at": started + timedelta(minutes=minutes), "minutes": minutes, "outcome": outcome,
            "is_civil_for_requester": dice.random() < 0.8, "is_civil_for_mentor": dice.random() < 0.7,
            "is_memorandum_chosen_anew": False, "is_corrected": dice.random() < 0.03,
        }  # fmt: skip
        self.rows["session"].append(session)
        if session["is_corrected"]:
            more = dice.randrange(1, 20)
            again = session | {"id": self.id(), "is_corrected": False, "minutes": minutes + more}
            self.rows["session"].append(again | {"ended_at": session["ended_at"] + timedelta(minutes=more)})
        for who, side in ((case["clinician_id"], "requesting"), (offer["mentor_id"], "partner")):
            if dice.random() < 0.4:
                self.add(
                    "feedback", session_id=session["id"], person_id=who, side=side, is_useful=dice.random() < 0.8,
                    patient_outcome=dice.choice((None, "better", "same", "worse")), given_at=self.now,
                )  # fmt: skip

    def _activity(self) -> None:
        dice = self.dice
        agreed = dice.choice(self.memoranda)
        day = (self.now - timedelta(days=dice.randrange(1, self.size.days))).date()
        dates: Row = {"on_date": None, "period": None, "from_on": None, "until_on": None}
        dates |= dice.choice((
            {"on_date": day}, {"period": f"{day:%Y-%m}"}, {"period": f"{day.year}-Q{(day.month + 2) // 3}"},
            {"period": str(day.year)}, {"from_on": day, "until_on": day + timedelta(days=9)}, {"until_on": day}, {},
        ))  # fmt: skip
        op = dice.choice((None, "=", "=", ">", "~"))
        made = self.add(
            "activity", programme_id=agreed["programme_id"],
            memorandum_id=agreed["id"] if dice.random() < 0.7 else None,
            kind=dice.choice(KINDS), people_op=op, people_count=dice.randrange(1, 800) if op else None,
            is_corrected=dice.random() < 0.05, created_at=self.now, **dates,
        )  # fmt: skip
        self.link("activity_institution", activity_id=made, institution_id=dice.choice(self.answering), direction="to")
        self.link("activity_specialty", activity_id=made, specialty_code=dice.choice(self.specialties))


async def load(connection: asyncpg.Connection, rows: Mapping[str, list[Row]]) -> None:
    """Have the rows in the database, in one transaction, with every constraint checked."""
    async with connection.transaction():
        for table in ORDER:
            if rows[table]:
                columns = list(rows[table][0])
                records = [tuple(row[name] for name in columns) for row in rows[table]]
                await connection.copy_records_to_table(table, columns=columns, records=records)


def generate(
    now: datetime = datetime(2026, 11, 16, 8, tzinfo=UTC), size: Size = Size(), seed: int = 1
) -> dict[str, list[Row]]:
    """Make a programme's rows."""
    return Generator(now, size, seed).make()
