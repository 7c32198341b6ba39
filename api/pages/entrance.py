"""Signing in by a link, signing out, and the first page."""

import base64
import binascii
import re
from collections.abc import Sequence

from fastapi import APIRouter, Response

from api.pages import fields, frame
from service import tables
from service.care import filing
from service.kernel import email_addresses, errors
from service.kernel.work import Work
from service.people import action_links, browser_sessions, logins
from service.worklists import address_cards, page_views

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_PLACES = re.compile(r"/people|/operations|/(offers|consultations)/([0-9a-f-]{36}|new)", re.ASCII)


@router.get(frame.STYLE_PATH)
async def style() -> Response:
    """Give the one stylesheet; its address changes with it."""
    return Response(
        frame.STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


@router.get("/")
async def home(visit: frame.Anybody) -> Response:
    """Show what waits for the person; a stranger reads what this is, and may ask for a link."""
    if visit.person is None:
        return visit.show("welcome.html", is_wanted=False, is_sent=False, email="", fault=None)
    home_page, cards, may_ask = await visit.read(_of_home)
    return visit.show(
        "home.html",
        home=home_page,
        may_ask=may_ask,
        addresses=cards,
        runs_it=visit.actor.holds("programme_admin"),
    )


async def _of_home(w: Work) -> tuple[page_views.Home, Sequence[address_cards.AddressCard], bool]:
    return await page_views.home(w), await address_cards.cards(w), await filing.may_file(w)


@router.post("/sign-in")
async def ask_for_link(visit: frame.Anybody) -> Response:
    """Mail a sign-in link if somebody has this address; the page says the same either way."""
    form = await fields.sent(visit.request)
    email = form.words("email", "email")
    if email is not None:
        try:
            await visit.do(lambda w: logins.mail_link(w, email))
        except email_addresses.Unmailable as error:
            form.faults["email"] = error.refused
    if email is None or form.faults:
        fault = visit.words.fault(form.faults["email"])
        return visit.show("welcome.html", 422, is_wanted=False, is_sent=False, email=form.typed("email"), fault=fault)
    readable = email_addresses.shown(email)
    return visit.show("welcome.html", 202, is_wanted=False, is_sent=True, email=readable, fault=None)


@router.get("/sign-in/{token}")
async def sign_in_page(visit: frame.Anybody, token: str) -> Response:
    """Show the button; nobody is signed in by looking."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, logins.SIGN_IN))
    except errors.LinkInvalid:
        return _over(visit, "unknown", 404)
    return _state(visit, link) or visit.show("sign_in.html")


@router.post("/sign-in/{token}")
async def sign_in(visit: frame.Anybody, token: str) -> Response:
    """Sign the link's person in, once."""
    try:
        link = await visit.read(lambda w: action_links.read(w, token, logins.SIGN_IN))
        over = _state(visit, link)
        if over:
            return frame.see("/") if link.person_id == visit.actor.person_id else over
        cookie = await visit.do(lambda w: browser_sessions.begin(w, token))
    except errors.LinkInvalid:
        return _over(visit, "unknown", 404)
    answer = frame.see(_wanted(visit))
    frame.keep(answer, visit.world, frame.cookie_name(visit.world), cookie, int(browser_sessions.LIFE.total_seconds()))
    frame.keep(answer, visit.world, "wanted", "", 0)
    return answer


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


def _state(visit: frame.Visit, link: tables.Link) -> Response | None:
    if link.used_at is not None:
        return _over(visit, "used", 410)
    return _over(visit, "expired", 410) if link.expires_at <= visit.world.clock.now() else None


def _over(visit: frame.Visit, reason: str, status: int) -> Response:
    texts = visit.words.table["sign_in_over"]
    return visit.show("message.html", status, title=texts["title"], text=texts[reason])


def _wanted(visit: frame.Visit) -> str:
    """Give the page that was asked for before the sign-in, if it is one of ours to return to."""
    try:
        path = base64.urlsafe_b64decode(visit.request.cookies.get("wanted", "").encode("ascii")).decode("ascii")
    except (binascii.Error, UnicodeError):
        return "/"
    return path if _PLACES.fullmatch(path) else "/"
