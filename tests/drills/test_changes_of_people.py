"""Two hundred people change in every way while everybody works: nothing stays with whoever may not act, all are told.

The requests come through the API, two sweeps run beside them. Who may act is judged here anew, by the rows at the end.
"""

# ruff: noqa: ANN401 - bodies and rows are JSON and columns

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

import build
import crowd
import flow
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor, clock
from service.outbox import deliveries
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.races]

ALWAYS = [(day, 0, 1440) for day in range(7)]
HOSPITALS, PARTNERS, CLINICIANS, MENTORS = 6, 5, 15, 19
AT_ONCE = 6


class Town:
    """Hospitals, partners and two hundred people, who work and change."""

    def __init__(self, world: World, clock_: TestClock, client: httpx.AsyncClient) -> None:
        self.scene = flow.Scene(world, clock_, client)
        self.world, self.chance = world, random.Random(20261116)
        self.statuses: Counter[str] = Counter()
        self.failures: list[Any] = []
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.is_over = False

    async def people(self) -> None:
        scene = self.scene
        await scene.set_up(mentors=())
        self.clinicians, self.mentors, self.keepers = [], [], []
        async with self.world.database.work(actor.TIMER) as w:
            network = await build.institution(w, kind="network")
            self.places = [await build.institution(w) for _ in range(HOSPITALS)]
            self.partners = [await build.partner(w) for _ in range(PARTNERS)]
            self.elsewhere = await build.partner(w)
            self.membership = await build.add(
                w,
                tables.Membership(
                    id=clock.new_id(), institution_id=self.places[0].id, network_id=network.id, from_on=date(2026, 1, 1)
                ),
            )
            self.memoranda = [
                await build.memorandum(w, [network, *self.places[1:]], partner) for partner in self.partners
            ]
            for place in self.places:
                self.clinicians += [
                    await build.clinician(w, place, department=f"ward {number % 2}") for number in range(CLINICIANS)
                ]
            for place in [*self.places, *self.partners]:
                self.keepers.append(await build.coordinator(w, place))
            profile = {"sessions_per_week": 100, "offers_per_week": 100}
            for partner in self.partners:
                self.mentors += [await build.mentor(w, partner, weekly=ALWAYS, profile=profile) for _ in range(MENTORS)]
        everybody = [*self.clinicians, *self.mentors, *self.keepers]
        assert len(everybody) >= 190
        for number, person in enumerate(everybody):
            scene.people[str(number)] = person
        self.names = {person.id: name for name, person in scene.people.items()}

    async def call(self, who: UUID, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        async with self.gate:
            answer = await self.scene.call(self.names[who], method, path, body, headers=headers)
        self.statuses[f"{answer.status_code}"] += 1
        if answer.status_code >= 500:
            self.failures.append((method, path, answer.text))
        return answer

    async def ask(self, clinician: tables.Person) -> None:
        for mode in ("live", "written", "either"):
            await self.call(clinician.id, "POST", "/v1/consultations", self.scene.wish(mode=mode))

    async def answer(self, mentor: tables.Person) -> None:
        inbox = await self.call(mentor.id, "GET", "/v1/offers?state=pending")
        for offer in inbox.json().get("items", [])[:6]:
            path = f"/v1/offers/{offer['id']}"
            chance = self.chance.random()
            if chance < 0.5:
                body = {"starts_at": self.chance.choice(offer["starts"])} if offer["starts"] else {}
                await self.call(mentor.id, "POST", f"{path}/accept", body)
            elif chance < 0.65 and offer["starts"]:
                start = flow.instant(flow.read_instant(offer["starts"][0]) + timedelta(hours=1))
                await self.call(mentor.id, "POST", f"{path}/counter", {"starts": [start]})

    async def patch(self, person: tables.Person, body: Any) -> None:
        path = f"/v1/people/{person.id}"
        admin = self.scene.people["admin"].id
        tag = (await self.call(admin, "GET", path)).headers["etag"]
        answer = await self.call(admin, "PATCH", path, body, **{"If-Match": tag})
        assert answer.status_code == 200, answer.text

    async def verify(self, mentor: tables.Person, hours: float) -> None:
        until = flow.instant(self.scene.clock.now() + timedelta(hours=hours))
        path = f"/v1/people/{mentor.id}/verification"
        assert (await self.call(self.scene.people["admin"].id, "POST", path, {"until": until})).status_code == 200

    async def away(self, mentor: tables.Person) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            wall = w.now.replace(tzinfo=None)
            at: dict[str, Any] = {"from_wall": wall, "until_wall": wall + timedelta(days=9), "kind": "away"}
            await build.add(w, tables.AvailabilityException(id=clock.new_id(), person_id=mentor.id, **at))

    def changes(self) -> list[Any]:
        """Give every change of the table, each for several people, in an order by chance."""
        mentors, clinicians = self.mentors.copy(), self.clinicians.copy()
        self.chance.shuffle(mentors)
        self.chance.shuffle(clinicians)
        there = {"role": "mentor", "institution_id": str(self.elsewhere.id)}
        away = {"role": "clinician", "institution_id": str(self.elsewhere.id)}
        zone, name, language = {"zone": "Asia/Tokyo"}, {"display_name": "Anne"}, {"locale": "uk"}
        made = [self.patch(person, {"state": "disabled"}) for person in [*mentors[:10], *clinicians[:10]]]
        made += [self.patch(person, {"roles": [there]}) for person in mentors[10:18]]
        made += [self.patch(person, {"roles": [away]}) for person in clinicians[10:18]]
        made += [self.verify(person, -1) for person in mentors[18:26]]
        made += [self.verify(person, 3) for person in mentors[26:32]]
        made += [self.away(person) for person in mentors[32:38]]
        made += [self.patch(person, zone) for person in [*mentors[38:44], *clinicians[18:24]]]
        made += [self.patch(person, name | language) for person in [*mentors[44:50], *clinicians[24:30]]]
        made += [self.patch(self.keepers[number], {"state": "disabled"}) for number in (1, HOSPITALS)]
        made += [self.back(person) for person in clinicians[30:34]]
        made += [self.suspend(), self.leave_network()]
        self.chance.shuffle(made)
        return made

    async def back(self, clinician: tables.Person) -> None:
        await self.patch(clinician, {"state": "disabled"})
        await asyncio.sleep(0.5)
        await self.patch(clinician, {"state": "active"})

    async def suspend(self) -> None:
        body = {"to": "suspended", "on": self.scene.clock.now().date().isoformat()}
        await self.call(
            self.scene.people["admin"].id, "POST", f"/v1/memoranda/{self.memoranda[0].id}/transitions", body
        )

    async def leave_network(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            membership = await w.read(tables.Membership, self.membership.id)
            membership.until_on = w.now.date()

    async def sweep(self) -> None:
        while not self.is_over:
            self.failures += await timers.once(self.world.database)

    async def work(self) -> None:
        sweeps = [asyncio.ensure_future(self.sweep()) for _ in range(2)]
        await asyncio.gather(*(self.ask(clinician) for clinician in self.clinicians))
        await asyncio.gather(*(self.answer(mentor) for mentor in self.mentors[::2]))
        await asyncio.gather(
            *self.changes(),
            *(self.answer(mentor) for mentor in self.mentors),
            *(self.ask(clinician) for clinician in self.clinicians[::3]),
        )
        self.failures += await timers.once(self.world.database)  # a sweep a second, in life
        for _ in range(3):
            self.scene.clock.forward(hours=2)
            await asyncio.gather(*(self.answer(mentor) for mentor in self.mentors[::4]))
        self.is_over = True
        await asyncio.gather(*sweeps)
        for _ in range(4):
            self.failures += await timers.once(self.world.database)


async def rights(town: Town) -> tuple[set[Any], dict[UUID, Any], set[UUID]]:
    """Read who is active in which role where, until when each mentor is verified, and who is active at all."""
    rows = await town.scene.rows(
        "SELECT g.person_id, g.role, g.institution_id FROM role_grant g JOIN person p ON p.id = g.person_id"
        " WHERE p.state = 'active'"
    )
    verified = await town.scene.rows("SELECT person_id, verified_until FROM mentor_profile")
    active = await town.scene.rows("SELECT id FROM person WHERE state = 'active'")
    return {tuple(row) for row in rows}, {row.person_id: row.verified_until for row in verified}, {r.id for r in active}


def mentor_acts(row: Any, at: Any, held: set[Any], verified: dict[UUID, Any]) -> bool:
    until = verified.get(row.person_id)
    return (row.person_id, "mentor", row.institution_id) in held and until is not None and until > at


async def with_the_wrong(town: Town) -> list[Any]:
    """Name every open offer, booked time, promise, place and link of somebody who may not act on it."""
    now, found = town.scene.clock.now(), list[Any]()
    held, verified, active = await rights(town)
    offers = """SELECT o.id, o.mentor_id AS person_id, o.institution_id, o.state, m.status FROM offer o
        JOIN consultation c ON c.id = o.consultation_id JOIN memorandum m ON m.id = o.memorandum_id
        WHERE o.state IN ('pending', 'countered')
        OR (o.state = 'accepted' AND o.ended_at IS NULL AND c.state = 'scheduled' AND c.advice_due_at IS NOT NULL)"""
    for row in await town.scene.rows(offers):
        if not mentor_acts(row, now, held, verified):
            found.append(("offer", *row))
        if row.state != "accepted" and row.status != "active":
            found.append(("offer without a memorandum", *row))
    booked = """SELECT a.id, a.starts_at, t.person_id, t.institution_id, t.role FROM appointment a
        JOIN participant t ON t.appointment_id = a.id WHERE a.status IN ('pending', 'booked') AND a.starts_at > :now"""
    for row in await town.scene.rows(booked, now=now):
        is_there = (row.person_id, "clinician", row.institution_id) in held
        if not (is_there if row.role == "clinician" else mentor_acts(row, row.starts_at, held, verified)):
            found.append(("booked", *row))
    seats = "SELECT s.person_id FROM seat s WHERE upper(s.during) > :now"
    found += [("seat", row.person_id) for row in await town.scene.rows(seats, now=now) if row.person_id not in active]
    links = """SELECT l.id, l.person_id, l.purpose, coalesce(o.consultation_id, a.consultation_id) AS consultation_id
        FROM link l LEFT JOIN offer o ON o.id = l.subject_id LEFT JOIN appointment a ON a.id = l.subject_id
        WHERE l.used_at IS NULL AND l.expires_at > :now"""
    for row in await town.scene.rows(links, now=now):
        if row.person_id not in active:
            found.append(("link", *row))
    unassigned = """SELECT c.id, c.clinician_id, c.institution_id, c.clinician_left_at FROM consultation c
        WHERE c.state NOT IN ('completed', 'cancelled', 'expired')"""
    for row in await town.scene.rows(unassigned):
        is_there = (row.clinician_id, "clinician", row.institution_id) in held
        if not is_there and row.clinician_left_at is None:
            found.append(("case", *row))
    return found


async def untold(town: Town) -> tuple[list[Any], Counter[str]]:
    """Name every departure of which somebody concerned was not told; count what was told."""
    mails = await town.scene.rows("SELECT person_id, payload FROM delivery WHERE kind = 'mail'")
    counted = Counter(mail.payload["template"] for mail in mails)
    named: Counter[str] = Counter()
    for mail in mails:
        if mail.payload["template"] == "clinician_left":
            named.update({case["consultation_id"] for case in mail.payload["values"]["cases"]})
    events = await town.scene.rows(
        "SELECT type, subject_id, count(*) AS count FROM event WHERE type LIKE '%_left' GROUP BY type, subject_id"
    )
    by_appointment = Counter(
        mail.payload["values"].get("appointment_id")
        for mail in mails
        if mail.payload["template"] in {"mentor_left", "called_off"}
    )
    taken_out = Counter(
        mail.payload["values"].get("appointment_id") for mail in mails if mail.payload["template"] == "taken_out"
    )
    faults = list[Any]()
    for event in events:
        subject = str(event.subject_id)
        counted[event.type] += event.count
        if event.type == "consultation.clinician_left" and named[subject] != event.count:
            faults.append((event.type, subject, event.count, named[subject]))
        if event.type == "appointment.mentor_left" and by_appointment[subject] < 2 * event.count:
            faults.append((event.type, subject, event.count, by_appointment[subject]))
        if event.type.startswith("appointment.") and taken_out[subject] < event.count:
            faults.append(("not taken out", subject, event.count, taken_out[subject]))
    return faults, counted


async def mailed_to_the_disabled(town: Town) -> list[str]:
    """Claim every mail that waits, as the worker would, and name what would go to somebody who is disabled."""
    waiting = await town.scene.rows(
        "SELECT d.id FROM delivery d JOIN person p ON p.id = d.person_id AND p.state = 'disabled'"
        " WHERE d.state = 'pending'"
    )
    found = list[str]()
    for row in waiting:
        async with town.world.database.work(actor.TIMER) as w:
            claimed = await deliveries.claim(w, row.id)
        if claimed and claimed.payload.get("calendar", {}).get("method") != "CANCEL":
            found.append(claimed.payload["template"])
    return found


def tell(figures: Iterable[tuple[str, int]]) -> None:
    print(", ".join(f"{name} {number}" for name, number in sorted(figures)))  # noqa: T201 - the drill's figures


async def test_ft_01_ft_02_two_hundred_people_change_while_everybody_works_and_nothing_is_left_with_who_may_not_act(
    world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    town = Town(world, test_clock, client)
    await town.people()
    await town.work()
    faults, counted = await untold(town)
    tell(town.statuses.items())
    tell(counted.items())
    assert town.failures == []
    assert await with_the_wrong(town) == []
    assert faults == []
    assert await mailed_to_the_disabled(town) == []
    # A new zone changes what is shown of a booked time, which is no event.
    faults = [fault for fault in await crowd.faults(town.scene) if fault[0] != "a version that rose without a word"]
    assert faults == []
    assert min(counted["appointment.mentor_left"], counted["consultation.clinician_left"]) > 0
