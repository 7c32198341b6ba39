"""`pobratym demo`: the published registry, demo people, and one consultation walked from request to report over HTTP.

The manual clock (invariant T5) puts the walk a few days back, so that everything it leaves lies in the past. It calls
the API as its users do: it signs in by the links in the mails, and reads the invite from the mail that was sent.
"""

import asyncio
import contextlib
import email
import email.policy
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from rich.console import Console

from api import VERSION, app
from api.exchange import import_work
from integrations.runtime import worker
from integrations.runtime.settings import BadSettings, Settings, remember_address
from integrations.runtime.world import World, opened
from service.kernel import actor, clock
from service.people import demo_people, logins
from service.registry import published_facts

CLINICIAN, COORDINATOR = "clinician@chernihiv.example", "coordinator@chernihiv.example"
MENTOR, STRANGER = "mentor@lille.example", "mentor@kaunas.example"
LINK_LIFE = timedelta(hours=24)
PATIENCE_SECONDS = 20.0
NAMED = "POBRATYM_DATABASE_URL must be unset for `pobratym demo`, whose manual clock is for the embedded database only"
_console = Console(highlight=False, soft_wrap=True)


class StepFailed(Exception):
    """A step of the walk failed; the message says which and why."""


async def run(settings: Settings, *, port: int, once: bool, data_only: bool) -> None:
    """Load the demo's data, walk, then serve until stopped; with `once` end after the walk.

    The data alone may go into a database that is named, at the system's time; the walk needs the manual clock, which
    such a database must never have: it raises BadSettings. Raises StepFailed when a step failed.
    """
    if not (settings.is_embedded or data_only):
        raise BadSettings([NAMED])
    port = port if not once else _free_port()
    clock_of = "manual" if settings.is_embedded else "system"
    changes = {"clock": clock_of, "smtp_url": None, "base_url": f"http://127.0.0.1:{port}"}
    if settings.room_url is None:
        changes["room_url"] = "https://rooms.example/{appointment_id}"
    demo_settings = settings.model_copy(update=changes)
    if not (once or data_only):
        remember_address(demo_settings, port)
    if settings.is_embedded:
        folder = settings.data_dir.resolve()
        _console.print(f"PostgreSQL is started in {folder}: the first time it is made there, which takes a while.")
    async with opened(demo_settings, purpose="api with worker", version=VERSION) as world:
        _console.print("It runs, and its schema is this program's. Now the registry and the demo people.")
        emails = await load(world)
        if data_only:
            return
        async with _serving(world, port) as server:
            _console.print(
                f"API, pages and worker run on {world.settings.base_url}. People sign in; each waits for a mail:"
            )
            async with httpx.AsyncClient(base_url=world.settings.base_url, timeout=30) as client:
                await Walk(world, client).whole()
            if once:
                told = f"`pobratym serve` serves them on {settings.base_url}."
                await _print_links(world, emails, told, settings.base_url)
                return
            told = f"Serving on {world.settings.base_url}."
            await _print_links(world, emails, told, world.settings.base_url)
            await server


async def load(world: World) -> list[str]:
    """Load the published facts and the demo people; gives the people's addresses. Safe to repeat."""
    async with world.database.work(actor.TIMER) as w:
        await published_facts.load(w)
        await published_facts.load_demo(w)
    emails = [person.email for person in demo_people.DEMO_PEOPLE]
    _console.print(f"The published registry and {len(emails)} demo people are loaded.")
    return emails


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _serving(world: World, port: int) -> AsyncIterator[asyncio.Task[None]]:
    """Run API, pages and worker in this process until the block ends; gives the server task, which a signal ends."""
    server = uvicorn.Server(
        uvicorn.Config(app.create(world), host="127.0.0.1", port=port, log_level="warning", access_log=False)
    )
    stop = asyncio.Event()
    tasks = [asyncio.create_task(server.serve()), asyncio.create_task(worker.run(world, stop, import_work.run))]
    try:
        while not server.started:
            if tasks[0].done():
                message = f"Nothing could listen on port {port}: is another one running?"
                raise StepFailed(message)
            await asyncio.sleep(0.05)
        yield tasks[0]
    finally:
        stop.set()
        server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


class Walk:
    """One consultation, from request to report."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        """Walk on this world, over this client."""
        self._world, self._client = world, client
        self._tokens: dict[str, str] = {}
        self._step = 0

    async def whole(self) -> None:
        """Do every step; the clock is the system's again afterwards, whatever happened."""
        try:
            await self._set_clock(_some_days_ago(clock.wall()))
            for address in (CLINICIAN, COORDINATOR, MENTOR, STRANGER):
                await self._sign_in(address)
            consultation = await self._request()
            offer = await self._offer(consultation)
            appointment = await self._accept(offer)
            await self._invite(appointment)
            await self._nobody_else(consultation, appointment)
            session = await self._meet(appointment)
            await self._report(session)
        finally:
            await self._set_clock(None)
        self._say("Every step held. The clock is the system's again.")

    def _say(self, text: str, details: object = None) -> None:
        self._step += 1
        _console.print(f"\n[bold]{self._step}. {text}[/bold]")
        if details is not None:
            text = details if isinstance(details, str) else json.dumps(details, ensure_ascii=False, indent=2)
            _console.print(text, markup=False)

    async def _set_clock(self, now: datetime | None) -> None:
        body = {"now": now and now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        _hold("the clock is set", (await self._client.put("/demo/clock", json=body)).status_code < 300)  # noqa: PLR2004

    async def _call(self, address: str, method: str, path: str, status: int, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[address]}"}
        answer = await self._client.request(method, path, json=body, headers=headers)
        _hold(f"{method} {path} answers {status}", answer.status_code == status, answer.text)
        return answer

    async def _mail(self, address: str, is_wanted: Callable[[EmailMessage], bool], since: float = 0.0) -> EmailMessage:
        """Wait for the newest mail to this person that is wanted: a worker has to send it first."""
        folder = self._world.settings.data_dir / "mail" / "new"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for path in await asyncio.to_thread(_newest_first, folder, since):
                    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                    if address in str(message["To"]) and is_wanted(message):
                        return message
                await asyncio.sleep(0.1)

    async def _sign_in(self, address: str) -> None:
        asked_at = clock.wall().timestamp()
        await self._client.post("/v1/auth/sign-in-links", json={"email": address})
        message = await self._mail(address, lambda mail: _sign_in_token(mail) is not None, asked_at)
        token = _sign_in_token(message)
        answer = await self._client.post("/v1/auth/tokens", json={"link_token": token})
        _hold(f"{address} signs in by the mailed link", answer.is_success, answer.text)
        self._tokens[address] = answer.json()["access_token"]
        _console.print(f"  {address} is signed in", markup=False)
        if address == STRANGER:
            self._say("Four people sign in by the links in their mails", list(self._tokens))

    async def _request(self) -> dict[str, Any]:
        body = {
            "specialty": "obp.neonatology",
            "priority": "urgent",
            "mode": "live",
            "question": "Preterm of 29 weeks on day 12 with feeding intolerance: which next step would you take?",
            "languages": ["en", "fr"],
            "age_band": "neonate",
            "duration_minutes": 30,
            "consent": {"scope": "general", "given_on": self._world.clock.now().date().isoformat()},
        }
        consultation: dict[str, Any] = (await self._call(CLINICIAN, "POST", "/v1/consultations", 201, body)).json()
        _hold("the request is out to a mentor", consultation["state"] == "offered")
        summary = {name: consultation[name] for name in ("id", "state", "priority", "specialty", "answer_due_at")}
        self._say("A clinician in Chernihiv files a request; the first wave goes out by itself", summary)
        ranking = (
            await self._call(COORDINATOR, "GET", f"/v1/consultations/{consultation['id']}/candidates", 200)
        ).json()
        self._say("Her coordinator sees who may answer, with every term, and why others may not", _ranking(ranking))
        return consultation

    async def _offer(self, consultation: dict[str, Any]) -> dict[str, Any]:
        offers = (await self._call(MENTOR, "GET", "/v1/offers?state=pending&limit=200", 200)).json()["items"]
        mine = [offer for offer in offers if offer["consultation_id"] == consultation["id"]]
        _hold("the mentor in Lille was asked", len(mine) == 1)
        message = await self._mail(MENTOR, lambda mail: consultation["id"] in _text(mail))
        _hold("the mail holds no case text", "29 weeks" not in message.as_string())
        self._say("The mentor in Lille is asked by mail, in both local times, without any case text", _text(message))
        return dict(mine[0])

    async def _accept(self, offer: dict[str, Any]) -> dict[str, Any]:
        body = {"starts_at": offer["starts"][0]}
        appointment: dict[str, Any] = (
            await self._call(MENTOR, "POST", f"/v1/offers/{offer['id']}/accept", 200, body)
        ).json()
        repeated = (await self._call(MENTOR, "POST", f"/v1/offers/{offer['id']}/accept", 200, body)).json()
        _hold(
            "booked, and the second click changes nothing",
            appointment["status"] == "booked" and repeated == appointment,
        )
        self._say("The mentor accepts (twice: a double click is one booking)", appointment)
        return appointment

    async def _invite(self, appointment: dict[str, Any]) -> None:
        for address in (CLINICIAN, MENTOR):
            message = await self._mail(address, lambda mail: f"UID:{appointment['id']}@" in _calendar(mail))
            _hold(f"{address} has the invite", "METHOD:REQUEST" in _calendar(message))
        self._say("Both sides have an invite; the mentor's calendar reads", _calendar(message))

    async def _nobody_else(self, consultation: dict[str, Any], appointment: dict[str, Any]) -> None:
        for path in (f"/v1/consultations/{consultation['id']}", f"/v1/appointments/{appointment['id']}"):
            await self._call(STRANGER, "GET", path, 404)
        self._say("A mentor of another hospital gets 404 for both, as if they did not exist")

    async def _meet(self, appointment: dict[str, Any]) -> dict[str, Any]:
        start = datetime.fromisoformat(appointment["starts_at"])
        await self._call(MENTOR, "GET", f"/v1/appointments/{appointment['id']}/join", 409)
        await self._set_clock(start - timedelta(minutes=5))
        await self._sign_in(MENTOR)
        room = await self._call(MENTOR, "GET", f"/v1/appointments/{appointment['id']}/join", 303)
        await self._set_clock(start + timedelta(minutes=40))
        for address in (MENTOR, CLINICIAN, COORDINATOR):
            await self._sign_in(address)
        body = {
            "started_at": (start + timedelta(minutes=1)).isoformat(),
            "ended_at": (start + timedelta(minutes=29)).isoformat(),
            "outcome": "plan_changed",
            "conclusion": "Feeds paused for a day, then restarted slowly; control on day 14.",
        }
        path = f"/v1/appointments/{appointment['id']}/session"
        session: dict[str, Any] = (await self._call(MENTOR, "POST", path, 201, body)).json()
        await self._call(CLINICIAN, "POST", path, 409, body)
        answer = {"is_useful": True, "patient_outcome": "better"}
        await self._call(CLINICIAN, "POST", f"/v1/sessions/{session['id']}/feedback", 201, answer)
        summary = {name: session[name] for name in ("id", "minutes", "outcome", "route", "memorandum_id")}
        self._say(f"They meet at {room.headers['location']}, and log the session", summary)
        return session

    async def _report(self, session: dict[str, Any]) -> None:
        memorandum = f"/v1/memoranda/{session['memorandum_id']}"
        log = (await self._call(COORDINATOR, "GET", f"{memorandum}/log?limit=200", 200)).json()
        _hold("the session is in the memorandum's log", session["id"] in {entry["id"] for entry in log["items"]})
        verified = (await self._call(COORDINATOR, "GET", f"{memorandum}/log/verification", 200)).json()
        _hold("the log's chain holds", verified["ok"])
        self._say("The memorandum's log holds the session; its chain of hashes verifies", verified)
        report = (await self._call(COORDINATOR, "GET", f"{memorandum}/report", 200)).json()
        figures = [f"{figure['name']:34} {figure['value']} {figure['unit']}" for figure in report["figures"]]
        values = {figure["name"]: figure["value"] for figure in report["figures"]}
        _hold("the report counts the session", values["sessions"] >= 1)
        self._say("The memorandum's report counts it", "\n".join(figures))


def _hold(claim: str, holds: bool, why: str = "") -> None:  # noqa: FBT001 - a claim and whether it holds
    if not holds:
        message = f"It does not hold that {claim}. {why}"
        raise StepFailed(message)


def _some_days_ago(now: datetime) -> datetime:
    """Give 08:00Z of the last Monday, Tuesday or Wednesday that is at least three days ago."""
    day = (now - timedelta(days=3)).astimezone(UTC)
    while day.weekday() not in {0, 1, 2}:
        day -= timedelta(days=1)
    return day.replace(hour=8, minute=0, second=0, microsecond=0)


def _newest_first(folder: Path, since: float) -> list[Path]:
    if not folder.exists():
        return []
    mails = sorted(((path.stat().st_mtime, path) for path in folder.iterdir()), reverse=True)
    return [path for written_at, path in mails if written_at >= since]


def _sign_in_token(message: EmailMessage) -> str | None:
    link = re.search(r"/sign-in/([\w-]+)", _text(message))
    return link and link.group(1)


def _text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    return str(part.get_content()) if part else ""


def _calendar(message: EmailMessage) -> str:
    parts = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    return parts[0].get_payload(decode=True).decode() if parts else ""  # type: ignore[union-attr]


def _ranking(ranking: dict[str, Any]) -> str:
    lines = [
        f"{candidate['score']:6.2f}  {candidate['mentor']}  {candidate['terms']}" for candidate in ranking["candidates"]
    ]
    lines += [f"   out  {candidate['mentor']}  {', '.join(candidate['reasons'])}" for candidate in ranking["excluded"]]
    return "\n".join(lines)


async def _print_links(world: World, emails: list[str], told: str, base_url: str) -> None:
    _console.print(f"\n[bold]{told} Sign-in links, good for 24 hours, once each:[/bold]")
    async with world.database.work(actor.TIMER) as w:
        for address in emails:
            token = await logins.link_token(w, address, LINK_LIFE)
            _console.print(f"  {address:34} {base_url}/sign-in/{token}")
