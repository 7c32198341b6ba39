"""A programme's numbers for its admins: those in force, others to be rehearsed, what came of it, and saving them."""

import copy
import functools
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from babel import numbers
from fastapi import APIRouter, Response

from api.edge import problems, shapes
from api.pages import fields, frame
from service import tables, vocabulary
from service.kernel import access, errors
from service.kernel.work import Work
from service.registry import programmes
from service.reporting import rehearsals
from service.rules import policy
from service.rules.policy import Policy
from service.rules.time import availability
from service.worklists import policy_views

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
USUAL_DAYS = 90
_LONGEST_NUMBER = 9
_FIRST_YEAR, _LAST_YEAR = 2000, 9000
_NEEDED = "as_needed"  # its own box on the page; one value with `per_wave` in a policy
Value = int | float | bool | list[int]


@router.get("/policy")
async def choose(visit: frame.Known) -> Response:
    """Lead to the numbers of the admin's programme; of several, list them."""
    found = await visit.read(policy_views.administered)
    if len(found) == 1:
        return frame.see(_path(found[0].id))
    return visit.show("policies.html", programmes=found)


@router.get("/programmes/{id}/policy")
async def show(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002 - the path's word
    """Show the numbers in force, in a form to propose others, and the latest rehearsals."""
    page = await visit.read(lambda w: policy_views.policy(w, id))
    form = fields.Fields(_typed(policy.from_overrides(page.programme.policy)))
    today = availability.local_date(visit.world.clock.now(), page.programme.zone)
    form.values |= {"from": [(today - timedelta(days=USUAL_DAYS)).isoformat()], "until": [today.isoformat()]}
    return _policy_page(visit, page, fields.Tried("policy", form))


@router.post("/programmes/{id}/policy/rehearsals")
async def rehearse(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Have the proposed numbers rehearsed; sent twice, it is one rehearsal."""
    page = await visit.read(lambda w: policy_views.policy(w, id))
    form = await fields.sent(visit.request)
    wished = _proposed(form, page.programme)
    since, last = _day(form, "from"), _day(form, "until")
    if form.faults or since is None or last is None:
        return _policy_page(visit, page, fields.Tried("policy", form), 422)
    bounds = [_midnight(day, page.programme.zone) for day in (since, last + timedelta(days=1))]
    try:
        row = await visit.do(lambda w: rehearsals.submit(w, id, wished, *bounds))
    except errors.Exists as error:
        going = next((row for row in page.rehearsals if str(row.id) == error.members.get("existing_id")), None)
        if going and (going.by, going.policy) == (visit.actor.person_id, wished):
            return frame.see(_path(id, going.id))
        return _refused(visit, page, form, error)
    except errors.Invalid as error:
        faults = error.members["errors"]
        form.faults |= {
            each["pointer"].removeprefix("/"): each["detail"] for each in (faults if isinstance(faults, list) else [])
        }
        return _policy_page(visit, page, fields.Tried("policy", form), 422)
    except (errors.Conflict, errors.TooManyDecisions) as error:
        return _refused(visit, page, form, error)
    return frame.see(_path(id, row.id))


@router.get("/programmes/{id}/policy/rehearsals/{rehearsal_id}")
async def show_rehearsal(visit: frame.Known, id: shapes.Id, rehearsal_id: shapes.Id) -> Response:  # noqa: A002
    """Show how far a rehearsal is, then its three levels and the button that saves its numbers."""
    return _rehearsal_page(visit, await visit.read(lambda w: policy_views.rehearsal(w, id, rehearsal_id)))


@router.post("/programmes/{id}/policy/rehearsals/{rehearsal_id}/save")
async def save(visit: frame.Known, id: shapes.Id, rehearsal_id: shapes.Id) -> Response:  # noqa: A002
    """Save the numbers that were rehearsed, unless the programme has changed since the page was shown."""
    form = await fields.sent(visit.request)
    version = form.number("version", 0, 10**_LONGEST_NUMBER)
    page = await visit.read(lambda w: policy_views.rehearsal(w, id, rehearsal_id))
    if _is_in_force(page):
        return frame.see(_path(id))

    async def saved(w: Work) -> None:
        row = await access.visible_programme(w, id, lock=True)
        if row.version != version:
            raise errors.StaleVersion
        await programmes.change_programme(w, row, {"policy": page.row.policy}, rehearsal_id)

    try:
        await visit.do(saved)
    except (errors.StaleVersion, errors.Invalid) as error:
        page = await visit.read(lambda w: policy_views.rehearsal(w, id, rehearsal_id))
        said = frame.problem_words(visit.words, error)
        return _rehearsal_page(visit, page, problems.status_of(type(error)), said)
    return frame.see(_path(id))


def _path(programme_id: UUID, rehearsal_id: UUID | None = None) -> str:
    path = f"/programmes/{programme_id}/policy"
    return f"{path}/rehearsals/{rehearsal_id}" if rehearsal_id else path


def _day(form: fields.Fields, name: str) -> date | None:
    """Read a day that has midnights around it in every zone."""
    day = form.day(name)
    if day and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        form.faults[name] = "bad_day"
    return day


def _midnight(day: date, zone: str) -> datetime:
    return availability.to_instant(datetime.combine(day, time()), zone, strict=False)


# A number has a name on the page: `hold_minutes`, `urgent.wave_minutes`, `urgent.weights.load`.


def flat(of: Policy) -> dict[str, Value]:
    """Give each number of a policy by its name on the page."""
    written = policy.as_overrides(of)
    paces = written.pop("priorities")
    found: dict[str, Value] = dict(written)
    for priority, pace in paces.items():
        weights, per_wave = pace.pop("weights"), pace.pop("per_wave")
        is_needed = isinstance(per_wave, Mapping)
        found[f"{priority}.per_wave"] = per_wave[policy.AS_NEEDED] if is_needed else per_wave
        found[f"{priority}.{_NEEDED}"] = is_needed
        found |= {f"{priority}.{name}": value for name, value in pace.items()}
        found |= {f"{priority}.weights.{term}": weight for term, weight in weights.items()}
    return found


def _typed(of: Policy) -> list[tuple[str, str]]:
    """Give the numbers as a form has them: a box that is not ticked is not sent."""
    return [(name, _written(value)) for name, value in flat(of).items() if value is not False]


def _written(value: Value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def _proposed(form: fields.Fields, programme: tables.Programme) -> dict[str, Any]:
    """Read the numbers, and give the programme's own with those in place that differ; faults are with their fields."""
    in_force = flat(policy.from_overrides(programme.policy))
    kinds = flat(policy.DEFAULT)
    read = {name: _read(form, name, value, kinds[name]) for name, value in in_force.items()}
    wished = copy.deepcopy(programme.policy)
    for name, value in read.items():
        if name in form.faults or value == in_force[name]:
            continue
        change = _as_override(name, value, read)
        try:
            policy.from_overrides(change)
        except policy.InvalidPolicy as error:
            form.faults[name] = error.args[0]
        _put(wished, change)
    return wished


def _read(form: fields.Fields, name: str, before: Value, usual: Value) -> Value:
    """Read a number of the usual one's kind; what is no such number is a fault of its field, and changes nothing."""
    typed = form.typed(name).replace(",", ".")
    if isinstance(usual, bool):
        return form.has(name, "yes")
    if isinstance(usual, list):
        days = form.items(name)
        if all(_is_whole(day) for day in days):
            return [int(day) for day in days]
    elif _is_whole(typed):
        return int(typed)
    elif all(_is_whole(part) for part in typed.split(".", 1)) and (isinstance(usual, float) or ".weights." in name):
        return float(typed)
    form.faults[name] = "bad_number" if form.typed(name) else "needed"
    return before


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


def _as_override(name: str, value: Value, read: Mapping[str, Value]) -> dict[str, Any]:
    """Give one number as a policy has it."""
    priority, *rest = name.split(".")
    if not rest:
        return {name: value}
    if rest[0] in {"per_wave", _NEEDED}:
        most = read[f"{priority}.per_wave"]
        return {
            "priorities": {priority: {"per_wave": {policy.AS_NEEDED: most} if read[f"{priority}.{_NEEDED}"] else most}}
        }
    return {"priorities": {priority: {rest[0]: {rest[1]: value} if rest[1:] else value}}}


def _put(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict) and name != "per_wave":
            _put(into[name], value)
        else:
            into[name] = value


def _policy_page(visit: frame.Visit, page: policy_views.PolicyPage, tried: fields.Tried, status: int = 200) -> Response:
    in_force = flat(policy.from_overrides(page.programme.policy))
    usual = flat(policy.DEFAULT)
    general = [name for name in usual if "." not in name]
    return visit.show(
        "policy.html",
        status,
        page=page,
        tried=tried,
        form=tried.form,
        kinds={name: type(value).__name__ for name, value in usual.items()},
        others={name: _said(visit, usual[name]) for name in usual if usual[name] != in_force[name]},
        general=general,
        paces={
            priority: [name for name in usual if name.startswith(f"{priority}.") and ".weights." not in name]
            for priority in vocabulary.PRIORITIES
        },
        priorities=vocabulary.PRIORITIES,
        terms=vocabulary.SCORE_TERMS,
        path=_path(page.programme.id),
    )


def _refused(
    visit: frame.Visit, page: policy_views.PolicyPage, form: fields.Fields, error: errors.DomainError
) -> Response:
    """Show the form again, with what speaks against a rehearsal now."""
    said = dict(visit.words.table[f"policy.{problems.name_of(type(error))}"])
    members = dict(error.members)
    if "comparable_from" in members:
        at = datetime.fromisoformat(str(members["comparable_from"]))
        members["comparable_from"] = visit.words.moment(at, visit.zone)
    said["advice"] = said["advice"].format(**members)
    return _policy_page(visit, page, fields.Tried("policy", form, said), problems.status_of(type(error)))


def _is_in_force(page: policy_views.RehearsalPage) -> bool:
    return policy.from_overrides(page.programme.policy) == policy.from_overrides(page.row.policy)


def _rehearsal_page(
    visit: frame.Visit, page: policy_views.RehearsalPage, status: int = 200, said: Mapping[str, str] | None = None
) -> Response:
    row, locale = page.row, visit.words.formats
    before, after = (flat(policy.from_overrides(each)) for each in (row.compared_with, row.policy))
    changed = [(name, _said(visit, before[name]), _said(visit, after[name])) for name in after]
    figures: dict[str, list[Mapping[str, Any]]] = {}
    levels = {name: (row.result or {}).get(name) for name in ("exact", "one_step", "estimated")}
    for each in (levels["estimated"] or {}).get("figures", ()):
        figures.setdefault(each["name"], []).append(each)
    return visit.show(
        "rehearsal.html",
        status,
        page=page,
        row=row,
        said=said,
        changed=[each for each in changed if each[1] != each[2]],
        is_in_force=_is_in_force(page),
        is_overtaken=policy.from_overrides(page.programme.policy) != policy.from_overrides(row.compared_with),
        number=functools.partial(_rounded, locale=locale),
        instant=datetime.fromisoformat,
        path=_path(page.programme.id),
        figures=figures,
        **levels,
    )


def _rounded(value: float | None, locale: str) -> str:
    """Write a figure; next to nothing is 0, whatever its sign."""
    return "\N{EN DASH}" if value is None else str(numbers.format_decimal(round(value, 2) or 0, locale=locale))


def _said(visit: frame.Visit, value: Value) -> str:
    if isinstance(value, bool):
        return visit.words.table["policy"]["yes" if value else "no"]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(numbers.format_decimal(value, locale=visit.words.formats))
