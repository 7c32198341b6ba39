"""Signing in by a link, signing out, and the first page."""

import base64
import binascii
import re

from fastapi import APIRouter, Response

from api.edge import deps
from api.pages import devices, fields, frame
from service import tables
from service.care import filing
from service.kernel import email_addresses, errors
from service.kernel.work import Work
from service.outbox import push_subscriptions
from service.people import action_links, browser_sessions, kept_posts, logins
from service.worklists import first_page, waiting

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_PLACES = re.compile(r"/(?!/|sign-|a/|j/)[A-Za-z0-9/_-]*", re.ASCII)
"""Addresses of ours that no link of a mail has."""


@router.get("/")
async def home(visit: frame.Anybody, paging: deps.Paging) -> Response:
    """Show what waits for the person; a stranger reads what this is, and may ask for a link."""
    if visit.person is None:
        return frame.welcome(visit)
    place = paging.after_deadline()
    after = waiting.Place(*place) if place else None
    page, may_ask = await visit.read(lambda w: _of_home(w, after))
    following = deps.cursor(*page.waiting[-1].place) if page.is_more_waiting else None
    return visit.show("home.html", page=page, may_ask=may_ask, following=following)


async def _of_home(w: Work, after: waiting.Place | None) -> tuple[first_page.FirstPage, bool]:
    return await first_page.read(w, after), await filing.may_file(w)


@router.post("/sign-in")
async def ask_for_link(visit: frame.Anybody) -> Response:
    """Mail a sign-in link if somebody has this address; the page says the same either way.

    Or mail another to whoever had the link of the token `again`, or sent the form of the token `resume`.
    """
    form = await fields.sent(visit.request)
    if form.typed("again") or form.typed("resume"):
        return await _mail_again(visit, form)
    email = form.words("email", "email")
    if email is not None:
        try:
            await visit.do(lambda w: logins.mail_link(w, email))
        except email_addresses.Unmailable as error:
            form.faults["email"] = error.refused
    if email is None or form.faults:
        return frame.welcome(visit, 422, form)
    readable = email_addresses.shown(email)
    return visit.show("welcome.html", 202, is_wanted=False, is_sent=True, email=readable)


async def _mail_again(visit: frame.Visit, form: fields.Fields) -> Response:
    """Mail a link to whom a token of ours names, without saying who that is."""

    async def mail(w: Work) -> None:
        if form.typed("resume"):
            await kept_posts.mail_link(w, form.typed("resume"))
        else:
            await logins.mail_again(w, form.typed("again"))

    try:
        await visit.do(mail)
    except errors.LinkInvalid:
        return frame.welcome(visit, 410, form)
    return visit.show("welcome.html", 202, is_wanted=False, is_sent=True, email="")


@router.get("/sign-in/{token}")
async def sign_in_page(visit: frame.Anybody, token: str) -> Response:
    """Show the button; nobody is signed in by looking."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, logins.SIGN_IN))
    except errors.LinkInvalid:
        return _over(visit, "unknown", 404)
    return _state(visit, link, token) or visit.show("sign_in.html")


@router.post("/sign-in/{token}")
async def sign_in(visit: frame.Anybody, token: str) -> Response:
    """Sign the link's person in, once."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, logins.SIGN_IN))
        over = _state(visit, link, token)
        if over:
            return frame.see("/") if link.person_id == visit.actor.person_id else over
        form = await fields.sent(visit.request)
        is_own = form.has("own_device", "yes")
        browser = logins.Browser(devices.named(visit.request.headers.get("user-agent", "")), is_own)
        cookie = await visit.do(lambda w: _begin(w, visit, token, browser))
    except errors.LinkInvalid:
        return _over(visit, "unknown", 404)
    waiting = await visit.read(lambda w: kept_posts.newest(w, link.person_id))
    answer = frame.see(f"/kept/{waiting}" if waiting else _wanted(visit))
    longest = browser_sessions.LONGEST_ON_OWN_DEVICE if is_own else browser_sessions.LONGEST
    # It outlives the visit: it tells then whose form it is that came too late.
    seconds = int((longest + browser_sessions.REMEMBERED).total_seconds())
    frame.keep(answer, visit.world, frame.cookie_name(visit.world), cookie, seconds)
    frame.keep(answer, visit.world, "wanted", "", 0)
    return answer


async def _begin(w: Work, visit: frame.Visit, token: str, browser: logins.Browser) -> str:
    """Begin the visit and give its cookie; what this browser was told by push goes on, or ends with its last person."""
    cookie = await browser_sessions.begin(w, token, browser)
    former = browser_sessions.id_of(w.keys, visit.request.cookies.get(frame.cookie_name(visit.world)))
    present = browser_sessions.id_of(w.keys, cookie)
    if present is not None:
        await push_subscriptions.follow_sign_in(w, former, present)
    return cookie


@router.post("/sign-out")
async def sign_out(visit: frame.Anybody) -> Response:
    """End the visit, on the server too."""
    name = frame.cookie_name(visit.world)
    token = visit.request.cookies.get(name)
    if token:
        await visit.do(lambda w: browser_sessions.end(w, token))
    answer = frame.see("/")
    frame.keep(answer, visit.world, name, "", 0)
    return answer


def _state(visit: frame.Visit, link: tables.Link, token: str) -> Response | None:
    if link.used_at is not None:
        return _over(visit, "used", 410, token)
    return _over(visit, "expired", 410, token) if link.expires_at <= visit.world.clock.now() else None


def _over(visit: frame.Visit, reason: str, status: int, token: str = "") -> Response:
    """Say why the link does nothing, with the form that asks for a new one: for the same address, if that is known."""
    text = visit.words.table["sign_in_over"][reason]
    return visit.show("sign_in_over.html", status, text=text, again=token, form=fields.Fields([]))


def _wanted(visit: frame.Visit) -> str:
    """Give the page that was asked for before the sign-in, if it is one of ours to return to."""
    try:
        path = base64.urlsafe_b64decode(visit.request.cookies.get("wanted", "").encode("ascii")).decode("ascii")
    except (binascii.Error, UnicodeError):
        return "/"
    return path if _PLACES.fullmatch(path) else "/"
