"""Links in mails. Looking at one shows what its button does, and changes nothing; pressing it does it, once.

200: can be done, or was done (the result, however often one looks or presses). 404: not a link of ours. 410: over,
or no longer needed. A press that fails has the status of its problem, and can be tried again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import problems
from api.pages import fields, frame
from integrations import video
from service import tables, vocabulary
from service.care import answers, appointments, sessions
from service.kernel import errors
from service.kernel.work import Work
from service.people import action_links
from service.worklists import page_views

router = APIRouter(route_class=frame.PageRoute)
JOIN = "join"
TIMES = ("time_1", "time_2", "time_3")


@dataclass(frozen=True, slots=True)
class _Pressed:
    """What the form said, read before anything is done."""

    starts: tuple[datetime, ...] = ()
    reason: str = ""
    is_useful: bool = False
    outcome: str | None = None


Verb = Callable[[Work, tables.Link, UUID, _Pressed], Awaitable[object]]
_VERBS: dict[vocabulary.LinkPurpose, Verb] = {
    "offer.accept": lambda w, link, subject, _: answers.accept(w, subject, link.starts_at),
    "offer.accept_written": lambda w, _, subject, __: answers.accept(w, subject, None),
    "offer.decline": lambda w, _, subject, said: answers.decline(w, subject, said.reason),
    "offer.counter": lambda w, _, subject, said: answers.counter(w, subject, said.starts),
    "counter.accept": lambda w, link, subject, _: answers.accept_counter(w, subject, _start(link)),
    "counter.decline": lambda w, _, subject, __: answers.decline_counter(w, subject),
    "move.accept": lambda w, link, subject, _: appointments.agree(w, subject, _start(link)),
    "move.decline": lambda w, link, subject, _: appointments.decline_move(w, subject, _start(link)),
    "feedback": lambda w, _, subject, said: sessions.give_feedback(
        w, subject, is_useful=said.is_useful, patient_outcome=said.outcome, note=None
    ),
}


@dataclass(frozen=True, slots=True)
class _Held:
    """A link, its holder's visit, and what the link stands for now."""

    visit: frame.Visit
    link: tables.Link
    act: page_views.Act


@router.get("/a/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show what the button does, or what came of it."""
    held = await _held(visit, token)
    return _page(held) if isinstance(held, _Held) else held


@router.post("/a/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Do it, once, and show what came of it; pressed again, it shows the same."""
    held = await _held(visit, token)
    if not isinstance(held, _Held) or _is_over(held):
        return _page(held) if isinstance(held, _Held) else held
    if held.act.state == "done":
        return frame.see(visit.request.url.path)
    form = await fields.sent(visit.request)
    pressed = _read(held, form)
    if form.faults:
        return _page(held, 422, form)
    try:
        await held.visit.do(lambda w: _do(w, held.link, pressed))
    except errors.TimeNotBookable as error:
        form.faults[TIMES[0]] = str(error)
        return _page(held, 422, form)
    except errors.DomainError as error:
        said = frame.problem_words(held.visit.words, error)
        return _page(held, problems.status_of(type(error)), form, said)
    return frame.see(visit.request.url.path)


async def _do(w: Work, link: tables.Link, pressed: _Pressed) -> None:
    if await action_links.use(w, link.id):
        await _VERBS[link.purpose](w, link, link.subject_id or link.id, pressed)


async def _held(visit: frame.Visit, token: str) -> _Held | Response:
    try:
        link = await visit.do(lambda w: action_links.read(w, token, *_VERBS))
        holder = await visit.do(lambda w: action_links.holder(w, link))
        theirs = await visit.acting_as(holder, by_link=True)
        return _Held(theirs, link, await theirs.do(lambda w: page_views.behind(w, link)))
    except (errors.LinkInvalid, errors.NotFound):
        said = visit.words.table["link_unknown"]
        return visit.show("message.html", 404, title=said["title"], text=said["text"])


def _is_over(held: _Held) -> bool:
    is_late = held.link.expires_at <= held.visit.world.clock.now()
    return held.act.state == "gone" or (is_late and held.act.state != "done")


def _page(
    held: _Held, status: int = 200, form: fields.Fields | None = None, problem: dict[str, str] | None = None
) -> Response:
    visit, link = held.visit, held.link
    if _is_over(held):
        said = visit.words.table["link_over"]
        return visit.show("message.html", 410, title=said["title"], text=said["text"])
    said = visit.words.table[f"acts.{link.purpose}"]
    return visit.show(
        "action.html",
        status,
        act=held.act,
        link=link,
        said=said,
        form=form or fields.Fields([]),
        problem=problem,
        reasons=vocabulary.DECLINE_REASONS,
        outcomes=vocabulary.PATIENT_OUTCOMES,
        times=TIMES,
    )


def _read(held: _Held, form: fields.Fields) -> _Pressed:
    if held.link.purpose == "offer.decline":
        return _Pressed(reason=form.one_of("reason", vocabulary.DECLINE_REASONS))
    if held.link.purpose == "offer.counter":
        return _Pressed(starts=proposed(form, held.visit.zone))
    if held.link.purpose == "feedback":
        useful = form.one_of("useful", ("yes", "no"))
        return _Pressed(
            is_useful=useful == "yes", outcome=form.one_of("outcome", vocabulary.PATIENT_OUTCOMES, needed=False) or None
        )
    return _Pressed()


def proposed(form: fields.Fields, zone: str) -> tuple[datetime, ...]:
    """Read up to three times by the clock of the zone; one is needed."""
    times = [form.local(name, zone) for name in TIMES]
    starts = tuple(time for time in times if time is not None)
    if not starts and not form.faults:
        form.faults[TIMES[0]] = "needed"
    return starts


def _start(link: tables.Link) -> datetime:
    if link.starts_at is None:
        raise errors.LinkInvalid
    return link.starts_at


@router.get("/j/{token}")
async def join(visit: frame.Anybody, token: str) -> Response:
    """Send the person to the room, from ten minutes before until an hour after; else say when it opens."""
    try:
        link = await visit.do(lambda w: action_links.read(w, token, JOIN))
        theirs = await visit.acting_as(await visit.do(lambda w: action_links.holder(w, link)), by_link=True)
    except errors.LinkInvalid:
        said = visit.words.table["link_unknown"]
        return visit.show("message.html", 404, title=said["title"], text=said["text"])
    if link.expires_at <= visit.world.clock.now():
        said = theirs.words.table["join_over"]
        return theirs.show("message.html", 410, title=said["title"], text=said["text"])
    return await enter(theirs, link.subject_id or link.id)


async def enter(visit: frame.Visit, appointment_id: UUID) -> Response:
    """Send the visitor to the appointment's room if it is open, else say why not."""
    said = visit.words.table
    try:
        await visit.do(lambda w: appointments.room(w, appointment_id))
    except errors.JoinNotOpen as error:
        row = (await visit.do(lambda w: appointments.read(w, appointment_id))).row
        opens_at = datetime.fromisoformat(str(error.members["opens_at"]))
        if row.status == "cancelled" or opens_at <= visit.world.clock.now():
            return visit.show("message.html", 409, title=said["join_over"]["title"], text=said["join_over"]["text"])
        when = said["join_early"]["text"].format(when=visit.words.moment(opens_at, visit.zone))
        return visit.show("message.html", 409, title=said["join_early"]["title"], text=when)
    address = video.room_address(visit.world.settings, appointment_id)
    if address is None:
        return visit.show("message.html", title=said["no_room"]["title"], text=said["no_room"]["text"])
    return frame.see(address)
