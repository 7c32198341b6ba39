"""Links in mails. Opening one shows what its button does, and changes nothing; pressing the button does it, once.

200: can be done, or was done (the result, however often one looks or presses). 404: not a link of ours. 410: over,
or no longer needed. A press that fails has the status of its problem, and can be tried again.
"""

from collections.abc import Awaitable, Callable, Sequence
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
from service.rules.time.night import NightHours
from service.worklists import link_views, page_views

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
JOIN = "join"
TIMES = ("time_1", "time_2", "time_3")


@dataclass(frozen=True, slots=True)
class _Pressed:
    """The values of the form, read before anything is done."""

    starts: tuple[datetime, ...] = ()
    reason: str = ""
    is_useful: bool = False
    outcome: str | None = None


Verb = Callable[[Work, tables.Link, UUID, _Pressed], Awaitable[object]]
_VERBS: dict[vocabulary.LinkPurpose, Verb] = {
    "offer.accept": lambda w, link, subject, _: answers.accept(w, subject, link.starts_at),
    "offer.accept_written": lambda w, _, subject, __: answers.accept(w, subject, None),
    "offer.decline": lambda w, _, subject, pressed: answers.decline(w, subject, pressed.reason),
    "offer.counter": lambda w, _, subject, pressed: answers.counter(w, subject, pressed.starts),
    "counter.accept": lambda w, link, subject, _: answers.accept_counter(w, subject, _start(link)),
    "counter.decline": lambda w, _, subject, __: answers.decline_counter(w, subject),
    "move.accept": lambda w, link, subject, _: appointments.agree(w, subject, _start(link)),
    "move.decline": lambda w, link, subject, _: appointments.decline_move(w, subject, _start(link)),
    "feedback": lambda w, _, subject, pressed: sessions.give_feedback(
        w, subject, is_useful=pressed.is_useful, patient_outcome=pressed.outcome, note=None
    ),
}


@dataclass(frozen=True, slots=True)
class _OpenedLink:
    """A link, its holder's visit, and what the link stands for now."""

    visit: frame.Visit
    link: tables.Link
    act: link_views.Act


@router.get("/a/{token}")
async def look(visit: frame.Anybody, token: str) -> Response:
    """Show what the button does, or what came of it."""
    opened = await _opened(visit, token)
    return _page(opened) if isinstance(opened, _OpenedLink) else opened


@router.post("/a/{token}")
async def press(visit: frame.Anybody, token: str) -> Response:
    """Do it, once, and show what came of it; pressed again, it shows the same."""
    opened = await _pressable(visit, token)
    if isinstance(opened, Response):
        return opened
    form = await fields.sent(visit.request)
    if visit.request.state.body_came_late:  # it may have taken a minute: whose link it is may act no more
        opened = await _pressable(visit, token)
        if isinstance(opened, Response):
            return opened
    pressed = _read(opened, form)
    night = opened.act.night
    if pressed.starts:
        night = await opened.visit.read(
            lambda w: page_views.night_of_offer(w, opened.link.subject_id or opened.link.id, pressed.starts)
        )
    if form.faults or (night and not form.has("sure", "yes")):
        return _page(opened, 422, form, night=night)
    try:
        await opened.visit.do(lambda w: _do(w, opened.link, pressed))
    except errors.TimeNotBookable as error:
        form.faults[TIMES[0]] = str(error)
        return _page(opened, 422, form)
    except errors.DomainError as error:
        problem = frame.problem_words(opened.visit.words, error)
        return _page(opened, problems.status_of(type(error)), form, problem, next_starts=frame.next_starts(error))
    return frame.see(visit.request.url.path)


async def _pressable(visit: frame.Visit, token: str) -> _OpenedLink | Response:
    """Give the link if its button does something now, else the page that says why not."""
    opened = await _opened(visit, token)
    if not isinstance(opened, _OpenedLink):
        return opened
    if _is_over(opened):
        return _page(opened)
    return frame.see(visit.request.url.path) if opened.act.state == "done" else opened


async def _do(w: Work, link: tables.Link, pressed: _Pressed) -> None:
    if await action_links.use(w, link.id):
        await _VERBS[link.purpose](w, link, link.subject_id or link.id, pressed)


async def _opened(visit: frame.Visit, token: str) -> _OpenedLink | Response:
    try:
        link = await visit.read(lambda w: action_links.read(w, token, *_VERBS))
    except errors.LinkInvalid:
        return _message(visit, 404, "link_unknown")
    try:
        visit = await visit.by_link_of(await visit.read(lambda w: action_links.holder(w, link)))
        return _OpenedLink(visit, link, await visit.read(lambda w: link_views.behind(w, link)))
    except (errors.LinkInvalid, errors.NotFound):
        return _message(visit, 410, "link_not_yours")


def _message(visit: frame.Visit, status: int, name: str) -> Response:
    texts = visit.words.table[name]
    return visit.show("message.html", status, title=texts["title"], text=texts["text"])


def _is_over(opened: _OpenedLink) -> bool:
    is_late = opened.link.expires_at <= opened.visit.world.clock.now()
    return opened.act.state == "gone" or (is_late and opened.act.state != "done")


def _page(
    opened: _OpenedLink,
    status: int = 200,
    form: fields.Fields | None = None,
    problem: dict[str, str] | None = None,
    night: Sequence[NightHours] = (),
    next_starts: Sequence[datetime] = (),
) -> Response:
    visit, link = opened.visit, opened.link
    if _is_over(opened):
        return _message(visit, 410, "link_over")
    texts = visit.words.table[f"acts.{link.purpose}"]
    return visit.show(
        "action.html",
        status,
        act=opened.act,
        link=link,
        said=texts,
        form=form or fields.Fields([]),
        problem=problem,
        reasons=vocabulary.DECLINE_REASONS,
        outcomes=vocabulary.PATIENT_OUTCOMES,
        times=TIMES,
        night=night or opened.act.night,
        next_starts=next_starts or opened.act.next_starts,
    )


def _read(opened: _OpenedLink, form: fields.Fields) -> _Pressed:
    if opened.link.purpose == "offer.decline":
        return _Pressed(reason=form.one_of("reason", vocabulary.DECLINE_REASONS))
    if opened.link.purpose == "offer.counter":
        return _Pressed(starts=proposed(form, opened.visit.zone))
    if opened.link.purpose == "feedback":
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
        link = await visit.read(lambda w: action_links.read(w, token, JOIN))
    except errors.LinkInvalid:
        return _message(visit, 404, "link_unknown")
    appointment_id = link.subject_id or link.id
    try:
        visit = await visit.by_link_of(await visit.read(lambda w: action_links.holder(w, link)))
        view = await visit.read(lambda w: appointments.read(w, appointment_id))
    except (errors.LinkInvalid, errors.NotFound):
        return _message(visit, 410, "link_not_yours")
    if visit.actor.person_id not in {row.person_id for row in view.participants}:
        return _message(visit, 410, "link_not_yours")
    if link.expires_at <= visit.world.clock.now():
        return _message(visit, 410, "join_over")
    return await enter(visit, appointment_id)


async def enter(visit: frame.Visit, appointment_id: UUID) -> Response:
    """Send the visitor to the appointment's room if it is open, else say why not."""
    texts = visit.words.table
    try:
        await visit.read(lambda w: appointments.room(w, appointment_id))
    except errors.JoinNotOpen as error:
        row = (await visit.read(lambda w: appointments.read(w, appointment_id))).row
        opens_at = datetime.fromisoformat(str(error.members["opens_at"]))
        if row.status == "cancelled" or opens_at <= visit.world.clock.now():
            return visit.show("message.html", 409, title=texts["join_over"]["title"], text=texts["join_over"]["text"])
        opening = texts["join_early"]["text"].format(when=visit.words.moment(opens_at, visit.zone))
        return visit.show("message.html", 409, title=texts["join_early"]["title"], text=opening)
    address = video.room_address(visit.world.settings, appointment_id)
    if address is None:
        return visit.show("message.html", title=texts["no_room"]["title"], text=texts["no_room"]["text"])
    return frame.see(address)
