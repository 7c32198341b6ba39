"""How mentors answer: five rival models. A change of the rules counts as better only if it is so under all of them.

`clock`     four of five react, some hours later, when they are awake; holidays that nobody entered; never tire
`sleep`     quicker, but an unanswered notice silences some for weeks, and a few for good
`strict`    any notice at all may silence
`deadline`  as `clock`, but half of those who would be late hurry to the date that they were shown
`slow`      as `clock`, but later, and much more unevenly

None is fitted to rows of ours. `fits` sets each beside the points that others published; they disagree with each
other, so each model claims some of them, and a test holds it to those.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from lab.draws import Draws
from lab.registry import BEGINS, Registry
from service.rules.time import availability

Outcome = Literal["lapsed", "withdrawn", "declined", "asked"]
"""What may tire a mentor: the date shown passed, another one was quicker, they said no, or merely being asked."""

_UP, _TO_BED = 7, 22
_DECLINES = 0.14
_SILENT_ON_HOLIDAY = 0.5
_FOREVER = BEGINS + timedelta(days=36_500)


class Notice(NamedTuple):
    """One mentor is asked about one request."""

    request: int
    mentor: int
    priority: str
    sent_at: datetime
    answer_by: datetime


class Reaction(NamedTuple):
    """When the mentor looks at it, and whether they accept."""

    at: datetime
    accepts: bool


class Behaviour(Protocol):
    """One year's mentors: their luck comes from the draws, their weariness from what was done to them."""

    def react(self, notice: Notice) -> Reaction | None:
        """Say when and how the mentor would answer; None if never."""

    def settle(self, outcome: Outcome, notice: Notice, at: datetime) -> None:
        """Let what became of the notice tire the mentor."""

    def is_silent(self, mentor: int, at: datetime) -> bool:
        """Tell whether the mentor reacts to nothing then."""


@dataclass(frozen=True, slots=True)
class Model:
    """The numbers of one model, by priority where they differ."""

    hours: Mapping[str, float]  # medians, or means where the times are exponential
    reacts: float = 0.80
    spread: float | None = 1.5  # of the logarithm; None: exponential
    person: float = 0.5  # a slower or quicker person, by e to this power at most
    keeps_hours: bool = True
    hurries: float = 0.0  # of those who would be late
    silenced_by: Mapping[Outcome, float] = field(default_factory=lambda: MappingProxyType({}))
    silent_days: float = 21.0  # on average
    for_good: float = 0.0  # of notices that lapse


def _hours(routine: float, urgent: float, asap_minutes: float, stat_minutes: float) -> Mapping[str, float]:
    return MappingProxyType(
        {"routine": routine, "urgent": urgent, "asap": asap_minutes / 60, "stat": stat_minutes / 60}
    )


_USUAL = _hours(12, 2.5, 40, 8)
MODELS: Mapping[str, Model] = MappingProxyType({
    "clock": Model(_USUAL),
    "sleep": Model(
        _USUAL, spread=None, person=0.0, keeps_hours=False,
        silenced_by=MappingProxyType({"lapsed": 0.35, "withdrawn": 0.12, "declined": 0.05}), for_good=0.02,
    ),
    "strict": Model(
        _USUAL, reacts=0.90, spread=None, person=0.0, keeps_hours=False,
        silenced_by=MappingProxyType({"asked": 0.35}), silent_days=10.0,
    ),
    "deadline": Model(_USUAL, hurries=0.5),
    "slow": Model(_hours(14.5, 5, 100, 25), spread=2.0),
})  # fmt: skip


class Mentors:
    """The mentors of one registry behaving by one model, for one run."""

    def __init__(self, model: Model, registry: Registry, draws: Draws) -> None:
        """Begin with everybody rested."""
        self._model, self._registry, self._draws = model, registry, draws
        self._silent_until: dict[int, datetime] = {}
        self._pace: dict[int, float] = {}

    def react(self, notice: Notice) -> Reaction | None:
        """Say when and how the mentor would answer; None if never."""
        key = (notice.request, notice.mentor)
        model, draws = self._model, self._draws
        if self.is_silent(notice.mentor, notice.sent_at) or not draws.is_so(model.reacts, "reacts", *key):
            return None
        at = notice.sent_at + timedelta(hours=self._delay(notice))
        if at > notice.answer_by and draws.is_so(model.hurries, "hurries", *key):
            share = 0.8 + 0.19 * draws.uniform("how early", *key)
            at = notice.sent_at + (notice.answer_by - notice.sent_at) * share
        elif model.keeps_hours:
            at = self._awake(notice, at)
            if self._is_on_holiday(notice.mentor, at) and draws.is_so(_SILENT_ON_HOLIDAY, "away", *key):
                return None
        return Reaction(at, not draws.is_so(_DECLINES, "declines", *key))

    def settle(self, outcome: Outcome, notice: Notice, at: datetime) -> None:
        """Let what became of the notice tire the mentor."""
        probability = self._model.silenced_by.get(outcome, 0.0)
        key = (outcome, notice.request, notice.mentor)
        if not self._draws.is_so(probability, "tires", *key):
            return
        days = -math.log(self._draws.uniform("for days", *key)) * self._model.silent_days
        until = at + timedelta(days=days)
        if outcome == "lapsed" and self._draws.is_so(self._model.for_good / probability, "for good", *key):
            until = _FOREVER
        self._silent_until[notice.mentor] = max(until, self._silent_until.get(notice.mentor, until))

    def is_silent(self, mentor: int, at: datetime) -> bool:
        """Tell whether the mentor reacts to nothing then."""
        until = self._silent_until.get(mentor)
        return until is not None and at < until

    def _delay(self, notice: Notice) -> float:
        """Draw the hours that the mentor takes, of which only the spread is theirs alone."""
        model, key = self._model, (notice.request, notice.mentor)
        usual = model.hours[notice.priority]
        if model.spread is None:
            return -math.log(self._draws.uniform("delay", *key)) * usual
        pace = self._pace.get(notice.mentor)
        if pace is None:
            between = 2 * self._draws.uniform("pace", notice.mentor) - 1
            pace = self._pace[notice.mentor] = math.exp(model.person * between)
        return usual * pace * math.exp(model.spread * self._draws.normal("delay", *key))

    def _awake(self, notice: Notice, at: datetime) -> datetime:
        """Put off to the next morning what would come at night, unless they stay up for such requests."""
        mentor = self._registry.mentors[notice.mentor].base
        if notice.priority in mentor.opt_ins:
            return at
        wall = availability.to_wall(at, mentor.zone)
        if _UP <= wall.hour < _TO_BED:
            return at
        morning = wall.replace(hour=_UP, minute=0, second=0, microsecond=0) + timedelta(days=wall.hour >= _TO_BED)
        minutes = 120 * self._draws.uniform("morning", notice.request, notice.mentor)
        return availability.to_instant(morning, mentor.zone, strict=False) + timedelta(minutes=minutes)

    def _is_on_holiday(self, mentor: int, at: datetime) -> bool:
        away = self._registry.mentors[mentor].unentered
        if not away:
            return False
        day = availability.local_date(at, self._registry.mentors[mentor].base.zone)
        return any(first <= day < last for first, last in away)


class Point(NamedTuple):
    """What somebody published, how far a model may be from it that claims it, and which models do."""

    name: str
    published: float
    within: float
    claimed_by: frozenset[str]


POINTS: tuple[Point, ...] = (
    Point("Swinfen: answered within 72 h, % of those asked", 69.5, 3.5, frozenset({"clock", "sleep", "deadline"})),
    Point("Swinfen: spread of the answers' times (sigma by quartiles)", 1.48, 0.25, frozenset({"clock"})),
    Point("Ontario: of the answers, % within 7 d", 96.3, 2.5, frozenset({"clock", "deadline"})),
    Point("Omnidoc: geometric middle of the quartiles, h", 19.0, 3.0, frozenset({"slow"})),
    Point("HealUA: of the answers, % within 24 h", 87.0, 4.0, frozenset({"sleep", "strict"})),
)


class Fit(NamedTuple):
    """One model beside one point."""

    behaviour: str
    point: str
    published: float
    model: float
    is_claimed: bool
    fits: bool


_NOTICES, _EVERY = 10, timedelta(days=18)


def fits(name: str, registry: Registry, draws: Draws) -> list[Fit]:
    """Ask each mentor ten times in half a year, a day's time each, and set what comes beside the published points."""
    mentors = Mentors(MODELS[name], registry, draws)
    hours: list[float] = []
    asked = 0
    for each in range(_NOTICES):
        for number in range(len(registry.mentors)):
            at = BEGINS + each * _EVERY + timedelta(hours=24 * draws.uniform("fit at", each, number))
            notice = Notice(-1 - each, number, "routine", at, at + timedelta(hours=24))
            asked += 1
            reaction = mentors.react(notice)
            mentors.settle("asked", notice, at)
            if reaction is None or reaction.at >= notice.answer_by:
                mentors.settle("lapsed", notice, notice.answer_by)
            if reaction:
                hours.append((reaction.at - at) / timedelta(hours=1))
    found = _found(hours, asked)
    return [
        Fit(
            name, point.name, point.published, value, name in point.claimed_by,
            abs(value - point.published) <= point.within,
        )
        for point, value in zip(POINTS, found, strict=True)
    ]  # fmt: skip


def _found(hours: list[float], asked: int) -> list[float]:
    first, _, third = statistics.quantiles(hours, n=4)
    return [
        100 * sum(each <= 72 for each in hours) / asked,  # noqa: PLR2004 - as published
        math.log(third / first) / 1.349,
        100 * sum(each <= 168 for each in hours) / len(hours),  # noqa: PLR2004 - as published
        math.sqrt(first * third),
        100 * sum(each <= 24 for each in hours) / len(hours),  # noqa: PLR2004 - as published
    ]
