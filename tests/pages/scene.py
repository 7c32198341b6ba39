"""Chernihiv asks, Lille answers; browsers of people, and the links of their mails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from sqlmodel import col

import build
import world as simulated
from api import app
from integrations.runtime.world import World
from service import tables
from service.care import consultations
from service.kernel import actor
from service.kernel.work import Work
from service.people import logins

QUESTION = "Дитина з рідкісним синдромом: яка доза? CANARY-OF-THE-CASE"
DATES_BACK = date(2026, 11, 16)
COUNTED = ("offer", "consultation", "appointment", "link", "delivery", "event", "audit", "refresh_token", "session")


class Scene:
    """The people of one case, and how they come."""

    def __init__(self, world: World, clock: simulated.TestClock) -> None:
        self.world, self.clock = world, clock
        self.admin: tables.Person  # of `screens.staged`, as the newcomer
        self.newcomer: tables.Person

    async def set_up(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            self.asking = await build.institution(w)
            self.lille = await build.partner(w)
            self.clinician = await build.clinician(w, self.asking)
            self.coordinator = await build.coordinator(w, self.asking)
            self.mentor = await build.mentor(w, self.lille)
            self.memorandum = await build.memorandum(w, self.asking, self.lille)

    async def another_mentor(self) -> tables.Person:
        async with self.world.database.work(actor.TIMER) as w:
            return await build.mentor(w, self.lille)

    async def act(self, who: tables.Person, verb: Callable[..., Awaitable[Any]], *args: object, **named: object) -> Any:  # noqa: ANN401 - what the verb gives
        async with self.world.database.work(actor.TIMER) as w:
            acting = await build.actor(w, who)
        async with self.world.database.work(acting) as w:
            return await verb(w, *args, **named)

    async def ask(self, **fields: object) -> tables.Consultation:
        usual = {
            "specialty": "paediatrics",
            "priority": "urgent",
            "mode": "live",
            "question": QUESTION,
            "languages": ("en",),
            "age_band": "child",
            "duration_minutes": 30,
            "consent": consultations.ConsentGiven("general", DATES_BACK),
        }
        asked: tables.Consultation = await self.act(
            self.clinician,
            consultations.request,
            consultations.NewRequest(**usual | fields),  # type: ignore[arg-type]
        )
        return asked

    async def rows(self, statement: str, **values: object) -> list[sa.Row[Any]]:
        async with self.world.database.work(actor.TIMER) as w:
            return list((await w.sql(sa.text(statement), values)).all())

    async def counts(self) -> dict[str, int]:
        return {table: (await self.rows(f"SELECT count(*) FROM {table}"))[0][0] for table in COUNTED}

    async def state(self) -> str:
        """Everything of every row that pages could change."""
        found = [
            await self.rows(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {name} t") for name in COUNTED
        ]
        return repr(found)

    async def link(self, purpose: str, who: tables.Person | None = None) -> tuple[str, tables.Link]:
        """The path of the first link of the purpose, as the mail would have it, and its row."""
        row = tables.Link
        wanted = sa.select(row).where(col(row.purpose) == purpose).order_by(col(row.starts_at), col(row.id)).limit(1)
        if who:
            wanted = wanted.where(col(row.person_id) == who.id)
        async with self.world.database.work(actor.TIMER) as w:
            link: tables.Link = (await w.sql(wanted)).scalar_one()
        folder = {"join": "j", "sign_in": "sign-in"}.get(purpose, "a")
        return f"/{folder}/{self.world.keys.link_token(link.id, purpose)}", link

    async def sign_in_path(self, who: tables.Person) -> str:
        async def make(w: Work) -> str:
            return await logins.link_token(w, who.email, timedelta(minutes=15))

        return f"/sign-in/{await self.act(who, make)}"

    @asynccontextmanager
    async def browser(self, who: tables.Person | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A browser of its own, signed in as the person."""
        transport = httpx.ASGITransport(app.create(self.world), raise_app_exceptions=False, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            if who:
                answer = await client.post(await self.sign_in_path(who))
                assert answer.status_code == 303, answer.text
            yield client

    def wall(self, days: int, hour: int) -> str:
        """A wall time so many days ahead, as a form's field sends it."""
        return f"{(self.clock.now() + timedelta(days=days)):%Y-%m-%d}T{hour:02}:00"
