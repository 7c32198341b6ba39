"""Who looks at a page, in which language, and what every page has: headers, errors in words, no foreign forms.

A handler asks for a `Visit`. Each thing it does is one transaction of its own (`do`), committed before the page is
built from the next: a form that fails is shown again with what was typed, and nothing half done. What it only reads
needs none (`read`), and is read at once: each visit to the database has its price before it has said anything.
"""

import base64
import contextlib
import dataclasses
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import jinja2
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from markupsafe import Markup, escape
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.edge import problems
from api.pages import assets, fields, sections, words
from api.pages.words import Words
from integrations import catalogues
from integrations.runtime.world import World
from service import vocabulary
from service.kernel import actor as actors
from service.kernel import clock, email_addresses, errors, limits, work
from service.kernel.work import Work
from service.people import browser_sessions, kept_posts
from service.rules.time import availability

T = TypeVar("T")
_FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def isolated(text: object) -> Markup:
    """Write what people typed, such as a name, so that its direction stays its own."""
    return Markup("<bdi>{}</bdi>").format(text)


def put(text: str, **values: object) -> Markup:
    """Put values into a sentence of the catalogue, what people typed isolated; Markup stays as it is."""
    shown = {name: value if isinstance(value, Markup) else isolated(value) for name, value in values.items()}
    return escape(text).format(**shown)


_PAGES.filters |= {"bdi": isolated, "put": put}
_SEE_OTHER = 303
LANGUAGE = "language"
FOLLOWING = "x-following"
"""The header by which a script says that the page asks by itself: nobody is there, so no visit lasts longer by it."""
TOLD = "told"
"""What the next page says once, by its key in `page.told`."""
SENT = "sent"
"""Which draft on the device was taken, for the next page to let go of it."""
_ONE_WORD = re.compile(r"[a-z_]{1,32}(:[0-9a-f-]{36})?", re.ASCII)
_BARE = ("/a/", "/j/", "/sign-in/")
"""Addresses that are secrets, of pages without scripts."""
_ONCE_SECONDS = 3600
_TOO_LARGE = 413
_OWN_FETCH = ("same-origin", "none")
_BY_A_PERSON = "navigate"
"""The mode of a request by which a browser shows another page; a script's have others."""


class ForeignForm(errors.Forbidden):
    """This form was not sent by one of our pages"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one person, signed in or not."""

    request: Request
    world: World
    actor: actors.Actor
    person: browser_sessions.Person | None
    words: Words
    by_link: bool = False
    held_since: datetime | None = None  # nothing is mailed, as the database was restored and not released
    is_own_device: bool = False  # so the person said at the sign-in: texts may be kept on it while they are typed
    has_kept: bool = False  # a form that was sent too late waits for them

    async def do(self, body: Callable[[Work], Awaitable[T]]) -> T:
        """Do `body` in one transaction as the visitor, committed when this returns."""

        async def attempt() -> T:
            state = self.request.state
            async with self.world.database.work(self.actor, state.request_id, state.traceparent) as w:
                return await body(w)

        return await work.retrying(attempt)

    async def read(self, body: Callable[[Work], Awaitable[T]]) -> T:
        """Do `body`, which writes nothing, as the visitor and in no transaction: BEGIN and COMMIT are round trips too.

        Not for case text, since that it was read is written down.
        """

        async def attempt() -> T:
            async with self.world.database.apart(self.request.state.request_id) as w:
                w.actor = self.actor
                return await body(w)

        return await work.retrying(attempt)

    async def by_link_of(self, actor: actors.Actor) -> "Visit":
        """Give this visit as that of a link's holder, in their language.

        A link signs nobody in, and mails are forwarded: a page opened by a link does not name its holder. A language
        that this browser was switched to goes before theirs.
        """
        switched = dataclasses.replace(self, actor=actor)
        person = await switched.read(browser_sessions.acting)
        locale = _chosen_locale(self.request) or person.locale
        return dataclasses.replace(switched, person=person, words=words.of(locale), by_link=True)

    @property
    def zone(self) -> str:
        """The visitor's own zone."""
        return self.person.zone if self.person else "UTC"

    @property
    def today(self) -> date:
        """The date where the visitor is."""
        return availability.local_date(self.world.clock.now(), self.zone)

    def local(self, at: datetime) -> str:
        """Write the instant as a field for local times takes it, by the visitor's clock."""
        return f"{availability.to_wall(at, self.zone):%Y-%m-%dT%H:%M}"

    def show(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Give the page."""
        path = self.request.scope["path"]
        draft_owner = self.person.id if self.is_own_device and self.person and not self.by_link else None
        form = values.get("form") or getattr(values.get("tried"), "form", None)
        listed = sections.of(self.actor)
        text = _PAGES.get_template(template).render(
            t=self.words.table,
            words=self.words,
            me=None if self.by_link else self.person,
            zone=self.zone,
            now=self.world.clock.now(),
            base=self.world.settings.base_path,
            assets=assets.PATHS,
            here=path,
            sections=listed,
            current_section=sections.current(path, listed),
            other_languages=words.names_of_others(self.words.locale),
            faulty=form if isinstance(form, fields.Fields) and form.faults else None,
            held_since=self.held_since,
            has_kept=self.has_kept,
            draft_owner=draft_owner,
            told=self._once(TOLD),
            sent=self._once(SENT) if draft_owner else "",
            is_bare=path.startswith(_BARE),
            **values,
        )
        answer = HTMLResponse(text, status, HEADERS)
        for name in (TOLD, SENT) if draft_owner else (TOLD,):
            if name in self.request.cookies:
                keep(answer, self.world, name, "", 0)
        return answer

    def _once(self, name: str) -> str:
        """Give what the answer before this one left to be said once, by a cookie of this name."""
        left = self.request.cookies.get(name, "")
        return left if _ONE_WORD.fullmatch(left) else ""

    def problem(self, error: errors.DomainError) -> HTMLResponse:
        """Give the page of an error: what it means, and what to do."""
        texts = problem_words(self.words, error)
        return self.show("message.html", problems.status_of(type(error)), title=texts["title"], text=texts["advice"])


def problem_words(catalogue: Words, error: errors.DomainError) -> dict[str, str]:
    """Give an error's title and advice, with the gate's reasons if it names some; an unknown error has its parent's."""
    kinds = [problems.name_of(kind) for kind in type(error).__mro__ if issubclass(kind, errors.DomainError)]
    wordings = (catalogue.problem(kind) for kind in kinds)
    texts = dict(next((words for words in wordings if words), catalogue.table["problems.other"]))
    reasons = error.members.get("reasons")
    if isinstance(reasons, list):
        rules = catalogue.table["reasons"]
        texts["advice"] += " " + "; ".join(rules.get(reason, reason) for reason in reasons) + "."
    return texts


def next_starts(error: errors.DomainError) -> list[datetime]:
    """Give the times that an error names in place of the one that was taken."""
    named = error.members.get("next_starts")
    return [datetime.fromisoformat(start) for start in named] if isinstance(named, list) else []


def tell(current: Visit, answer: Response, said: str) -> Response:
    """Have the next page say something once, by its key in `page.told`."""
    keep(answer, current.world, TOLD, said, _ONCE_SECONDS)
    return answer


def see(path: str) -> RedirectResponse:
    """Send the browser to a page, after what was done."""
    return RedirectResponse(path, _SEE_OTHER, HEADERS)


def cookie_name(world: World) -> str:
    """Give the name of the session's cookie; browsers let no other host set one with the prefix `__Host-`.

    That prefix is for a whole host. Where others share it, the cookie keeps to our own path.
    """
    if not is_secure(world):
        return "session"
    return "__Secure-session" if world.settings.base_path else "__Host-session"


def is_secure(world: World) -> bool:
    """Tell whether people come by https."""
    return world.settings.base_url.startswith("https:")


async def visit(request: Request) -> Visit:
    """Give the visitor's visit; that of a stranger without a valid cookie."""
    current = strangers_visit(request)
    request.state.visit = current
    if request.method == "POST":
        _refuse_foreign(request, current.world)
    visitor = await current.read(lambda w: _admitted(w, request, current.world))
    is_late = visitor is not None and visitor.seen_at <= current.world.clock.now() - browser_sessions.NOTED_EVERY
    if is_late and FOLLOWING not in request.headers and request.url.path != "/live":
        token = request.cookies[cookie_name(current.world)]
        with contextlib.suppress(errors.Unavailable):  # a database that takes no writes shows pages all the same
            await current.do(lambda w: browser_sessions.note_use(w, token))
    return _of_visitor(current, visitor)


def strangers_visit(request: Request) -> Visit:
    """Give the visit of whoever it is before anybody has looked, in the language of the browser."""
    locale = _chosen_locale(request) or catalogues.wanted(request.headers.get("accept-language", ""))
    return Visit(request, request.app.state.world, actors.STRANGER, None, words.of(locale))


def _chosen_locale(request: Request) -> str | None:
    """Give the language that this browser was switched to, if it was."""
    return next((locale for locale in vocabulary.LOCALES if locale == request.cookies.get(LANGUAGE)), None)


def _of_visitor(current: Visit, visitor: browser_sessions.Visitor | None) -> Visit:
    """Give the visit as that of whoever is signed in, and keep it for the pages of errors."""
    if visitor is not None:
        current = dataclasses.replace(
            current,
            actor=visitor.actor,
            person=visitor.person,
            words=words.of(visitor.person.locale),
            held_since=visitor.held_since,
            is_own_device=visitor.is_own_device,
            has_kept=visitor.has_kept,
        )
        current.request.state.visit = current
    return current


async def _visitor(w: Work, request: Request, world: World) -> browser_sessions.Visitor | None:
    token = request.cookies.get(cookie_name(world))
    if token:
        try:
            return await browser_sessions.visitor(w, token)
        except errors.Unauthenticated:
            return None
    return None


async def _admitted(w: Work, request: Request, world: World) -> browser_sessions.Visitor | None:
    """Give who is signed in, and count the call, whatever becomes of it."""
    visitor = await _visitor(w, request, world)
    address = request.client.host if request.client else "unknown"
    is_sign_in = request.method == "POST" and request.url.path.startswith("/sign-in")
    per_minute = world.settings.sign_ins_per_minute if is_sign_in else world.settings.requests_per_minute
    if per_minute:
        bucket = f"sign-in:{address}" if is_sign_in else f"person:{visitor.person.id}" if visitor else None
        await limits.take(w, bucket or f"address:{address}", clock.wall(), per_minute)
    return visitor


def _refuse_foreign(request: Request, world: World) -> None:
    """Let no other site's page send our forms; raises ForeignForm.

    Browsers that say where a request comes from (`Sec-Fetch-Site`) are believed; of others the `Origin` must be ours.
    Our pages send no referrer, so that an old browser's origin is `null`: enough only where the path holds the proof.
    """
    fetched = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if fetched is not None:
        is_ours = fetched in _OWN_FETCH
    elif origin is None:
        is_ours = True  # no browser: nobody's cookies are at risk
    elif origin == "null":
        is_ours = request.url.path.startswith("/a/")
    else:
        is_ours = _host_of(origin) in {request.headers.get("host"), urlsplit(world.settings.base_url).netloc}
    if not is_ours:
        raise ForeignForm


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


async def known(current: Annotated[Visit, Depends(visit)]) -> Visit:
    """Give the visit of somebody signed in, who still is when their form has arrived; raises Unauthenticated.

    A form may take more than a minute, and roles end at once: who sends one that came late is asked again.
    """
    if current.person is None:
        raise errors.Unauthenticated
    if current.request.method == "POST":
        await current.request.body()
    if not current.request.state.body_came_late:
        return current
    visitor = await current.read(lambda w: _visitor(w, current.request, current.world))
    if visitor is None:
        raise errors.Unauthenticated
    return _of_visitor(current, visitor)


async def goes_on(current: Visit) -> bool:
    """Tell whether whoever is signed in still is, with the same roles."""
    visitor = await current.read(lambda w: _visitor(w, current.request, current.world))
    return visitor is not None and visitor.actor == current.actor


Anybody = Annotated[Visit, Depends(visit)]
Known = Annotated[Visit, Depends(known)]


class PageRoute(APIRoute):
    """A route whose errors are pages. Who looks where only a form is sent to is led to the page that has the form."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or send a browser that only looks to the nearest page above the address."""
        if scope["method"] == "GET" and "GET" not in (self.methods or ()):
            await see(page_of(scope, scope["path"]))(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Turn errors into pages."""
        handler = super().get_route_handler()

        async def paged(request: Request) -> Response:
            try:
                try:
                    return await _followed_up(request, await handler(request))
                except errors.Unauthenticated as error:
                    return await _sign_in_first(request, error)
            except errors.DomainError as error:
                return _on_page(request, error)
            except RequestValidationError:
                return _on_page(request, errors.NotFound())  # only path parameters are declared, and this is no id
            except problems.TooLarge as error:
                return _too_large(request, error)
            except (problems.BadBody, problems.UnsupportedMediaType):
                return _on_page(request, errors.Invalid("", "the form cannot be read"))

        return paged


def page_of(scope: Scope, path: str) -> str:
    """Give the address, or the nearest one above it, that shows a page."""
    while path.rstrip("/"):
        if route_of(scope, "GET", path):
            return path
        path = path.rpartition("/")[0] or "/"
    return "/"


def route_of(scope: Scope, method: str, path: str) -> str | None:
    """Give the template of the page's route that answers there."""
    own = ("route", "endpoint", "path_params")
    asked = {name: value for name, value in scope.items() if name not in own} | {"method": method, "path": path}
    routes = (route for route in scope["app"].routes if isinstance(route, PageRoute))
    return next((route.path for route in routes if route.matches(asked)[0] is Match.FULL), None)


def _too_large(request: Request, error: problems.TooLarge) -> Response:
    current: Visit | None = getattr(request.state, "visit", None)
    if current is None:
        raise error
    words_of_it = current.words.table["problems.too-large"]
    return current.show("message.html", _TOO_LARGE, title=words_of_it["title"], text=words_of_it["advice"])


def _on_page(request: Request, error: errors.DomainError) -> Response:
    current: Visit | None = getattr(request.state, "visit", None)
    if current is None:
        raise error
    answer = current.problem(error)
    if isinstance(error, errors.TooManyRequests | errors.Unavailable):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def welcome(
    current: Visit, status: int = 200, form: fields.Fields | None = None, *, is_wanted: bool = False
) -> HTMLResponse:
    """Give the page of a stranger: what this is, and the form that asks for a sign-in link."""
    return current.show("welcome.html", status, form=form or fields.Fields([]), is_wanted=is_wanted, is_sent=False)


async def _followed_up(request: Request, answer: Response) -> Response:
    """After a form was done: keep it no longer, here (`kept_posts`) or as a draft on the device."""
    current: Visit | None = getattr(request.state, "visit", None)
    form: fields.Fields | None = getattr(request.state, "form", None)
    if request.method != "POST" or answer.status_code != _SEE_OTHER or current is None or form is None:
        return answer
    if current.has_kept:
        await current.do(lambda w: kept_posts.sent(w, request.url.path, form.id("key")))
    if current.is_own_device and _ONE_WORD.fullmatch(form.typed("draft")):
        keep(answer, current.world, SENT, form.typed("draft"), _ONCE_SECONDS)
    return answer


async def _sign_in_first(request: Request, error: errors.Unauthenticated) -> Response:
    """Show the sign-in page. What was sent is kept for whoever's visit has ended; a wanted page, for 15 minutes."""
    current: Visit | None = getattr(request.state, "visit", None)
    if current is None:
        raise error
    if request.method == "POST":
        kept = await _kept(current)
        if kept is not None:
            return kept
    answer = welcome(current, 401, is_wanted=True)
    if request.method == "GET":
        encoded_path = base64.urlsafe_b64encode(request.url.path.encode()).decode()
        keep(answer, current.world, "wanted", encoded_path, 900)
    return answer


async def _kept(current: Visit) -> Response | None:
    """Keep the form that came after its visit had ended, and say so; None if nobody knows whose visit it was.

    Nor is kept what a script asks while somebody types: it would take the place of what people sent.
    """
    request = current.request
    if request.headers.get("sec-fetch-mode", _BY_A_PERSON) != _BY_A_PERSON:
        return None
    token = request.cookies.get(cookie_name(current.world))
    if not token or await current.read(lambda w: browser_sessions.person_of(w, token)) is None:
        return None
    form = await fields.sent(request)
    body = (await request.body()).decode("ascii")
    waiting = await current.do(lambda w: kept_posts.keep(w, token, request.url.path, body, form.id("key")))
    if waiting is None:
        return None
    longest = max((len(value) for values in form.values.values() for value in values), default=0)
    return current.show("ended.html", 401, resume=waiting.token, email=_hinted(waiting.email), characters=longest)


def _hinted(email: str) -> str:
    """Give an address as its owner knows it, and nobody else reads it: its first letter, and where it is."""
    name, _, domain = email_addresses.shown(email).rpartition("@")
    return f"{name[:1]}…@{domain}"


def keep(answer: Response, world: World, name: str, value: str, seconds: int) -> None:
    """Set a cookie that scripts and other sites do not get; 0 seconds delete it."""
    path = world.settings.base_path or "/"
    answer.set_cookie(name, value, max_age=seconds, path=path, secure=is_secure(world), httponly=True, samesite="lax")
