"""What the programme reads (invariant L4): figures made of counts, each with its definition and what others published.

It does not count: `reports` does, in SQL. A share without a denominator is no figure: None, never 0.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from service import vocabulary
from service.rules.figures import counts
from service.rules.figures.counts import (
    ActivityCounts,
    ConsultationCounts,
    OfferCounts,
    Quartiles,
    ReportCounts,
    SessionCount,
)


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, who says so and, where it is no exact count, its operator: more than, about."""

    source: str
    value: float
    note: str
    op: str = "="


@dataclass(frozen=True, slots=True)
class Part:
    """The figure for one key: a priority, an outcome, a country; with quartiles where the value is a median."""

    key: str
    value: float | None
    rows: int | None = None
    lower_quartile: float | None = None
    upper_quartile: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, its definition, how many rows it was made of, and their kind (`of`).

    A share also has its numerator and denominator; `previous` is its value in the period before, if that was asked for.
    """

    name: str
    value: float | None
    unit: str
    definition: str
    rows: int | None = None
    parts: tuple[Part, ...] = ()
    published: tuple[Published, ...] = ()
    of: str = "sessions"
    numerator: float | None = None
    denominator: float | None = None
    previous: float | None = None


@dataclass(frozen=True, slots=True)
class Month:
    """What a month had, as far as it lies in the period: live sessions held, written advices, minutes logged."""

    first_on: date
    sessions: int
    written_advices: int
    minutes: int


def share(part: float, whole: float) -> float | None:
    """Give the part as a share of the whole; None when the whole is zero."""
    return part / whole if whole else None


def all_of(numbers: ReportCounts) -> list[Figure]:
    """Give every figure that these numbers allow (invariant L4)."""
    return [
        *_consultations(numbers),
        *_times(numbers),
        *_shares(numbers),
        *_offers(numbers.offers),
        *_sessions(numbers.sessions),
        *_spread(numbers.mentor_minutes),
        *_civil(numbers.sessions),
        _follow_up(numbers),
        *_places(numbers),
        *_activities(numbers.activities),
    ]


def _activities(activities: ActivityCounts) -> Iterable[Figure]:
    yield Figure(
        "activities",
        sum(activities.kinds.values()),
        "activities",
        "Activities beside consultations that began in the period, by kind. A month, quarter or year begins on its"
        " first day; where only the end is known, that counts.",
        parts=tuple(Part(kind, activities.kinds[kind]) for kind in sorted(activities.kinds)),
        of="activities",
    )
    yield Figure(
        "activity_people",
        activities.people.get("=", 0),
        "people",
        "People in these activities whose number the source gives exactly; each part adds up the numbers with this"
        " operator, as they were given.",
        rows=activities.counted,
        parts=tuple(Part(op, activities.people[op]) for op in sorted(activities.people)),
        of="activities",
    )
    yield Figure(
        "activities_undated",
        activities.undated,
        "activities",
        "Activities of which no source tells when they took place: in no period.",
        of="activities",
    )


def _consultations(numbers: ReportCounts) -> Iterable[Figure]:
    definitions = {
        "filed": "Consultations opened in the period: filed, with the patient's consent.",
        "completed": "Of these, completed by now: a session is logged or advice is given.",
        "unmatched": "Of these, unmatched now: nobody is left to ask.",
        "cancelled": "Of these, cancelled by the requesting side.",
        "expired": "Of these, expired: nothing was booked 24 hours after the answer was due.",
    }
    for name, definition in definitions.items():
        parts = tuple(
            Part(priority, getattr(consultations, name)) for priority, consultations in numbers.by_priority.items()
        )
        value = getattr(numbers.all_priorities, name)
        yield Figure(
            f"consultations_{name}",
            value,
            "consultations",
            definition,
            rows=numbers.all_priorities.filed,
            parts=parts,
            of="consultations",
        )


def _times(numbers: ReportCounts) -> Iterable[Figure]:
    definitions = {
        "allocation": (
            "Median hours from opening to the first acceptance",
            Published("MSF telemedicine", 0.2, "hours to allocation"),
        ),
        "answer": (
            "Median hours from opening to the first session's start, or to the written advice",
            Published("MSF telemedicine", 5.0, "hours to the answer"),
        ),
        "closing": ("Median hours from opening to completion", None),
    }
    for name, (definition, published) in definitions.items():
        by_priority: dict[str, Quartiles] = {
            priority: getattr(consultations, name) for priority, consultations in numbers.by_priority.items()
        }
        overall: Quartiles = getattr(numbers.all_priorities, name)
        yield Figure(
            f"hours_to_{name}",
            overall.median,
            "hours",
            f"{definition}; of the consultations opened in the period that got there.",
            rows=overall.rows,
            parts=tuple(
                Part(key, quartiles.median, quartiles.rows, quartiles.lower, quartiles.upper)
                for key, quartiles in by_priority.items()
            ),
            published=(published,) if published else (),
            of="consultations",
        )


def _share(numbers: ReportCounts, name: str, part: str, whole: str, definition: str, *published: Published) -> Figure:
    def value(consultations: ConsultationCounts) -> float | None:
        return share(getattr(consultations, part), getattr(consultations, whole))

    return Figure(
        name,
        value(numbers.all_priorities),
        "share",
        definition,
        rows=getattr(numbers.all_priorities, whole),
        parts=tuple(
            Part(priority, value(consultations), getattr(consultations, whole))
            for priority, consultations in numbers.by_priority.items()
        ),
        published=published,
        of="consultations",
        numerator=getattr(numbers.all_priorities, part),
        denominator=getattr(numbers.all_priorities, whole),
    )


def _shares(numbers: ReportCounts) -> Iterable[Figure]:
    base_text = "of the consultations that got there or whose time is over, but for those cancelled before"
    yield _share(
        numbers,
        "share_allocated_in_time",
        "allocated_in_time",
        "allocation_decided",
        f"Accepted before the answer was due, {base_text}.",
    )
    yield _share(
        numbers,
        "share_answered_in_time",
        "answered_in_time",
        "answer_decided",
        f"Answered before it was due, {base_text}.",
    )
    yield Figure(
        "share_answered",
        share(numbers.all_priorities.answer.rows, numbers.all_priorities.answer_decided),
        "share",
        f"Answered at all, {base_text}.",
        rows=numbers.all_priorities.answer_decided,
        published=(Published("HealUA", 0.973, "answered"),),
        of="consultations",
        numerator=numbers.all_priorities.answer.rows,
        denominator=numbers.all_priorities.answer_decided,
    )
    yield _share(
        numbers,
        "share_answered_within_day",
        "answered_within_day",
        "day_decided",
        f"Answered within 24 hours of opening, {base_text}.",
        Published("HealUA", 0.846, "answered within a day"),
    )
    yield _share(
        numbers,
        "share_first_wave_accepted",
        "first_wave_accepted",
        "first_wave_over",
        "A mentor of the first wave accepted, of the consultations whose first wave reached somebody and waits for"
        " nobody any more.",
        Published("Swinfen Charitable Trust", 89 / 128, "answered by the first expert asked"),
    )
    yield _share(
        numbers,
        "share_needing_backup",
        "needing_backup",
        "with_offers",
        "A second wave was needed, of the consultations for which somebody was asked. A wave that reached nobody is"
        " none.",
        Published("Swinfen Charitable Trust", 36 / 39, "of those that needed a backup were answered by it"),
        Published("Swinfen Charitable Trust", 0.98, "answered after backup"),
    )


def _offers(offers: OfferCounts) -> Iterable[Figure]:
    yield Figure(
        "offers_sent",
        offers.sent,
        "offers",
        "Offers sent in the period, but for those whose mail never reached its mentor.",
        parts=(Part("accepted", offers.accepted), Part("declined", offers.declined)),
        of="offers",
    )
    yield Figure(
        "offers_undelivered",
        offers.undelivered,
        "offers",
        "Offers made in the period that never reached their mentors, as their mail did not leave or was refused: in no"
        " other figure, as nobody was asked by them.",
        rows=offers.sent + offers.undelivered,
        of="offers",
    )
    yield Figure(
        "wrong_specialty_declines",
        offers.wrong_specialty,
        "offers",
        "Of these, declined because the specialty was wrong.",
        rows=offers.sent,
        of="offers",
    )
    yield Figure(
        "offers_per_mentor_week",
        share(offers.sent, offers.mentors * offers.weeks),
        "offers per mentor and week",
        "Offers sent, for each mentor asked and each week of the period that has passed (one at least); the part"
        " `most` is the most that one mentor got in one week of the period, Monday to Sunday in UTC.",
        rows=offers.sent,
        parts=(Part("most", offers.most_in_week),),
        of="offers",
        numerator=offers.sent,
        denominator=offers.mentors * offers.weeks,
    )


def _sessions(sessions: Sequence[SessionCount]) -> Iterable[Figure]:
    live = [group for group in sessions if group.mode == "live"]
    written = [group for group in sessions if group.mode == "written"]
    yield Figure(
        "sessions",
        _count(group for group in live if group.is_held),
        "sessions",
        "Live sessions held: logged, started in the period, neither missed nor cancelled late.",
        rows=_count(live),
        parts=_parts(live, lambda group: group.outcome),
    )
    yield Figure("written_advices", _count(written), "advices", "Written advices given in the period.")
    yield Figure(
        "minutes",
        sum(group.minutes for group in sessions),
        "minutes",
        "Minutes logged, interrupted sessions and written advices included.",
        rows=_count(sessions),
        parts=(
            Part("live", sum(group.minutes for group in live)),
            Part("written", sum(group.minutes for group in written)),
        ),
    )
    interrupted = [group for group in live if group.outcome in vocabulary.INTERRUPTIONS]
    yield Figure(
        "interruptions",
        _count(interrupted),
        "sessions",
        "Live sessions that an alert, the power or the link broke off.",
        rows=_count(live),
        parts=_parts(interrupted, lambda group: group.outcome.removeprefix("interrupted_")),
    )
    yield Figure(
        "routes",
        _count(sessions),
        "sessions",
        "Sessions and advices by how the memorandum links the two institutions.",
        parts=_parts(sessions, lambda group: group.route),
    )


def _spread(minutes: Sequence[int]) -> Iterable[Figure]:
    base_text = "of the minutes logged, over all mentors who could have been asked in the period, asked or not"
    yield Figure(
        "mentor_minutes_gini",
        counts.gini(minutes),
        "0..1",
        f"Gini coefficient {base_text}: 0 when all give the same.",
        rows=len(minutes),
        of="mentors",
    )
    yield Figure(
        "mentor_minutes_top_quarter",
        counts.top_quarter_share(minutes),
        "share",
        f"Share of the busiest quarter (rounded up) {base_text}.",
        rows=len(minutes),
        of="mentors",
        published=(Published("MSF teleradiology", 0.9, "of the cases by 4 of 14 radiologists"),),
    )


def _civil(sessions: Sequence[SessionCount]) -> Iterable[Figure]:
    held_groups = [group for group in sessions if group.mode == "live" and group.is_held]
    for side in ("requester", "mentor"):
        outside = _count(group for group in held_groups if not getattr(group, f"is_civil_for_{side}"))
        yield Figure(
            f"share_outside_civil_hours_{side}",
            share(outside, _count(held_groups)),
            "share",
            f"Live sessions held that began outside 08-19 on the {side}'s clock.",
            rows=_count(held_groups),
            numerator=outside,
            denominator=_count(held_groups),
        )


def _follow_up(numbers: ReportCounts) -> Figure:
    total = sum(answer.answers for answer in numbers.answers)
    answers_by_key: dict[str, int] = {}
    for answer in numbers.answers:
        keys = [f"{answer.side}_{'useful' if answer.is_useful else 'not_useful'}"]
        if answer.patient_outcome:
            keys.append(f"patient_{answer.patient_outcome}")
        for key in keys:
            answers_by_key[key] = answers_by_key.get(key, 0) + answer.answers
    held_sessions = _count(group for group in numbers.sessions if group.is_held)
    return Figure(
        "follow_up_answers",
        total,
        "answers",
        "Answers to the one question after a session or advice of the period; two are asked for, one a side.",
        rows=held_sessions,
        parts=tuple(Part(key, answers_by_key[key]) for key in sorted(answers_by_key)),
        of="answers",
    )


def _places(numbers: ReportCounts) -> Iterable[Figure]:
    breakdowns = {
        "areas": (numbers.areas, "specialties", "Specialties in which sessions or advices were logged."),
        "partner_countries": (
            numbers.partner_countries,
            "countries",
            "Countries (ISO 3166-1) that mentors answered from.",
        ),
        "requesting_regions": (
            numbers.requesting_regions,
            "regions",
            "Regions (ISO 3166-2; the country where no source names one) that asked.",
        ),
    }
    for name, (counts_by_key, unit, definition) in breakdowns.items():
        parts = tuple(Part(key, counts_by_key[key]) for key in sorted(counts_by_key))
        yield Figure(name, len(parts), unit, f"{definition} Each part counts sessions and advices.", parts=parts)


def _count(sessions: Iterable[SessionCount]) -> int:
    return sum(group.sessions for group in sessions)


def _parts(sessions: Iterable[SessionCount], key: Callable[[SessionCount], str]) -> tuple[Part, ...]:
    sessions_by_key: dict[str, int] = {}
    for group in sessions:
        sessions_by_key[key(group)] = sessions_by_key.get(key(group), 0) + group.sessions
    return tuple(Part(name, sessions_by_key[name]) for name in sorted(sessions_by_key))
