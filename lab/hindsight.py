"""What could have been reached by somebody who knew every answer beforehand: the bound of a seed and a behaviour.

Each case that somebody would have answered in time, had they been asked when it was filed, is given to one of these, at
most so many a week to a mentor as the cap allows; of all ways to answer the most cases the fairest is taken (the least
sum of squares). It is a flow of least cost: source, cases, weeks of mentors, mentors, and to the sink arcs that cost 1,
3, 5 … for the first, second, third case of a mentor. Weariness, double bookings and hours that a mentor gives up are
left out, so no policy reaches it.

OR-tools solves it; without the extra `pobratym[lab]` there is no bound.
"""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from lab.behaviours import Behaviour, Notice
from lab.worlds import World, book
from lab.year import advice_takes, takes_place
from service.rules import policy as policies
from service.rules.case import Case, Mentor
from service.rules.matching import ranking, waves
from service.rules.time import availability

Week = tuple[int, int]
Way = tuple[int, Week | None]
"""A mentor, and the week of the session by their calendar; None: written advice, for which no cap counts."""
_WRITTEN = None
_TRIES = 14


def is_at_hand() -> bool:
    """Tell whether OR-tools is installed."""
    return importlib.util.find_spec("ortools") is not None


def ways(world: World, behaviour: Behaviour) -> dict[int, tuple[Way, ...]]:
    """Give by case the ways in which it would have been answered in time; cases with none are left out.

    Of a case that somebody could take when it was filed, those count too who could only later.
    """
    found = {}
    for request in world.requests:
        if not world.could[request.number]:
            continue
        case = world.cases[request.number]
        own = tuple(
            way
            for number, base in world.pools[request.number]
            for way in _ways(world, behaviour, case, request.number, number, base)
        )
        if own:
            found[request.number] = own
    return found


def _ways(world: World, behaviour: Behaviour, case: Case, request: int, number: int, base: Mentor) -> Iterable[Way]:
    at = _answers_at(behaviour, case, request, number, base)
    if at is None:
        return
    if case.mode != "written" and takes_place(world, request, number):
        starts = [start for start in _starts(world, request, number, base) if start >= at]
        # Seven days at most are left, so the first and the last of the starts name all the weeks.
        weeks = dict.fromkeys(availability.iso_week(start, base.zone) for start in (*starts[:1], *starts[-1:]))
        yield from ((number, week) for week in weeks)
        if weeks:
            return
    if case.mode != "live" and at + advice_takes(world, request, number) <= case.answer_due_at:
        yield number, _WRITTEN


def _answers_at(behaviour: Behaviour, case: Case, request: int, number: int, base: Mentor) -> datetime | None:
    """Give the soonest acceptance, asked at once or, as who is on holiday answers nothing, at the best later time."""
    step = (case.answer_due_at - case.opened_at) / _TRIES
    for each in range(_TRIES):
        asked_at = case.opened_at + each * step
        answer_by = waves.answer_by(case, base, asked_at, policies.DEFAULT)
        reaction = behaviour.react(Notice(request, number, case.priority, asked_at, answer_by))
        if reaction is not None:
            return reaction.at if reaction.accepts and reaction.at < case.answer_due_at else None
    return None


def _starts(world: World, request: int, number: int, base: Mentor) -> Sequence[datetime]:
    """Give the bookable starts as they are when it is filed: later ones would need the notice anew.

    The same under every behaviour, so they are kept with the world.
    """
    starts = world.starts.get((request, number))
    if starts is None:
        case = world.cases[request]
        starts = ranking.propose(case, base, case.opened_at, book(policies.DEFAULT), is_asking=False)
        world.starts[request, number] = starts
    return starts


def assign(ways_of: Mapping[int, Iterable[Way]], weekly_cap: int) -> dict[int, int]:
    """Give the mentor of each case that is answered: as many as can be, then as fairly as can be."""
    from ortools.graph.python import min_cost_flow  # noqa: PLC0415 - an extra

    flow = min_cost_flow.SimpleMinCostFlow()
    nodes: dict[object, int] = {"source": 0, "sink": 1}

    def node(name: object) -> int:
        return nodes.setdefault(name, len(nodes))

    arcs: dict[int, tuple[int, int]] = {}
    reach: dict[int, int] = {}
    weeks: dict[tuple[int, Week], None] = {}
    for case, own in ways_of.items():
        flow.add_arc_with_capacity_and_unit_cost(0, node(("case", case)), 1, 0)
        mentors: dict[int, None] = {}
        for mentor, week in own:
            mentors[mentor] = None
            to = ("mentor", mentor) if week is None else ("week", mentor, week)
            arc = flow.add_arc_with_capacity_and_unit_cost(node(("case", case)), node(to), 1, 0)
            arcs[arc] = (case, mentor)
            if week is not None:
                weeks[mentor, week] = None
        for mentor in mentors:
            reach[mentor] = reach.get(mentor, 0) + 1
    for mentor, week in weeks:
        flow.add_arc_with_capacity_and_unit_cost(node(("week", mentor, week)), node(("mentor", mentor)), weekly_cap, 0)
    for mentor, count in reach.items():
        for each in range(count):
            flow.add_arc_with_capacity_and_unit_cost(node(("mentor", mentor)), 1, 1, 2 * each + 1)
    flow.set_node_supply(0, len(ways_of))
    flow.set_node_supply(1, -len(ways_of))
    if flow.solve_max_flow_with_min_cost() != flow.OPTIMAL:  # pragma: no cover - each such graph has a flow
        raise AssertionError
    return {case: mentor for arc, (case, mentor) in arcs.items() if flow.flow(arc)}
