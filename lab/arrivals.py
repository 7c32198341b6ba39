"""When requests come, from whom, and about what: `even` by the hours of a week, or in `bursts` at one hospital."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from lab.draws import Draws
from lab.registry import BEGINS, Registry
from service import vocabulary
from service.rules.time import availability

_PRIORITIES: Mapping[vocabulary.Priority, float] = MappingProxyType(
    {"routine": 0.62, "urgent": 0.24, "asap": 0.09, "stat": 0.05}
)
_MODES: Mapping[vocabulary.Mode, float] = MappingProxyType({"live": 0.55, "either": 0.30, "written": 0.15})
_WEEKDAYS = (1.0, 1.05, 1.0, 1.0, 0.9, 0.35, 0.3)
_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 17, 14, 14, 13, 12, 10, 7, 5, 4, 3, 3, 2, 1)
_PRESSING = ("asap", "stat")  # these come at any hour
_MOST_TRIES = 60
_BURST, _BURST_HOURS, _IN_BURSTS = (5, 12), 8, 0.5
_CHILDREN = 0.5  # of the requests to a paediatrician for which a mentor must treat children


class Request(NamedTuple):
    """One request: by whom, when, and what of."""

    number: int
    at: datetime
    clinician: int
    specialty: str
    priority: vocabulary.Priority
    mode: vocabulary.Mode
    age_band: vocabulary.AgeBand


def even(registry: Registry, draws: Draws, days: int, count: int) -> list[Request]:
    """Give so many requests, each from any clinician, by a profile of weekdays and hours, in order of their time."""
    people = [draws.whole(0, len(registry.clinicians) - 1, "asks", number) for number in range(count)]
    return _filed(registry, draws, [(number, who, _moment(draws, days, number)) for number, who in enumerate(people)])


def bursts(registry: Registry, draws: Draws, days: int, count: int) -> list[Request]:
    """Give so many requests, half of them in bursts: five to twelve within hours at one hospital."""
    wishes: list[tuple[int, int, datetime]] = []
    burst = 0
    while len(wishes) < count * _IN_BURSTS:
        hospital = draws.whole(0, len(registry.hospitals) - 1, "burst at", burst)
        staff = [number for number, clinician in enumerate(registry.clinicians) if clinician.hospital == hospital]
        begins = _moment(draws, days, "burst", burst)
        for each in range(draws.whole(*_BURST, "burst of", burst) if staff else 0):
            after = timedelta(hours=_BURST_HOURS * draws.uniform("burst after", burst, each))
            wishes.append((len(wishes), draws.one_of(staff, "burst who", burst, each), _whole(begins + after)))
        burst += 1
    for number in range(len(wishes), count):
        who = draws.whole(0, len(registry.clinicians) - 1, "asks", number)
        wishes.append((number, who, _moment(draws, days, number)))
    return _filed(registry, draws, wishes[:count])


ARRIVALS: Mapping[str, Callable[[Registry, Draws, int, int], list[Request]]] = MappingProxyType(
    {"even": even, "bursts": bursts}
)


def _moment(draws: Draws, days: int, *what: str | int) -> datetime:
    """Draw an instant until it is one at which people ask: so the profile holds, by the clock of the hospital."""
    at = BEGINS
    for each in range(_MOST_TRIES):
        at = BEGINS + timedelta(minutes=int(draws.uniform("at", *what, each) * days * 1440))
        wall = availability.to_wall(at, "Europe/Kyiv")
        share = _WEEKDAYS[wall.weekday()] * _HOURS[wall.hour] / (max(_HOURS) * max(_WEEKDAYS))
        if draws.is_so(share, "asked then", *what, each):
            break
    return _whole(at + timedelta(seconds=draws.whole(0, 59, "second", *what)))


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _filed(registry: Registry, draws: Draws, wishes: list[tuple[int, int, datetime]]) -> list[Request]:
    """Give the requests in order of their time; what they are about is drawn by the wish, whatever its place."""
    requests = sorted(
        (_request(registry, draws, number, who, at) for number, who, at in wishes), key=lambda each: each[:2][::-1]
    )
    return [request._replace(number=place) for place, request in enumerate(requests)]


def _request(registry: Registry, draws: Draws, number: int, who: int, at: datetime) -> Request:
    specialty = registry.clinicians[who].specialty
    priority = draws.weighted(_PRIORITIES, "priority", number)
    if priority in _PRESSING:  # what cannot wait has no hours
        at = at.replace(hour=draws.whole(0, 23, "any hour", number))
    is_child = specialty.startswith("ped.") and draws.is_so(_CHILDREN, "child", number)
    mode = draws.weighted(_MODES, "mode", number)
    return Request(number, at, who, specialty, priority, mode, "child" if is_child else "adult")
