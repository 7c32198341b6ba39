"""Everything that reads, once for everybody who may: the routes by HTTP, then what a worker does by itself."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

import world as simulated
from api.pages import assets
from bench import history
from bench.explaining import Collector
from integrations.runtime.world import World
from service import housekeeping, timers, vocabulary
from service.kernel import actor, clock
from service.people import logins
from service.reporting import rollups

BUSY = ("clinician 1", "mentor 1", "coordinator 1", "partner 1", "admin 1")
QUIET = ("clinician 1200", "mentor 991", "coordinator 60", "partner 100", "admin of all")
SYSTEMS = ("system 1", "mentors system 1", "system 60", "mentors system 100")
EVERYBODY = (*BUSY, *QUIET, *SYSTEMS)
"""Those who are busy ask for everything in every way, the others for the lists, as they come."""

_THINGS = {
    "activities": "SELECT id FROM activity WHERE memorandum_id = :memorandum LIMIT 1",
    "appointments": "SELECT a.id FROM appointment a JOIN consultation c ON c.id = a.consultation_id"
    " WHERE c.clinician_id = :clinician AND a.status = 'booked' ORDER BY a.id LIMIT 1",
    "consultations": "SELECT id FROM consultation WHERE clinician_id = :clinician AND state = 'offered' LIMIT 1",
    "offers": "SELECT id FROM offer WHERE mentor_id = :mentor AND state = 'pending' LIMIT 1",
    "sessions": "SELECT id FROM session WHERE mentor_id = :mentor ORDER BY id DESC LIMIT 1",
}
_NAMED = {
    "clients": "system 1", "institutions": "asking 1", "memoranda": "memorandum 1", "mentors": "mentor 1",
    "people": "clinician 1", "programmes": "programme 1", "webhook-endpoints": "endpoint system 1",
}  # fmt: skip
_LINKS = {"/a/{token}": "offer.accept", "/j/{token}": "join", "/sign-in/{token}": "sign_in"}
_A_LINK = sa.text("SELECT id FROM link WHERE purpose = :purpose AND used_at IS NULL ORDER BY id DESC LIMIT 1")
_MAIL_TO_MENTOR = sa.text(
    "SELECT id FROM delivery WHERE kind = 'mail' AND person_id = :mentor ORDER BY id DESC LIMIT 1"
)
_OTHERS = {
    "/problems/{name}": "/problems/not-found",
    "/.well-known/oauth-authorization-server/{issuer_path:path}": "/.well-known/oauth-authorization-server/there",
    "/schemas/events/{type_}.json": "/schemas/events/offer.sent.json",
    "/pages/{name}": next(iter(assets.PATHS.values())),
    "/kept/{id}": f"/kept/{clock.new_id()}",
    "/consultations/new/{key}/{step}": f"/consultations/new/{clock.new_id()}/1",
    "/certificates/{code}": "/certificates/AAAA-BBBB-CCCC-DDDD",
    "/a/address/{token}": f"/a/address/{'x' * 48}",
    "/mine/certificates/{year}": "/mine/certificates/2026",
    "/a/own-address/{token}": f"/a/own-address/{'x' * 48}",
    "/a/digest/{token}": f"/a/digest/{'x' * 48}",
}


@dataclass(slots=True)
class Walk:
    """Who walks where: every address of a route, and what is there."""

    world: World
    clock: simulated.TestClock
    application: FastAPI
    collector: Collector
    things: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    answers: dict[tuple[str, str], int] = field(default_factory=dict)  # (who, route) -> status of the last

    async def look_around(self) -> None:
        """Find a thing for each kind of path, and a link for each kind of link."""
        self.things = {kind: str(history.uid(name)) for kind, name in _NAMED.items()} | {
            kind: str(clock.new_id()) for kind in ("imports", "rehearsals")
        }
        values = {name: history.uid(f"{name} 1") for name in ("clinician", "mentor", "memorandum")}
        async with self.world.database.work(actor.TIMER) as w:
            mail_id = (await w.sql(_MAIL_TO_MENTOR, {"mentor": history.uid("mentor 1")})).scalar_one()
            self.links["/a/away/{token}"] = f"/a/away/{self.world.keys.link_token(mail_id, 'away')}"
            for kind, statement in _THINGS.items():
                known = {name: value for name, value in values.items() if f":{name}" in statement}
                self.things[kind] = str((await w.sql(sa.text(statement), known)).scalar_one())
            for path, purpose in _LINKS.items():
                if purpose != "sign_in":
                    found = sa.text(
                        "SELECT id FROM link WHERE purpose = :purpose AND used_at IS NULL ORDER BY id DESC LIMIT 1"
                    )
                    id_ = (await w.sql(found, {"purpose": purpose})).scalar_one()
                    self.links[path] = path.replace("{token}", self.world.keys.link_token(id_, purpose))

    def address(self, route: str) -> str:
        """Give an address of the route; raises KeyError for a kind of thing that nobody named."""
        found = self.links.get(route) or _OTHERS.get(route)
        return found or re.sub(r"([a-z-]+)/\{[^}]*\}", lambda part: f"{part[1]}/{self.things[part[1]]}", route)

    async def visit(self, who: str) -> None:
        """Ask for everything as this person or system, by the API and, a person, by the pages."""
        api = await self._bearer(who)
        described = self.application.openapi()["paths"]
        async with simulated.calling(self.application, self.world, headers=api) as client:
            for route in routes(self.application):
                if route.startswith("/v1/") and (who in BUSY or "{" not in route):
                    tried = list(queries(route, described[route]["get"], self.clock.now()))
                    for query in tried if who in BUSY else tried[:1]:
                        await self._ask(client, who, route, self.address(route) + query)
        if who not in SYSTEMS:
            async with self._browser(who) as browser:
                for route in routes(self.application):
                    if not route.startswith("/v1/") and (who in BUSY or "{" not in route):
                        await self._ask(browser, who, route, self.address(route))

    async def _ask(self, client: httpx.AsyncClient, who: str, route: str, address: str) -> None:
        await self.collector.begin(f"{who} GET {route}{'?' + address.partition('?')[2] if '?' in address else ''}")
        answer = await client.get(address)
        self.answers[who, route] = answer.status_code
        assert answer.status_code < 500, (who, address, answer.text)
        if answer.status_code == 200 and route.startswith("/v1/") and "?" not in address:
            after = answer.json().get("next") if "json" in answer.headers["content-type"] else None
            if after:
                await self.collector.begin(f"{who} GET {route}, second page")
                following = await client.get(address, params={"after": after})
                assert following.status_code == 200, following.text

    async def _bearer(self, who: str) -> dict[str, str]:
        scopes = sorted(vocabulary.SCOPES) if who in SYSTEMS else None
        async with self.world.database.work(actor.STRANGER) as w:
            token, _ = await self.world.tokens.issue(w, history.uid(who), clock.new_id(), scopes)
        return {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def _browser(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        async with self.world.database.work(actor.TIMER) as w:
            tokens = [await logins.link_token(w, history.email(who), timedelta(minutes=15)) for _ in range(2)]
        self.links["/sign-in/{token}"] = f"/sign-in/{tokens[1]}"
        async with simulated.calling(self.application, self.world) as client:
            answer = await client.post(f"/sign-in/{tokens[0]}")
            assert answer.status_code == 303, answer.text
            yield client

    async def fold(self) -> None:
        """Count the past once, as the housekeeper has done long ago."""
        await self.collector.begin("folding reports")
        while await rollups.fold(self.world.database):
            pass

    async def work(self) -> None:
        """Do what a worker does by itself: with nothing due, and a day later."""
        for day in range(2):
            self.clock.forward(days=day)
            await self.collector.begin(f"timers, day {day}")
            assert await timers.once(self.world.database) == []
        await self.collector.begin("housekeeping")
        assert await housekeeping.run(self.world.database, housekeeping.Kept(1827)) == []


def routes(application: FastAPI) -> list[str]:
    """Give every route that is read, pages and health and documents included; no stream, which does not end."""
    found = {route.path or "" for route in iter_route_contexts(application.routes) if "GET" in (route.methods or ())}
    return sorted(found - {"/live"})


def queries(route: str, operation: dict[str, Any], now: datetime) -> Iterator[str]:
    """Give what must stand behind the address, then each parameter beside it; raises KeyError for a new one."""
    samples = _samples(route, now)
    named = [
        part for part in operation.get("parameters", ()) if part["in"] == "query" and part["name"] not in NOT_TRIED
    ]
    required = [part["name"] for part in named if part.get("required")]
    for value in samples["of"] if "of" in required else ("",):
        must = "&".join(f"{name}={value if name == 'of' else samples[name]}" for name in required)
        yield f"?{must}" if must else ""
    for part in named:
        if part["name"] not in required:
            yield "?" + "&".join(filter(None, (must, f"{part['name']}={samples[part['name']]}")))


def _samples(route: str, now: datetime) -> dict[str, Any]:
    form = "%Y-%m-%dT%H:%M:%SZ" if route.endswith(("slots", "appointments")) else "%Y-%m-%d"
    begin, end = (now, timedelta(days=7)) if "slots" in route else (now - timedelta(days=400), timedelta(days=365))
    states = {"/v1/consultations": "completed", "/v1/offers": "accepted"}
    return {
        "from": f"{begin:{form}}", "until": f"{begin + end:{form}}", "state": states.get(route, "delivered"),
        "of": ("consultations", "offers", "sessions", "answers", "memoranda", "activities", "mentors"),
        "priority": "stat", "specialty": "history.s1", "institution_id": history.uid("asking 1"), "status": "active",
        "programme_id": history.uid("programme 1"), "memorandum": history.uid("memorandum 1"), "role": "mentor",
        "country": "UA", "kind": "hospital", "language": "fr", "days": 365, "minutes": 30, "zone": "Europe/Paris",
        "compare": "previous", "by": "month", "types": "session.logged", "number": "R-2222", "q": "history",
    }  # fmt: skip


SHOWS_NOTHING = frozenset({
    "/v1/imports/{import_id}", "/certificates/{code}", "/kept/{id}", "/a/address/{token}",
    "/programmes/{id}/policy/rehearsals/{rehearsal_id}", "/v1/programmes/{programme_id}/rehearsals/{rehearsal_id}",
    "/a/digest/{token}", "/a/own-address/{token}", "/appointments/{id}/join", "/j/{token}",
    "/v1/appointments/{appointment_id}/join", "/v1/consultations/{consultation_id}/advice",
    "/.well-known/oauth-authorization-server/{issuer_path:path}",
})  # fmt: skip
"""Of these there is nothing in the past that is generated."""
NOT_TRIED = frozenset({"limit", "after", "lang", "locale", "columns"})
"""How many and from where on (the second page is asked for besides), and in which words."""
