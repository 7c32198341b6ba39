"""A scene for tests of the whole flow, over HTTP: Chernihiv asks, Lille answers; and what each step left behind."""

# ruff: noqa: ANN401 - bodies and answers are JSON

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jsonschema_rs
import sqlalchemy as sa

import build
from api.edge import event_schemas
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor
from world import TestClock

OFFERS_LEFT = sa.text("""
UPDATE delivery SET state = 'delivered', next_attempt_at = NULL, settled_at = created_at
WHERE offer_id IS NOT NULL AND state = 'pending'
""")
THIN = {"id", "version", "consultation_id", "consultation_number", "memorandum_id", "state", "starts_at"}
THIN |= {"corrects", "links"}
QUESTION = "A child with a rare syndrome: which dose?"


def instant(at: datetime) -> str:
    """Write an instant as the API does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_instant(text: str) -> datetime:
    """Read an instant that the API wrote."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Change:
    """What one step left behind: events as (type, subject), mails as (template, reader), calendars as (reader, …)."""

    events: list[tuple[str, str]]
    mails: list[tuple[str, str]]
    calendars: list[tuple[str, str, str | None, int]]


@dataclass(frozen=True)
class State:
    """How things stand: the consultation, its latest appointment, who answered what, whose time is taken."""

    consultation: str
    appointment: str | None
    participants: dict[str, str]
    seats: list[str]


@dataclass
class Scene:
    """Two institutions, a memorandum, the people of both; every call is made by one of them."""

    world: World
    clock: TestClock
    client: httpx.AsyncClient
    people: dict[str, tables.Person] = field(default_factory=dict)
    versions: dict[UUID, int] = field(default_factory=dict)
    seen_events: set[UUID] = field(default_factory=set)
    seen_mails: set[UUID] = field(default_factory=set)
    endpoints: dict[UUID, UUID] = field(default_factory=dict)  # of institutions that are told by webhook

    async def set_up(self, mentors: Iterable[str] = ("mentor", "rival"), **memorandum: Any) -> None:
        """Have the rows that a flow begins with."""
        async with self.world.database.work(actor.TIMER) as w:
            self.asking = await build.institution(w)
            self.lille = await build.partner(w)
            self.programme = await build.programme(w)
            self.people["clinician"] = await build.clinician(w, self.asking)
            self.people["colleague"] = await build.clinician(w, self.asking)
            self.people["coordinator"] = await build.coordinator(w, self.asking)
            self.people["partner"] = await build.coordinator(w, self.lille)
            self.people["admin"] = await build.admin(w, self.programme)
            await build.specialty(w, "paediatrics")
            for name in mentors:
                self.people[name] = await build.mentor(
                    w, self.lille, profile={"sessions_per_week": 100, "offers_per_week": 100}
                )
            self.memorandum = await build.memorandum(w, self.asking, self.lille, **memorandum)

    def name(self, person_id: UUID) -> str:
        """Tell who it is."""
        return next(name for name, person in self.people.items() if person.id == person_id)

    async def call(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        """Call the API as that person."""
        bearer = await build.bearer(self.world, self.people[who])
        sent = body if path == "/v1/imports" else {"json": body}  # a form with a file
        answer = await self.client.request(method, path, **sent, headers=bearer | dict(headers))
        if status is not None:
            assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer

    async def post(self, who: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Call with POST, and give what came back."""
        return (await self.call(who, "POST", path, {} if body is None else body, status=status)).json()

    async def get(self, who: str, path: str) -> Any:
        """Call with GET, and give what came back."""
        return (await self.call(who, "GET", path, status=200)).json()

    def wish(self, **fields: Any) -> dict[str, Any]:
        """Give the body of a request."""
        return {
            "specialty": "paediatrics",
            "priority": "urgent",
            "mode": "live",
            "question": QUESTION,
            "languages": ["en"],
            "age_band": "child",
            "duration_minutes": 30,
            "consent": {"scope": "general", "given_on": self.clock.now().date().isoformat()},
        } | fields

    async def request(self, **fields: Any) -> str:
        """File a request, and give its id."""
        body = {name: value for name, value in self.wish(**fields).items() if value is not None}
        return str((await self.post("clinician", "/v1/consultations", body, 201))["id"])

    async def offer(self, mentor: str = "mentor") -> Any:
        """Give the pending offer of that mentor."""
        (found,) = (await self.get(mentor, "/v1/offers?state=pending"))["items"]
        return found

    async def booked(self, mentor: str = "mentor", **fields: Any) -> Any:
        """File a request that this mentor accepts, and give the appointment."""
        await self.request(**fields)
        mine = await self.offer(mentor)
        return await self.post(mentor, f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})

    async def booked_by_the_mentor(self) -> Any:
        """As `booked`, but routine, whatever day it is: both mentors are asked at once."""
        await self.rows('UPDATE programme SET policy = \'{"priorities": {"routine": {"per_wave": 2}}}\'')
        return await self.booked(priority="routine")

    async def press(self, who: str, purpose: str, **fields: str) -> None:
        """Press the button of the first link of that purpose which that person was mailed."""
        (link, *_) = await self.rows(
            "SELECT id FROM link WHERE purpose = :purpose AND person_id = :person ORDER BY starts_at, id",
            purpose=purpose,
            person=self.people[who].id,
        )
        answer = await self.client.post(f"/a/{self.world.keys.link_token(link.id, purpose)}", data=fields)
        assert answer.status_code == 303, answer.text

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """Read the database."""
        async with self.world.database.work(actor.TIMER) as w:
            found: Any = await w.sql(sa.text(statement), values)
            return list(found.all()) if found.returns_rows else []

    async def sweep(self, *, mail_leaves: bool = True) -> None:
        """Let the timers act once; the mails of offers have left, as if a worker had sent them at once."""
        if mail_leaves:
            await self.mails_leave()
        await timers.once(self.world.database)

    async def mails_leave(self) -> None:
        """Have the mails of offers left, as if a worker had sent them at once."""
        async with self.world.database.work(actor.TIMER) as w:
            await w.sql(OFFERS_LEFT)

    async def next_wave(self) -> None:
        """Go on to when the next wave is due, and let the timers act."""
        (row,) = await self.rows("SELECT next_wave_at FROM consultation")
        self.clock.set(max(row.next_wave_at, self.clock.now()))
        await self.sweep()

    async def later_start(self, appointment: Any, minutes: int = 15) -> str:
        """Give a start a little after the appointment's."""
        return instant(read_instant(appointment["starts_at"]) + timedelta(minutes=minutes))

    async def state(self) -> State:
        """Read how things stand in the rows."""
        (consultation,) = await self.rows("SELECT state FROM consultation")
        appointments = await self.rows("SELECT id, status FROM appointment ORDER BY id DESC LIMIT 1")
        if not appointments:
            return State(consultation.state, None, {}, [])
        parts = await self.rows(
            "SELECT person_id, status FROM participant WHERE appointment_id = :id", id=appointments[0].id
        )
        seats = await self.rows("SELECT person_id FROM seat")
        return State(
            consultation.state,
            appointments[0].status,
            {self.name(row.person_id): row.status for row in parts},
            sorted(self.name(row.person_id) for row in seats),
        )

    async def look(self) -> None:
        """Take what is there as known: `change` tells of what comes after."""
        await self.change()

    async def change(self) -> Change:
        """Tell what is new since the last look; each event's subject must have risen by one version."""
        events = [e for e in await self.rows("SELECT * FROM event ORDER BY id") if e.id not in self.seen_events]
        for event in events:
            self._check_body(event)
            before = self.versions.get(event.subject_id, 0)
            assert event.subject_version == before + 1, (event.type, before, event.subject_version)
            self.versions[event.subject_id] = event.subject_version
            await self._check_webhooks(event)
        self.seen_events |= {event.id for event in events}
        for table in ("consultation", "offer", "appointment", "memorandum", "webhook_endpoint"):
            for row in await self.rows(f"SELECT id, version FROM {table}"):
                self.versions[row.id] = row.version
        mails = [
            m
            for m in await self.rows("SELECT * FROM delivery WHERE kind = 'mail' ORDER BY id")
            if m.id not in self.seen_mails
        ]
        self.seen_mails |= {mail.id for mail in mails}
        return Change(
            sorted([(event.type, await self._subject(event)) for event in events]),
            sorted((mail.payload["template"], self.name(mail.person_id)) for mail in mails),
            sorted(
                (self.name(mail.person_id), calendar["method"], calendar["status"], calendar["sequence"])
                for mail in mails
                if (calendar := mail.payload.get("calendar"))
            ),
        )

    def _check_body(self, event: Any) -> None:
        """The body is thin, and as its schema has it."""
        told = json.loads(event.body)
        jsonschema_rs.validator_for(event_schemas.of(event.type), validate_formats=True).validate(told)
        assert told["data"].keys() <= THIN, told

    async def listen(self) -> None:
        """Have both institutions told of everything by webhook; `change` then looks for each event at each."""
        async with self.world.database.work(actor.TIMER) as w:
            for place in (self.asking, self.lille):
                endpoint, _ = await build.webhook(w, place)
                self.endpoints[place.id] = endpoint.id

    async def _check_webhooks(self, event: Any) -> None:
        """Each institution that the event concerns has it once: both, as parties, if it is under the memorandum."""
        if not self.endpoints:
            return
        told = await self.rows("SELECT endpoint_id, body FROM delivery WHERE event_id = :id", id=event.id)
        concerned = list(self.endpoints) if event.memorandum_id else event.institution_ids
        assert sorted(row.endpoint_id for row in told) == sorted(self.endpoints[place] for place in concerned)
        assert {row.body for row in told} == {event.body}

    async def _subject(self, event: Any) -> str:
        if not event.type.startswith("offer."):
            return str(event.type.split(".")[0])
        (row,) = await self.rows("SELECT mentor_id FROM offer WHERE id = :id", id=event.subject_id)
        return self.name(row.mentor_id)


def given_today(scene: Scene) -> dict[str, str]:
    """Give the body of a consent."""
    return {"scope": "general", "given_on": scene.clock.now().date().isoformat()}


Step = Callable[[Scene], Awaitable[None]]
BOTH = ["clinician", "mentor"]


async def alone(scene: Scene) -> None:
    """Leave one mentor: a wave is that one, and after it nobody is left."""
    await scene.rows(
        "UPDATE mentor_profile SET verified_until = NULL WHERE person_id = :p RETURNING 1", p=scene.people["rival"].id
    )


async def nobody(scene: Scene) -> None:
    """Leave no mentor who may be asked."""
    await scene.rows("UPDATE mentor_profile SET verified_until = NULL RETURNING 1")


async def held(scene: Scene) -> Any:
    """Have a time held that the mentor was offered."""
    asked = await scene.request()
    mine = await scene.offer()
    await scene.look()
    body = {"mentor_id": mine["mentor_id"], "starts_at": mine["starts"][0]}
    return await scene.post("coordinator", f"/v1/consultations/{asked}/holds", body, 201)


def happened(booked: Any, outcome: str = "advice_given") -> dict[str, str]:
    """Give the body of a session of twenty minutes that began in time."""
    start = read_instant(booked["starts_at"])
    return {
        "started_at": instant(start),
        "ended_at": instant(start + timedelta(minutes=20)),
        "outcome": outcome,
    }


async def logged(scene: Scene, who: str = "mentor") -> Any:
    """Have a booked appointment whose session is logged, and give the appointment."""
    booked = await scene.booked()
    scene.clock.set(read_instant(booked["ends_at"]))
    await scene.look()
    await scene.post(who, f"/v1/appointments/{booked['id']}/session", happened(booked), 201)
    return booked
