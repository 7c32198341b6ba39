"""The figures once more, from the rows as they lie in the tables, written from the definitions alone (invariant L4).

It shares nothing with the program: no SQL that counts, no medians of ours, no rounding. Slow and plain on purpose.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

Row = Any
TABLES = (
    "consultation", "offer", "appointment", "participant", "session", "feedback", "activity", "activity_institution",
    "institution", "memorandum", "memorandum_party", "programme", "membership", "memorandum_area", "specialty",
    "specialty_parent", "person", "mentor_profile", "mentor_specialty",
)  # fmt: skip
MISSED = {"no_show_mentor", "no_show_clinician", "cancelled_late"}
PRIORITIES = ("routine", "urgent", "asap", "stat")


@dataclass(frozen=True)
class Said:
    """A figure: its value, the rows it counts where that says something, its parts by key."""

    value: float | None
    parts: dict[str, Any]


class Export(dict[str, list[Row]]):
    """Every row of the tables that figures are about, and what belongs together among them."""

    @cached_property
    def offers_of(self) -> dict[UUID, list[Row]]:
        return self._by("offer", "consultation_id")

    @cached_property
    def sessions_of(self) -> dict[UUID, list[Row]]:
        return self._by("session", "consultation_id")

    @cached_property
    def above(self) -> dict[str, set[str]]:
        return {}

    @cached_property
    def asker(self) -> dict[UUID, UUID]:
        return {row["id"]: row["institution_id"] for row in self["consultation"]}

    @cached_property
    def made_by(self) -> dict[UUID, datetime]:
        """When the appointment was made that came of an offer."""
        made = {row["id"]: row["created_at"] for row in self["appointment"]}
        return {row["offer_id"]: made[row["appointment_id"]] for row in self["participant"]}

    def _by(self, table: str, column: str) -> dict[UUID, list[Row]]:
        found: dict[UUID, list[Row]] = defaultdict(list)
        for row in self[table]:
            found[row[column]].append(row)
        return found


async def export(connection: asyncpg.Connection) -> Export:
    """Read every row."""
    return Export({table: await connection.fetch(f"SELECT * FROM {table}") for table in TABLES})


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def hours(since: datetime, until: datetime) -> float:
    return (until - since) / timedelta(hours=1)


def quartiles(values: list[float]) -> tuple[float | None, float | None, float | None]:
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


class Second:
    """The figures of one subject in one period."""

    def __init__(
        self, rows: Export, kind: str, subject: UUID, days: tuple[date, date], zone: str, now: datetime
    ) -> None:
        self.rows, self.kind, self.subject, self.days, self.now = rows, kind, subject, days, now
        self.since, self.until = (
            datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for day in days
        )
        self.offers_of, self.sessions_of, self.asker = rows.offers_of, rows.sessions_of, rows.asker
        self.programme_of = {row["id"]: row["programme_id"] for row in rows["memorandum"]}
        self.parties: dict[UUID, set[UUID]] = defaultdict(set)
        for row in rows["memorandum_party"]:
            self.parties[row["memorandum_id"]].add(row["institution_id"])

    def inside(self, at: datetime | None) -> bool:
        return at is not None and self.since <= at < self.until

    # --- what belongs to the subject ---------------------------------------------------------------------------------

    def consultations(self) -> list[Row]:
        belongs: dict[str, Callable[[Row], bool]] = {
            "memorandum": lambda row: any(o["memorandum_id"] == self.subject for o in self.offers_of[row["id"]]),
            "programme": lambda row: row["programme_id"] == self.subject,
            "institution": lambda row: (
                row["institution_id"] == self.subject
                or any(offer["institution_id"] == self.subject for offer in self.offers_of[row["id"]])
            ),
        }
        return [row for row in self.rows["consultation"] if self.inside(row["opened_at"]) and belongs[self.kind](row)]

    def offers(self) -> list[Row]:
        belongs: dict[str, Callable[[Row], bool]] = {
            "memorandum": lambda row: row["memorandum_id"] == self.subject,
            "programme": lambda row: self.programme_of[row["memorandum_id"]] == self.subject,
            "institution": lambda row: self.subject in {row["institution_id"], self.asker[row["consultation_id"]]},
        }
        return [row for row in self.rows["offer"] if self.inside(row["sent_at"]) and belongs[self.kind](row)]

    def sessions(self, *, with_corrected: bool = False) -> list[Row]:
        columns = {
            "memorandum": ("memorandum_id",),
            "programme": ("programme_id",),
            "institution": ("requesting_institution_id", "partner_institution_id"),
        }[self.kind]
        return [
            row
            for row in self.rows["session"]
            if self.inside(row["started_at"])
            and (with_corrected or not row["is_corrected"])
            and self.subject in {row[column] for column in columns}
        ]

    def memoranda(self) -> list[Row]:
        belongs: dict[str, Callable[[Row], bool]] = {
            "memorandum": lambda row: row["id"] == self.subject,
            "programme": lambda row: row["programme_id"] == self.subject,
            "institution": lambda row: self.subject in self.parties[row["id"]],
        }
        return [row for row in self.rows["memorandum"] if belongs[self.kind](row)]

    # --- the figures -------------------------------------------------------------------------------------------------

    def all(self) -> dict[str, Said]:
        found = {**self._asked(), **self._sent(), **self._happened(), **self._spread(), **self._beside()}
        return found | (self._own() if self.kind == "memorandum" else self._agreed())

    def _allocated(self, asked: Row) -> datetime | None:
        """When a mentor was won: accepted, or the other side took the time that they had proposed."""
        when = []
        for offer in self.offers_of[asked["id"]]:
            if offer["state"] == "accepted":
                known = offer["counter_starts"] and offer["id"] in self.rows.made_by
                taken = [self.rows.made_by[offer["id"]]] if known else []
                when.append(max([offer["answered_at"], *taken]))
        return min(when, default=None)

    def _answered(self, asked: Row) -> datetime | None:
        held = [
            row for row in self.sessions_of[asked["id"]] if not row["is_corrected"] and row["outcome"] not in MISSED
        ]
        return min((row["ended_at" if row["mode"] == "written" else "started_at"] for row in held), default=None)

    def _asked(self) -> dict[str, Said]:
        asked = self.consultations()
        found: dict[str, Said] = {}
        for name in ("filed", "completed", "unmatched", "cancelled", "expired"):
            these = [row for row in asked if name in {"filed", row["state"]}]
            seen = {row["priority"] for row in asked}
            parts = {key: sum(row["priority"] == key for row in these) for key in PRIORITIES if key in seen}
            found[f"consultations_{name}"] = Said(len(these), parts)
        reached = {
            "allocation": {row["id"]: self._allocated(row) for row in asked},
            "answer": {row["id"]: self._answered(row) for row in asked},
            "closing": {row["id"]: row["closed_at"] if row["state"] == "completed" else None for row in asked},
        }
        for name, at in reached.items():
            taken = defaultdict(list)
            for row in asked:
                taken[row["priority"]].extend([hours(row["opened_at"], end)] if (end := at[row["id"]]) else [])
            everything = [value for each in taken.values() for value in each]
            parts = {key: (*quartiles(taken[key]), len(taken[key])) for key in PRIORITIES if key in taken}
            found[f"hours_to_{name}"] = Said(quartiles(everything)[1], parts)
        return found | self._in_time(asked, reached) | self._waves(asked)

    def _in_time(self, asked: list[Row], reached: dict[str, dict[UUID, datetime | None]]) -> dict[str, Said]:
        def over(row: Row, at: datetime | None, when: datetime) -> bool:
            return at is not None or (when <= self.now and row["state"] != "cancelled")

        def shares(name: str, decided: list[Row], kept: list[Row]) -> Said:
            seen = {row["priority"] for row in asked}
            parts = {}
            for key in PRIORITIES:
                if key in seen:
                    whole = sum(row["priority"] == key for row in decided)
                    parts[key] = share(sum(row["priority"] == key for row in kept), whole)
            return Said(share(len(kept), len(decided)), {} if name == "share_answered" else parts)

        found = {}
        for name, measure in (("allocated", "allocation"), ("answered", "answer")):
            at = reached[measure]
            decided = [row for row in asked if over(row, at[row["id"]], row["answer_due_at"])]
            kept = [row for row in decided if (end := at[row["id"]]) and end <= row["answer_due_at"]]
            found[f"share_{name}_in_time"] = shares("", decided, kept)
        at = reached["answer"]
        answered = [row for row in decided if at[row["id"]]]
        found["share_answered"] = shares("share_answered", decided, answered)
        day = timedelta(days=1)
        decided = [row for row in asked if over(row, at[row["id"]], row["opened_at"] + day)]
        kept = [row for row in decided if (end := at[row["id"]]) and end - row["opened_at"] <= day]
        found["share_answered_within_day"] = shares("", decided, kept)
        return found

    def _waves(self, asked: list[Row]) -> dict[str, Said]:
        over, won, backed, with_offers = (Counter[str]() for _ in range(4))
        for row in asked:
            offers = [offer for offer in self.offers_of[row["id"]] if not offer["is_undelivered"]]
            if not offers:
                continue
            with_offers[row["priority"]] += 1
            backed[row["priority"]] += len({offer["wave"] for offer in offers}) > 1
            first = [offer["state"] for offer in offers if offer["wave"] == 1]
            if first and not {"pending", "countered"} & set(first):
                over[row["priority"]] += 1
                won[row["priority"]] += "accepted" in first
        seen = [key for key in PRIORITIES if any(row["priority"] == key for row in asked)]
        return {
            "share_first_wave_accepted": Said(
                share(won.total(), over.total()), {key: share(won[key], over[key]) for key in seen}
            ),
            "share_needing_backup": Said(
                share(backed.total(), with_offers.total()), {key: share(backed[key], with_offers[key]) for key in seen}
            ),
        }

    def _sent(self) -> dict[str, Said]:
        offers = [row for row in self.offers() if not row["is_undelivered"]]
        mentors = {row["mentor_id"] for row in offers}
        weekly = Counter((row["mentor_id"], row["sent_at"].astimezone(UTC).isocalendar()[:2]) for row in offers)
        weeks = max(1.0, (min(self.until, self.now) - self.since) / timedelta(days=7))
        states = Counter(row["state"] for row in offers)
        return {
            "offers_sent": Said(len(offers), {"accepted": states["accepted"], "declined": states["declined"]}),
            "offers_undelivered": Said(sum(row["is_undelivered"] for row in self.offers()), {}),
            "wrong_specialty_declines": Said(sum(row["decline_reason"] == "wrong_specialty" for row in offers), {}),
            "offers_per_mentor_week": Said(
                len(offers) / (len(mentors) * weeks) if mentors else None, {"most": max(weekly.values(), default=0)}
            ),
        }

    def _happened(self) -> dict[str, Said]:
        rows = self.sessions()
        live = [row for row in rows if row["mode"] == "live"]
        written = [row for row in rows if row["mode"] == "written"]
        held = [row for row in live if row["outcome"] not in MISSED]
        broken = [row for row in live if row["outcome"].startswith("interrupted_")]
        places = {row["id"]: row for row in self.rows["institution"]}
        regions: Iterable[str] = (
            places[row["requesting_institution_id"]]["region"]
            or places[row["requesting_institution_id"]]["country"]
            or "unknown"
            for row in rows
        )
        countries = Counter(places[row["partner_institution_id"]]["country"] or "unknown" for row in rows)
        areas, asking = Counter(row["specialty_code"] for row in rows), Counter(regions)
        found = {
            "sessions": Said(len(held), dict(Counter(row["outcome"] for row in live))),
            "written_advices": Said(len(written), {}),
            "minutes": Said(
                sum(row["minutes"] for row in rows),
                {"live": sum(row["minutes"] for row in live), "written": sum(row["minutes"] for row in written)},
            ),
            "interruptions": Said(len(broken), dict(Counter(row["outcome"].split("_")[1] for row in broken))),
            "routes": Said(len(rows), dict(Counter(row["route"] for row in rows))),
            "areas": Said(len(areas), dict(areas)),
            "partner_countries": Said(len(countries), dict(countries)),
            "requesting_regions": Said(len(asking), dict(asking)),
        }
        for side in ("requester", "mentor"):
            outside = sum(not row[f"is_civil_for_{side}"] for row in held)
            found[f"share_outside_civil_hours_{side}"] = Said(share(outside, len(held)), {})
        return found

    def _spread(self) -> dict[str, Said]:
        asked = {row["mentor_id"] for row in self.offers() if not row["is_undelivered"]}
        minutes: dict[UUID, int] = dict.fromkeys(asked | self.askable(), 0)
        for row in self.sessions():
            minutes[row["mentor_id"]] = minutes.get(row["mentor_id"], 0) + row["minutes"]
        values = sorted(minutes.values())
        total, many = sum(values), len(values)
        # Half the mean difference over the mean, summed over ordered pairs: each value is the larger one `place` times.
        differences = sum((2 * place - many + 1) * value for place, value in enumerate(values))
        top = values[many - -(-many // 4) :]
        return {
            "mentor_minutes_gini": Said(differences / (many * total) if total else None, {}),
            "mentor_minutes_top_quarter": Said(sum(top) / total if total else None, {}),
        }

    def askable(self) -> set[UUID]:
        """The mentors who could have been asked: a memorandum links their place and covers a specialty of theirs."""
        people = {row["id"]: row for row in self.rows["person"]}
        specialties: dict[UUID, set[str]] = defaultdict(set)
        for row in self.rows["mentor_specialty"]:
            specialties[row["person_id"]].add(row["specialty_code"])
        areas: dict[UUID, set[str]] = defaultdict(set)
        for row in self.rows["memorandum_area"]:
            areas[row["memorandum_id"]].add(row["specialty_code"])
        links = [
            (row["id"], place) for row in self.rows["memorandum"] if self._held(row) for place in self._places(row)
        ]
        found = set()
        for row in self.rows["mentor_profile"]:
            person = people[row["person_id"]]
            may_act = person["state"] == "active" and person["address_unconfirmed_since"] is None
            is_there = row["created_at"] < self.until and row["verified_until"] and row["verified_until"] > self.since
            if not (may_act and is_there and row["sessions_per_week"] and row["offers_per_week"]):
                continue
            above = {area for code in specialties[row["person_id"]] for area in self._above(code)}
            if any(
                place == row["institution_id"] and above and (not areas[m] or areas[m] & above) for m, place in links
            ):
                found.add(row["person_id"])
        return found

    def _above(self, code: str) -> set[str]:
        """A specialty and all that it is one of."""
        if code not in self.rows.above:
            parents = {row["parent_code"] for row in self.rows["specialty"] if row["code"] == code} - {None}
            parents |= {row["also_parent_code"] for row in self.rows["specialty_parent"] if row["code"] == code}
            self.rows.above[code] = {code}.union(*(self._above(parent) for parent in parents))
        return self.rows.above[code]

    def _held(self, memorandum: Row) -> bool:
        """Whether it was in force on some day of the period, as far as its dates say."""
        begun = memorandum["valid_from"] is None or memorandum["valid_from"] < self.days[1]
        is_over = memorandum["valid_until"] is not None and memorandum["valid_until"] <= self.days[0]
        return memorandum["status"] not in {"draft", "signed"} and begun and not is_over

    def _places(self, memorandum: Row) -> set[UUID]:
        """Where the mentors are whom it lets answer what the subject's report counts."""
        sides: dict[str, set[UUID]] = defaultdict(set)
        for row in self.rows["memorandum_party"]:
            if row["memorandum_id"] == memorandum["id"]:
                sides[row["side"]].add(row["institution_id"])
        places = sides["partner"] | {
            row["institution_id"]
            for row in self.rows["membership"]
            if row["network_id"] in sides["partner"]
            and row["from_on"] < self.days[1]
            and (row["until_on"] is None or row["until_on"] > self.days[0])
        }
        if self.kind == "memorandum":
            return places if memorandum["id"] == self.subject else set()
        if self.kind == "programme":
            return places if memorandum["programme_id"] == self.subject else set()
        own = {row["network_id"] for row in self.rows["membership"] if row["institution_id"] == self.subject}
        return places if sides["requesting"] & {self.subject, *own} else places & {self.subject}

    def _beside(self) -> dict[str, Said]:
        theirs = {row["id"] for row in self.sessions(with_corrected=True)}
        answers = [row for row in self.rows["feedback"] if row["session_id"] in theirs]
        said: Counter[str] = Counter()
        for row in answers:
            said[f"{row['side']}_{'useful' if row['is_useful'] else 'not_useful'}"] += 1
            if row["patient_outcome"]:
                said[f"patient_{row['patient_outcome']}"] += 1
        with_place = {
            row["activity_id"] for row in self.rows["activity_institution"] if row["institution_id"] == self.subject
        }
        belongs: dict[str, Callable[[Row], bool]] = {
            "memorandum": lambda row: row["memorandum_id"] == self.subject,
            "programme": lambda row: row["programme_id"] == self.subject,
            "institution": lambda row: row["id"] in with_place or self.subject in self.parties[row["memorandum_id"]],
        }
        mine = [row for row in self.rows["activity"] if not row["is_corrected"] and belongs[self.kind](row)]
        began = [row for row in mine if (day := first_day(row)) and self.days[0] <= day < self.days[1]]
        people: Counter[str] = Counter()
        for row in began:
            if row["people_op"]:
                people[row["people_op"]] += row["people_count"]
        return {
            "follow_up_answers": Said(len(answers), dict(said)),
            "activities": Said(len(began), dict(Counter(row["kind"] for row in began))),
            "activity_people": Said(people["="], dict(people)),
            "activities_undated": Said(sum(first_day(row) is None for row in mine), {}),
        }

    def _own(self) -> dict[str, Said]:
        """A memorandum's own figures, as of now."""
        (row,) = self.memoranda()
        programme = next(each for each in self.rows["programme"] if each["id"] == row["programme_id"])
        zone = ZoneInfo(programme["zone"])
        logged = [s for s in self.rows["session"] if s["memorandum_id"] == row["id"] and not s["is_corrected"]]
        today = self.now.astimezone(zone)
        same: dict[str, Callable[[datetime], bool]] = {
            "total": lambda _: True,
            "year": lambda at: at.year == today.year,
            "quarter": lambda at: (at.year, (at.month - 1) // 3) == (today.year, (today.month - 1) // 3),
        }
        left = None
        if row["budget_minutes"] is not None:
            spent = [s["minutes"] for s in logged if same[row["budget_per"]](s["started_at"].astimezone(zone))]
            left = (row["budget_minutes"] - sum(spent)) / 60
        began = row["valid_from"]
        since = datetime(began.year, began.month, began.day, tzinfo=zone) if began else row["created_at"]
        since = max((s["started_at"] for s in logged), default=since)
        return {"hours_left": Said(left, {}), "idle_days": Said(max(0, (self.now - since) // timedelta(days=1)), {})}

    def _agreed(self) -> dict[str, Said]:
        rows = self.memoranda()
        last = {
            row["id"]: max(
                (
                    s["started_at"]
                    for s in self.rows["session"]
                    if s["memorandum_id"] == row["id"] and not s["is_corrected"]
                ),
                default=None,
            )
            for row in rows
        }
        idle = [
            row
            for row in rows
            if row["status"] == "active" and not ((at := last.get(row["id"])) and at > self.now - timedelta(days=90))
        ]
        return {
            "memoranda": Said(len(rows), dict(Counter(row["status"] for row in rows))),
            "memoranda_idle_90_days": Said(len(idle), {}),
        }


def first_day(activity: Row) -> date | None:
    """Give the first day on which it can have begun."""
    period = activity["period"]
    if period:
        year, _, rest = period.partition("-")
        month = 1 if not rest else (int(rest[1]) - 1) * 3 + 1 if rest.startswith("Q") else int(rest)
        return date(int(year), month, 1)
    last: date | None = activity["until_on"]
    found: date | None = activity["on_date"] or activity["from_on"]
    return found or (last - timedelta(days=1) if last else None)
