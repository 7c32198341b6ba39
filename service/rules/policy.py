"""The numbers of the programme (invariant S4), never globals: one `Policy` for each programme."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from service import vocabulary
from service.rules.sentences import Sentence
from service.rules.time import availability


class InvalidPolicy(ValueError):
    """The programme's own numbers cannot be used; the message names the key."""


def _weights(*values: float) -> Mapping[str, float]:
    return MappingProxyType(dict(zip(vocabulary.SCORE_TERMS, values, strict=True)))


_WEIGHTS_ROUTINE = _weights(20, 7, 7, 28, 10, 10, 7, 5, 2, 2, 2)
_WEIGHTS_URGENT = _weights(22, 18, 11, 16, 9, 7, 7, 4, 3, 2, 1)
_WEIGHTS_STAT = _weights(25, 33, 16, 4, 4, 2, 8, 2, 4, 2, 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one priority goes."""

    answer_due: timedelta
    per_wave: int
    wave: timedelta
    alert_after: timedelta
    minimum_notice: timedelta
    weights: Mapping[str, float]
    working_days_only: bool = False  # the wave's time counts on the mentor's institution's working weekdays only
    any_hour: bool = False  # a mentor who opted in can be booked outside their weekly hours
    as_needed: bool = False  # a wave asks no more than probably are needed (`matching.waves`), `per_wave` at most


_PACES = MappingProxyType({
    "routine": Pace(
        timedelta(days=7), 1, timedelta(hours=24), timedelta(days=3), timedelta(hours=12), _WEIGHTS_ROUTINE,
        working_days_only=True,
    ),
    "urgent": Pace(
        timedelta(hours=24), 2, timedelta(hours=4), timedelta(hours=8), timedelta(hours=2), _WEIGHTS_URGENT,
    ),
    "asap": Pace(
        timedelta(hours=8), 3, timedelta(hours=1), timedelta(hours=2), timedelta(minutes=30), _WEIGHTS_URGENT,
    ),
    "stat": Pace(
        timedelta(hours=1), 5, timedelta(minutes=10), timedelta(0), timedelta(0), _WEIGHTS_STAT, any_hour=True,
    ),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that one programme works by."""

    paces: Mapping[str, Pace] = field(default_factory=lambda: _PACES)
    slot_step_minutes: int = 15
    hold_minutes: int = 15
    expired_grace_hours: int = 24
    no_show_grace_minutes: int = 10  # after the start, before anybody can be reported as absent
    move_grace_hours: int = 24  # after the end, in which another time can still be proposed
    known_case_share: float = 0.5  # of the usual time, for the mentor who knows the case
    case_text_days: int = 90
    end_reminder_days: tuple[int, ...] = (90, 30, 7)  # before a memorandum ends
    budget_low_percent: int = 10  # of a memorandum's budget are left
    cancels_when_memorandum_ends: bool = False  # else what is booked stays, and the coordinators decide

    def pace(self, priority: str) -> Pace:
        """Give the numbers of one priority."""
        return self.paces[priority]

    @property
    def hold(self) -> timedelta:
        """How long a time is held."""
        return timedelta(minutes=self.hold_minutes)


DEFAULT = Policy()
AS_NEEDED = "needed"
"""In place of a number of `per_wave`: no more than are needed, that number at most; `{"needed": 4}` four at most."""
_PACE_MINUTES = {
    f"{name}_minutes": name for name in ("answer_due", "wave", "alert_after", "minimum_notice")
}  # fmt: skip
_MINUTE = timedelta(minutes=1)
_MOST_MINUTES = 366 * 1440
_MOST_REMINDERS = 12
_TURNS_BEFORE_START = 4
_LEAST_TURN = timedelta(minutes=30)


def _number(key: str, value: object, *, least: float, whole: bool = True) -> float:
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= _MOST_MINUTES:  # type: ignore[operator]  # narrowed by is_number
        message = Sentence("{key}: not a number from {least} to {most}", key=key, least=str(least), most=_MOST_MINUTES)
        raise InvalidPolicy(message)
    return value  # type: ignore[return-value]


def _claim(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        message = Sentence("{key}: neither true nor false", key=key)
        raise InvalidPolicy(message)
    return value


def from_overrides(overrides: Mapping[str, Any], base: Policy = DEFAULT) -> Policy:
    """Give the base with a programme's own numbers in place; raises InvalidPolicy for an unknown key or a bad value.

    `{"hold_minutes": 20, "priorities": {"urgent": {"wave_minutes": 180, "per_wave": 3, "weights": {"load": 10}}}}`
    """
    changes: dict[str, Any] = {}
    for key, value in overrides.items():
        if key == "priorities":
            changes["paces"] = MappingProxyType(dict(base.paces) | _paces(value, base))
        elif key == "end_reminder_days":
            changes[key] = _days(key, value)
        elif key == "known_case_share":
            changes[key] = _number(key, value, least=0.1, whole=False)
        elif key == "cancels_when_memorandum_ends":
            changes[key] = _claim(key, value)
        elif key != "paces" and key in {f.name for f in fields(Policy)}:
            changes[key] = _number(key, value, least=1)
        else:
            message = Sentence("{key}: no such setting", key=key)
            raise InvalidPolicy(message)
    return replace(base, **changes)


def as_overrides(policy: Policy) -> dict[str, Any]:
    """Write all numbers of the policy as `from_overrides` reads them, whatever the usual ones are."""
    written: dict[str, Any] = {}
    for each in fields(Policy):
        value = getattr(policy, each.name)
        if each.name != "paces":
            written[each.name] = list(value) if isinstance(value, tuple) else value
    written["priorities"] = {priority: _pace_as_overrides(pace) for priority, pace in policy.paces.items()}
    return written


def _pace_as_overrides(pace: Pace) -> dict[str, Any]:
    written: dict[str, Any] = {key: getattr(pace, name) // _MINUTE for key, name in _PACE_MINUTES.items()}
    return written | {
        "per_wave": {AS_NEEDED: pace.per_wave} if pace.as_needed else pace.per_wave,
        "weights": dict(pace.weights),
        "working_days_only": pace.working_days_only,
        "any_hour": pace.any_hour,
    }


def _days(key: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_REMINDERS:
        message = Sentence("{key}: not a list of numbers of days", key=key)
        raise InvalidPolicy(message)
    return tuple(int(_number(key, days, least=1)) for days in value)


def _paces(overrides: object, base: Policy) -> dict[str, Pace]:
    changed: dict[str, Pace] = {}
    for priority, values in overrides.items() if isinstance(overrides, Mapping) else [("priorities", overrides)]:
        if priority not in vocabulary.PRIORITIES or not isinstance(values, Mapping):
            message = Sentence("{key}: not a priority with its numbers", key=str(priority))
            raise InvalidPolicy(message)
        changed[priority] = _pace(values, base.paces[priority])
    return changed


def _pace(overrides: Mapping[str, Any], base: Pace) -> Pace:
    changes: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in _PACE_MINUTES:
            least = 1 if key in {"answer_due_minutes", "wave_minutes"} else 0
            changes[_PACE_MINUTES[key]] = timedelta(minutes=_number(key, value, least=least))
        elif key == "per_wave" and value == AS_NEEDED:
            changes["as_needed"] = True
        elif key == "per_wave" and isinstance(value, Mapping) and value.keys() == {AS_NEEDED}:
            changes |= {"as_needed": True, key: _number(key, value[AS_NEEDED], least=1)}
        elif key == "per_wave":
            changes[key] = _number(key, value, least=1)
        elif key in {"working_days_only", "any_hour"} and isinstance(value, bool):
            changes[key] = value
        elif key == "weights" and isinstance(value, Mapping) and value.keys() <= set(vocabulary.SCORE_TERMS):
            own = {term: _number(term, weight, least=0, whole=False) for term, weight in value.items()}
            changes[key] = MappingProxyType(dict(base.weights) | own)
        else:
            message = Sentence("{key}: no such setting, or not of its kind", key=key)
            raise InvalidPolicy(message)
    return replace(base, **changes)


def answer_due_at(policy: Policy, priority: str, opened_at: datetime) -> datetime:
    """Give the instant by which the session must have started or the written advice been given."""
    return opened_at + policy.pace(priority).answer_due


def alert_at(policy: Policy, priority: str, opened_at: datetime) -> datetime:
    """Give when the coordinator is alerted if nobody has accepted."""
    return opened_at + policy.pace(priority).alert_after


def expires_at(policy: Policy, answer_due_at: datetime) -> datetime:
    """Give when a consultation with nothing booked expires."""
    return answer_due_at + timedelta(hours=policy.expired_grace_hours)


def answer_by(
    policy: Policy,
    priority: str,
    now: datetime,
    answer_due_at: datetime,
    mentor_zone: str,
    working_weekdays: Collection[int],
    *,
    known_case: bool,
) -> datetime:
    """Give the instant until which a mentor asked now may answer, never later than `answer_due_at`.

    Routine counts only the working weekdays (0 is Monday) of the mentor's institution, as whole local days. The
    mentor who knows the case has half the time.
    """
    pace = policy.pace(priority)
    wave = pace.wave * policy.known_case_share if known_case else pace.wave
    if pace.working_days_only:
        return min(
            availability.add_working_time(now, wave, mentor_zone, working_weekdays),
            answer_due_at,
        )
    return min(now + wave, answer_due_at)


def answer_by_when_late(
    policy: Policy,
    priority: str,
    answer_by: datetime,
    late: timedelta,
    answer_due_at: datetime,
    mentor_zone: str,
    working_weekdays: Collection[int],
) -> datetime:
    """Give until when a mentor may answer whose mail left so much later (decision 0036): as much later, as far as due.

    Never earlier than it was: a coordinator may have given more time than is due.
    """
    if policy.pace(priority).working_days_only:
        later = availability.add_working_time(answer_by, late, mentor_zone, working_weekdays)
    else:
        later = answer_by + late
    return max(answer_by, min(later, answer_due_at))


def answer_by_before(starts_at: datetime, now: datetime, usual: datetime) -> datetime:
    """Give until when somebody may answer who is asked to take over a time that is booked already.

    A quarter of what is left until it begins, so that others can be asked after them, but half an hour at least.
    """
    return min(usual, starts_at, now + max((starts_at - now) / _TURNS_BEFORE_START, _LEAST_TURN))
