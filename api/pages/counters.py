"""Proposing other times for an offer: up to three, picked on a week that shows when both sides are free, or typed."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import TypeAdapter, ValidationError

from api.edge import problems, shapes
from api.pages import actions, fields, frame
from service.care import answers
from service.kernel import errors
from service.rules.time import two_calendars
from service.rules.time.night import NightHours
from service.worklists import counter_week, page_views

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_OTHER = actions.TIMES[0]
_instant: TypeAdapter[datetime] = TypeAdapter(shapes.Instant)


@router.get("/offers/{id}/counter")
async def pick(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002 - the path's word
    """Show a week to pick from; what is proposed already is picked."""
    return await _page(visit, id)


@router.post("/offers/{id}/counter")
async def propose(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Propose the times that were picked or typed, in place of what was proposed before."""
    form = await fields.sent(visit.request)
    starts = _starts(form, visit.zone)
    if form.faults:
        return await _page(visit, id, form, 422)
    night = await visit.read(lambda w: page_views.night_of_offer(w, id, starts))
    if night and not form.has("sure", "yes"):
        return await _page(visit, id, form, 422, night=night)
    try:
        await visit.do(lambda w: answers.counter(w, id, starts))
    except errors.Invalid as error:
        faults = error.members["errors"]
        name = _OTHER if form.typed(_OTHER) and not form.all("starts") else "starts"
        form.faults[name] = faults[0]["detail"] if isinstance(faults, list) else str(error)
        return await _page(visit, id, form, 422)
    except (errors.Conflict, errors.GateRefused) as error:
        problem = frame.problem_words(visit.words, error)
        return visit.show(
            "message.html", problems.status_of(type(error)), title=problem["title"], text=problem["advice"]
        )
    return frame.see(f"/offers/{id}")


def _starts(form: fields.Fields, zone: str) -> list[datetime]:
    """Read the times that were picked, and those that were typed by the visitor's own clock."""
    typed = [form.local(name, zone) for name in actions.TIMES]
    starts = {start for start in typed if start is not None}
    for value in form.all("starts"):
        try:
            starts.add(_instant.validate_python(value))
        except ValidationError:
            form.faults["starts"] = "choose"
    if not starts and not form.faults:
        form.faults["starts"] = "needed"
    if len(starts) > answers.MOST_PROPOSED:
        form.faults["starts"] = "too_many_times"
    return sorted(starts)


async def _page(
    visit: frame.Visit,
    offer_id: UUID,
    form: fields.Fields | None = None,
    status: int = 200,
    night: Sequence[NightHours] = (),
) -> Response:
    first = _first(visit, form)
    week = await visit.read(lambda w: counter_week.read(w, offer_id, visit.zone, first))
    filled = form or fields.Fields([("starts", _written(start)) for start in week.proposed])
    listed = {stretch.starts_at for _, stretches in week.days for stretch in stretches if stretch.whose == "free"}
    chosen = {_instant.validate_python(value) for value in filled.all("starts") if _is_instant(value)}
    step = timedelta(days=counter_week.DAYS)
    return visit.show(
        "counter.html",
        status,
        week=week,
        form=filled,
        night=night,
        elsewhere=sorted(chosen - listed),
        written=_written,
        other=_OTHER,
        axis=range(two_calendars.FIRST // 60, two_calendars.LAST // 60),
        today=visit.today,
        earlier=max(week.first - step, visit.today) if week.first > visit.today else None,
        later=week.first + step if (week.first - visit.today) < step * (counter_week.MOST_WEEKS - 1) else None,
        most=answers.MOST_PROPOSED,
    )


def _first(visit: frame.Visit, form: fields.Fields | None) -> date | None:
    """Read from which date on the week is shown; today's if none is named."""
    named = form.typed("from") if form else visit.request.query_params.get("from", "")
    return fields.Fields([("from", named)]).day("from")


def _written(start: datetime) -> str:
    return start.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_instant(value: str) -> bool:
    try:
        _instant.validate_python(value)
    except ValidationError:
        return False
    return True
