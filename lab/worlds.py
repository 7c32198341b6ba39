"""One seed's world: registry and requests, whom each of these could reach, and what its gate reads.

Whom no standing rule refuses is worked out once, by the product's own ranking over mentors of whom nothing is booked
and nobody was asked. Every policy and behaviour of the seed meets the same world.
"""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources

from lab import arrivals, registry
from lab.calendars import MINUTES
from lab.draws import Draws
from lab.registry import BUFFER_MINUTES, Plan, Registry
from service.rules import policy as policies
from service.rules import specialties, transfer
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import ranking
from service.rules.matching.gate import Gate, Refusal

STANDING = frozenset({
    Refusal.NO_MEMORANDUM, Refusal.AREA_NOT_COVERED, Refusal.ACTIVITY_NOT_COVERED, Refusal.SPECIALTY_TOO_FAR,
    Refusal.NO_COMMON_LANGUAGE, Refusal.NO_TRANSFER_BASIS, Refusal.NO_PAEDIATRICS, Refusal.EXCLUDED,
})  # fmt: skip
"""What no waiting mends in a made-up year, where nobody's specialties or memoranda change."""
_CONSENT = transfer.Consent("general", frozenset({"US", "CA"}))  # patients agree to the countries that are named


@dataclass(frozen=True, slots=True)
class Setting:
    """The arguments that make a world, but for its seed."""

    shape: str
    arrivals: str
    days: int
    requests: int
    plan: Plan | None = None  # of a file; None: made up by the shape's name


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is the same whatever the policy; `pools` and `could` are by the number of the request."""

    draws: Draws
    registry: Registry
    requests: tuple[arrivals.Request, ...]
    cases: tuple[Case, ...]
    pools: tuple[tuple[tuple[int, Mentor], ...], ...]  # mentors whom no standing rule refuses
    could: tuple[frozenset[int], ...]  # of these, who could have taken it when it was filed, had nobody been asked yet
    ends_at: datetime
    starts: dict[tuple[int, int], Sequence[datetime]] = field(default_factory=dict, init=False, compare=False)
    """What `hindsight` has found, by request and mentor."""


@cache
def tree() -> specialties.Tree:
    """Give the product's specialties."""
    text = resources.files("service").joinpath("data/specialties.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return specialties.Tree((row["code"], row["parent"] or None, row["also_parents"].split(";")) for row in rows)


@cache
def basis() -> transfer.TransferBasis:
    """Give the product's list of countries."""
    return transfer.parse(
        json.loads(resources.files("service").joinpath("data/transfer_basis.json").read_text("utf-8"))
    )


def book(numbers: policies.Policy) -> Rulebook:
    """Give the rulebook of a policy's numbers."""
    return Rulebook(numbers, tree(), basis())


def make(setting: Setting, seed: int) -> World:
    """Draw the world of a seed."""
    draws = Draws(seed)
    layout = setting.plan or registry.plan(setting.shape, draws)
    built = registry.build(layout, draws, setting.days)
    requests = arrivals.ARRIVALS[setting.arrivals](built, draws, setting.days, setting.requests)
    cases = [_case(draws, built, request) for request in requests]
    pools, could = [], []
    for request, case in zip(requests, cases, strict=True):
        pool, able = _reach(case, built.reached[built.clinicians[request.clinician].hospital])
        pools.append(pool)
        could.append(able)
    last = max((case.answer_due_at for case in cases), default=registry.BEGINS)
    return World(draws, built, tuple(requests), tuple(cases), tuple(pools), tuple(could), last)


def _case(draws: Draws, built: Registry, request: arrivals.Request) -> Case:
    clinician = built.clinicians[request.clinician]
    return Case(
        consultation_id=draws.uuid("request", request.number),
        requester_id=clinician.person_id,
        institution_id=built.hospitals[clinician.hospital],
        country="UA",
        zone=built.zones[clinician.hospital],
        specialty=request.specialty,
        priority=request.priority,
        mode=request.mode,
        languages=frozenset({"en", "uk"}),
        minutes=MINUTES,
        opened_at=request.at,
        answer_due_at=policies.answer_due_at(policies.DEFAULT, request.priority, request.at),
        age_band=request.age_band,
        buffer_minutes=BUFFER_MINUTES,
        consent=_CONSENT,
    )


def _reach(case: Case, linked: tuple[tuple[int, Mentor], ...]) -> tuple[tuple[tuple[int, Mentor], ...], frozenset[int]]:
    """Give the mentors whom no standing rule refuses, and those of them who could take it now."""
    numbers = book(policies.DEFAULT)
    rules = Gate(case, numbers)
    pool = tuple(
        each for each in linked if rules.covering(each[1].links) and STANDING.isdisjoint(rules.refuse_ever(each[1]))
    )
    able = {each.person_id for each in ranking.eligible(case, [each for _, each in pool], case.opened_at, numbers)}
    return pool, frozenset(number for number, mentor in pool if mentor.person_id in able)


def _words(person: registry.Person) -> list[object]:
    """Give the drawn facts of a mentor; sets in order, as their own is another in each process."""
    base = person.base
    sets = [sorted(base.specialties), sorted(base.opt_ins), sorted(base.languages.items())]
    return [
        str(base.person_id),
        str(base.institution_id),
        *sets,
        base.treats_children,
        repr(base.hours),
        repr(person[1:]),
    ]


def digest(world: World) -> str:
    """Give a digest of everything drawn: two worlds of the same digest are the same."""
    parts: Mapping[str, object] = {
        "mentors": [_words(person) for person in world.registry.mentors],
        "reached": [[number for number, _ in each] for each in world.registry.reached],
        "requests": [list(map(str, request)) for request in world.requests],
        "could": [sorted(each) for each in world.could],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
