"""A server that is found under a path of a host: no address that it tells lacks the path (OPS-14)."""

import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

import flow
import world as simulated
from integrations.identity import access_tokens
from integrations.runtime import mail_delivery, setting_checks
from integrations.runtime.world import World
from service import timers
from service.kernel import actor
from service.outbox import deliveries
from service.people import logins

HOST, PATH = "https://hospital.example", "/pobratym"
OURS = re.compile(
    r"/(v1|oauth2|fhir|problems|schemas|openapi\.json|docs|pages|a|j|sign-in|people|offers|consultations)\b"
)
IN_PAGE = re.compile(r'(?:href|action|src)="([^"]*)"')
OPEN = (
    "/docs",
    "/openapi.json",
    "/problems/not-found",
    "/schemas/events/offer.sent.json",
    "/.well-known/oauth-authorization-server",
    "/",
)
NO_ADDRESS = frozenset({"pointer", "paths", "$ref", "webhooks"})
"""Members of documents whose values begin with a slash and are told to nobody as an address."""


def found_under(world: World) -> World:
    """Have the world's server at a path."""
    world.settings = world.settings.model_copy(update={"base_url": HOST + PATH})
    world.database.base_path = PATH
    world.tokens = access_tokens.AccessTokens(world.settings.base_url)
    return world


def addresses(answer: httpx.Response) -> list[str]:
    """List what the answer tells as addresses of ours."""
    told = [answer.headers[name] for name in ("location", "content-location", "link") if name in answer.headers]
    kind = answer.headers.get("content-type", "")
    if "json" in kind:
        told += list(texts(answer.json()))
    elif "html" in kind:
        told += IN_PAGE.findall(answer.text)
    return [address.removeprefix(HOST) for address in told if is_ours(address)]


def is_ours(address: str) -> bool:
    return address.startswith((HOST, PATH)) or bool(OURS.match(address)) or address == "/"


def texts(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for name, member in value.items():
            if name not in NO_ADDRESS:
                yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
    elif isinstance(value, str):
        yield value


class Watched:
    """Every answer of a client, looked at."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.bare: set[str] = set()

    async def __call__(self, answer: httpx.Response) -> None:
        await answer.aread()
        for address in addresses(answer):
            self.seen.add(address)
            if not (address == PATH or address.startswith(f"{PATH}/")):
                self.bare.add(f"{answer.request.method} {answer.request.url.path} tells {address}")
        for cookie in answer.headers.get_list("set-cookie"):
            assert f"Path={PATH};" in cookie, cookie


@asynccontextmanager
async def browsing(application: FastAPI, watched: Watched, proxy: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client behind a proxy that passes the path on, or strips it."""
    hooks: dict[str, list[Any]] = {"response": [watched]}
    if proxy == "strips":
        hooks["request"] = [stripped]
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url=HOST + PATH, event_hooks=hooks) as client:
        yield client


async def stripped(request: httpx.Request) -> None:
    request.url = request.url.copy_with(raw_path=request.url.raw_path.removeprefix(PATH.encode()) or b"/")


async def crawl(client: httpx.AsyncClient, first: str) -> set[str]:
    """Look at every page that can be reached from the first."""
    waiting, looked_at = {first}, set[str]()
    while waiting:
        address = waiting.pop()
        looked_at.add(address)
        answer = await client.get(HOST + address)
        assert answer.status_code in {200, 303, 401, 404, 405, 410, 422}, (address, answer.status_code)
        if "html" in answer.headers.get("content-type", "") and len(looked_at) < 120:
            waiting |= set(addresses(answer)) - looked_at
    return looked_at


@pytest.mark.parametrize("proxy", ["passes", "strips"])
async def test_ops_14_no_page_answer_or_mail_tells_an_address_without_the_path(
    application: FastAPI, world: World, test_clock: simulated.TestClock, proxy: str
) -> None:
    application.state.world = found_under(world)
    watched = Watched()
    async with browsing(application, watched, proxy) as client:
        scene = flow.Scene(world, test_clock, client)
        await scene.set_up()
        consultation = await scene.request()
        offer = await scene.offer()
        booked = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
        await scene.call("clinician", "GET", "/v1/consultations/" + "0" * 8, status=404)
        await client.post("/v1/auth/sign-in-links", json={"email": scene.people["mentor"].email})
        letters = await mails(scene)
        assert len(letters) > 3
        for letter in letters:
            links = re.findall(rf"{HOST}[^\s\"<>]*", letter)
            assert links, letter
            assert all(link.startswith(f"{HOST}{PATH}/") for link in links), links
        await timers.place_events(world.database)
        events = await scene.get("coordinator", "/v1/events")
        assert {event["data"]["links"]["self"].startswith(f"{PATH}/v1/") for event in events["items"]} == {True}
        test_clock.set(flow.read_instant(booked["ends_at"]))
        address = f"/v1/appointments/{booked['id']}/session"
        logged = await scene.call("mentor", "POST", address, flow.happened(booked), status=201)
        assert logged.headers["location"].startswith(f"{PATH}/v1/sessions/")
        await scene.get("coordinator", f"/v1/memoranda/{scene.memorandum.id}/report?from=2026-01-01&until=2027-01-01")
        for path in OPEN:
            assert (await client.get(path)).status_code == 200
        for who in ("clinician", "mentor"):
            await sign_in(scene, client, who)
            await crawl(client, f"{PATH}/")
            await crawl(client, f"{PATH}/consultations/{consultation}")

    assert watched.bare == set()
    assert f"{PATH}/consultations/{consultation}" in watched.seen


def test_ops_14_a_path_cannot_be_taken_for_an_address_of_our_own(application: FastAPI) -> None:
    begun = {(route.path or "/").split("/")[1].partition("{")[0] for route in iter_route_contexts(application.routes)}

    assert begun - {""} <= setting_checks.OWN_NAMES


async def sign_in(scene: flow.Scene, client: httpx.AsyncClient, who: str) -> None:
    client.cookies.clear()

    async with scene.world.database.work(actor.TIMER) as w:
        token = await logins.link_token(w, scene.people[who].email, logins.LINK_LIFE)
    answer = await client.post(f"/sign-in/{token}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}/")
    assert answer.headers.get_list("set-cookie")[0].startswith("__Secure-session=")


async def mails(scene: flow.Scene) -> list[str]:
    """Give the text of every mail, whole and decoded, its calendar too."""
    found = []
    for row in await scene.rows("SELECT id FROM delivery WHERE kind = 'mail'"):
        async with scene.world.database.work(actor.TIMER) as w:
            claim = await deliveries.claim(w, row.id)
        if claim is None:  # not to be sent any more
            continue
        octets = mail_delivery.compose(scene.world, claim)
        parts = email.message_from_bytes(octets, policy=policy.default).walk()
        texts = [part.get_content() for part in parts if part.get_content_maintype() == "text"]
        found.append("\n".join(re.sub(r"\r?\n ", "", text) for text in texts))  # calendars fold their lines
    return found
